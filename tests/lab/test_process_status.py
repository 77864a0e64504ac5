"""What /proc tells of a process: its status and its capability sets."""

from __future__ import annotations

import os

import pytest

from lab import identity, syscalls
from lab.runtime.credentials import CAPABILITIES


def test_the_status_is_the_process() -> None:
    """Fields come without their tabs and newlines."""
    found = identity.status(os.getpid())
    assert (int(found["Pid"]), int(found["PPid"])) == (os.getpid(), os.getppid())
    assert [int(uid) for uid in found["Uid"].split()[:3]] == list(os.getresuid())


def test_the_bounding_set_is_what_prctl_tells() -> None:
    """CapBnd of /proc/PID/status has the bits for which PR_CAPBSET_READ says 1; capabilities(7)."""
    told = sum(syscalls.prctl(syscalls.PR_CAPBSET_READ, number) << number for number in range(len(CAPABILITIES)))
    assert identity.capabilities(os.getpid(), "CapBnd") == told


def test_no_process_has_no_capabilities() -> None:
    """A pid that is not in use is an error, not an empty set."""
    with pytest.raises(FileNotFoundError):
        identity.capabilities(2**22 + 1)
