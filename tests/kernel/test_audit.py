"""Audit on the real kernel. Each test leaves the rules and the enabled flag as it found them."""

import json
import os
import platform
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from support import SLOW, in_child

from lab.audit.netlink import AUDIT_USER, AuditControl, AuditReader, Status
from lab.audit.probe import probe
from lab.audit.records import LOGIN, Event, Record
from lab.audit.rules import Rule
from lab.audit.watch import Watch, undo
from lab.errors import AuditLocked, AuditUnavailable, EvidenceLost
from lab.syscall_table import SYSCALLS

CHECKOUT = Path(__file__).parents[2]
pytestmark = pytest.mark.needs("root", "audit")


def state() -> tuple[int, list[bytes]]:
    """The kernel's enabled flag and its rules."""
    with AuditControl() as control:
        return control.status().enabled, control.rules()


@pytest.fixture(autouse=True)
def _as_found() -> Iterator[None]:
    before = state()
    yield
    assert state() == before


@pytest.fixture
def decoy(tmp_path: Path) -> Path:
    """A file to be watched."""
    path = tmp_path / "decoy"
    path.touch()
    return path


def python(code: str, *wrapper: str) -> subprocess.CompletedProcess[str]:
    """Run code that may import lab, behind a wrapper such as unshare(1)."""
    command = [*wrapper, sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def opens(path: Path, count: int = 1) -> None:
    """Open the file for writing, `count` times."""
    for _ in range(count):
        os.close(os.open(path, os.O_WRONLY))


def writes(path: Path, count: int = 1) -> int:
    """Open the file for writing, `count` times, in a child that has an audit context; the child's pid."""
    return in_child(lambda: opens(path, count))


def called(event: Event) -> str:
    """The name of the system call."""
    return SYSCALLS[platform.machine()][event.number("syscall")]


def test_a_write_to_the_watched_file_is_recorded(decoy: Path) -> None:
    """Opening for writing matches `perm=wa`; the event says who, with what, on which file."""
    with Watch(str(decoy)) as watched:
        pid = writes(decoy)
        (event,) = watched.collect()
    assert (event.pid, event.uid, event.success) == (pid, os.geteuid(), True)
    assert called(event) == "openat"
    assert event.auid == int(Path("/proc/self/loginuid").read_text())
    assert event.ses == int(Path("/proc/self/sessionid").read_text())
    assert event.paths == [str(decoy)]
    assert event.key == watched.key
    assert [record.name for record in event.records] == ["SYSCALL", "CWD", "PATH", "PROCTITLE", "EOE"]


@pytest.mark.parametrize(("touch_calls", "found"), [(True, ["utimensat"]), (False, [])])
def test_setting_times_slips_past_a_permission_watch(decoy: Path, touch_calls: bool, found: list[str]) -> None:
    """utimensat(2), which busybox's touch calls, matches no `perm`: only a rule that names it catches it."""
    with Watch(str(decoy), touch_calls=touch_calls) as watched:
        in_child(lambda: os.utime(decoy))
        assert [called(event) for event in watched.collect()] == found


def test_without_a_rule_there_is_no_event(decoy: Path) -> None:
    """Mutant: a watch without a rule collects nothing."""
    with Watch(str(decoy), rules=[]) as watched:
        writes(decoy)
        assert watched.collect() == []


def test_a_run_sees_its_own_events_only(decoy: Path, tmp_path: Path) -> None:
    """collect() returns no event of another key, and a second one starts where the first ended."""
    other = tmp_path / "other"
    other.touch()
    with Watch(str(decoy)) as outer:
        writes(decoy)
        with Watch(str(other)) as inner:
            writes(decoy)
            writes(other)
            assert [event.paths for event in inner.collect()] == [[str(other)]]
            assert inner.collect() == []
        assert [event.key for event in outer.collect()] == [outer.key] * 2
        assert outer.collect() == []


def test_events_without_the_key_are_there_too(decoy: Path) -> None:
    """Setting a loginuid writes a LOGIN record with the old and the new one."""

    def log_in() -> None:
        descriptor = os.open("/proc/self/loginuid", os.O_WRONLY)
        os.write(descriptor, b"3267")

    with Watch(str(decoy)) as watched:
        in_child(log_in)
        assert watched.collect() == []
        (event,) = watched.matching(lambda event: bool(event.of_type(LOGIN)))
    assert {"old-auid", "auid"} <= event.of_type(LOGIN)[0].fields.keys()
    assert event.of_type(LOGIN)[0].fields["auid"] == "3267"
    assert event.success


def test_twenty_rules_of_the_administrator_stay(decoy: Path) -> None:
    """The administrator's rules are the same before and after; one on the same file hides no event from the lab."""
    lines = [f"-a always,exit -F path={decoy.parent}/{number} -F perm=rwxa -F key=admin" for number in range(17)]
    lines += ["-a always,exit -F path=/etc/shadow -F perm=wa -F key=admin", f"-w {decoy} -p wa -k admin"]
    lines += ["-a always,exit -F arch=b64 -S openat -F exit=-EACCES -F auid>=1000 -F auid!=unset -F key=admin"]
    rules = [Rule.parse(line).pack() for line in lines]
    with AuditControl() as control:
        for rule in rules:
            control.add_rule(rule)
        try:
            before = control.rules()
            with Watch(str(decoy)) as watched, Watch("/etc/shadow"):
                assert len(control.rules()) == len(before) + 4
                writes(decoy)
                assert [event.key for event in watched.collect()] == [watched.key]
            assert control.rules() == before
        finally:
            for rule in rules:
                control.delete_rule(rule)


@pytest.mark.needs("auditd")
def test_the_printed_rule_pastes(decoy: Path) -> None:
    """auditctl(8) makes the same rule from the line that to_auditctl() prints."""
    with Watch(str(decoy)) as watched, AuditControl() as control:
        ours = sorted(control.rules())
        for rule in watched.rules:
            control.delete_rule(rule.pack())
            subprocess.run(f"auditctl {rule.to_auditctl()}", shell=True, check=True, capture_output=True, timeout=60)
        assert sorted(control.rules()) == ours


def test_a_rule_that_somebody_removed_is_no_error(decoy: Path) -> None:
    """Where `auditctl -D` has removed the lab's rules meanwhile, the end of the watch is no error."""
    with Watch(str(decoy)) as watched, AuditControl() as control:
        for rule in watched.rules:
            control.delete_rule(rule.pack())


def test_unread_records_are_a_loss(decoy: Path) -> None:
    """A full receive buffer makes the kernel drop records and report ENOBUFS: the evidence is lost."""
    with Watch(str(decoy), buffer=65536) as watched:
        writes(decoy, 2000)
        with pytest.raises(EvidenceLost, match="ENOBUFS"):
            watched.collect()
        assert "ENOBUFS" in watched.lost


def test_a_missing_serial_is_a_loss(decoy: Path) -> None:
    """Audit numbers its events without a gap: a missing number is a dropped event."""
    with Watch(str(decoy)) as watched:
        writes(decoy, 3)
        watched._marker()
        second = sorted({Record.from_netlink(*item).serial for item in watched._queue})[1]
        watched._queue = [item for item in watched._queue if Record.from_netlink(*item).serial != second]
        with pytest.raises(EvidenceLost, match=r"1 of \d+ audit events did not arrive"):
            watched.collect()


def test_ten_thousand_events_a_second_arrive(decoy: Path) -> None:
    """20,000 opens at 10,000 a second while another process reads: none is lost."""
    with Watch(str(decoy), touch_calls=False) as watched:
        pid = os.fork()
        if pid == 0:
            begin = monotonic()
            for number in range(20_000):
                while monotonic() < begin + number / 10_000 * SLOW:
                    pass
                opens(decoy)
            os._exit(0)
        ended, poll = os.pidfd_open(pid), select.poll()
        poll.register(ended, select.POLLIN)
        poll.register(watched, select.POLLIN)
        while ended not in [ready for ready, _ in poll.poll()]:
            watched.pump()
        os.close(ended)
        os.waitpid(pid, 0)
        assert len(watched.collect()) == 20_000


def test_a_process_cannot_spoof_fields(decoy: Path, tmp_path: Path) -> None:
    """Names, arguments and paths with ` auid=1000`, newlines and quotes stay values: they become no fields."""
    evil = tmp_path / 'x" auid=1000 uid=7\n\' key="k" type=SYSCALL'
    program = tmp_path / "a auid=1000\n"
    program.symlink_to("/bin/sh")
    script = 'read x < /dev/null; : > "$1"'

    def attack() -> None:
        os.execv(program, ["sh auid=1000", "-c", script, "\n auid=1000", str(evil)])

    with Watch(str(tmp_path), touch_calls=False) as watched:
        in_child(attack)
        event = next(event for event in watched.collect() if str(evil) in event.paths)
    assert event.auid == int(Path("/proc/self/loginuid").read_text())
    assert (event.uid, event.key) == (os.geteuid(), watched.key)
    assert event.comm == "a auid=1000\n"
    assert event.field("proctitle").split("\0")[:3] == ["sh auid=1000", "-c", script]
    assert all(line.isprintable() for line in event.render())


class Notes:
    """A journal that checks, at each note, that the kernel has not been changed yet."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, kind: str, **facts: object) -> None:
        """Check that the change is not made yet; keep the note, and print it."""
        enabled, rules = state()
        if kind == "audit-rule":
            assert bytes.fromhex(str(facts["packed"])) not in rules
        else:
            assert enabled == facts["was"]
        self.lines.append(json.dumps([kind, facts]))
        os.write(1, f"{self.lines[-1]}\n".encode())


def test_the_journal_is_told_before_the_change(decoy: Path) -> None:
    """Each change is in the journal before it is in the kernel."""
    notes = Notes()
    off = state()[0] == 0
    with Watch(str(decoy), journal=notes):
        kinds = [json.loads(line)[0] for line in notes.lines]
    assert kinds == ["audit-enabled"] * off + ["audit-rule"] * 2


def test_a_killed_run_can_be_undone(decoy: Path) -> None:
    """SIGKILL leaves rules and flag behind; undo() with the journalled facts takes them back, twice if need be."""
    before = state()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writing, 1)
        with Watch(str(decoy), journal=Notes()):
            os.write(1, b"ready\n")
            signal.pause()
    os.close(writing)
    with os.fdopen(reading) as pipe:
        notes = list(iter(pipe.readline, "ready\n"))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert state() != before
    for line in [*reversed(notes), *notes]:
        undo(*json.loads(line))
    assert state() == before


def test_locked_rules_are_left_alone(decoy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With enabled=2 a watch is refused. The status is faked: only a reboot takes enabled=2 back."""
    monkeypatch.setattr(AuditControl, "status", lambda self: Status(2, 1, 0, 0, 64, 0, 0, 0, 0, 0))
    with pytest.raises(AuditLocked, match="locked"):
        Watch(str(decoy)).__enter__()


WATCH = """
from lab.audit.watch import Watch
from lab.audit.probe import probe
from lab.errors import AuditUnavailable
print(*probe().reasons, sep="\\n")
try:
    Watch("/tmp").__enter__()
except AuditUnavailable as error:
    print("WATCH", error.message)
"""


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("-n", "network namespace"),
        pytest.param("-Ur", "user namespace", marks=pytest.mark.needs("open-checkout")),
        ("-pf --mount-proc", "pid namespace"),
    ],
)
@pytest.mark.needs("unshare")
def test_namespaces_out_of_reach_of_audit_say_so(flags: str, reason: str) -> None:
    """Audit serves only the initial user, pid and network namespaces; the error names the one that is not."""
    result = python(WATCH, "unshare", *flags.split())
    assert result.returncode == 0, result.stderr
    explained, _, refused = result.stdout.partition("WATCH")
    assert reason in explained
    assert reason in refused


