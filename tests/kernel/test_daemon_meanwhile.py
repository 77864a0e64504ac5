"""Requests that meet a container between two states: an end that is not recorded yet, a start that is under way.

A stopped spawner, or a client that reads nothing, makes such a moment as long as a test needs it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from awake import UPGRADE, ask, connect, container, ending
from private_labd import Labd
from support import soon

from daemon.engine import EXECS_KEPT

pytestmark = pytest.mark.needs("root")


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """A process that does nothing for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def status(labd: Labd, name: str) -> str:
    """What `docker ps` would show; "" for a container that is gone."""
    code, answer = labd.request("GET", f"/containers/{name}/json")
    return str(answer["State"]["Status"]) if code == 200 else ""


@pytest.mark.parametrize("end", ["stop?t=0", "kill", "wait"])
def test_a_start_that_is_under_way_comes_first(labd: Labd, end: str) -> None:
    """stop, kill and wait are about the run that begins: none says that nothing runs, and then it comes up."""
    container(labd, "begun", "sleep", "60", start=False)
    try:
        with ThreadPoolExecutor(2) as pool:
            with standing_still(labd.spawner):
                started = pool.submit(labd.request, "POST", "/containers/begun/start")
                time.sleep(0.2)
                ended = pool.submit(labd.request, "POST", f"/containers/begun/{end}")
                time.sleep(0.1)
                assert not (started.done() or ended.done())
            assert started.result()[0] == 204
            if end == "wait":
                assert not ended.done()
                assert labd.request("POST", "/containers/begun/kill")[0] == 204
                assert ended.result() == (200, {"StatusCode": 137})
            assert ended.result()[0] in (200, 204)
            assert status(labd, "begun") == "exited"
    finally:
        labd.request("DELETE", "/containers/begun?force=1")


def test_logs_follow_a_start_that_is_under_way(labd: Labd) -> None:
    """docker logs -f does not end because nothing runs yet."""
    container(labd, "told", "echo", "hello", start=False)
    try:
        with ThreadPoolExecutor(2) as pool:
            with standing_still(labd.spawner):
                pool.submit(labd.request, "POST", "/containers/told/start")
                time.sleep(0.2)
                followed = pool.submit(labd.request, "GET", "/containers/told/logs?stdout=1&follow=1")
                time.sleep(0.1)
                assert not followed.done()
            assert "hello" in followed.result()[1]
    finally:
        labd.request("DELETE", "/containers/told?force=1")


def test_a_start_that_is_under_way_at_the_daemons_end(new_labd: Callable[..., Labd]) -> None:
    """Its container gets the stop signal like all others."""
    daemon = new_labd()
    container(daemon, "begun", "sleep", "60", start=False)
    with ThreadPoolExecutor(2) as pool:
        events = pool.submit(daemon.request, "GET", '/events?filters={"event":["kill"]}')
        with standing_still(daemon.spawner):
            started = pool.submit(daemon.request, "POST", "/containers/begun/start")
            time.sleep(0.2)
            daemon.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        assert started.result()[0] == 204
        os.kill(daemon.request("GET", "/containers/begun/json")[1]["State"]["Pid"], signal.SIGKILL)
        assert daemon.process.wait(10) == 0
        assert events.result()[1]["Actor"]["Attributes"]["signal"] == "15"


def test_who_waits_for_an_end_hears_of_the_removal(labd: Labd) -> None:
    """A container that is removed before it has run has no exit any more: wait?condition=next-exit ends."""
    container(labd, "unborn", "true", start=False)
    with ThreadPoolExecutor(1) as pool:
        waited = pool.submit(labd.request, "POST", "/containers/unborn/wait?condition=next-exit", None, 5)
        time.sleep(0.1)
        assert labd.request("DELETE", "/containers/unborn")[0] == 204
        assert waited.result() == (200, {"StatusCode": 0})


