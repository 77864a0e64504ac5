"""Every command in a block or a table of the pages is run, as root in a login, or stands below with the reason why not.

Each page has a private place: a mount namespace with empty /run/lab and /var/lib/lab. Audit rules that a page adds are
removed behind it.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from docs_commands import CHECKOUT, ELSEWHERE, PAGES, Command, commands, known

from lab.audit.netlink import AuditControl
from lab.identity import set_loginuid

USER = 3267
SECONDS = 300
MACHINES = {"x86-64": "x86_64", "arm64": "aarch64"}
PRIVATE = """
grep -o ' /run/lab/[^ ]*' /proc/self/mountinfo | sort -u | xargs -r umount --lazy
mount -t tmpfs -o mode=755 tmpfs /run/lab && mount -t tmpfs -o mode=755 tmpfs /var/lib/lab && exec sleep 3600
"""

# What is not run, and why. A pattern matches the whole command.
NOT_RUN = {
    r"(LAB_BOX_URL=\S+ )?vagrant (up|destroy|ssh .*)|make ssh( AS=dwalsh)?": "needs Vagrant: tools/test-vm does so",
    r"make (box|disk)|DISK=\S+ make demo WHERE=qemu": "makes a whole Debian, or starts it in QEMU",
    r"make demo": 'plays what `sudo make talk ARGS="--rehearse"` plays, which is run, in the guest if there is one',
    r'make talk( ARGS="?((loginuid )?run )?shadow.*)?': "a screen with keys: tests/audiences does so",
    r"(sudo )?make (test|coverage|bench|docs|lint|venv-dev)( ARGS=.*)?": "takes minutes, or is what .ci/run does",
    r"git clone .*|cd loginuid-lab": "needs this repository's address",
    r"sudo provision/guest\.sh": "makes this machine the lab's own: tools/test-vm does so in the guest",
    r".* --engines .*": "needs real engines: tests/kernel/test_real_engines.py",
    r"(sudo )?(docker|podman)( --remote)?( run| exec| cp| build| healthcheck run)?|ctr run": "a name in a table",
    r"make demo ARGS=--page|.*lab run .* --page|.*lab page RECORDING": "waits for a speaker: test_live_page.py",
    r"stty sane": "needs a terminal",
    r"touch -c|ausearch -i( -ts now)?|sudo make": "a name in a table",
    r"sudo \.venv/bin/lab shell": "needs a terminal: tests/kernel/test_shell.py",
    r"sudo \.venv/bin/lab learn": "needs a terminal: tests/kernel/test_learn.py",
    r"(sudo )?\.venv/bin/lab exercise (start|check|hint|solution|reset) .*": "a student's files: test_desk.py",
    r"(sudo )?\.venv/bin/lab (class new|exercise submit|grade)\b.*": "writes files: tests/classroom/test_handing.py",
    r"\.venv/bin/python tests/classroom/thirty\.py rehearsal": "makes a class: tests/classroom/test_thirty.py",
    r"make class-kit": "writes kit/: tests/project/test_class_kit.py",
    r"for host in .*": "needs thirty machines",
    r"auditctl -e 2": "the mistake of somebody else that the row is about: it locks audit until the next boot",
}
EXIT = {"sudo .venv/bin/labd": 125}  # "It refuses."
PLACEHOLDERS = {"PID": "$$"}

pytestmark = pytest.mark.needs("root", "audit", "sudo", "unshare")


def why_not(command: Command) -> str:
    """The reason why this command is not run here, else ""."""
    if command.mark.startswith("guest"):
        return f"tools/test-vm runs it in the guest ({command.mark})"
    if command.mark == "lab shell":
        return "tests/kernel/test_shell.py types it there"
    if command.mark in MACHINES and MACHINES[command.mark] != platform.machine():
        return f"for {command.mark}"
    return next((reason for pattern, reason in NOT_RUN.items() if re.fullmatch(pattern, command.text)), "")


def lacking(command: Command) -> set[str]:
    """The programs of the command that the pages say how to get, and that this machine lacks."""
    return {word for word in ELSEWHERE & set(command.text.split()) if not known(word)}


def log_in() -> None:
    """In the child: what a login does."""
    set_loginuid(USER)


def start_as_init_would() -> None:
    """In the child: no login."""
    set_loginuid(2**32 - 1)


@contextmanager
def private_place() -> Iterator[list[str]]:
    """The words that run a command in a mount namespace with empty directories of the lab's."""
    for folder in ("/run/lab", "/var/lib/lab"):
        Path(folder).mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(["unshare", "--mount", "sh", "-c", PRIVATE]) as holder:
        enter = ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--", "env", f"--chdir={CHECKOUT}"]
        try:
            while subprocess.run([*enter, "mountpoint", "-q", "/var/lib/lab"], check=False).returncode:
                assert holder.poll() is None
                time.sleep(0.02)
            yield enter
        finally:
            end_all(holder.pid)


