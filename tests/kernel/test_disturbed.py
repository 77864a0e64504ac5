"""Red means that the kernel contradicted the claim: whatever else goes wrong is inconclusive, with a remedy."""

# ruff: noqa: F811 - a fixture that is imported and the parameter by which a test asks for it have one name

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import CHECKOUT, in_child
from test_restore import LAB, observe, settled
from test_stories import USER, claims, daemon, journal, place, present, stage, with_needs  # noqa: F401 - fixtures among them

from lab.audit.netlink import AuditControl
from lab.audit.watch import Watch
from scenarios import needs
from scenarios.performance.beats import FAILED, HELD, UNKNOWN
from scenarios.performance.text import Argument, Text
from scenarios.props import labd
from scenarios.props.auditd import Auditd
from scenarios.props.labd import Daemon
from scenarios.safety.journal import Journal
from scenarios.stage import commands, login
from scenarios.stage.engines import DAEMON, FORK
from scenarios.stage.login import Login
from scenarios.stage.report import Report
from scenarios.stage.stage import Stage, Story
from scenarios.stories import (
    STORIES,
    blindspot,
    forge,
    frameup,
    gallery,
    inherit,
    launder,
    rootless,
    run,
    shadow,
    trace,
    unattended,
    witness,
)

pytestmark = pytest.mark.needs("root", "audit", "setpriv", "unshare")

NAMES = [story.NAME for story in STORIES]
# Cover a program with a file that nobody may execute, for these processes alone.
COVER = 'for path in $COVERED; do mount --bind /dev/null "$path"; done; exec "$@"'
# The checkout stays where it is, and only root may enter the directory above.
CLOSE = """
mount --bind "$CHECKOUT" /mnt && mount -t tmpfs -o mode=700 lab-test "${CHECKOUT%/*}" && mkdir "$CHECKOUT" &&
mount --bind /mnt "$CHECKOUT" && umount /mnt && cd "$CHECKOUT" && exec "$@"
"""


def told(script: str, *words: str, **environment: str) -> dict[str, Any]:
    """What `lab run --json` says in a mount namespace that the script has changed; nothing may be left behind."""
    before = observe()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", LAB, "run", "--json", "--as", str(USER), *words],
        capture_output=True, text=True, check=False, timeout=170, cwd=CHECKOUT, env={**os.environ, **environment},
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr, done.stderr[-3000:]
    assert done.stdout, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["exit_code"] == done.returncode
    assert settled(before) == before
    return answer


