"""A demo killed at any moment leaves nothing that `lab restore` does not take back; a run that ends leaves nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import interpreter
from lab.audit.netlink import AuditControl
from lab.audit.rules import Rule
from lab.identity import ancestry
from lab.pidfd import ended, start_time
from lab.runtime import compiled
from scenarios.props.labd import peer_pid

pytestmark = pytest.mark.needs("root", "audit", "sudo", "setpriv")

LAB = str(Path(sys.executable).parent / "lab")
RUN = (LAB, "run", "--auto")
OPEN = pytest.mark.needs("open-checkout")
PLACES = ("/run/lab", "/run/netns/lab-", "/var/lib/lab")  # where the lab mounts
SHADOW = Path("/etc/shadow")


def observe() -> dict[str, object]:
    """The parts of the machine that a demo touches."""
    with AuditControl() as control:
        rules, enabled = sorted(control.rules()), control.status().enabled
    status = SHADOW.stat()
    points = [row.split()[4] for row in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {
        "rules": rules,
        "enabled": enabled,
        "mounts": [point for point in points if point.startswith(PLACES) and interpreter.ROOT not in point],
        "shadow": (status.st_ino, status.st_mode, status.st_uid, status.st_gid, SHADOW.read_bytes()),
        "sockets": [line for line in Path("/proc/net/unix").read_text().splitlines() if "/run/lab/" in line],
        "processes": sorted(ours()),
        "decoys": sorted(path.name for path in Path("/run/lab").glob("decoy-*")),
    }


def ours() -> Iterator[str]:
    """Processes of this checkout's commands, and their descendants; none of this test's own, and no zombies."""
    chains = {int(folder.name): ancestry(int(folder.name)) for folder in Path("/proc").glob("[0-9]*")}
    tests = {process.pid for process in ancestry(os.getpid())}
    commands = {pid for pid in chains.keys() - tests if is_command(pid)}
    for pid, chain in chains.items():
        if commands & {process.pid for process in chain} and start_time(pid):
            yield f"{pid} {chain[0].comm}"


def is_command(pid: int) -> bool:
    """Whether the process executes one of this checkout's commands, by an absolute path or from the checkout."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        place = Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return False
    scripts = Path(LAB).parent
    return f"{scripts}/".encode() in words or (b"\0.venv/bin/" in b"\0" + words and place / ".venv/bin" == scripts)


def settled(before: dict[str, object]) -> dict[str, object]:
    """What the machine is like, as soon as it is as before, or after 20 seconds."""
    deadline = time.monotonic() + 20
    while (now := observe()) != before and time.monotonic() < deadline:
        time.sleep(0.05)
    return now


