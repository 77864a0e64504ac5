"""Each story on the real kernel, and each proven able to fail: with one thing broken for real, it turns red."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from collecting import Collector
from support import in_child

from lab.audit.family import EXECS
from lab.audit.records import Event
from lab.audit.watch import Watch
from lab.errors import EvidenceLost
from lab.identity import UNSET, name_of, set_loginuid
from scenarios.audiences.drawing import height
from scenarios.audiences.look import Look
from scenarios.claims import CLAIMS
from scenarios.performance.beats import FAILED, HELD, UNKNOWN, pages
from scenarios.performance.performance import Performance
from scenarios.props import author, launchers, room
from scenarios.props.labd import Daemon, peer_pid, start
from scenarios.props.searchlog import SearchLog
from scenarios.props.second_host import Remote
from scenarios.props.systemd import exec_start
from scenarios.props.timer import go_off
from scenarios.replay import judged_again
from scenarios.safety.journal import Journal
from scenarios.stage.engines import DAEMON, FORK, Engine, Model
from scenarios.stage.login import Login
from scenarios.stage.report import Report
from scenarios.stage.stage import Stage, Story
from scenarios.stories import (
    STORIES,
    article,
    attribution,
    blindspot,
    crash,
    forge,
    frameup,
    gallery,
    inherit,
    launder,
    lineage,
    loginuid,
    mirror,
    notify,
    rootless,
    run,
    shadow,
    trace,
    unattended,
    witness,
)

pytestmark = pytest.mark.needs("root", "audit", "sudo", "setpriv")

USER = 3267
PAM_TYPES = ("auth", "account", "password", "session")
CLEAR = """
import os, sys
os.write(os.open("/proc/self/loginuid", os.O_WRONLY), b"4294967295")
os.execvp(sys.argv[1], sys.argv[1:])
"""

STAY = """
import os, subprocess, sys, time
here, there = os.pipe()
if os.fork():
    os.close(there)
    sys.exit(os.read(here, 1)[0])
code = subprocess.call(sys.argv[1:])
os.setsid()
null = os.open(os.devnull, os.O_RDWR)
for fd in (0, 1, 2):
    os.dup2(null, fd)
os.write(there, bytes([code]))
time.sleep(2)
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A short path: a socket's has at most 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="lab-", dir="/run"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def journal(place: Path) -> Iterator[Journal]:
    """A journal for the module's stages."""
    with Journal(place) as journal:
        yield journal


@pytest.fixture(scope="module")
def daemon(place: Path, journal: Journal) -> Iterator[Daemon]:
    """A labd for the module's stages."""
    with Daemon(journal, str(place / "labd.sock"), str(place / "state")) as daemon:
        daemon.wait_ready()
        yield daemon


@contextmanager
def stage(place: Path, journal: Journal, daemon: Daemon) -> Iterator[Stage]:
    """A stage with both of the lab's engines."""
    scripts = Path(sys.executable).parent
    engines: dict[Model, Engine] = {
        FORK: Engine("podmanish", FORK, [str(scripts / "podmanish"), "--root", str(place / "fork")]),
        DAEMON: Engine("dockerish", DAEMON, [str(scripts / "dockerish"), "--host", f"unix://{daemon.path}"]),
    }
    target = place / "shadow"
    target.touch(mode=0o640)
    with Login(USER) as login:
        yield Stage(Performance([]), journal, login, daemon, engines, str(target))


def present(here: Stage, fork: Engine, daemon: Engine) -> None:
    """Show these two as the lab's own engines."""
    here.engines = {FORK: fork, DAEMON: daemon}
    here.chosen = [fork, daemon]


def claims(report: Report, verdict: str) -> list[str]:
    """The claims with this verdict."""
    return [claim.claim for claim in report.claims if claim.verdict == verdict]


def with_needs(story: Story) -> object:
    """The story as a parameter. In two, a user who does not own the checkout runs the lab's commands."""
    marks = [pytest.mark.needs("open-checkout")] if story in (rootless, trace) else []
    if story is article:
        marks = [pytest.mark.needs("ausearch")]
    return pytest.param(story, marks=marks, id=story.NAME)


