"""The picture, drawn from a real run of both engines and held against /proc."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab.identity import UNSET, Ancestor, ancestry
from scenarios import lineages as posing
from scenarios.audiences.picture import draw
from scenarios.performance.performance import Performance
from scenarios.props.labd import Daemon
from scenarios.safety.journal import Journal
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.login import Login
from scenarios.stage.report import Report
from scenarios.stage.stage import Stage

pytestmark = pytest.mark.needs("root", "audit", "sudo")

USER = 3267


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Both engines in a place of the test's own, and a login. The path is short: a socket's has at most 107 bytes."""
    place = Path(tempfile.mkdtemp(prefix="lab-", dir="/run"))
    place.chmod(0o755)
    scripts = Path(sys.executable).parent
    with (
        Journal(place) as journal,
        Login(USER) as login,
        Daemon(journal, str(place / "labd.sock"), str(place / "state")) as daemon,
    ):
        engines = {
            FORK: Engine("podmanish", FORK, [str(scripts / "podmanish"), "--root", str(place / "fork")]),
            DAEMON: Engine("dockerish", DAEMON, [str(scripts / "dockerish"), "--host", f"unix://{daemon.path}"]),
        }
        here = Stage(Performance([]), journal, login, daemon, engines, target="", chosen=())
        here.report = Report("picture", "")
        yield here
    shutil.rmtree(place)


def test_what_it_says_is_what_proc_says(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """ps(1), asked while each container runs, names the same pids, parents and loginuids as the picture's processes."""
    witness: list[dict[int, tuple[int, int]]] = []
    look_up = ancestry

    def also_ps(pid: int) -> list[Ancestor]:
        witness.append(ps())
        return look_up(pid)

    monkeypatch.setattr("scenarios.stage.commands.ancestry", also_ps)
    lineages = posing.take(stage)
    for chain, table in ((lineages.forked, witness[0]), (lineages.client, witness[1]), (lineages.served, witness[1])):
        assert [(process.ppid, process.loginuid) for process in chain] == [table[process.pid] for process in chain]
        assert all(child.ppid == parent.pid for child, parent in pairwise(chain))
    drawn = [element.text or "" for element in ElementTree.fromstring(draw(lineages)).iter()]
    for process in (*lineages.forked, *lineages.client, *lineages.served):
        at = drawn.index(f"pid {process.pid}")
        assert (drawn[at - 1], drawn[at + 2]) == (process.comm, str(process.loginuid))


def ps() -> dict[int, tuple[int, int]]:
    """(parent, loginuid) of every process; ps prints an unset loginuid as "-"."""
    rows = subprocess.run(["ps", "-eo", "pid=,ppid=,luid="], capture_output=True, text=True, check=True).stdout
    fields = (row.split() for row in rows.splitlines())
    return {int(pid): (int(parent), UNSET if luid == "-" else int(luid)) for pid, parent, luid in fields}


def test_the_fork_keeps_it_and_the_socket_loses_it(stage: Stage) -> None:
    """From the login down every process of the fork has its loginuid; so has the client; the daemon's have none."""
    lineages = posing.take(stage)
    assert {process.loginuid for process in below(lineages.forked, stage.login.pid)} == {USER}
    assert {process.loginuid for process in below(lineages.client, stage.login.pid)} == {USER}
    assert lineages.client[0].comm == "dockerish"
    assert [process.comm for process in lineages.served[:3]] == ["cat", "labd-spawner", "labd"]
    assert {process.loginuid for process in lineages.served} == {UNSET}


def below(chain: Sequence[Ancestor], pid: int) -> Sequence[Ancestor]:
    """From the container up to the process of that pid."""
    return chain[: [process.pid for process in chain].index(pid) + 1]