def unknown(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The inconclusive claims; none may have failed, and each says what to do."""
    found = [claim for story in answer["stories"] for claim in story["claims"]]
    assert not [claim for claim in found if claim["verdict"] == FAILED]
    open_ = [claim for claim in found if claim["verdict"] == UNKNOWN]
    assert all(claim["seen"] and claim["remedy"] for claim in open_), open_
    assert answer["exit_code"] == (3 if open_ else 0)
    return open_


def places(name: str) -> set[str]:
    """Every file that PATH has under that name."""
    found = (shutil.which(name, path=folder) for folder in os.environ["PATH"].split(":"))
    return {os.path.realpath(path) for path in found if path}


def by_stories() -> Iterator[Any]:
    """Each program that a story executes, with the stories to tell without it: two of them, and all under stress."""
    for program in needs.PROGRAMS.values():
        stories = NAMES if "every story" in program.users else [name for name in program.users if name in NAMES]
        if stories and places(program.name):
            yield pytest.param(program.name, stories[:2], id=program.name)
            if stories[2:]:
                yield pytest.param(program.name, stories[2:], id=f"{program.name}-rest", marks=pytest.mark.stress)


@pytest.mark.needs("open-checkout")  # without it, two stories name that remedy and not the program's package
@pytest.mark.parametrize(("program", "stories"), list(by_stories()))
def test_without_a_program(program: str, stories: list[str]) -> None:
    """Each program that a story executes, covered: no claim fails, nothing is left, and what is open has a remedy."""
    answer = told(COVER, *stories, COVERED=" ".join(places(program)))
    found = unknown(answer)
    row = needs.PROGRAMS[program]
    assert found or row.without, "a program that no story misses needs no row"
    assert row.without or any(row.package in claim["remedy"] for claim in found), found


def test_a_checkout_that_others_cannot_read() -> None:
    """The checkout in a home of mode 0700: what the user must execute cannot be shown; chmod is the remedy."""
    found = unknown(told(CLOSE, "loginuid", "run", "shadow", "rootless", "trace", CHECKOUT=str(CHECKOUT)))
    assert len(found) == 2
    assert all(f"chmod o+rx {CHECKOUT.parent}" in claim["remedy"] for claim in found), found


def test_root_as_the_login() -> None:
    """With root logged in, stories that need an ordinary user are inconclusive, and the others hold."""
    leaving_open = (gallery.NAME, witness.NAME)  # for other reasons, too
    others = [name for name in NAMES if name not in leaving_open]
    found = unknown(told('exec "$@"', "--as", "root", *others))
    assert {claim["lacking"] for claim in found} == {True}
    assert all("--as" in claim["remedy"] for claim in found), found


def red(report: Report) -> list[str]:
    """The claims that failed; every inconclusive one must have a remedy, and there must be one."""
    left = [claim for claim in report.claims if claim.verdict == UNKNOWN]
    assert left and all(claim.seen and claim.remedy for claim in left), report.claims
    assert not [part for part in report.evidence if "traceback" in part], report.evidence[-1]
    return claims(report, FAILED)


def in_the_middle(monkeypatch: pytest.MonkeyPatch, disturb: Callable[[Stage], object], question: int = 2) -> None:
    """Do that once, where the story asks that question."""
    ask, pending = Stage.ask, [*[lambda here: None] * (question - 1), disturb]

    def disturbed(self: Stage, question: str, /, *choices: str | Text, **arguments: Argument) -> None:
        if pending:
            pending.pop(0)(self)
        ask(self, question, *choices, **arguments)

    monkeypatch.setattr(Stage, "ask", disturbed)


@pytest.mark.parametrize(
    "story",
    [
        with_needs(story)
        for story in (run, shadow, frameup, forge, launder, inherit, trace, rootless, unattended, witness, blindspot)
    ],
)
def test_labd_killed_in_the_middle(
    story: Story,
    place: Path,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """kill -9 of labd within a story: what was seen before stands, the rest is inconclusive, and nothing is red."""
    with Daemon(journal, str(place / "mortal.sock"), str(place / "mortal")) as mortal:
        mortal.wait_ready()
        in_the_middle(monkeypatch, lambda here: os.kill(mortal.pid, signal.SIGKILL))
        with stage(place, journal, mortal) as here:
            report = here.tell(1, story)
            assert not red(report)
            assert "labd" in next(claim.seen for claim in report.claims if claim.verdict == UNKNOWN)
            assert not red(here.tell(1, run))  # and so in each story after it


@pytest.fixture
def orphan(place: Path) -> Iterator[str]:
    """The path of a socket that is there and takes connections, though the process that listened has ended."""
    path = str(place / "orphan.sock")
    with socket.socket(socket.AF_UNIX) as listener:

        def listen() -> None:
            listener.bind(path)
            listener.listen()

        in_child(listen)
        yield path
    Path(path).unlink()


def test_a_socket_that_nobody_answers(
    orphan: str,
    place: Path,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As while a unit restarts: a story without labd is told, one with labd says how to restart it."""
    monkeypatch.setattr(labd, "PING_SECONDS", 0.1)
    monkeypatch.setattr(labd, "START_SECONDS", 1)
    with stage(place, journal, Daemon(journal, orphan)) as here:
        report = here.tell(1, run)
    assert not red(report)
    assert "systemctl restart labd" in report.claims[-1].remedy


def test_lab_tells_what_it_can_without_labd(orphan: str) -> None:
    """The command itself ends in verdicts, without a traceback."""
    answer = told('exec "$@"', "--host", f"unix://{orphan}", "loginuid")
    assert not unknown(answer)


def test_a_labd_that_was_restarted_in_the_middle(
    place: Path,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another labd than at the story's beginning: inconclusive; the next story takes the new one."""
    path = str(place / "again.sock")
    with Daemon(journal, path, str(place / "again")) as first:
        first.wait_ready()
        found = Daemon(journal, path)
        assert not found.started_here
        again: list[Daemon] = []

        def restart(here: Stage) -> None:
            os.kill(first.pid, signal.SIGKILL)
            while labd.listener(path):
                pass
            again.append(Daemon(journal, path, str(place / "again")))
            again[0].wait_ready()

        in_the_middle(monkeypatch, restart, question=1)
        with stage(place, journal, found) as here:
            assert not red(here.tell(1, run))
            assert here.tell(1, run).verdict == HELD
        with again[0]:
            pass


BROKEN = ("echo the image is damaged >&2; exit 125", "exit 126", "exit 127", "kill -9 $$", "exit 1")
# An engine that says that it has done its work, and has not: only a story that looks at the container can tell.
LYING = ("exit 0", "echo; exit 0")
TOLD = (run, shadow, inherit, frameup, forge, launder, trace, unattended, witness, blindspot, gallery)
LOOKING = (run, inherit, unattended, witness, gallery)
ENGINES = [
    *((story, script) for script in BROKEN for story in TOLD),
    *((story, script) for script in LYING for story in LOOKING),
]
# Two stories in every way, the others in one way each; the rest under stress.
WAYS = [
    *((story, script) for script in (*BROKEN, *LYING) for story in (run, shadow) if (story, script) in ENGINES),
    *((story, BROKEN[place % len(BROKEN)]) for place, story in enumerate(TOLD[2:])),
    *((story, LYING[place % len(LYING)]) for place, story in enumerate(LOOKING[1:])),
]
SHARED = [pytest.param(*way, marks=() if way in WAYS else pytest.mark.stress) for way in ENGINES]


@pytest.mark.parametrize(("story", "script"), SHARED, ids=lambda one: getattr(one, "NAME", one))
def test_a_container_that_does_not_start(
    script: str,
    story: Story,
    place: Path,
    journal: Journal,
    daemon: Daemon,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Engines that fail in every way, or end without a container: no claim fails, and no number is invented."""
    with stage(place, journal, daemon) as here:
        fork, client = (replace(here.engines[model], argv=["sh", "-c", script, "engine"]) for model in (FORK, DAEMON))
        present(here, fork, client)
        report = here.tell(1, story)
    assert not red(report)
    assert "the host's /proc" not in capfd.readouterr().err  # the table of what was never seen


def remove_rules(here: Stage) -> None:
    """What `auditctl -D` would do to the rules of this run."""
    with AuditControl() as control:
        for packed in control.rules():
            if any(key.encode() in packed for key in here.keys):
                control.delete_rule(packed)


@pytest.mark.parametrize("story", list(map(with_needs, (shadow, frameup, forge, trace))))
def test_rules_removed_in_the_middle(
    story: Story,
    place: Path,
    journal: Journal,
    daemon: Daemon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without its rules a watch sees nothing, which contradicts no claim."""
    in_the_middle(monkeypatch, remove_rules)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, story)
    assert not red(report)
    assert "audit rules of this run were removed" in report.claims[-1].seen


def test_rules_removed_before_a_record_is_expected_not_to_come(
    place: Path,
    journal: Journal,
    daemon: Daemon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """blindspot expects no record at some places: without the rules that would hold for no reason."""
    enter = Watch.__enter__

    def robbed(self: Watch) -> Watch:
        watching = enter(self)
        with AuditControl() as control:
            for packed in control.rules():
                if self.key.encode() in packed:
                    control.delete_rule(packed)
        return watching

    monkeypatch.setattr(Watch, "__enter__", robbed)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, blindspot)
    assert not red(report) and not claims(report, HELD)


@pytest.mark.needs("auditctl")
def test_a_rate_limit_that_loses_records(
    place: Path,
    journal: Journal,
    daemon: Daemon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Records above the limit are lost: inconclusive, and the remedy is to lift the limit."""
    with AuditControl() as control:
        before = control.status()
    if before.failure == 2:
        pytest.skip("this kernel panics when it loses a record")
    in_the_middle(monkeypatch, lambda here: subprocess.run(["auditctl", "-r", "1"], check=True, capture_output=True))
    try:
        with stage(place, journal, daemon) as here:
            report = here.tell(1, shadow)
            again = here.tell(1, shadow)  # with the limit from the beginning
    finally:
        subprocess.run(["auditctl", "-r", str(before.rate_limit)], check=True, capture_output=True)
    for each in (report, again):
        assert not red(each)
        assert "auditctl -r 0" in each.claims[-1].remedy, each.claims


# What ausearch may do, as a shell's command, and what is then told.
WITNESSES = {
    "exit 0": "auditd's log lacks event",
    "exit 1": "auditd's log lacks event",  # its exit status where nothing was found
    "echo no such file >&2; exit 1": "ended with exit code 1: no such file",
    "kill -9 $$": "ended with exit code -9",
}


@pytest.mark.needs("ausearch")
@pytest.mark.parametrize("script", WITNESSES)
def test_a_second_witness_that_says_nothing(script: str, place: Path, journal: Journal, daemon: Daemon) -> None:
    """An event that auditd's log lacks, or an ausearch that fails, contradicts no claim; the story's own hold."""
    log = place / "audit.log"
    log.write_text("type=USER msg=audit(0.0:99999999999): a later record\n")
    with stage(place, journal, daemon) as here:
        here.auditd = Auditd(log, ["sh", "-c", script])
        report = here.tell(1, shadow)
    told = [claim for claim in report.claims if claim.claim == "auditd's log agrees"]
    assert not red(report)
    assert [claim.verdict for claim in told] == [UNKNOWN] and WITNESSES[script] in told[0].seen
    assert len(claims(report, HELD)) == len(report.claims) - 1


@pytest.mark.parametrize("script", ["sleep 60", "trap '' TERM; sleep 60 & wait", "setsid sleep 4"])
@pytest.mark.parametrize("story", [run, shadow], ids=lambda one: one.NAME)
def test_a_command_that_hangs(
    script: str,
    story: Story,
    place: Path,
    journal: Journal,
    daemon: Daemon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A command that does not end is ended with its whole process group: inconclusive, with the command's name."""
    monkeypatch.setattr(login, "GRACE", 0.2)
    monkeypatch.setattr(commands, "GRACE", 0.2)
    monkeypatch.setattr(needs, "LIMIT", 0.5)
    with stage(place, journal, daemon) as here:
        here.login.seconds = 0.5
        fork = replace(here.engines[FORK], argv=["sh", "-c", f"echo 1; {script}", "engine"])
        present(here, fork, here.engines[DAEMON])
        report = here.tell(1, story)
        assert here.quiet("echo", "next").stdout == "next\n"  # the session serves the next command
    assert not red(report)
    assert "did not end" in report.claims[-1].seen and "sleep" in report.claims[-1].remedy


def test_one_processor(
    place: Path,
    journal: Journal,
    daemon: Daemon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With one processor the affinity cannot differ, so it says nothing; the other marks do."""
    monkeypatch.setattr(inherit, "processors", lambda: 1)
    with stage(place, journal, daemon) as here:
        report = here.tell(1, inherit)
    assert not red(report)
    assert [claim.claim for claim in report.claims if claim.lacking] == claims(report, UNKNOWN)
    assert "by podmanish's fork all 8 marks come along" in claims(report, HELD)


def test_a_bug_in_a_story_is_no_verdict(place: Path, journal: Journal, daemon: Daemon) -> None:
    """An exception that no story expects is inconclusive; its traceback is kept in the evidence."""

    class Wrong:
        NAME, TITLE = "wrong", "A bug"

        def play(self, stage: Stage) -> None:
            raise ZeroDivisionError("one by none")

    with stage(place, journal, daemon) as here:
        report = here.tell(1, Wrong())
    assert (report.verdict, report.claims[0].seen) == (UNKNOWN, "ZeroDivisionError: one by none")
    assert "one by none" in report.evidence[-1]["traceback"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError])
def test_the_login_child_never_unwinds_its_parents_stack(
    fault: type[BaseException], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever is raised in the forked child ends the child, without a traceback and without the parent's exits."""

    def raise_it(name: str) -> None:
        raise fault

    monkeypatch.setattr(login, "set_process_name", raise_it)
    parent = os.getpid()
    try:
        with pytest.raises(needs.CannotTell):
            Login(USER)
    finally:
        if os.getpid() != parent:  # the child came this far
            os.write(2, b"unwound")
            os._exit(1)
    assert capfd.readouterr().err == ""


def test_a_login_that_was_killed_is_told(place: Path, journal: Journal, daemon: Daemon) -> None:
    """Without its session a stage can tell nothing, and says so."""
    with stage(place, journal, daemon) as here:
        os.kill(here.login.pid, signal.SIGKILL)
        report = here.tell(1, shadow)
    assert not red(report)
    assert "login session" in report.claims[0].seen


@pytest.mark.parametrize("attack", ["recycle", "relay", "give"])
def test_an_attack_without_a_daemon_is_no_refusal(attack: str) -> None:
    """With nobody at the socket an attack ends with 125 and a sentence: 1 stands for labd's refusal."""
    words = [sys.executable, "-m", "scenarios.props.attacks", attack, "/run/no-such.sock", "/etc/shadow", "33"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20, cwd=CHECKOUT)
    assert done.returncode == 125
    assert "the attack came to nothing" in done.stderr and "Traceback" not in done.stderr


def test_lenient_takes_what_is_lacking_for_no_failure() -> None:
    """--lenient: exit status 0 where a machine only lacks something; without the flag it is 3."""
    words = [LAB, "run", "--auto", "--as", "root", "rootless"]
    plain, lenient = (
        subprocess.run([*words, *more], capture_output=True, text=True, check=False, timeout=60)
        for more in ([], ["--lenient"])
    )
    assert (plain.returncode, lenient.returncode) == (3, 0)
    assert "cannot be shown on this machine, which is no failure" in plain.stdout
    assert "to mend it: " in plain.stdout


def test_a_fault_of_the_lab_is_no_verdict() -> None:
    """An exception that main() does not expect ends with exit status 125: 1 would say that a claim failed."""
    code = """
import sys
from scenarios import cli, demo
def broken(*arguments): raise ZeroDivisionError
demo.Terminal = broken
sys.exit(cli.main(["run", "--auto", "loginuid"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60, cwd=CHECKOUT)
    assert done.returncode == 125