@pytest.mark.parametrize("story", [with_needs(story) for story in STORIES])
def test_holds(story: Story, place: Path, journal: Journal, daemon: Daemon) -> None:
    """Every claim of every story holds on this kernel, and is there for the table of the article's claims.

    Each step fits on a screen, and each verdict that has a check follows again from the beats.
    """
    audience = Collector()
    with stage(place, journal, daemon) as here:
        here.performance = Performance([audience])
        report = here.tell(1, story)
    assert not [(step, height(step, Look(80))) for step in pages(audience.moments) if height(step, Look(80)) > 22]
    assert not [(step, height(step, Look(60))) for step in pages(audience.moments) if height(step, Look(60)) > 20]
    assert all(second.now == second.first for second in judged_again(audience.moments))
    open_ = [claim for claim in report.claims if claim.verdict != HELD]
    few_machines = story in (gallery, witness)
    assert not open_ or (few_machines and all(claim.lacking and claim.remedy for claim in open_)), report.claims
    assert report.evidence
    for claim in CLAIMS:
        shown = claim.evidence([report])
        assert bool(shown) == (claim.story == story.NAME), claim.text
        assert "did not hold" not in shown


@pytest.mark.parametrize("story", [rootless, trace], ids=lambda story: story.NAME)
def test_a_closed_checkout_refutes_nothing(story: Story, place: Path, journal: Journal, daemon: Daemon) -> None:
    """Where the user may not execute the lab's commands, the story is inconclusive and says what to do."""
    closed = place / f"closed-{story.NAME}"
    closed.mkdir(mode=0o700)
    with stage(place, journal, daemon) as here:
        engines = [here.engines[FORK], here.engines[DAEMON]]
        for engine in engines:
            (closed / engine.name).symlink_to(engine.argv[0])
        present(here, *(replace(engine, argv=[str(closed / engine.name), *engine.argv[1:]]) for engine in engines))
        report = here.tell(1, story)
    assert report.verdict == UNKNOWN and not claims(report, FAILED), report.claims
    assert f"chmod o+rx {closed}" in report.claims[-1].remedy


@pytest.mark.parametrize("story", [run, shadow, article, launder, unattended, witness], ids=lambda story: story.NAME)
def test_a_forker_that_clears_the_loginuid_is_found_out(
    story: Story, place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: the engine forks, but hands nothing down."""
    monkeypatch.setattr(unattended, "SECONDS", 3)  # a unit file cannot hold CLEAR, so its service writes nothing
    with stage(place, journal, daemon) as here:
        good = here.engines[FORK]
        present(here, replace(good, argv=[sys.executable, "-c", CLEAR, *good.argv]), here.engines[DAEMON])
        report = here.tell(1, story)
    assert report.verdict == FAILED
    failed = claims(report, FAILED)
    assert any(words in claim for claim in failed for words in ("names", "inherits", "auid is")), report.claims


@pytest.mark.parametrize("story", [run, shadow, article, launder, unattended, witness], ids=lambda story: story.NAME)
def test_a_daemon_that_carries_the_users_loginuid_is_found_out(story: Story, place: Path, journal: Journal) -> None:
    """Mutant: a daemon whose children have the caller's loginuid."""
    path = str(place / "stamped.sock")
    command = [str(Path(sys.executable).parent / "labd"), "--socket", path, "--state", str(place / "stamped")]
    with subprocess.Popen([*command, "--allow-loginuid"], preexec_fn=lambda: set_loginuid(USER)) as process:
        try:
            while not peer_pid(path):
                assert process.poll() is None
            with stage(place, journal, Daemon(journal, path)) as here:
                report = here.tell(1, story)
        finally:
            process.terminate()
    assert report.verdict == FAILED
    assert any("nobody" in claim or "without a login" in claim for claim in claims(report, FAILED)), report.claims


def test_a_client_that_sends_nothing_again_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: the client leaves the options out, as one that does not know them would."""
    monkeypatch.setattr(inherit, "SENT", ())
    with stage(place, journal, daemon) as here:
        report = here.tell(1, inherit)
    assert [claim for claim in claims(report, FAILED) if "that are sent arrives" in claim], report.claims


@pytest.mark.parametrize(
    "story",
    [run, shadow, article, inherit, frameup, forge, launder, unattended, witness, gallery, blindspot, lineage],
    ids=lambda story: story.NAME,
)
def test_engines_in_each_others_place_are_found_out(
    story: Story, place: Path, journal: Journal, daemon: Daemon
) -> None:
    """Mutant: the daemon's client is presented as the forker, and the forker as the daemon's."""
    with stage(place, journal, daemon) as here:
        present(here, replace(here.engines[DAEMON], model=FORK), replace(here.engines[FORK], model=DAEMON))
        report = here.tell(1, story)
    assert report.verdict == FAILED, report.claims


def test_a_family_without_forks_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: only execs are recorded, so that the line breaks at a process that has executed nothing."""
    monkeypatch.setattr(lineage, "RECORDED", EXECS)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, lineage)
    assert any("it leads to your login" in claim for claim in claims(report, FAILED)), report.claims


