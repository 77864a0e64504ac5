"""The callers of exercise 12: each has its own loginuid, and none outlives the check."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import soon

from lab.identity import loginuid
from lab.pidfd import start_time
from scenarios.props.callers import process

PROGRAM = """
import time
from scenarios.props.callers import Process
made = Process(4711, lambda: None)
print(made.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.needs("root", "audit")
def test_a_caller_s_pid_can_be_given_to_another() -> None:
    """The second one has the first one's pid and a loginuid of its own."""
    with process(4711) as first:
        assert loginuid(first.pid) == 4711
        first.end()
        with process(4712, pid=first.pid) as second:
            assert (second.pid, loginuid(second.pid)) == (first.pid, 4712)


@pytest.mark.needs("root", "audit")
def test_a_caller_ends_with_a_check_that_is_killed() -> None:
    """It has no journal: the kernel ends it."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE) as check:
        assert check.stdout
        pid = int(check.stdout.readline())
        assert start_time(pid)
        check.kill()
        check.wait()
        assert soon(lambda: not start_time(pid), 10)
