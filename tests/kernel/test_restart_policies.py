"""docker's --restart: the daemon starts a container again, unasked, and over its own restart, too."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from private_labd import Labd
from support import soon

from daemon.models import Restart
from daemon.restarting import comes_back
from lab.identity import UNSET, loginuid

pytestmark = pytest.mark.needs("root")
New = Callable[..., Labd]


def made(labd: Labd, name: str, policy: str, *command: str, most: int = 0, start: bool = True) -> None:
    """Make a container with this policy, and start it."""
    host = {"RestartPolicy": {"Name": policy, "MaximumRetryCount": most}}
    status, answer = labd.request("POST", f"/containers/create?name={name}", {
        "Image": "host", "Cmd": command, "HostConfig": host})  # fmt: skip
    assert status == 201, answer
    if start:
        assert labd.request("POST", f"/containers/{name}/start")[0] == 204


def shown(labd: Labd, name: str) -> dict[str, Any]:
    """Its State, with RestartCount."""
    answer = labd.request("GET", f"/containers/{name}/json")[1]
    return {**answer["State"], "RestartCount": answer["RestartCount"]}


def gone(labd: Labd, name: str) -> None:
    """Remove it, whatever it does."""
    assert labd.request("DELETE", f"/containers/{name}?force=1")[0] == 204


@pytest.mark.parametrize(
    ("policy", "code", "stopped", "wanted"),
    [("no", 1, False, False), ("", 1, False, False), ("always", 0, False, True), ("always", 0, True, True),
     ("unless-stopped", 0, False, True), ("unless-stopped", 0, True, False), ("on-failure", 0, False, False),
     ("on-failure", 1, False, True), ("on-failure", 1, True, False)],
)  # fmt: skip
def test_who_comes_back(policy: str, code: int, stopped: bool, wanted: bool) -> None:
    """By the policy, by the exit code, and by whether a user has stopped it."""
    assert comes_back(Restart(Name=policy), code, restarts=0, stopped=stopped) == wanted


def test_a_count_of_tries(labd: Labd) -> None:
    """on-failure:2 starts it twice more, then it stays exited with its code; the waits double from 0.1 s."""
    begin = time.monotonic()
    made(labd, "failing", "on-failure", "sh", "-c", "exit 7", most=2)
    try:
        assert soon(
            lambda: shown(labd, "failing")["RestartCount"] == 2 and shown(labd, "failing")["Status"] == "exited"
        )
        state = shown(labd, "failing")
        assert (state["ExitCode"], state["Restarting"], state["Running"]) == (7, False, False)
        assert time.monotonic() - begin >= 0.3
        time.sleep(0.8)  # the third wait would be 0.4 s
        assert shown(labd, "failing")["RestartCount"] == 2
    finally:
        gone(labd, "failing")


def test_success_is_no_failure(labd: Labd) -> None:
    """on-failure leaves a container alone that ended with 0."""
    made(labd, "well", "on-failure", "true")
    try:
        assert soon(lambda: shown(labd, "well")["Status"] == "exited")
        time.sleep(0.3)
        assert shown(labd, "well")["RestartCount"] == 0
    finally:
        gone(labd, "well")


def test_restarting_is_a_state(labd: Labd) -> None:
    """While it waits: Restarting, in ps, not to be paused, entered or removed without force; stop ends the wait."""
    made(labd, "again", "always", "sh", "-c", "exit 3")
    try:
        assert soon(lambda: shown(labd, "again")["RestartCount"] >= 3)  # the wait is 0.8 s by now
        time.sleep(0.2)  # that start is over, too
        assert soon(lambda: shown(labd, "again")["Restarting"])
        assert shown(labd, "again")["Running"]
        (row,) = labd.request("GET", "/containers/json")[1]
        assert (row["State"], row["Status"].partition(" (")[0]) == ("restarting", "Restarting")
        for method, path, body in (
            ("POST", "/containers/again/exec", {"Cmd": ["true"]}), ("DELETE", "/containers/again", None),
            ("POST", "/containers/again/pause", None),
        ):  # fmt: skip
            assert labd.request(method, path, body)[0] == 409, path
        assert labd.request("POST", "/containers/again/start")[0] == 304
        assert labd.request("POST", "/containers/again/stop")[0] == 204
        count = shown(labd, "again")["RestartCount"]
        assert (shown(labd, "again")["Status"], shown(labd, "again")["ExitCode"]) == ("exited", 3)
        time.sleep(2)
        assert shown(labd, "again")["RestartCount"] == count
        assert labd.request("POST", "/containers/again/start")[0] == 204  # and by hand it begins anew
        assert shown(labd, "again")["RestartCount"] == 0
        assert soon(lambda: shown(labd, "again")["RestartCount"] == 1, 1)  # with the first wait: the next were 1.6 s
    finally:
        gone(labd, "again")


def wake(pid: int) -> None:
    """SIGCONT in 0.3 s."""
    time.sleep(0.3)
    os.kill(pid, signal.SIGCONT)


@pytest.fixture
def coming(labd: Labd) -> Iterator[Future[None]]:
    """The container `coming` has died, and its next start is under way: the spawner stands still for a while."""
    made(labd, "coming", "always", "sleep", "60")
    while not shown(labd, "coming")["Restarting"]:  # on a busy machine the first wait, 0.1 s, may be too short
        os.kill(labd.spawner, signal.SIGCONT)
        assert soon(lambda: shown(labd, "coming")["Pid"])
        os.kill(shown(labd, "coming")["Pid"], signal.SIGKILL)
        assert soon(lambda: shown(labd, "coming")["Restarting"])
        os.kill(labd.spawner, signal.SIGSTOP)
    time.sleep(0.1 * 2 ** shown(labd, "coming")["RestartCount"] + 0.2)
    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(wake, labd.spawner)
        finally:
            labd.request("DELETE", "/containers/coming?force=1")


def test_restarting_lasts_until_it_runs(labd: Labd, coming: Future[None]) -> None:
    """While it is being started again it has not ended for good: nobody sees it exited, nobody removes it."""
    assert shown(labd, "coming")["Status"] == "restarting"
    assert labd.request("DELETE", "/containers/coming")[0] == 409  # answered when it has begun
    coming.result()
    assert shown(labd, "coming")["Status"] == "running"


@pytest.mark.parametrize("end", ["stop?t=0", "kill"])
def test_a_start_that_is_under_way_is_ended_too(labd: Labd, coming: Future[None], end: str) -> None:
    """Who stops or kills it then is not told that nothing runs while the container comes up behind that answer."""
    assert not coming.done()
    assert labd.request("POST", f"/containers/coming/{end}")[0] == 204
    coming.result()
    time.sleep(0.5)
    assert shown(labd, "coming")["Status"] == "exited"


def test_docker_wait_hears_of_the_next_end(labd: Labd, coming: Future[None]) -> None:
    """A wait that begins while it is being started again is for the end of that run."""
    with ThreadPoolExecutor(1) as pool:
        waited = pool.submit(labd.request, "POST", "/containers/coming/wait")
        coming.result()
        assert soon(lambda: shown(labd, "coming")["Status"] == "running")
        assert not waited.done()
        assert labd.request("POST", "/containers/coming/stop?t=0")[0] == 204
        assert waited.result()[1]["StatusCode"] in (137, 143)


@pytest.mark.parametrize("end", ["stop?t=0", "kill"])
def test_a_user_who_ends_it_is_heard(labd: Labd, end: str) -> None:
    """docker stop and docker kill are the last word, also with `always`."""
    made(labd, "steady", "always", "sleep", "60")
    try:
        assert labd.request("POST", f"/containers/steady/{end}")[0] == 204
        time.sleep(0.5)
        state = shown(labd, "steady")
        assert (state["Status"], state["RestartCount"]) == ("exited", 0)
    finally:
        gone(labd, "steady")


def test_a_start_that_fails_is_not_followed_by_another(labd: Labd) -> None:
    """A container that has begun and cannot be recorded is ended, and does not come up behind that answer."""
    made(labd, "unwritten", "always", "sleep", "60", start=False)
    (path,) = labd.state.glob(f"labd/containers/{labd.request('GET', '/containers/unwritten/json')[1]['Id']}/state")
    try:
        with ThreadPoolExecutor(1) as pool:
            os.kill(labd.spawner, signal.SIGSTOP)
            started = pool.submit(labd.request, "POST", "/containers/unwritten/start")
            time.sleep(0.2)
            path.unlink()
            path.mkdir()  # which no rename(2) of a file replaces
            os.kill(labd.spawner, signal.SIGCONT)
            assert started.result()[0] == 500
        path.rmdir()
        time.sleep(0.3)
        assert (shown(labd, "unwritten")["Status"], shown(labd, "unwritten")["RestartCount"]) == ("exited", 0)
    finally:
        os.kill(labd.spawner, signal.SIGCONT)
        gone(labd, "unwritten")


def test_a_policy_does_not_undo_a_stop(labd: Labd) -> None:
    """docker update gives a policy to a container that is being stopped: it does not come back from that stop."""
    made(labd, "leaving", "no", "sleep", "60")  # pid 1 of a namespace ignores SIGTERM
    try:
        with ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(labd.request, "POST", "/containers/leaving/stop?t=30")
            time.sleep(0.1)
            policy = {"RestartPolicy": {"Name": "always"}}
            assert labd.request("POST", "/containers/leaving/update", policy)[0] == 200
            os.kill(shown(labd, "leaving")["Pid"], signal.SIGKILL)
            assert stopped.result()[0] == 204
        assert (shown(labd, "leaving")["Status"], shown(labd, "leaving")["ExitCode"]) == ("exited", 137)
    finally:
        gone(labd, "leaving")


def test_a_process_that_dies_comes_back_as_nobodys(labd: Labd) -> None:
    """Its first process is killed from outside: another is started by no request, with the daemon's loginuid."""
    made(labd, "mortal", "unless-stopped", "sleep", "60")
    try:
        first = shown(labd, "mortal")["Pid"]
        os.kill(first, signal.SIGKILL)
        assert soon(lambda: shown(labd, "mortal")["Pid"] not in (0, first))
        assert loginuid(shown(labd, "mortal")["Pid"]) == loginuid(labd.pid)
        assert shown(labd, "mortal")["RestartCount"] == 1
    finally:
        gone(labd, "mortal")