def test_prune_passes_over_what_has_just_begun(labd: Labd) -> None:
    """A container that runs by now stays, and the others go: the answer lists them."""
    made = [container(labd, name, "sleep", "60", start=False) for name in ("prune-1", "prune-2", "prune-3")]
    try:
        with ThreadPoolExecutor(2) as pool:
            with standing_still(labd.spawner):
                started = pool.submit(labd.request, "POST", "/containers/prune-2/start")
                time.sleep(0.2)
                pruned = pool.submit(labd.request, "POST", "/containers/prune")
                time.sleep(0.1)
            assert started.result()[0] == 204
            code, answer = pruned.result()
        assert code == 200
        assert set(made) & set(answer["ContainersDeleted"]) == {made[0], made[2]}
        assert [status(labd, name) for name in ("prune-1", "prune-2", "prune-3")] == ["", "running", ""]
    finally:
        labd.request("DELETE", "/containers/prune-2?force=1")


def test_whoever_has_just_ended_is_joined_no_more(labd: Labd) -> None:
    """The start of a container in its pid namespace is refused with docker's 409."""
    with ending(labd, "donor"):
        container(labd, "joins", "true", start=False, HostConfig={"PidMode": "container:donor"})
        code, answer = labd.request("POST", "/containers/joins/start")
        assert labd.request("DELETE", "/containers/joins")[0] == 204
        assert status(labd, "donor") == "running"  # or this test has met no such moment
    assert code == 409 and "is not running" in answer["message"]


@pytest.mark.parametrize(("method", "path", "wanted"), [("POST", "/start", "running"), ("DELETE", "", "")])
def test_an_end_that_is_not_recorded_yet_comes_first(labd: Labd, method: str, path: str, wanted: str) -> None:
    """start and rm find a container that has ended, and not one that runs."""
    with ending(labd, "over") as client, ThreadPoolExecutor(1) as pool:
        answered = pool.submit(labd.request, method, f"/containers/over{path}")
        time.sleep(0.1)
        assert status(labd, "over") == "running"  # or this test has met no such moment
        client.close()
        assert answered.result() == (204, "")
        assert status(labd, "over") == wanted


def test_an_attached_client_gets_the_next_run(labd: Labd) -> None:
    """`docker start -a` attaches first: what has ended by then is over, even if that is not recorded yet."""
    attach = ask("POST", "/containers/next/attach?stream=1&stdout=1", headers=UPGRADE)
    with ending(labd, "next") as client, connect(labd, attach) as attached, ThreadPoolExecutor(1) as pool:
        time.sleep(0.1)
        started = pool.submit(labd.request, "POST", "/containers/next/start")
        time.sleep(0.1)
        client.close()
        assert started.result()[0] == 204
        received = 0
        while received < 10**6 and (data := attached.recv(1 << 16)):  # the first run has left less in its pipe
            received += len(data)
        assert received >= 10**6


def test_whoever_has_ended_is_not_checked(labd: Labd) -> None:
    """No health check fails because the container has ended: it keeps the health that it had."""
    check = {"Test": ["CMD", "true"], "Interval": 20 * 10**6, "Retries": 1}
    with ending(labd, "sound", Healthcheck=check):
        time.sleep(0.2)
        state = labd.request("GET", "/containers/sound/json")[1]["State"]
    assert state["Status"] == "running"  # or this test has met no such moment
    assert "the container has just ended" not in {result["Output"] for result in state["Health"]["Log"]}


@pytest.fixture
def small(labd: Labd, rootfs_tar: bytes) -> Iterator[str]:
    """The name of an image with files, and a name for what is committed: both are removed."""
    assert labd.request("POST", "/images/create?fromSrc=-&repo=meanwhile", rootfs_tar)[0] == 200
    yield "meanwhile"
    for name in ("meanwhile", "committed"):
        labd.request("DELETE", f"/images/{name}?force=1")


