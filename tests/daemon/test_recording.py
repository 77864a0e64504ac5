"""The daemon can be killed between any two writes of a container's state: what was last written then stands alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon import recording
from lab import files
from lab.record import UNKNOWN, Record
from lab.spec import Spec

KILLED = "the exit code is unknown: the daemon's spawner was killed"


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """A container whose spawner is dead."""
    dead = {"monitor": os.getpid(), "monitor_start_time": 1}
    return Record(str(tmp_path), {"name": "box"}, {"status": "running", **dead})


def written(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """The states that are written from now on."""
    states: list[dict[str, object]] = []
    monkeypatch.setattr(files, "write", lambda path, value, durable=True: states.append(dict(value)))
    return states


def test_an_unknown_code_is_written_with_its_reason(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """255 alone would be a code that the program might have returned."""
    states = written(monkeypatch)
    recording.save_end(record, UNKNOWN, oom_killed=False)
    assert [(state["exit_code"], state["error"]) for state in states] == [(UNKNOWN, KILLED)]


def test_a_known_code_has_no_reason(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not the spawner has died since."""
    states = written(monkeypatch)
    recording.save_end(record, 3, oom_killed=False)
    assert [(state["exit_code"], state["error"]) for state in states] == [(3, "")]


def test_the_last_reason_stays_until_the_next_run_is_recorded(record: Record) -> None:
    """A daemon that is killed while it starts a container again leaves the code and the reason of the run before."""
    recording.save_end(record, UNKNOWN, oom_killed=False)
    recording.save_before_start(record, Spec(args=["true"]))
    assert (record.state["exit_code"], record.state["error"]) == (UNKNOWN, KILLED)
    record.started(os.getpid(), os.getpid())
    assert (record.state["exit_code"], record.state["error"]) == (None, "")