def test_wrong_policies(labd: Labd) -> None:
    """A policy that docker does not know, a count where none belongs, and --rm beside a policy are a 400."""
    for policy, words in (
        ({"Name": "sometimes"}, "unknown policy"), ({"Name": "always", "MaximumRetryCount": 2}, "maximum retry count"),
        ({"Name": "on-failure", "MaximumRetryCount": -1}, "cannot be negative"),
    ):  # fmt: skip
        body = {"Image": "host", "Cmd": ["true"], "HostConfig": {"RestartPolicy": policy}}
        status, answer = labd.request("POST", "/containers/create", body)
        assert status == 400 and words in answer["message"]
    host = {"RestartPolicy": {"Name": "always"}, "AutoRemove": True}
    status, answer = labd.request("POST", "/containers/create", {"Image": "host", "Cmd": ["true"], "HostConfig": host})
    assert status == 400 and "AutoRemove" in answer["message"]


def test_update_of_the_policy(labd: Labd) -> None:
    """docker update --restart counts from the next end on."""
    made(labd, "changed", "no", "sleep", "60")
    try:
        body = {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1}}
        assert labd.request("POST", "/containers/changed/update", body)[0] == 200
        os.kill(shown(labd, "changed")["Pid"], signal.SIGKILL)
        assert soon(lambda: shown(labd, "changed")["RestartCount"] == 1 and shown(labd, "changed")["Pid"])
    finally:
        gone(labd, "changed")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_over_the_daemons_own_restart(new_labd: New, tmp_path: Path, how: signal.Signals) -> None:
    """The next daemon starts what should run: `always` even if it was stopped, `unless-stopped` only if it was not."""
    state = tmp_path / "state"
    daemon = new_labd("first", state=state)
    for name, policy in (("a", "always"), ("u", "unless-stopped"), ("f", "on-failure"), ("n", "no")):
        made(daemon, f"{name}-runs", policy, "sleep", "60")
        made(daemon, f"{name}-stopped", policy, "sleep", "60")
        assert daemon.request("POST", f"/containers/{name}-stopped/stop?t=0")[0] == 204
    made(daemon, "never", "always", "sleep", "60", start=False)
    daemon.process.send_signal(how)
    daemon.process.wait(30)
    daemon = new_labd("second", state=state)
    wanted = {"a-runs", "a-stopped", "u-runs", "f-runs"}

    def running() -> set[str]:
        return {row["Names"][0].removeprefix("/") for row in daemon.request("GET", "/containers/json")[1]}

    try:
        assert soon(lambda: running() == wanted), running()
        time.sleep(0.3)
        assert running() == wanted
        assert all(loginuid(shown(daemon, name)["Pid"]) in (UNSET, loginuid(daemon.pid)) for name in wanted)
    finally:
        for row in daemon.request("GET", "/containers/json?all=1")[1]:
            gone(daemon, row["Id"])


def test_docker_run(labd: Labd) -> None:
    """`dockerish run --restart on-failure:1` returns with the first exit code; the container goes on."""
    done = labd.dockerish("run", "--name", "mine", "--restart", "on-failure:1", "host", "sh", "-c", "exit 9")
    try:
        assert done.returncode == 9
        assert soon(lambda: shown(labd, "mine")["RestartCount"] == 1)
    finally:
        gone(labd, "mine")
