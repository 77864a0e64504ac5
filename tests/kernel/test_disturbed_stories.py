"""What single stories must not take for the kernel's answer: a labd, a unit or an engine of theirs that has failed."""

# ruff: noqa: F811 - a fixture that is imported and the parameter by which a test asks for it have one name

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_disturbed import BROKEN, red
from test_stories import claims, daemon, journal, place, present, stage  # noqa: F401 - fixtures among them

from lab.pidfd import ended, start_time
from scenarios import needs
from scenarios.performance.beats import HELD, UNKNOWN
from scenarios.props import labd
from scenarios.props.labd import Daemon
from scenarios.props.launchers import Scene
from scenarios.safety.journal import Journal
from scenarios.stage.engines import DAEMON, FORK, Engine, Model, inspected
from scenarios.stage.report import Report
from scenarios.stage.stage import Stage, Story
from scenarios.stories import attribution, crash, gallery, mirror, notify, rootless, variants

pytestmark = pytest.mark.needs("root", "audit", "setpriv", "unshare")


def kill_labd(engine: Engine) -> None:
    """kill -9 of the labd that this client asks, where one listens; returns when it has ended."""
    if pid := labd.listener(engine.argv[-1].removeprefix("unix://")):
        pidfd = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        assert ended(pidfd, 10)
        os.close(pidfd)


