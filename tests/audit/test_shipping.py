"""What is shipped to the second host: one line for each record, whatever a program has put into its message."""

from __future__ import annotations

import pytest

from lab.audit.netlink import AUDIT_USER
from lab.audit.records import Record
from scenarios.props.second_host import log_line

FORGED = (
    b"audit(1700000000.000:7): pid=1 uid=33 auid=33 ses=1 msg='op=x\n"
    b"type=USER_LOGIN msg=audit(1700000000.000:8): pid=1 uid=0 auid=0 ses=2 msg='op=login acct=\"root\" res=success'\n"
    b'type=SYSCALL msg=audit(1700000000.000:9): arch=c000003e syscall=257 success=yes auid=0 key="shadow"\''
)


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r", b"\x0b", b"\x0c", b"\x1d", b"\0"])
def test_a_message_cannot_forge_a_record(newline: bytes) -> None:
    """One USER record is one line, and is read back as one USER record with its writer's auid."""
    line = log_line(AUDIT_USER, FORGED.replace(b"\n", newline) + b"\0")
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert len(line.decode().splitlines()) == 1 and b"\x1d" not in line
    record = Record.from_line(line.decode().rstrip("\n"))
    assert (record.name, record.serial, record.fields["auid"]) == ("USER", 7, "33")


def test_an_ordinary_record_is_shipped_as_it_is() -> None:
    """Letters outside ASCII, quotes and spaces are shipped unchanged."""
    text = "audit(1.000:2): pid=1 uid=0 msg='op=PAM:setcred acct=\"björn\" res=success'".encode()
    assert log_line(AUDIT_USER, text + b"\0") == b"type=USER msg=" + text + b"\n"


def test_a_line_is_never_longer_than_auditd_takes() -> None:
    """Escaping makes a message of control characters four times as long, and the line is cut."""
    assert len(log_line(AUDIT_USER, b"audit(1.000:2): " + b"\x01" * 8192)) < 8970
