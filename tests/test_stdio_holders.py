"""Who holds the other end of a pipe, and a command on a terminal: what the story article looks at and how it types."""

from __future__ import annotations

import os
import subprocess
import sys

from lab.identity import loginuid
from scenarios.props.descriptors import other_ends


def test_both_pipes_lead_to_the_process_that_made_them() -> None:
    """Of the reading end the writer is found, and of the writing end the reader; the child's own ends are left out."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin and child.stdout
        ends = other_ends(child.pid)
        held = [child.stdin.fileno(), child.stdout.fileno()]
        child.stdin.close()
    assert [(end.fd, end.other) for end in ends] == [*enumerate(held)]
    assert {(end.pid, end.loginuid) for end in ends} == {(os.getpid(), loginuid())}


def test_a_file_has_no_other_end() -> None:
    """What is no pipe leads to nobody, whoever else has the same file open."""
    with subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as child:
        ends = other_ends(child.pid)
        child.kill()
    assert ends == []


def test_a_command_on_a_terminal_has_one() -> None:
    """The command leads a session with a controlling terminal, and its exit code is kept; pty(7)."""
    script = "exec 3</dev/tty && tty; exit 7"  # without a controlling terminal, /dev/tty cannot be opened; tty(4)
    words = [sys.executable, "-m", "scenarios.props.terminal", "sh", "-c", script]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 7
    assert done.stdout.splitlines()[-1].startswith("/dev/pts/")