def test_a_family_that_lost_its_loginuid_is_found_out(place: Path, journal: Journal, daemon: Daemon) -> None:
    """Mutant: the engine forks, but clears the loginuid on the way."""
    with stage(place, journal, daemon) as here:
        good = here.engines[FORK]
        present(here, replace(good, argv=[sys.executable, "-c", CLEAR, *good.argv]), here.engines[DAEMON])
        report = here.tell(1, lineage)
    assert any("it leads to your login" in claim for claim in claims(report, FAILED)), report.claims


def test_an_engine_that_stays_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: what forked the container lives on."""
    monkeypatch.setattr(lineage, "PATIENT", 0.2)
    with stage(place, journal, daemon) as here:
        good = here.engines[FORK]
        present(here, replace(good, argv=[sys.executable, "-c", STAY, *good.argv]), here.engines[DAEMON])
        report = here.tell(1, lineage)
    assert claims(report, FAILED) == ["all that was forked for the container is dead"], report.claims


def test_a_sample_rule_that_sees_clone3_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: a rule on the call that the lab's engines do make."""
    monkeypatch.setattr(lineage, "SAMPLE", {("clone3",): "-a always,exit -F arch=b64 -S clone3"})
    with stage(place, journal, daemon) as here:
        report = here.tell(1, lineage)
    assert len(claims(report, FAILED)) == 2, report.claims
    assert all("do NOT see" in claim for claim in claims(report, FAILED))


@pytest.mark.needs("open-checkout")
def test_a_file_that_anybody_may_write_is_found_out(place: Path, journal: Journal, daemon: Daemon) -> None:
    """Mutant: the host's kernel has no reason to refuse the rootless container."""
    with stage(place, journal, daemon) as here:
        Path(here.target).chmod(0o666)
        report = here.tell(1, rootless)
        Path(here.target).chmod(0o640)
    assert "the HOST's kernel refuses the write" in claims(report, FAILED), report.claims


@pytest.mark.needs("open-checkout")
def test_a_socket_that_anybody_may_use_is_found_out(place: Path, journal: Journal, daemon: Daemon) -> None:
    """Mutant: the daemon's socket has mode 0666, as uvicorn's own would have."""
    mode = Path(daemon.path).stat().st_mode
    with stage(place, journal, daemon) as here:
        Path(daemon.path).chmod(0o666)
        report = here.tell(1, rootless)
        Path(daemon.path).chmod(mode)
    assert any("refused at the socket" in claim for claim in claims(report, FAILED)), report.claims


def test_a_container_that_outlives_its_forker_is_found_out(place: Path, journal: Journal, daemon: Daemon) -> None:
    """Mutant: a runtime that does not ask for the parent-death signal."""
    orphaning = "from lab import syscalls; syscalls.PR_SET_PDEATHSIG = 3; from lab.forker import cli; exit(cli.main())"
    with stage(place, journal, daemon) as here:
        argv = [sys.executable, "-c", orphaning, *here.engines[FORK].argv[1:]]
        present(here, replace(here.engines[FORK], argv=argv), here.engines[DAEMON])
        report = here.tell(1, crash)
    assert "its container dies with it" in claims(report, FAILED), report.claims
    assert "the other one does not notice" in claims(report, HELD), "the mutant ran no container at all"


