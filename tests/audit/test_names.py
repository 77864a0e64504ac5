"""The tables of names against the distribution's own."""

import subprocess

import pytest

from lab.audit.names import CAPABILITIES, RECORD_TYPES
from lab.syscall_table import NUMBERS, SYSCALLS

# ausyscall's own names for these, where the kernel's differ.
OTHER_NAMES = {"pread": "pread64", "pwrite": "pwrite64", "getdents": "getdents64", "newfstat": "fstat"}


@pytest.mark.needs("ausearch")
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_system_calls_have_the_numbers_that_ausyscall_knows(machine: str) -> None:
    """The tables of linux and of audit-userspace agree."""
    dump = subprocess.run(
        ["ausyscall", machine, "--dump"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    theirs = {int(number): name for number, name in (line.split() for line in dump.splitlines()[1:])}
    assert len(theirs) > 300
    for number, name in theirs.items():
        ours = SYSCALLS[machine][number]
        assert ours in (name, OTHER_NAMES.get(name))


def test_names_are_unique() -> None:
    """No name stands twice: a second one would shift every number behind it."""
    for machine, names in SYSCALLS.items():
        assert len(NUMBERS[machine]) == len(names)
    assert len(set(RECORD_TYPES.values())) == len(RECORD_TYPES)
    assert (CAPABILITIES[30], CAPABILITIES[40]) == ("audit_control", "checkpoint_restore")
    assert (RECORD_TYPES[1300], RECORD_TYPES[1327], RECORD_TYPES[1337]) == ("SYSCALL", "PROCTITLE", "OPENAT2")