def end_all(holder: int) -> None:
    """End each process of the holder's mount namespace, the holder last."""
    place = Path(f"/proc/{holder}/ns/mnt").readlink()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            pidfd = os.pidfd_open(int(folder.name))
            if int(folder.name) != holder and (folder / "ns/mnt").readlink() == place:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
    os.kill(holder, signal.SIGKILL)


@contextmanager
def same_rules_afterwards() -> Iterator[None]:
    """Remove the audit rules that were added meanwhile."""
    with AuditControl() as control:
        before = list(control.rules())
        try:
            yield
        finally:
            for rule in control.rules():
                if rule not in before:
                    control.delete_rule(rule)


@contextmanager
def labd(enter: list[str], wanted: bool) -> Iterator[None]:
    """A labd in that place, if it is wanted."""
    if not wanted:
        yield
        return
    with subprocess.Popen([*enter, ".venv/bin/labd"], preexec_fn=start_as_init_would) as process:
        try:
            await_socket(enter)
            yield
        finally:
            process.terminate()


def await_socket(enter: list[str]) -> None:
    """Wait until labd's socket is there."""
    end = time.monotonic() + 20
    while subprocess.run([*enter, "test", "-S", "/run/lab/labd.sock"], check=False).returncode:
        assert time.monotonic() < end, "labd did not start"
        time.sleep(0.05)


def run(enter: list[str], command: Command) -> None:
    """Type the command, and expect the exit status that the page promises: 0, if it says nothing."""
    text = command.text
    for word, value in PLACEHOLDERS.items():
        text = re.sub(rf"\b{word}$", value, text)
    done = subprocess.run(
        [*enter, "bash", "-o", "pipefail", "-c", text],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
        preexec_fn=log_in,
        check=False,
    )
    said = f"{command.page}: {text}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    if command.mark == "fails":
        assert done.returncode, said
    else:
        assert done.returncode == EXIT.get(command.text, 0), said


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(not why_not(command) for command in commands(page))],
    ids=lambda page: page.relative_to(CHECKOUT).as_posix(),
)
def test_the_commands_of_a_page_work(page: Path) -> None:
    """Typed in their order by a user who logged in, each ends with the exit status that the page promises."""
    typed = [command for command in commands(page) if not why_not(command)]
    missing = set().union(*map(lacking, typed))
    if missing:
        pytest.skip(f"needs programs that are not installed: {', '.join(sorted(missing))}")
    asks = any(word in command.text for command in typed for word in ("dockerish", "labd.sock"))
    with same_rules_afterwards(), private_place() as enter, labd(enter, asks):
        for command in typed:
            run(enter, command)


def test_each_reason_is_needed() -> None:
    """No pattern is left over from a command that no page has any more."""
    texts = [command.text for page in PAGES for command in commands(page)]
    for pattern in NOT_RUN:
        assert any(re.fullmatch(pattern, text) for text in texts), pattern
    assert set(EXIT) <= set(texts)


def test_what_a_command_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of blocks and code of cells are commands; output, other languages and single words are not."""
    monkeypatch.setattr("docs_commands.CHECKOUT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "```\ncat a \\\n  b  # remark\n\n# nothing\nls\n```\n```python\nprint()\n```\n```\n  ✔ held\ncat\n```\n"
        "<!-- fails -->\n```sh\nfalse\n```\n* in a list\n\n  <!-- later -->\n  ```\n  true\n  ```\n"
        "| `cat x \\| wc`; `cat` | `sudo ls -l` and `not-a-program x` |\n"
    )
    assert [(command.text, command.mark) for command in commands(page)] == [
        ("cat a    b", ""), ("ls", ""), ("false", "fails"), ("cat x | wc", ""), ("sudo ls -l", ""), ("true", "later")
    ]  # fmt: skip