@pytest.mark.needs("systemd-nspawn")
def test_a_forker_that_drops_notify_socket_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: the engine forks, but with a clean environment, and closes what it does not know."""
    monkeypatch.setattr(notify, "PATIENT", 2)
    with stage(place, journal, daemon) as here:
        argv = ["env", "-u", "NOTIFY_SOCKET", "-u", "LISTEN_FDS", *here.engines[FORK].argv]
        present(here, replace(here.engines[FORK], argv=argv), here.engines[DAEMON])
        report = here.tell(1, notify)
    assert claims(report, FAILED) == [
        "forked, READY=1 arrives", "--sdnotify=conmon: the engine sends READY=1", "forked, the container answers on it"
    ]  # fmt: skip


@pytest.mark.needs("systemd-nspawn")
def test_a_client_that_forks_is_found_out(place: Path, journal: Journal, daemon: Daemon) -> None:
    """Mutant: what is presented as the daemon's client runs the container itself."""
    with stage(place, journal, daemon) as here:
        podmanish = here.engines[FORK].argv[0]
        argv = ["sh", "-c", f'shift 2; exec {podmanish} --root {place / "fork"} "$@"', "dockerish"]
        present(here, here.engines[FORK], replace(here.engines[DAEMON], argv=argv))
        report = here.tell(1, notify)
    assert claims(report, FAILED) == [
        "through the daemon READY=1 never arrives",
        "not even with the socket passed and mounted",
        "systemd took it for the daemon's message: the container is the daemon's child",
        "through the daemon it has no descriptor 3: no answer",
    ]


def test_a_daemon_that_attributes_nothing_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: labd without `--attribution`, whatever the story asks for."""
    original = attribution.daemon
    monkeypatch.setattr(attribution, "daemon", lambda stage, *options, **login: original(stage))
    with stage(place, journal, daemon) as here:
        report = here.tell(1, attribution)
    expected = {"the record blames the relay's user", f"the daemon's own log names {name_of(USER)}"}
    assert expected <= set(claims(report, FAILED))
    assert any("administrator" in claim for claim in claims(report, FAILED))


def test_a_daemon_that_tells_the_audit_log_nothing_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: another type of record than the one that labd writes is taken for it."""
    monkeypatch.setattr(attribution, "AUDIT_VIRT_CONTROL", 2501)
    with stage(place, journal, daemon) as here:
        failed = claims(here.tell(1, attribution), FAILED)
    assert failed == [
        f"sauid, which labd wrote, names {name_of(USER)}", "auid, which the kernel added, names nobody"
    ]  # fmt: skip


def test_a_timer_that_a_login_started_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: what runs the checks has the user's loginuid, as a crontab's job would have."""
    monkeypatch.setattr(unattended, "TIMER", USER)
    with stage(place, journal, daemon) as here:
        failed = claims(here.tell(1, unattended), FAILED)
    assert failed == [
        "run by a timer, the same check is nobody's", "forked by podmanish for a timer, it is nobody's"
    ]  # fmt: skip


def test_a_warning_of_a_timers_command_hides_no_number(journal: Journal) -> None:
    """What a command prints and what it complains of are apart: podman 5 warns of cgroups v1 before it prints."""
    place = go_off(journal, ["sh", "-c", "echo careful >&2; cat /proc/self/loginuid"])
    assert (place / "out").read_text() == str(UNSET)
    assert (place / "errors").read_text() == "careful\n"


def test_a_later_health_check_does_not_touch_what_the_first_has_written(tmp_path: Path) -> None:
    """On a slow machine one check follows another, while the story reads the file of the first."""
    script = unattended.CHECK.replace("/out/", f"{tmp_path}/")
    for written in ("", "7"):
        (tmp_path / "health").write_text(written)
        subprocess.run(["sh", "-c", script], check=True)
        assert (tmp_path / "health").read_text() == (written or Path("/proc/self/loginuid").read_text())


@pytest.mark.needs("systemd-nspawn")
def test_a_timer_unit_with_a_login_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: the unit's service writes a loginuid before it runs the engine."""
    writing = ["sh", "-c", f'echo {USER} >/proc/self/loginuid; exec "$@"', "sh"]
    monkeypatch.setattr(unattended, "exec_start", lambda argv: exec_start([*writing, *argv]))
    with stage(place, journal, daemon) as here:
        failed = claims(here.tell(1, unattended), FAILED)
    assert failed == ["a timer unit's container is nobody's, although podmanish forks it"]