def helper(labd: Labd, program: str) -> int:
    """The pid of a program that works for labd on a container's files; it has just been started."""
    for _ in range(1000):
        for children in Path(f"/proc/{labd.pid}/task").glob("*/children"):
            for pid in map(int, children.read_text().split()):
                with suppress(FileNotFoundError):
                    if program in Path(f"/proc/{pid}/cmdline").read_text():
                        return pid
        time.sleep(0.001)
    raise AssertionError(f"no {program} was started")


def test_what_has_just_ended_is_committed(labd: Labd, small: str) -> None:
    """Its processes need not stand still any more."""
    with ending(labd, "written", Image=small):
        assert labd.request("POST", "/commit?container=written&repo=committed")[0] == 201


def test_what_is_being_committed_keeps_its_files(labd: Labd, small: str) -> None:
    """--rm removes the container after its end, but only once the image is made."""
    container(labd, "read", "sleep", "60", Image=small, HostConfig={"AutoRemove": True})
    with ThreadPoolExecutor(1) as pool:
        committed = pool.submit(labd.request, "POST", "/commit?container=read&repo=committed&pause=0")
        with standing_still(helper(labd, "contents.py")):
            assert labd.request("POST", "/containers/read/kill")[0] == 204
            time.sleep(0.1)
            assert status(labd, "read") == "exited"
        assert committed.result()[0] == 201
    assert soon(lambda: status(labd, "read") == "")


def test_a_copy_finds_what_has_just_ended(labd: Labd, small: str) -> None:
    """docker cp reads the files of a container that ends before the copy begins."""
    container(labd, "copied", "sleep", "60", Image=small)
    try:
        with ThreadPoolExecutor(1) as pool:
            copied = pool.submit(labd.request, "GET", "/containers/copied/archive?path=/etc/group")
            with standing_still(helper(labd, "programs.archiver")):
                assert labd.request("POST", "/containers/copied/kill")[0] == 204
            assert copied.result()[0] == 200
    finally:
        labd.request("DELETE", "/containers/copied?force=1")


def test_a_start_waits_for_a_copy_into_the_layer(labd: Labd, small: str) -> None:
    """Two overlays that write to one layer have no defined behaviour: overlayfs.rst, "Sharing and copying layers"."""
    container(labd, "filled", "sleep", "60", Image=small, start=False)
    try:
        with ThreadPoolExecutor(2) as pool:
            copied = pool.submit(labd.request, "PUT", "/containers/filled/archive?path=/tmp", b"\0" * 10240)
            with standing_still(helper(labd, "programs.archiver")):
                started = pool.submit(labd.request, "POST", "/containers/filled/start")
                time.sleep(0.2)
                assert not started.done()
            assert (copied.result()[0], started.result()[0]) == (200, 204)
    finally:
        labd.request("DELETE", "/containers/filled?force=1")


def test_an_exec_runs_from_its_start_on(labd: Labd) -> None:
    """While it is being started it is running, it is not the one to be dropped for newer ones, and a resize waits."""
    container(labd, "roomy", "sleep", "60")
    words = {"Cmd": ["sleep", "60"], "Tty": True}
    try:
        made = labd.request("POST", "/containers/roomy/exec", words)[1]["Id"]
        with ThreadPoolExecutor(2) as pool:
            with standing_still(labd.spawner):
                started = pool.submit(labd.request, "POST", f"/exec/{made}/start", {"Detach": True, "Tty": True})
                time.sleep(0.1)
                resized = pool.submit(labd.request, "POST", f"/exec/{made}/resize?h=10&w=20")
                for _ in range(EXECS_KEPT):
                    labd.request("POST", "/containers/roomy/exec", words)
                assert labd.request("GET", f"/exec/{made}/json")[1]["Running"] is True
                assert not (started.done() or resized.done())
            assert (started.result()[0], resized.result()[0]) == (200, 200)
    finally:
        labd.request("DELETE", "/containers/roomy?force=1")