def kill_once(delay: float, number: int, *target: str) -> None:
    """Start a demo, end it after the delay with this signal, and restore."""
    with subprocess.Popen(
        [LAB, "run", "--auto", *target, "run", "shadow"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as demo:
        pidfd = os.pidfd_open(demo.pid)
        try:
            if not ended(pidfd, delay):
                demo.send_signal(number)
            assert ended(pidfd, 60), "the signal did not end the demo"
        finally:
            demo.kill()
            os.close(pidfd)
    subprocess.run([LAB, "restore"], check=True, stdout=subprocess.DEVNULL, timeout=60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_killed_demo_is_restored(number: int) -> None:
    """A signal in the middle, then `lab restore`: audit rules and flag, mounts, processes, sockets are as before."""
    before = observe()
    kill_once(0.9, number, "--target", str(SHADOW))
    assert settled(before) == before


@pytest.mark.stress
def test_fifty_kills_at_random_moments() -> None:
    """Whatever the moment of the kill, `lab restore` brings back the machine as it was."""
    before = observe()
    chance = random.Random(3267)
    for _ in range(50):
        number = chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
        kill_once(chance.uniform(0, 3), number, "--target", str(SHADOW))
        assert settled(before) == before


def test_restore_takes_the_interpreters_mount_away() -> None:
    """`lab restore` removes what a run leaves on purpose: the read-only mount and the compiled filter."""
    interpreter.executable()
    assert interpreter.ROOT in Path("/proc/self/mountinfo").read_text()
    said = subprocess.run([LAB, "restore"], check=True, capture_output=True, text=True, timeout=60).stdout
    assert f"unmounted: {interpreter.ROOT}/usr" in said
    assert interpreter.ROOT not in Path("/proc/self/mountinfo").read_text()
    assert not Path(interpreter.ROOT).exists() and not Path(compiled.DIRECTORY).exists()


def test_a_mount_that_hides_the_interpreters_is_named() -> None:
    """`lab restore` says which mount it cannot remove, and how to find the one above it."""
    interpreter.executable()
    hidden = "mount -t tmpfs none /run/lab/interpreter && exec " + f"{LAB} restore"
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", hidden]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    point = f"{interpreter.ROOT}/usr"
    assert (done.returncode, "Traceback" in done.stderr) == (125, False)
    assert f"lab: cannot unmount {point}: " in done.stderr and f"findmnt -T {point}" in done.stderr


def test_restore_is_idempotent() -> None:
    """A second `lab restore` finds nothing to do, which is no error."""
    for _ in range(2):
        done = subprocess.run([LAB, "restore"], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "nothing to restore\n"


def test_the_admins_rules_survive() -> None:
    """Twenty rules that were there before, one of them on the watched file, are there afterwards, in their order."""
    mine = [Rule.parse(f"-a always,exit -F path=/etc/passwd -F perm=wa -F key=admin-{n}") for n in range(19)]
    mine.append(Rule.parse(f"-a always,exit -F path={SHADOW} -F perm=wa -F key=admin-shadow"))
    with AuditControl() as control:
        existing = control.rules()
        packed = [rule.pack() for rule in mine]
        for rule in packed:
            control.add_rule(rule)
        try:
            before = control.rules()
            subprocess.run(
                [LAB, "run", "--auto", "--target", str(SHADOW), "shadow"], check=True, capture_output=True, timeout=120
            )
            assert control.rules() == before
        finally:
            for rule in packed:
                control.delete_rule(rule)
        assert control.rules() == existing


def test_two_runs_cannot_overlap() -> None:
    """A second run at the same time is refused in a sentence; the first one is not disturbed."""
    with subprocess.Popen([LAB, "run", "--auto", "run"], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout
        first.stdout.readline()
        second = subprocess.run([LAB, "run", "--auto", "run"], capture_output=True, text=True, check=False, timeout=120)
        first.communicate()
    assert (first.returncode, second.returncode) == (0, 125)
    assert "another run of the lab is on" in second.stderr


def test_json_alone_on_standard_output() -> None:
    """--json: verdicts and evidence for a program, the narration on standard error."""
    done = subprocess.run(
        [LAB, "run", "--json", "loginuid", "shadow"], capture_output=True, text=True, check=True, timeout=120
    )
    answer = json.loads(done.stdout)
    assert answer["exit_code"] == 0
    assert [story["name"] for story in answer["stories"]] == ["loginuid", "shadow"]
    assert all(claim["verdict"] == "held" for story in answer["stories"] for claim in story["claims"])
    assert any("auid=unset" in line for part in answer["stories"][1]["evidence"] for line in part.get("records", []))
    assert "Who touched the shadow file?" in done.stderr


def test_eighty_columns_hold_everything() -> None:
    """No line is wider than the terminal, except for commands, which must stay in one piece to be pasted."""
    done = subprocess.run(
        [LAB, "run", "--auto", "--no-color", "run", "shadow"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"}, timeout=120,
    )  # fmt: skip
    wide = [line for line in done.stdout.splitlines() if len(line) > 80 and not line.startswith("  $ ")]
    assert not wide
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("command", "message"),
    [
        pytest.param(
            ["setpriv", "--reuid=65534", "--clear-groups", *RUN, "run"], "root: start it with sudo", marks=OPEN
        ),
        pytest.param(["unshare", "--user", "--map-root-user", *RUN, "run"], "initial user namespace", marks=OPEN),
        (["unshare", "--net", *RUN, "run"], "network namespace"),
        ([*RUN, "nonesuch"], 'there is no story "nonesuch"'),
        ([*RUN, "--as", "nobody-at-all", "run"], "there is no user nobody-at-all"),
    ],
    ids=["no root", "user namespace", "network namespace", "story", "user"],
)
def test_what_cannot_be_is_said_first(command: list[str], message: str) -> None:
    """A run that cannot be is refused with exit status 125 and the reason, before anything is changed."""
    before = observe()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 125, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert settled(before) == before
    assert peer_pid("/run/lab/labd.sock") == 0