def test_a_witness_that_says_something_else_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: what speaks to journald has claimed another user's loginuid first, which an unset one allows."""
    say = witness.SAY.replace("| logger", "| (echo 33 >/proc/self/loginuid; exec logger") + ")"
    monkeypatch.setattr(witness, "SAY", say)
    with stage(place, journal, daemon) as here:
        failed = claims(here.tell(1, witness), FAILED)
    assert failed == ["journald's fields name nobody", "dockerish: 4 witnesses, one answer"]


@pytest.mark.needs("open-checkout")
def test_a_second_host_that_keeps_nothing_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: the "second host" writes into the very file that the attacker deletes."""
    start = Remote.__init__

    def same_file(self: Remote, journal: Journal) -> None:
        start(self, journal)
        self.copy = self.local

    monkeypatch.setattr(Remote, "__init__", same_file)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, trace)
    assert claims(report, FAILED) == ["the second host has them all, word for word"], report.claims


@pytest.mark.needs("open-checkout")
def test_a_forker_that_hides_its_user_is_found_out_in_the_copy(place: Path, journal: Journal, daemon: Daemon) -> None:
    """Mutant: the engine forks, but clears the loginuid; no copy of the log can put it back."""
    with stage(place, journal, daemon) as here:
        good = here.engines[FORK]
        present(here, replace(good, argv=[sys.executable, "-c", CLEAR, *good.argv]), here.engines[DAEMON])
        report = here.tell(1, trace)
    failed = claims(report, FAILED)
    assert any("the write itself names" in claim for claim in failed), report.claims
    assert any("cannot name whom the kernel never knew" in claim for claim in failed), report.claims


def test_a_login_record_that_nobody_signed_is_found_out(place: Path, journal: Journal, daemon: Daemon) -> None:
    """Mutant: the forker clears its loginuid first, so that the forger's LOGIN record has old-auid=unset."""
    with stage(place, journal, daemon) as here:
        good = here.engines[FORK]
        present(here, replace(good, argv=[sys.executable, "-c", CLEAR, *good.argv]), here.engines[DAEMON])
        report = here.tell(1, forge)
    failed = [claim for claim in claims(report, FAILED) if "is signed" in claim]
    assert len(failed) == 2 and "the erasure" in failed[1], report.claims


def test_a_privileged_container_without_the_capability_is_found_out(
    place: Path, journal: Journal, daemon: Daemon
) -> None:
    """Mutant: an engine whose --privileged gives no CAP_AUDIT_CONTROL protects the record after all."""
    with stage(place, journal, daemon) as here:
        present(here, replace(here.engines[FORK], privileged=()), here.engines[DAEMON])
        report = here.tell(1, forge)
    failed = claims(report, FAILED)
    assert len([claim for claim in failed if "protects nobody" in claim]) == 2, report.claims


def test_a_capability_that_stays_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: another capability is dropped than the one that forges."""
    monkeypatch.setattr(forge, "WITHOUT", ("--cap-add=ALL", "--cap-drop=AUDIT_READ"))
    with stage(place, journal, daemon) as here:
        report = here.tell(1, forge)
    failed = claims(report, FAILED)
    assert len(failed) == 2 and "without CAP_AUDIT_CONTROL" in failed[0] and "res=no" in failed[1], report.claims


@pytest.mark.needs("systemd-nspawn", "dbus")
@pytest.mark.parametrize(
    "name, mutant, failing",
    [
        ("CONNECT", ("accept4",), ["a rule on its socket", "a rule on D-Bus's socket"]),
        ("ASK_SYSTEMD", ("env",), ["systemd, asked by systemd-run", "a rule on D-Bus's"]),
    ],
)
def test_laundering_that_is_none_is_found_out(
    name: str,
    mutant: object,
    failing: list[str],
    place: Path,
    journal: Journal,
    daemon: Daemon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mutant: a rule on another call; a workload that asks nobody, and writes itself."""
    monkeypatch.setattr(launder, name, mutant)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, launder)
    failed = claims(report, FAILED)
    assert all(any(words in claim for claim in failed) for words in failing), report.claims


