"""docker's health checks: run by the daemon on a timer, in the container, for nobody."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from private_labd import Labd
from support import soon

from lab.identity import loginuid

pytestmark = pytest.mark.needs("root")
MS = 10**6


def made(labd: Labd, name: str, test: str, **more: Any) -> str:
    """Start a container that stays, with this check; the name."""
    check = {"Test": ["CMD-SHELL", test], "Interval": 100 * MS, **more}
    body = {"Image": "host", "Cmd": ["sleep", "60"], "Healthcheck": check}
    status, answer = labd.request("POST", f"/containers/create?name={name}", body)
    assert status == 201, answer
    assert labd.request("POST", f"/containers/{name}/start")[0] == 204
    return name


def health(labd: Labd, name: str) -> dict[str, Any]:
    """Its State.Health."""
    found: dict[str, Any] = labd.request("GET", f"/containers/{name}/json")[1]["State"]["Health"]
    return found


def gone(labd: Labd, name: str) -> None:
    """Remove it."""
    assert labd.request("DELETE", f"/containers/{name}?force=1")[0] == 204


def test_well_and_ill(labd: Labd) -> None:
    """Starting, healthy with the first success, unhealthy after so many failures in a row; ps and its filter say so."""
    name = made(labd, "patient", "echo looked; test ! -e /tmp/ill", Retries=2)
    try:
        assert health(labd, name)["Status"] == "starting"
        assert soon(lambda: health(labd, name)["Status"] == "healthy")
        result = health(labd, name)["Log"][-1]
        assert (result["ExitCode"], result["Output"]) == (0, "looked\n")
        assert "(healthy)" in labd.request("GET", "/containers/json")[1][0]["Status"]
        labd.dockerish("exec", name, "touch", "/tmp/ill")
        assert soon(lambda: health(labd, name)["Status"] == "unhealthy")
        assert health(labd, name)["FailingStreak"] >= 2
        assert soon(lambda: len(health(labd, name)["Log"]) == 5)
        for wanted, count in (("unhealthy", 1), ("healthy", 0), ("none", 0)):
            query = quote(json.dumps({"health": [wanted]}))
            assert len(labd.request("GET", f"/containers/json?filters={query}")[1]) == count
    finally:
        gone(labd, name)


def test_whose_process_a_check_is(labd: Labd) -> None:
    """No request starts it and no user: its loginuid is the daemon's."""
    name = made(labd, "watched", "cat /proc/self/loginuid")
    try:
        assert soon(lambda: health(labd, name)["Log"])
        assert int(health(labd, name)["Log"][0]["Output"]) == loginuid(labd.pid)
    finally:
        gone(labd, name)


def test_a_check_that_hangs(labd: Labd) -> None:
    """After its timeout it is killed, and counts as failed with -1."""
    name = made(labd, "hangs", "sleep 50", Timeout=200 * MS, Retries=1)
    try:
        assert soon(lambda: health(labd, name)["Status"] == "unhealthy")
        result = health(labd, name)["Log"][-1]
        assert (result["ExitCode"], "exceeded timeout (0.2s)" in result["Output"]) == (-1, True)
        assert soon(lambda: "sleep 50" not in labd.dockerish("exec", name, "cat", "/proc/1/cmdline").stdout.decode())
    finally:
        gone(labd, name)


def test_a_check_that_does_not_start(labd: Labd) -> None:
    """A command that the image lacks has failed, with -1 and the reason, as in dockerd."""
    name = made(labd, "lacks", "", Test=["CMD", "nosuch"], Retries=1)
    try:
        assert soon(lambda: health(labd, name)["Status"] == "unhealthy")
        result = health(labd, name)["Log"][-1]
        assert (result["ExitCode"], "nosuch" in result["Output"]) == (-1, True)
    finally:
        gone(labd, name)


def test_a_start_that_takes_its_time(labd: Labd) -> None:
    """In the start period a failure does not count; the checks come at the start interval."""
    name = made(labd, "slow", "false", Retries=1, StartPeriod=2000 * MS, StartInterval=50 * MS)
    try:
        assert soon(lambda: len(health(labd, name)["Log"]) == 5)
        assert (health(labd, name)["Status"], health(labd, name)["FailingStreak"]) == ("starting", 0)
        assert soon(lambda: health(labd, name)["Status"] == "unhealthy")
    finally:
        gone(labd, name)


def test_events(labd: Labd) -> None:
    """A check leaves the events of an exec, and each change of health one of its own."""
    name = made(labd, "told", "true")
    try:
        assert soon(lambda: health(labd, name)["Status"] == "healthy")
        told = map(json.loads, labd.request("GET", f"/events?since=0&until={time.time()}")[1].splitlines())
        actions = [event["Action"] for event in told if event["Actor"]["Attributes"].get("name") == name]
        begin = actions.index("start")
        assert actions[begin + 1 : begin + 5] == [
            "exec_create: /bin/sh -c true", "exec_start: /bin/sh -c true", "exec_die", "health_status: healthy",
        ]  # fmt: skip
    finally:
        gone(labd, name)


def test_what_printed_too_much(labd: Labd) -> None:
    """The first 4,096 bytes of the output are kept, and the container's own log has none of them."""
    name = made(labd, "loud", "head -c 100000 /dev/zero | tr '\\0' x")
    try:
        assert soon(lambda: health(labd, name)["Log"])
        assert health(labd, name)["Log"][0]["Output"] == "x" * 4096
        assert labd.dockerish("logs", name).stdout == b""
    finally:
        gone(labd, name)


@pytest.mark.parametrize(
    ("check", "words"),
    [({"Test": ["SOMETIMES"]}, "unknown type of health check"), ({"Test": ["CMD"]}, "no command"),
     ({"Test": ["CMD-SHELL", ""]}, "no command"), ({"Test": ["CMD", "true"], "Interval": 5}, "less than 1ms"),
     ({"Test": ["CMD", "true"], "Retries": -1}, "cannot be negative")],
)  # fmt: skip
def test_wrong_checks(labd: Labd, check: dict[str, Any], words: str) -> None:
    """What docker refuses is a 400."""
    status, answer = labd.request(
        "POST", "/containers/create", {"Image": "host", "Cmd": ["true"], "Healthcheck": check}
    )
    assert status == 400 and words in answer["message"]


def test_by_the_command(labd: Labd, tmp_path: Path) -> None:
    """`dockerish run --health-cmd` and its kin, with docker's durations; the docker command's own arrive as well."""
    words = ("--health-cmd", "true", "--health-interval", "100ms", "--health-timeout", "1m30s", "--health-retries", "4")
    labd.dockerish("run", "-d", "--name", "fit", *words, "--health-start-period", "1s", "host", "sleep", "60")
    try:
        assert soon(lambda: health(labd, "fit")["Status"] == "healthy")
        shown = labd.request("GET", "/containers/fit/json")[1]["Config"]["Healthcheck"]
        assert shown == {
            "Test": ["CMD-SHELL", "true"], "Interval": 100 * MS, "Timeout": 90_000 * MS, "Retries": 4,
            "StartPeriod": 1000 * MS,
        }  # fmt: skip
    finally:
        gone(labd, "fit")
