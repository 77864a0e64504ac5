"""Audit records as text: what they mean, and that no text of a user's can pretend to be a field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.audit.records import Event, Record, RecordError, events

SYSCALL = (
    b"audit(1540000000.123:456): arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7ffe a2=941 a3=1b6 "
    b'items=1 ppid=10 pid=11 auid=4294967295 uid=0 gid=0 euid=0 tty=(none) ses=4294967295 comm="touch" '
    b'exe="/usr/bin/touch" key="lab-1"'
)
STAMP = b"audit(1540000000.123:456): "


def one(kind: int, text: bytes) -> Event:
    """An event of a single record."""
    return Event((Record.from_netlink(kind, text),))


def kernel_writes(text: bytes) -> bytes:
    """audit_log_untrustedstring(), kernel/audit.c: hexadecimal if a byte is a quote, a blank, or not ASCII."""
    plain = all(0x21 <= byte <= 0x7E and byte != 0x22 for byte in text)
    return b'"' + text + b'"' if plain else text.hex().upper().encode()


def test_a_syscall_record_gives_its_fields() -> None:
    """SYSCALL holds who, what and how it ended."""
    event = one(1300, SYSCALL)
    assert (event.auid, event.ses, event.uid, event.pid) == (4294967295, 4294967295, 0, 11)
    assert (event.syscall, event.success, event.exit, event.tty) == ("openat", True, 3, "(none)")
    assert (event.comm, event.exe, event.key, event.serial) == ("touch", "/usr/bin/touch", "lab-1", 456)


def test_both_forms_of_a_record_are_the_same_record() -> None:
    """audit.log puts the type in front of what netlink carries, and auditd may append names to it."""
    record = Record.from_netlink(1300, SYSCALL)
    line = f"type=SYSCALL msg={SYSCALL.decode()}"
    assert Record.from_line(line) == record
    assert Record.from_line(f'node=host {line}\x1dARCH=x86_64 AUID="unset"\n') == record
    assert Record.from_line("type=UNKNOWN[1339] msg=audit(1.000:2): a=b").type == 1339


def test_a_record_prints_as_ausearch_prints_it() -> None:
    """Names for uids, flags, system calls and machines; the unset loginuid reads `unset`."""
    (line,) = one(1300, SYSCALL).render()
    assert line.startswith("type=SYSCALL msg=audit(")
    assert " : arch=x86_64 syscall=openat success=yes exit=3 a0=AT_FDCWD a1=0x7ffe a2=O_WRONLY|O_CREAT|O_" in line
    assert "a3=0x1b6 items=1 ppid=10 pid=11 auid=unset uid=root" in line
    assert line.endswith("tty=(none) ses=unset comm=touch exe=/usr/bin/touch key=lab-1")


def test_the_flags_of_the_other_machine_have_other_numbers() -> None:
    """aarch64 gives O_DIRECTORY the bit that is O_DIRECT on x86_64."""
    text = SYSCALL.replace(b"arch=c000003e syscall=257", b"arch=c00000b7 syscall=56").replace(b"a2=941", b"a2=4000")
    assert "arch=aarch64 syscall=openat" in one(1300, text).render()[0]
    assert " a2=O_RDONLY|O_DIRECTORY " in one(1300, text).render()[0]


def test_a_failed_call_prints_its_error() -> None:
    """exit=-13 is EACCES."""
    event = one(1300, SYSCALL.replace(b"success=yes exit=3", b"success=no exit=-13"))
    assert (event.success, event.exit) == (False, -13)
    assert "exit=EACCES(Permission denied)" in event.render()[0]


@pytest.mark.parametrize("name", ["comm", "exe", "name", "cwd", "key"])
@given(text=st.binary(min_size=1, max_size=60).filter(lambda text: b"\0" not in text))
def test_no_value_becomes_a_field(name: str, text: bytes) -> None:
    """Whatever bytes a user chooses for a name, they come back as that value and as nothing else."""
    for spoof in (text, b" auid=1000 " + text, text + b"\"\n' auid=1000", b'" auid=1000 x="'):
        record = Record.from_netlink(1300, STAMP + f"{name}=".encode() + kernel_writes(spoof) + b" ses=7")
        assert list(record.fields) == [name, "ses"]
        assert record.fields[name].encode("utf-8", "surrogateescape") == spoof
        assert "auid=" not in record.words


def test_hexadecimal_looking_names_stay_names() -> None:
    """The kernel quotes a name such as DEADBEEF, since it holds nothing that must be encoded."""
    assert one(1300, STAMP + b"comm=" + kernel_writes(b"DEADBEEF")).comm == "DEADBEEF"


def test_the_first_of_two_equal_fields_holds() -> None:
    """The kernel writes its own auid before any label that an administrator could have named ` auid=...`."""
    assert one(1300, SYSCALL + b" subj=profile (x) auid=1000").auid == 4294967295


def test_the_text_of_a_user_message_is_not_the_kernels() -> None:
    """A program with CAP_AUDIT_WRITE may write anything into msg='...', which all containers of Docker have."""
    event = one(1005, STAMP + b"pid=9 uid=0 auid=4294967295 ses=4294967295 msg='x' auid=1000 key=\"k\" 'y'")
    record = event.records[0]
    assert event.auid == 4294967295
    assert record.message == "x' auid=1000 key=\"k\" 'y"
    assert record.message_fields == {"auid": "1000", "key": "k"}
    assert "key" not in record.fields


def test_printing_cannot_move_the_readers_cursor() -> None:
    """Escape sequences and newlines print as octal, as do bytes that are no text."""
    text = STAMP + b"name=" + b"a\n\x1b[2J\xff\xc2\x9b".hex().upper().encode()
    (line,) = one(1302, text).render()
    assert line.endswith("name=a\\012\\033[2J\\377\\302\\233")
    assert line.isprintable()


def test_arguments_are_put_together() -> None:
    """The kernel splits a long argument over a1[0]=, a1[1]= and over records."""
    first = Record.from_netlink(1309, STAMP + b'argc=3 a0="sh" a1_len=6 a1[0]=2041')
    second = Record.from_netlink(1309, STAMP + b'a1[1]=42 a2="-c"')
    assert Event((first, second)).argv == ["sh", " AB", "-c"]


def test_proctitle_is_split_at_its_nuls() -> None:
    """PROCTITLE is the command line as it lies in memory."""
    event = one(1327, STAMP + b"proctitle=" + b"touch\0a b".hex().upper().encode())
    assert event.proctitle == ["touch", "a b"]
    assert event.render()[0].endswith("proctitle=touch a b")


def test_records_group_by_serial_even_when_interleaved() -> None:
    """Two processors write their events at the same time."""
    texts = [b"audit(1.000:1): a=1", b"audit(1.000:2): a=2", b"audit(1.000:1): a=3", b"audit(1.000:2): "]
    kinds = [1300, 1300, 1320, 1302]
    grouped = list(events(Record.from_netlink(kind, text) for kind, text in zip(kinds, texts, strict=True)))
    assert [event.serial for event in grouped] == [1, 2]
    assert [event.complete for event in grouped] == [True, False]


def test_a_missing_field_is_an_error_that_names_it() -> None:
    """An event without auid has no auid: nothing is made up."""
    with pytest.raises(RecordError, match="456 has no field 'auid'"):
        _ = one(1302, STAMP + b"item=0").auid
    with pytest.raises(RecordError, match="not a number"):
        _ = one(1302, STAMP + b"auid=x").auid


@given(kind=st.integers(0, 65535), text=st.binary(max_size=200), stamped=st.booleans())
def test_no_text_crashes_the_parser(kind: int, text: bytes, stamped: bool) -> None:
    """Any bytes are a record, which then prints, or a RecordError."""
    try:
        event = one(kind, (STAMP if stamped else b"") + text)
    except RecordError:
        assert not stamped
        return
    assert all(line.isprintable() for line in event.render())
    _ = (event.paths, event.proctitle, event.argv, event.keys, event.complete, event.records[0].message_fields)


NAMES = "arch syscall a0 a1 a2 a3 exit mode saddr sig code cap_fp uid ses res proctitle"


@given(
    names=st.lists(st.sampled_from(NAMES.split())),
    value=st.text("0123456789abcdefABCDEF-x\"'(), \n", max_size=12),
)
def test_no_value_crashes_the_interpreter(names: list[str], value: str) -> None:
    """A field that does not hold what it should prints as it came."""
    words = " ".join(f"{name}={value}" for name in names)
    event = one(1300, STAMP + b"arch=c000003e syscall=2 " + words.encode())
    assert event.render()


@given(st.text(max_size=100))
def test_no_line_crashes_the_reader_of_a_log(line: str) -> None:
    """Any line is a record or a RecordError."""
    for text in (line, f"type=SYSCALL msg=audit(1.000:1): {line}", f"type=USER msg=audit(1.000:1): msg='{line}"):
        try:
            assert Record.from_line(text).render()
        except RecordError:
            assert text == line