@pytest.mark.needs("open-checkout")
def test_a_container_that_carries_its_caller_is_found_out(place: Path, journal: Journal, daemon: Daemon) -> None:
    """Mutant: a client that writes the caller's uid into a label, where inspect shows it."""
    with stage(place, journal, daemon) as here:
        labelling = replace(here.engines[DAEMON], run_options=("--label", f"by={USER}"))
        present(here, here.engines[FORK], labelling)
        report = here.tell(1, trace)
    assert any("inspect names no caller" in claim for claim in claims(report, FAILED)), report.claims


def otherwise(way: str, instead: str = "opened") -> tuple[str, ...]:
    """The program of blindspot with one way to write exchanged for another."""
    changed = f"writes.WAYS = {{**writes.WAYS, {way!r}: writes.{instead}}}"
    return ("-c", f"import sys; from scenarios.props import writes; {changed}; writes.main(sys.argv[1])")


PERM_WA = blindspot.RULES["perm=wa"]


F, L, D = blindspot.filtered, blindspot.letter_by_letter, blindspot.at_the_door
C, E = blindspot.unseen_containers, blindspot.every_way


@pytest.mark.parametrize(
    "part, name, mutant, claim",
    [
        (F, "LOGGED_IN", "-a always,exit -F path={} -F perm=wa", "it does NOT see the daemon's: its auid is unset"),
        (L, "SHORT", "-w {} -p wa", "-w FILE records a mere read"),
        (L, "LONG", "-w {}", "-w FILE -p wa does not record a read"),
        (D, "DOOR", "-a always,exit -F path={}", "-w on the socket does NOT see connect(2)"),
        (D, "CONNECT", ("accept4",), "a rule on connect(2) names"),
        (C, "CLONE3", ("accept4",), "a rule on clone3(2) sees"),
        (E, "SHORT", "-w {} -p wa", "-w: no record of"),
        (E, "WRITES", otherwise("O_RDONLY|O_TRUNC"), "perm=wa: no record of"),
        (E, "WRITES", otherwise("open_by_handle_at"), "STIG: no record of"),
        (E, "WRITES", otherwise("io_uring"), "perm=wa: no record of"),
        (E, "WRITES", otherwise("utimensat"), "perm=wa: no record of"),
        (E, "WRITES", otherwise("bind mount over it"), "-w: no record of"),
        (E, "WRITES", otherwise("older descriptor"), "no perm: no record of"),
        (E, "WRITES", otherwise("connect to a socket"), "OSPP: no record of"),
        (E, "WRITES", otherwise("open to write", "stamped"), "perm=wa: no record of"),
        (E, "WRITES", otherwise("hard link to it", "stamped"), "perm=wa: no record of"),
        (E, "WRITES", otherwise("rename over it", "stamped"), "perm=wa: no record of"),
        (E, "RULES", {**blindspot.RULES, "OSPP": PERM_WA}, "OSPP: no record of"),
        (E, "RULES", {**blindspot.RULES, "no perm": PERM_WA}, "no perm: no record of"),
    ],
)
def test_another_rule_or_deed_is_found_out(
    part: Callable[[Stage], None],
    name: str,
    mutant: object,
    claim: str,
    place: Path,
    journal: Journal,
    daemon: Daemon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mutant: with one rule, or one way to write, exchanged, the claim about it turns red. Only its part is told."""
    monkeypatch.setattr(blindspot, name, mutant)
    monkeypatch.setattr(blindspot, "play", part)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, blindspot)
    assert [words for words in claims(report, FAILED) if claim in words], report.claims


def test_an_engine_that_uses_clone_is_found_out(place: Path, journal: Journal, daemon: Daemon) -> None:
    """Mutant: an engine whose container is made by clone(2), as the sample rule expects."""
    cloning = (
        "import os, sys; from lab.syscalls import CLONE_NEWUTS, SIGCHLD, SYS_clone, _clone\n"
        "pid = _clone(SYS_clone, CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0)\n"
        "pid or os.execvp(sys.argv[1], sys.argv[1:])\n"
        "os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    with stage(place, journal, daemon) as here:
        good = here.engines[FORK]
        present(here, replace(good, argv=[sys.executable, "-c", cloning, *good.argv]), here.engines[DAEMON])
        report = here.tell(1, blindspot)
    assert claims(report, FAILED) == ["the rule on clone(2) does NOT see clone3(2)"], report.claims


def test_a_kernel_without_io_uring_is_no_verdict(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where io_uring_setup(2) is refused, blindspot says so and judges the other ways."""
    changed = "uring.SYS_io_uring_setup = 9999"
    script = f"import sys; from scenarios.props import uring, writes; {changed}; writes.main(sys.argv[1])"
    monkeypatch.setattr(blindspot, "WRITES", ("-c", script))
    with stage(place, journal, daemon) as here:
        report = here.tell(1, blindspot)
    left = [claim for claim in report.claims if claim.verdict != HELD]
    assert [(claim.claim, claim.lacking) for claim in left] == [("a write by io_uring can be shown here", True)]


@pytest.mark.needs("tmux")
def test_another_user_who_is_you_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: nobody else logs in, so that exec in your container is yours."""
    monkeypatch.setattr(launchers, "become", lambda scene: "true")
    with stage(place, journal, daemon) as here:
        report = here.tell(1, gallery)
    assert claims(report, FAILED) == [f"podmanish exec: {name_of(launchers.ANYBODY)}"], report.claims


@pytest.mark.needs("sshd", "cron")
def test_a_login_without_pam_loginuid_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: sshd's and cron's PAM stacks set nothing, so that what they start is nobody's."""
    make = launchers.Scene.__init__

    def without(self: launchers.Scene, stage: Stage) -> None:
        make(self, stage)
        for service in ("sshd", "cron"):
            self.room.etc(f"pam.d/{service}", "".join(f"{kind} required pam_permit.so\n" for kind in PAM_TYPES))

    monkeypatch.setattr(launchers.Scene, "__init__", without)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, gallery)
    expected = {"ssh root@localhost: root", "ssh, over its master: root", "cron, root's job: root"}
    assert set(claims(report, FAILED)) == expected, report.claims


