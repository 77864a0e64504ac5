"""labd's VIRT_CONTROL records: the kernel's fields are labd's, and audit's own tools read the words that labd wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from private_labd import Labd
from support import CHECKOUT, soon

from daemon import virt_control
from daemon.peer import Peer
from lab.audit.netlink import AUDIT_VIRT_CONTROL, AuditControl
from lab.audit.records import Record
from lab.audit.watch import Watch
from lab.identity import loginuid, name_of, sessionid, set_loginuid

pytestmark = pytest.mark.needs("root", "audit")

USER = 3267
ID = "0123456789abcdef" * 4
UUID = "01234567-89ab-cdef-0123-456789abcdef"
ROOT = Peer(99, 0, 0, 0, "SO_PEERPIDFD")
Start = Callable[..., Labd]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """Audit is on, and every record is read."""
    (tmp_path / "shadow").touch()
    with Watch(str(tmp_path / "shadow")) as watch:
        yield watch


def records(watch: Watch) -> list[Record]:
    """The VIRT_CONTROL records so far."""
    watch.collect()
    return [record for event in watch.events for record in event.of_type(AUDIT_VIRT_CONTROL)]


def words(record: Record) -> dict[str, str]:
    """What labd wrote, by name."""
    return dict(word.split("=", 1) for word in record.message.split())


def test_a_start_and_an_end_are_on_record_and_who_asked(watch: Watch, new_labd: Start) -> None:
    """The record's auid is labd's; sauid names whose login asked for the start, and the end has none."""
    labd = new_labd("d", "--attribution", "log")
    started = labd.dockerish("run", "-d", "--name", "vc", "host", "sleep", "600", preexec_fn=lambda: set_loginuid(USER))
    assert started.returncode == 0, started.stderr
    (inspected,) = json.loads(labd.dockerish("inspect", "vc").stdout)
    assert labd.dockerish("rm", "-f", "vc").returncode == 0
    assert soon(lambda: len(records(watch)) >= 2)
    start, stop = records(watch)
    for record in (start, stop):
        assert (record.fields["pid"], record.fields["auid"], record.fields["ses"]) == (
            str(labd.pid), str(loginuid(labd.pid)), str(sessionid(labd.pid))
        )  # fmt: skip
        told = words(record)
        assert (told["virt"], told["vm"], told["vm-pid"]) == ("labd", '"vc"', str(inspected["State"]["Pid"]))
        assert told["uuid"].replace("-", "") == inspected["Id"][:32]
        assert told["res"] == "success"
    assert (words(start)["op"], words(start)["sauid"]) == ("start", str(USER))
    assert words(stop)["op"] == "stop" and "sauid" not in words(stop)


def test_a_start_that_failed_is_on_record(watch: Watch, new_labd: Start) -> None:
    """res=failed, with the asker, and no end."""
    labd = new_labd("d", "--attribution", "stamp")
    assert labd.dockerish("run", "--rm", "host", "/no/such").returncode == 127
    (record,) = records(watch)
    assert words(record)["op"] == "start" and words(record)["res"] == "failed"


def test_the_end_is_on_record_before_the_client_knows(watch: Watch, new_labd: Start) -> None:
    """When `dockerish run` returns, both records are there, in their order, however short the container's life was."""
    labd = new_labd("d", "--attribution", "log")
    for _ in range(5):
        assert labd.dockerish("run", "--rm", "host", "true").returncode == 0
    assert [words(record)["op"] for record in records(watch)] == ["start", "stop"] * 5


def test_without_attribution_nothing_is_written(watch: Watch, new_labd: Start) -> None:
    """As dockerd: the audit log knows of no container."""
    assert new_labd("d").dockerish("run", "--rm", "host", "true").returncode == 0
    assert records(watch) == []


@pytest.mark.needs("setpriv")
def test_without_the_capability_containers_start_all_the_same() -> None:
    """Without CAP_AUDIT_WRITE labd's log says that there is no record."""
    code = f"from daemon import virt_control; virt_control.write('start', {ID!r}, 'vc', 1, None)"
    command = ["setpriv", "--bounding-set=-audit_write", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=CHECKOUT)
    assert "no VIRT_CONTROL record of vc's start" in done.stderr


@pytest.fixture
def log(watch: Watch, tmp_path: Path) -> Path:
    """An audit.log with a container's start and its end."""
    with AuditControl() as control:
        start = virt_control.message("start", ID, "vc", 4711, ROOT, success=True)
        stop = virt_control.message("stop", ID, "vc", 4711, None, success=True)
        for text in (start, stop):
            control.user_message(text, AUDIT_VIRT_CONTROL)
    path = tmp_path / "audit.log"
    path.write_text("".join(f"{record.to_line()}\n" for record in records(watch)))
    return path


def said(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.needs("ausearch")
def test_audits_own_tools_read_it(log: Path) -> None:
    """ausearch finds it by type, name and uuid, and names the asker; aureport lists it."""
    for search in (("-m", "VIRT_CONTROL"), ("--vm-name", "vc"), ("--uuid", UUID)):
        found = said("ausearch", "-if", str(log), "-i", *search)
        assert found.count("type=VIRT_CONTROL") == 2
        assert f"vm=vc uuid={UUID} vm-pid=4711 spid=99 sauid=root exe=" in found
        assert f"auid={name_of(loginuid())}" in found
    assert said("aureport", "-if", str(log), "--virt").count("VIRT_CONTROL yes") == 2


@pytest.mark.needs("auvirt")
def test_auvirt_lists_it(log: Path) -> None:
    """auvirt(8) came with audit until version 3."""
    assert [line.split()[:2] for line in said("auvirt", "--file", str(log), "--all-events").splitlines()] == [
        ["start", "vc"], ["stop", "vc"]
    ]  # fmt: skip


def test_what_a_user_chose_cannot_pass_for_a_field() -> None:
    """A blank, a quote, a control character or another script: the value is written in hexadecimal."""
    assert virt_control.encoded("quick_fox.1") == '"quick_fox.1"'
    for value in ("a b", 'a"b', "a\nb", "ä"):
        assert bytes.fromhex(virt_control.encoded(value)).decode() == value
