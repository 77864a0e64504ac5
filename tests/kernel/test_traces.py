"""The last check of a run: what the lab left is its fault, and what other programs changed meanwhile is told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from support import CHECKOUT
from test_restore import LAB, observe

from lab.audit.netlink import LOGINUID_IMMUTABLE, AuditControl
from lab.audit.rules import Rule
from lab.errors import LabError
from scenarios.safety import guest, traces
from scenarios.safety.traces import Traces

pytestmark = pytest.mark.needs("root", "audit", "sudo", "setpriv")

# What is done when the verdicts are told, and before the lab looks for what is left.
AT_THE_END = """
import socket, sys
from lab.audit.netlink import LOGINUID_IMMUTABLE, AuditControl
from scenarios import cli, demo
conclude = demo.conclude
def disturbed(*arguments):
    closing = conclude(*arguments)
    {deed}
    return closing
demo.conclude = disturbed
sys.exit(cli.main(["run", "--json", "loginuid"]))
"""


def disturbed_at_the_end(deed: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A run at whose end that is done; its verdicts are told whatever the deed."""
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_END.format(deed=deed), *words],
        capture_output=True, text=True, check=False, timeout=60, cwd=CHECKOUT,
    )  # fmt: skip
    assert json.loads(done.stdout)["claims"]["failed"] == 0
    assert "Traceback" not in done.stderr
    return done


def test_a_rule_that_another_program_deletes_is_no_fault_of_the_lab() -> None:
    """An administrator's rule that is gone at the end is told in a sentence; the exit status is that of the claims."""
    mine = Rule.parse("-a always,exit -F path=/etc/passwd -F perm=wa -F key=admin")
    with AuditControl() as control:
        control.add_rule(mine.pack())
        try:
            deed = f"AuditControl().delete_rule(bytes.fromhex('{mine.pack().hex()}'))"
            done = disturbed_at_the_end(deed)
        finally:
            with suppress(FileNotFoundError):
                control.delete_rule(mine.pack())
    assert done.returncode == 0
    said = " ".join(done.stderr.split())
    assert (
        f"another program changed this machine, which no story does: audit rule {mine.to_auditctl()} is gone." in said
    )


def test_what_the_lab_leaves_behind_is_its_fault() -> None:
    """A socket in the lab's own place: the verdicts are told first, then exit status 125 and what was left."""
    deed = "global left; left = socket.socket(socket.AF_UNIX); left.bind('/run/lab/left'); left.listen()"
    try:
        done = disturbed_at_the_end(deed)
    finally:
        Path("/run/lab/left").unlink(missing_ok=True)
    assert done.returncode == 125
    assert "lab: left behind: socket /run/lab/left" in done.stderr


def test_who_changed_audit_and_the_file() -> None:
    """The enabled flag is the lab's to restore, unless an auditd came or audit was locked; the file's bytes are not."""
    before = Traces.now("/etc/shadow")
    other = 1 - min(before.enabled, 1)
    ours, auditds = replace(before, enabled=other), replace(before, enabled=other, auditd=before.auditd + 1)
    locked, passwd = replace(before, enabled=2), replace(before, file="0:0 100640 0:42 sha256:0")
    for changed in (auditds, locked, passwd):
        assert len(before.changed_by_others(changed)) == 1
        before.expect_nothing_left(changed, [])
    assert before.changed_by_others(ours) == []
    with pytest.raises(LabError, match=f"left behind: audit's enabled flag is {other}, and was {before.enabled}"):
        before.expect_nothing_left(ours, [])


def test_what_holds_for_a_whole_machine_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """loginuid_immutable, a core_pattern of the story's, its crontab, a unit: each is named, if the run has left it."""
    for module, name, file in ((guest, "CRON", "cron.d"), (traces, "UNITS", "system")):
        (tmp_path / file).mkdir()
        monkeypatch.setattr(module, name, tmp_path / file)
    monkeypatch.setattr(guest, "CORE_PATTERN", tmp_path / "core_pattern")
    (tmp_path / "core_pattern").write_text("core\n")
    features = [(0, 0)]
    monkeypatch.setattr(AuditControl, "features", lambda self: features[-1])
    before = Traces.now("/etc/shadow")

    (tmp_path / "core_pattern").write_text(f"{guest.HELPER}/etc/shadow\n")
    left = [tmp_path / "cron.d/lab-0123abcd", tmp_path / "system/lab-check.timer"]
    for path in (*left, tmp_path / "cron.d/e2scrub_all", tmp_path / "system/ssh.service"):
        path.touch()
    features.append((LOGINUID_IMMUTABLE, 0))
    after = Traces.now("/etc/shadow")
    with pytest.raises(LabError) as caught:
        before.expect_nothing_left(after, [])
    pattern = f"{tmp_path}/core_pattern '|/bin/touch /etc/shadow'"
    named = ["audit's feature loginuid_immutable", pattern, *map(str, left)]
    assert caught.value.message == f"left behind: {'; '.join(sorted(named))}"
    after.expect_nothing_left(after, [])

    (tmp_path / "core_pattern").write_text("|/usr/share/apport/apport %p\n")
    for path in left:
        path.unlink()
    features.append((LOGINUID_IMMUTABLE, LOGINUID_IMMUTABLE))
    before.expect_nothing_left(Traces.now("/etc/shadow"), [])  # another program's, and locked, which the lab never does


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_with_everything_taken_back(number: int) -> None:
    """In the middle of a story: exit status 128+n, no traceback, the machine as before, and nothing to restore."""
    before = observe()
    words = [LAB, "run", "--auto", "--detail", "short", "shadow", "frameup"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout and run.stderr
        assert any("audit rule" in line for line in run.stdout), "the rule of the first story was not loaded"
        run.send_signal(number)
        _, error = run.communicate(timeout=60)
    assert (run.returncode, error) == (128 + number, "")
    assert observe() == before
    done = subprocess.run([LAB, "restore"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "nothing to restore"


def test_under_nohup_a_run_goes_on() -> None:
    """A SIGHUP that was ignored before the run began stays ignored."""
    words = ["nohup", LAB, "run", "--auto", "loginuid"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout
        assert any("loginuid" in line for line in run.stdout)
        run.send_signal(signal.SIGHUP)
        said, _ = run.communicate(timeout=60)
    assert (run.returncode, "What the kernel said" in said) == (0, True)