@pytest.mark.needs("sshd")
def test_a_second_login_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: the second ssh makes its own connection."""
    (row,) = (row for row in gallery.LOGINS if row.joins)

    def alone(scene: launchers.Scene) -> list[str]:
        return [*scene.room.ssh("-o", "ControlPath=none"), "localhost", "sh", scene.who]

    logins = [replace(one, words=alone) if one == row else one for one in gallery.LOGINS]
    monkeypatch.setattr(gallery, "LOGINS", logins)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, gallery)
    assert claims(report, FAILED) == ["and its session is that of the first"], report.claims


@pytest.mark.needs("dbus-daemon", "containerd")
def test_daemons_of_the_users_own_are_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: the user has started the bus and containerd, so that what these start is the user's."""

    def by_user(journal: Journal, argv: list[str], log: str) -> int:
        return start(journal, argv, USER, log)

    monkeypatch.setattr(room, "start", by_user)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, gallery)
    assert claims(report, FAILED) == [f"{name}: {name_of(UNSET)}" for name in ("D-Bus activation", "ctr run")]


def test_a_rule_with_p_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: the article's rule with -p wa."""
    monkeypatch.setattr(article, "RULE", "-w {} -p wa")
    with stage(place, journal, daemon) as here:
        report = here.tell(1, article)
    assert claims(report, FAILED) == ["every access: -w FILE without -p becomes perm=rwxa"], report.claims


def test_a_command_without_a_terminal_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: the touch is run as the lab's other commands are, so that its record has tty=(none)."""
    monkeypatch.setattr(Stage, "shell_on_terminal", Stage.shell)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, article)
    assert claims(report, FAILED) == ["the record of a typed command names its terminal"], report.claims


