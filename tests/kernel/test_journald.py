"""The journald that a story starts: what it says of a sender, and that it leaves the machine as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import CHECKOUT, own_mounts

from lab.audit.netlink import AuditControl
from lab.identity import set_loginuid
from lab.pidfd import is_alive
from scenarios.props.journald import PROGRAM, Journald
from scenarios.safety.journal import Journal

USER = 3267
pytestmark = [
    pytest.mark.needs("root", "audit", "setpriv", "unshare"),
    pytest.mark.skipif(not Path(PROGRAM).exists(), reason="systemd-journald is not installed"),
]


def say(journald: Journald, tag: str, loginuid: int | None) -> str:
    """Say a word under this tag, in a login if a loginuid is given; what journald then knows."""
    command = f"(echo word; sleep .2) | logger --socket {journald.socket} -t {tag}"
    login = None if loginuid is None else lambda: set_loginuid(loginuid)
    subprocess.run(["sh", "-c", command], check=True, timeout=60, preexec_fn=login)
    journald.await_message(tag)
    done = subprocess.run(journald.command(tag), capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_it_names_the_login_of_the_sender(short_place: Path) -> None:
    """_AUDIT_LOGINUID= and _AUDIT_SESSION= are the sender's; where they are unset, journald leaves them out."""
    with Journal(short_place) as journal, Journald(journal) as journald:
        assert f"_AUDIT_LOGINUID={USER}\n" in say(journald, "login", USER)
        nobody = say(journald, "nobody", 2**32 - 1)
    assert "_COMM=logger\n" in nobody and "_AUDIT_" not in nobody


def test_it_leaves_audit_alone_and_nothing_behind(short_place: Path) -> None:
    """Audit's enabled flag is as before, no audit record is read; then its process, files and mounts are gone."""
    with AuditControl() as control, Journal(short_place) as journal:
        before = control.status().enabled
        logs = [set(Path(place).glob("*/*")) for place in ("/run/log", "/var/log/journal")]
        with Journald(journal) as journald:
            control.user_message("lab: not for journald")
            assert "_TRANSPORT=audit" not in say(journald, "after", None)
            everything = ["journalctl", "--file", journald.files, "-o", "verbose"]
            said = subprocess.run(everything, capture_output=True, text=True, check=True, timeout=60).stdout
            assert "_TRANSPORT=syslog" in said and "_TRANSPORT=audit" not in said
            assert control.status().enabled == before
            noted = [json.loads(line) for line in journal.path.read_text().splitlines()]
        assert [set(Path(place).glob("*/*")) for place in ("/run/log", "/var/log/journal")] == logs
        assert own_mounts(journald.socket.parent) == []
    assert {entry["kind"] for entry in noted} == {"directory", "process"}
    assert not any(is_alive(entry["pid"], entry["start_time"]) for entry in noted if "pid" in entry)
    assert not journald.socket.parent.exists()


def test_a_killed_stage_is_taken_back(short_place: Path) -> None:
    """After SIGKILL of the stage its journal still ends journald, and removes its directory."""
    code = f"""
import os, sys
sys.path.insert(0, {str(CHECKOUT)!r})
from pathlib import Path
from scenarios.safety.journal import Journal
from scenarios.props.journald import Journald
with Journal(Path({str(short_place)!r})) as journal, Journald(journal) as journald:
    print(journald.socket.parent, flush=True)
    os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    place = Path(killed.stdout.strip())
    assert place.is_dir(), killed.stderr
    with Journal(short_place) as journal:
        assert {line.split(":")[0] for line in journal.restored} == {"process", "directory"}
    assert not place.exists()