@pytest.mark.parametrize("script", BROKEN)
@pytest.mark.parametrize("story", [crash, attribution, mirror, variants], ids=lambda story: story.NAME)
def test_an_engine_of_the_storys_own_that_fails(
    script: str, story: Story, place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stories that ask for a real engine, or for a labd of their own: where these fail, no claim does."""
    with stage(place, journal, daemon) as here:
        fork, client = (replace(here.engines[model], argv=["sh", "-c", script, "engine"]) for model in (FORK, DAEMON))
        present(here, fork, client)
        here.chosen = [replace(fork, name="podman", adopted=True), replace(client, name="docker")]
        for module in (crash, attribution):
            monkeypatch.setattr(module, "lab_engines", lambda host: {FORK: fork, DAEMON: client})
        report = here.tell(1, story)
    assert not red(report)


@pytest.mark.needs("open-checkout")
@pytest.mark.parametrize("script", BROKEN)
def test_a_rootless_engine_that_fails(script: str, place: Path, journal: Journal, daemon: Daemon) -> None:
    """rootless: the user's podmanish that does not run its container leaves all claims open."""
    program = place / "rootless-engine"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with stage(place, journal, daemon) as here:
        here.engines = {**here.engines, FORK: replace(here.engines[FORK], argv=[str(program)])}
        report = here.tell(1, rootless)
    assert not red(report) and not claims(report, HELD)


def test_attributions_own_labd_killed(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The labd that must attribute has ended before it was asked."""
    touch = attribution.touch

    def killed(here: Stage, engine: Engine) -> None:
        kill_labd(engine)
        touch(here, engine)

    monkeypatch.setattr(attribution, "touch", killed)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, attribution)
    assert not red(report) and not claims(report, HELD)


@pytest.mark.parametrize("attack", ["relay", "give", "recycle"])
def test_attributions_own_labd_killed_before_an_attack(
    attack: str, place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No attack succeeds or is refused where nobody listens."""
    attacked = attribution.attack

    def killed(here: Stage, name: str, home: Path) -> int | None:
        if name == attack:
            kill_labd(Engine("dockerish", DAEMON, [f"unix://{home}/socket"]))
        return attacked(here, name, home)

    monkeypatch.setattr(attribution, "attack", killed)
    with stage(place, journal, daemon) as here:
        assert not red(here.tell(1, attribution))


def test_labd_killed_in_the_gallery(place: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """gallery: the launchers of the steps before stand, and those that ask labd are open."""
    first = gallery.FORKED[0]
    with Daemon(journal, str(place / "mortal.sock"), str(place / "mortal")) as mortal:
        mortal.wait_ready()

        def killing(scene: Scene) -> Sequence[str]:
            kill_labd(scene.stage.engines[DAEMON])
            return first.words(scene)

        monkeypatch.setattr(gallery, "FORKED", ())
        monkeypatch.setattr(gallery, "LOGINS", [first] * gallery.ROWS_A_STEP)
        monkeypatch.setattr(gallery, "ASKED", (replace(first, words=killing),))
        with stage(place, journal, mortal) as here:
            here.chosen = [here.engines[DAEMON]]
            report = here.tell(1, gallery)
    assert not red(report)
    assert [claim.verdict for claim in report.claims] == [*[HELD] * (gallery.ROWS_A_STEP + 1), UNKNOWN, UNKNOWN]
    assert all("nobody listens there" in claim.seen for claim in report.claims[-2:])


@pytest.mark.needs("systemd-nspawn")
def test_a_unit_whose_engine_fails(place: Path, journal: Journal, daemon: Daemon) -> None:
    """notify: a unit that ends by itself says nothing about READY=1."""
    with stage(place, journal, daemon) as here:
        broken = [str(place / "broken")]
        Path(broken[0]).write_text("#!/bin/sh\nexit 125\n")
        Path(broken[0]).chmod(0o755)
        present(here, replace(here.engines[FORK], argv=broken), replace(here.engines[DAEMON], argv=broken))
        assert not red(here.tell(1, notify))


@pytest.mark.needs("systemd-nspawn")
def test_a_relay_that_ends_is_inconclusive(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """notify: a relay that cannot run says nothing about READY=1."""
    monkeypatch.setattr(notify, "RELAY", ("-c", "raise SystemExit(1)"))
    with stage(place, journal, daemon) as here:
        report = here.tell(1, notify)
    assert not red(report)
    assert report.claims[-1].seen == "lab-relayed.service: failed exit-code", report.claims


@pytest.mark.needs("systemd-nspawn")
@pytest.mark.parametrize("model", [FORK, DAEMON])
def test_a_service_whose_container_does_not_run(
    model: Model, place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """notify: no answer on the socket says nothing about descriptor 3 if the engine failed."""
    fails = 'case "$*" in *"hello from"*) exit 125;; esac; exec "$0" "$@"'
    monkeypatch.setattr(notify, "served", lambda stage, units: None)
    monkeypatch.setattr(notify, "relayed", lambda stage, units: None)
    with stage(place, journal, daemon) as here:
        broken = replace(here.engines[model], argv=["/bin/sh", "-c", fails, *here.engines[model].argv])
        here.engines = {**here.engines, model: broken}
        report = here.tell(1, notify)
    assert not red(report)
    assert report.claims[-1].seen.endswith("ended with exit code 125"), report.claims


def test_a_kill_that_fails_refutes_nothing(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """crash: a process that was not killed is none whose containers must end."""
    monkeypatch.setattr(crash, "killing", lambda pid: ["false"])
    with stage(place, journal, daemon) as here:
        report = here.tell(1, crash)
    assert not red(report)
    assert "`sudo false` ended with exit code 1" in report.claims[-1].seen


def test_an_inspect_that_tells_nothing_refutes_nothing(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """crash: a container whose state cannot be looked up has not ended wrongly."""
    asked: list[str] = []

    def once(engine: Engine, name: str) -> dict[str, Any]:
        asked.append(name)
        return inspected(engine, name) if asked.count(name) == 1 else {}

    monkeypatch.setattr(crash, "inspected", once)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, crash)
    assert not red(report)
    assert report.claims[-1].seen.endswith("tells nothing"), report.claims


def test_crashs_own_labd_killed_before_it_is_asked(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The labd that was started again ends, too: what it knew cannot be told, and the story's first half stands."""
    state = crash.state

    def killed(engine: Engine, name: str) -> str:
        if engine.model == FORK:
            return state(engine, name)
        kill_labd(engine)
        return "created (0)"

    monkeypatch.setattr(crash, "state", killed)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, crash)
    assert not red(report)
    assert "labd" in report.claims[-1].seen and len(claims(report, HELD)) >= 6, report.claims


@pytest.mark.needs("open-checkout")
@pytest.mark.parametrize("script", BROKEN)
def test_a_client_that_fails_was_not_refused(script: str, place: Path, journal: Journal, daemon: Daemon) -> None:
    """rootless: a client that ends for another reason than the socket's mode is no evidence of a refusal."""
    with stage(place, journal, daemon) as here:
        here.engines = {**here.engines, DAEMON: replace(here.engines[DAEMON], argv=["sh", "-c", script, "engine"])}
        report = here.tell(1, rootless)
    assert not red(report)
    assert not [claim for claim in claims(report, HELD) if "refused at the socket" in claim]


def test_a_launcher_that_cannot_be_shown_is_told_with_its_remedy(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gallery: without setsid and unshare claims are open, with the command that installs them."""
    installed = needs.installed
    gone = {"setsid", "unshare"}
    monkeypatch.setattr(needs, "installed", lambda *names: not gone & set(names) and installed(*names))
    with stage(place, journal, daemon) as here:
        report = here.tell(1, gallery)
    assert not red(report)
    told = {claim.claim.partition(":")[0]: claim for claim in report.claims}
    assert (told["setsid"].lacking, told["setsid"].remedy) == (True, "sudo apt-get install -y util-linux")
    assert told["cron, root's job"].lacking, "cron runs without a room"
    everything = {launcher.name for launcher in (*gallery.FORKED, *gallery.LOGINS, *gallery.ASKED)}
    engines = {f"{name}{verb}" for name in ("podmanish", "dockerish") for verb in ("", " exec")}
    assert told.keys() == everything | engines
    assert all(claim.lacking for claim in report.claims if claim.verdict == UNKNOWN)


def test_a_story_that_ends_early_leaves_no_container(
    place: Path, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """crash starts containers that would live for ten minutes: the journal ends them, wherever the story stops."""
    started: list[int] = []

    def stop(stage: Stage, engine: Engine, name: str) -> None:
        started.append(int(inspected(engine, name)["Pid"]))
        raise needs.CannotTell("the story stops here", "nothing")

    monkeypatch.setattr(crash, "manage", stop)
    (place / "early").mkdir()
    with Journal(place / "early") as own, stage(place, own, daemon) as here:
        assert not red(here.tell(1, crash))
        assert start_time(started[0])
    assert not start_time(started[0])


def test_crashs_own_labd_killed_before_it_is_killed(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A labd that ended by itself is none that the story has killed."""
    start_two = crash.start_two

    def killed(here: Stage, engine: Engine) -> tuple[list[str], list[int]]:
        found = start_two(here, engine)
        if engine.model == DAEMON:
            kill_labd(engine)
        return found

    monkeypatch.setattr(crash, "start_two", killed)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, crash)
    assert not red(report)
    assert report.claims[-1].seen.startswith("labd, pid ")


def stopped(units: notify.Units) -> None:
    """notify's own labd, and the socket that would start it again."""
    units.systemd.run("systemctl", "stop", "lab-labd.socket", "lab-labd.service")


def before_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """labd is stopped when the units that ask it are about to be started."""
    served = notify.served

    def disturbed(here: Stage, units: notify.Units) -> None:
        stopped(units)
        served(here, units)

    monkeypatch.setattr(notify, "served", disturbed)


def before_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """labd is stopped when its container is to answer on a socket."""
    ask = notify.Units.ask

    def disturbed(units: notify.Units, name: str) -> Any:
        if name == "lab-hello-served":
            stopped(units)
        return ask(units, name)

    for part in ("served", "relayed"):
        monkeypatch.setattr(notify, part, lambda here, units: None)
    monkeypatch.setattr(notify.Units, "ask", disturbed)


@pytest.mark.needs("systemd-nspawn")
@pytest.mark.parametrize("disturb", [before_served, before_the_answer])
def test_notifys_own_labd_stopped(
    disturb: Callable[[pytest.MonkeyPatch], None],
    place: Path,
    journal: Journal,
    daemon: Daemon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """notify: without labd no READY=1 comes, and no answer, for another reason than the story's."""
    disturb(monkeypatch)
    with stage(place, journal, daemon) as here:
        report: Report = here.tell(1, notify)
    assert not red(report)
    assert claims(report, UNKNOWN) == [report.claims[-1].claim]
