"""Audit rules as text and as the kernel's bytes."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.audit.rules import TOUCH_CALLS, Field, Rule, syscalls, watch
from lab.errors import InvalidArgument
from lab.identity import UNSET
from lab.syscall_table import NUMBERS

LINES = [
    "-a always,exit -F path=/etc/shadow -F perm=wa -F key=k",
    "-a always,exit -F arch=b64 -S utimensat -F path=/etc/shadow -F 'auid>=1000' -F 'auid!=unset' -F key=k",
    "-a always,exit -F arch=x86_64 -S open,openat -F exit=-13 -F success=0",
    "-a never,exclude -F msgtype=1305",
    "-a always,exit -F arch=aarch64 -S openat -F dir=/etc -F uid=0",
]


@pytest.mark.parametrize("line", LINES)
def test_a_rule_survives_the_kernels_form_and_the_text(line: str) -> None:
    """unpack() is the reverse of pack(), and the printed line means the same rule."""
    rule = Rule.parse(line)
    assert Rule.unpack(rule.pack()) == rule
    assert Rule.parse(rule.to_auditctl().replace("arch=b64", "arch=" + rule.machine)) == rule


def test_a_watch_is_the_rule_of_auditctl_w() -> None:
    """-w is AUDIT_WATCH, AUDIT_PERM and AUDIT_FILTERKEY for every system call."""
    rule = watch("/etc/shadow").with_key("k")
    assert rule == Rule.parse("-w /etc/shadow -p wa -k k")
    assert rule.to_auditctl() == "-a always,exit -F path=/etc/shadow -F perm=wa -F key=k"
    assert rule.syscalls is None
    assert rule.key == "k"


def test_a_directory_is_watched_as_one(tmp_path: Path) -> None:
    """AUDIT_DIR covers what lies below, AUDIT_WATCH does not."""
    assert watch(str(tmp_path)).fields[0] == Field("dir", "=", str(tmp_path))


def test_unset_is_a_number() -> None:
    """auid!=unset compares with (uid_t)-1; auditctl also takes 4294967295 and -1."""
    for text in ("auid!=unset", "auid!=-1", "auid!=4294967295"):
        assert Field.parse(text) == Field("auid", "!=", UNSET)
        assert str(Field.parse(text)) == "auid!=unset"


def test_touch_calls_that_a_machine_lacks_are_left_out() -> None:
    """aarch64 has utimensat(2) only; the others are older than it."""
    assert [name for name in TOUCH_CALLS if name in NUMBERS["aarch64"]] == ["utimensat"]
    assert syscalls(TOUCH_CALLS).syscalls
    with pytest.raises(InvalidArgument, match="none of these is a system call"):
        syscalls(["no_such_call"])


@pytest.mark.parametrize(
    "line",
    [
        "", "-a always,exit", "-w", "-D", "-F auid", "-F foo=1", "-S nope -F uid=0", "-F uid=x", "-S ² -F uid=0",
        "-a always -F uid=0", "-a exit -F uid=0", "-a always,exit,exit -F uid=0", "-F 'path=/x",
    ],
)  # fmt: skip
def test_what_is_not_a_rule_is_refused(line: str) -> None:
    """A wrong rule is an InvalidArgument, not a rule that watches something else."""
    with pytest.raises(InvalidArgument):
        Rule.parse(line)


def test_an_argument_is_written_in_hexadecimal() -> None:
    """As `auditctl -l` prints it: flags such as CLONE_NEWPID can be recognised; decimal digits are taken, too."""
    line = "-a always,exit -F arch=b64 -S clone -F 'a0&0x20000000'"
    assert Rule.parse(line).to_auditctl() == line
    assert Rule.parse(line.replace("0x20000000", str(0x20000000))) == Rule.parse(line)
    assert Rule.parse(line.replace("0x20000000", "04000000000")) == Rule.parse(line)


def test_a_path_with_blanks_pastes() -> None:
    """to_auditctl() quotes for the shell."""
    rule = watch("/tmp/a b'c")
    assert Rule.parse(rule.to_auditctl()) == rule


@given(st.binary(max_size=1400))
def test_no_bytes_crash_unpack(packed: bytes) -> None:
    """What is too short is a ValueError; anything else prints."""
    try:
        assert Rule.unpack(packed).to_auditctl()
    except ValueError:
        assert len(packed) < len(Rule(()).pack())


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_path_survives(text: str) -> None:
    """Paths are bytes to the kernel."""
    rule = watch(f"/{os.fsdecode(os.fsencode(text))}")
    assert Rule.unpack(rule.pack()) == rule


def test_a_watch_without_permissions_is_one_for_all() -> None:
    """`auditctl -w FILE` sends perm=rwxa, before the key; -p replaces it."""
    assert Rule.parse("-w /etc/shadow -k k") == Rule.parse("-a always,exit -F path=/etc/shadow -F perm=rwxa -F key=k")
    assert Rule.parse("-w /etc/shadow -p wa -k k") == watch("/etc/shadow", perm="wa").with_key("k")