def test_a_container_in_a_terminals_session_is_found_out(place: Path, journal: Journal, daemon: Daemon) -> None:
    """Mutant: a forked container with -t, whose record tells the terminal that the engine has made for it."""
    with stage(place, journal, daemon) as here:
        present(here, replace(here.engines[FORK], run_options=("-t",)), here.engines[DAEMON])
        here.chosen = here.chosen[:1]
        here.report = Report("article", "")
        with here.watch() as watch:
            article.touched(article.Scene(here, watch, SearchLog(None, journal)), here.chosen[0])
    assert claims(here.report, FAILED) == ["podmanish: the record tells no terminal"], here.report.claims


@pytest.mark.needs("ausearch")
def test_a_log_that_names_another_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: the log in which ausearch looks has another auid in each record."""
    fill = SearchLog.fill

    def forged(self: SearchLog, seen: Sequence[Event]) -> None:
        fill(self, seen)
        log = Path(self.words[-1])
        log.write_text(log.read_text().replace(f"auid={USER}", f"auid={USER + 1}"))

    monkeypatch.setattr(SearchLog, "fill", forged)
    with stage(place, journal, daemon) as here:
        here.auditd = None
        report = here.tell(1, article)
    assert claims(report, FAILED) == [
        "ausearch -f FILE -i finds it, and says the same",
        "a search by login finds what was typed and what was forked",
    ]


def test_the_author_types_his_commands(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the article's user exists, his login is the one that the records name; then the run's user is back."""
    monkeypatch.setattr(author, "NAME", "daemon")
    monkeypatch.setattr(author, "UID", pwd.getpwnam("daemon").pw_uid)
    with stage(place, journal, daemon) as here:
        before = here.login
        report = here.tell(1, article)
        assert (here.login, here.user_id) == (before, USER)
    assert "auid names daemon, uid names root" in claims(report, HELD), report.claims


@pytest.mark.needs("systemd-nspawn")
def test_a_relay_that_passes_nothing_on_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: the relay runs the client, and systemd hears nothing."""
    silent = (
        "import socket, subprocess, sys; s = socket.socket(1, 2); s.bind(sys.argv[1]); subprocess.call(sys.argv[2:])"
    )
    monkeypatch.setattr(notify, "RELAY", ("-c", silent))
    monkeypatch.setattr(notify, "PATIENT", 10)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, notify)
    assert claims(report, FAILED) == ["through the daemon and a relay, READY=1 arrives"], report.claims


def test_a_missing_watch_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: no rule is loaded, so there is no record to name anybody."""

    @contextmanager
    def blind(self: Stage) -> Iterator[Watch]:
        with Watch(self.target, journal=self.journal, rules=[]) as watch:
            yield watch

    monkeypatch.setattr(Stage, "watch", blind)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, shadow)
    assert report.verdict == FAILED
    assert len(claims(report, FAILED)) == 6, report.claims


def test_a_login_that_sets_nothing_is_found_out(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: PAM without pam_loginuid."""
    start = Login.start
    unset = [sys.executable, "-c", CLEAR]
    monkeypatch.setattr(Login, "start", lambda self, argv, *fds: start(self, [*unset, *argv], *fds))
    with stage(place, journal, daemon) as here:
        assert "login has set it" in claims(here.tell(1, loginuid), FAILED)
        assert "on the host, /proc says 3267" in claims(here.tell(1, mirror), FAILED)


def test_lost_evidence_is_inconclusive(
    place: Path, journal: Journal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receive buffer that overflows makes the verdict inconclusive, never held."""
    target = str(place / "shadow")

    def opens() -> None:
        for _ in range(2000):
            os.close(os.open(target, os.O_WRONLY))

    @contextmanager
    def small(self: Stage) -> Iterator[Watch]:
        with Watch(self.target, journal=self.journal, buffer=1 << 14) as watch:
            in_child(opens)
            yield watch

    monkeypatch.setattr(Stage, "watch", small)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, shadow)
    assert report.verdict == UNKNOWN, report.claims
    with pytest.raises(EvidenceLost), ExitStack(), stage(place, journal, daemon) as here, small(here) as watch:
        watch.collect()