@pytest.mark.needs("unshare")
def test_another_network_namespace_is_silently_blind() -> None:
    """In another network namespace the bind succeeds and no record arrives; a reader outside sees the marker."""
    code = """
from lab.audit.netlink import *
with AuditReader() as reader, AuditControl() as control:
    control.user_message("lab from inside")
    input()
    print(len(list(reader.pending())))
"""
    with AuditControl() as control, AuditReader() as reader:
        was = bool(control.status().enabled)
        control.set_enabled(True)
        try:
            environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
            with subprocess.Popen(
                ["unshare", "-n", sys.executable, "-c", code], stdin=-1, stdout=-1, text=True, env=environment
            ) as inside:
                seen = any(kind == AUDIT_USER and b"lab from inside" in text for kind, text in reader.records(30))
                assert inside.communicate("\n", timeout=30)[0] == "0\n"
            assert seen
        finally:
            control.set_enabled(was)


def test_an_ordinary_user_is_told_what_is_missing() -> None:
    """Without CAP_AUDIT_READ there is no reader, without CAP_AUDIT_CONTROL no control; the error names which."""

    def try_both() -> None:
        os.setresuid(65534, 65534, 65534)
        with pytest.raises(AuditUnavailable, match="CAP_AUDIT_READ is missing"):
            AuditReader()
        with AuditControl() as control, pytest.raises(AuditUnavailable, match="CAP_AUDIT_CONTROL is missing"):
            control.status()
        found = probe()
        assert (found.usable, found.status, found.can_read) == (False, None, False)

    in_child(try_both)


def test_probe_changes_nothing_and_finds_audit_usable() -> None:
    """probe() leaves rules and flag as they are, and finds audit usable wherever these tests run."""
    before = state()
    found = probe()
    assert state() == before
    assert found.usable
    assert found.marker is (True if before[0] else None)
