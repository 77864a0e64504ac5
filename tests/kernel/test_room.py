"""The daemons of the story gallery: they live in a room of their own, and nothing of them stays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import soon

from lab.errors import MissingFeature
from lab.pidfd import ended, is_alive, start_time
from scenarios import needs
from scenarios.props import room as room_prop
from scenarios.props.room import SPOOLS, Room
from scenarios.safety.journal import Journal

pytestmark = pytest.mark.needs("root", "cron", "at")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal of this test's own."""
    with Journal(tmp_path) as journal:
        yield journal


def outside() -> list[object]:
    """What the daemons would change on the machine: mounts, spools, files of /etc and /run."""
    listed = [sorted(path.name for path in Path(spool).iterdir()) for spool in SPOOLS if Path(spool).is_dir()]
    files = [Path("/etc", name) for name in ("crontab", "doas.conf")]
    read = [file.read_bytes() if file.exists() else None for file in files]
    there = [Path("/run", name).exists() for name in ("sshd", "crond.pid", "crond.reboot", "atd.pid")]
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [listed, read, there, [points.count(point) for point in ("/mnt", "/run", "/etc", *SPOOLS)]]


def test_a_room_changes_nothing_outside(journal: Journal) -> None:
    """cron runs the room's job and atd the room's; the machine's own files are as they were, meanwhile and after."""
    before = outside()
    home = journal.directory("gallery", mode=0o755)
    with Room(journal, home) as room:
        room.etc("crontab", f"@reboot root echo from cron >{home}/cron.txt\n")
        room.cron()
        room.atd()
        needs.run([*room.enter, "sh", "-c", f"echo 'echo from at >{home}/at.txt' | at -M now"])
        needs.run(["sh", "-c", f"for i in $(seq 100); do cat {home}/at.txt {home}/cron.txt && break; sleep .1; done"])
        assert ((home / "cron.txt").read_text(), (home / "at.txt").read_text()) == ("from cron\n", "from at\n")
        assert outside() == before
        pid, began = room.pid, start_time(room.pid)
    assert outside() == before
    assert not is_alive(pid, began)


def test_a_killed_runs_room_is_taken_back(tmp_path: Path) -> None:
    """Nobody leaves the room: what the journal has noted ends all of it."""
    with Journal(tmp_path) as journal:
        home = journal.directory("gallery", mode=0o755)
        room = Room(journal, home)
        room.cron()
        pid, began = room.pid, start_time(room.pid)
        journal.keep()
    assert is_alive(pid, began)
    with Journal(tmp_path) as later:
        assert len([line for line in later.restored if line.startswith("process")]) == 2
    assert not is_alive(pid, began)
    assert not home.exists()


def test_a_job_whose_answer_nobody_reads_ends(tmp_path: Path) -> None:
    """cron's job waits to open a fifo whose reader was killed: it goes with the directory, and cron's child with it."""
    with Journal(tmp_path) as journal:
        home = journal.directory("gallery", mode=0o755)
        with Room(journal, home) as room:
            os.mkfifo(home / "cron.out")
            room.etc("crontab", f"@reboot root echo $$ >{home}/pid; echo from cron >{home}/cron.out\n")
            room.cron()
            assert soon(lambda: (home / "pid").exists() and (home / "pid").read_text() != "")
            job = os.pidfd_open(int((home / "pid").read_text()))
        assert not ended(job, 0.2), "it does not wait"
    assert ended(job, 10)
    os.close(job)
    assert not home.exists()


def test_a_room_that_cannot_be_furnished_is_asked_for_once(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each launcher that wants it says so, with the reason, and does not wait for it again."""
    monkeypatch.setattr(room_prop, "FURNISH", "echo no mounts here >&2; exit 1")
    with Room(journal, journal.directory("gallery")) as room:
        for ask in (room.cron, room.atd):
            with pytest.raises(MissingFeature, match="no mounts here"):
                ask()
        assert len(room._pidfds) == 1
