"""Requests at the edge of what HTTP, JSON and files can hold: a plain answer, and nothing left behind."""

from __future__ import annotations

import io
import json
import socket
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from awake import UPGRADE, ask, connect, container, descriptors, held, wait
from private_labd import Labd

from lab.runtime import cgroup

LONG = (
    ("POST", "/containers/edge/wait"), ("GET", "/events"), ("GET", "/containers/edge/logs?follow=1&stdout=1"),
)  # fmt: skip


@pytest.fixture
def edge(labd: Labd) -> Iterator[str]:
    """A container that runs for the length of the test."""
    yield container(labd, "edge", "sleep", "120")
    labd.request("DELETE", "/containers/edge?force=1")


@pytest.mark.parametrize(("method", "path"), LONG)
def test_who_leaves_with_more_sent_leaves_nothing_behind(labd: Labd, edge: str, method: str, path: str) -> None:
    """Requests behind the first, junk, an upgrade that the route does not know: the client's end is noticed."""
    before = held(labd)
    behind = (ask("GET", "/_ping") * 3, b"junk", b"x" * (1 << 20))
    for headers in ("", UPGRADE, "Connection: close\r\n"):
        for more in behind:
            for _ in range(5):
                connection = connect(labd, ask(method, path, headers=headers))
                time.sleep(0.01)
                with suppress(OSError):
                    connection.sendall(more)
                time.sleep(0.01)
                connection.close()
        connection = connect(labd, ask(method, path, headers=headers))
        connection.shutdown(socket.SHUT_WR)
        connection.close()
    for _ in range(100):
        if (after := held(labd)) <= before:
            break
        time.sleep(0.1)
    assert after <= before


def test_pipelined_requests_are_answered_in_turn(labd: Labd) -> None:
    """Each of ten at once."""
    with connect(labd, ask("GET", "/_ping") * 10, 5) as connection:
        answer = b""
        while answer.count(b"200 OK") < 10 or not answer.endswith(b"OK"):
            answer += connection.recv(1 << 16)
    assert answer.count(b"200 OK") == 10


def test_half_a_character_is_400_however_it_is_written(labd: Labd) -> None:
    """As bytes that are no UTF-8, and as UTF-16."""
    for field in (b'"Hostname":"h\xed\xa0\x80"', b'"Labels":{"\xed\xa0\x80":""}'):
        assert labd.request("POST", "/containers/create", b'{"Image":"host","Cmd":["true"],' + field + b"}")[0] == 400
    device = b'"HostConfig":{"Devices":[{"PathOnHost":"/dev/\xed\xa0\x80"}]}'
    assert labd.request("POST", "/containers/create", b'{"Image":"host","Cmd":["true"],' + device + b"}")[0] == 400
    wide = '{"Image":"host","Cmd":["true"],"Hostname":"\\ud800"}'.encode("utf-16")
    assert labd.request("POST", "/containers/create", wide)[0] == 400


def test_a_stop_timeout_is_64_bits_wide(labd: Labd) -> None:
    """More would overflow when the container is stopped."""
    for seconds in (2**63, -(10**400), 10**400):
        body = b'{"Image":"host","Cmd":["true"],"StopTimeout":%d}' % seconds
        assert labd.request("POST", "/containers/create", body)[0] == 400


def test_a_file_of_any_time_can_be_copied(labd: Labd, edge: str) -> None:
    """A tmpfs keeps 64 bits of seconds; RFC 3339 ends with the year 9999."""
    for seconds in (2**56, -(2**56), -(10**11)):
        made = labd.request("POST", "/containers/edge/exec", {"Cmd": ["touch", "-d", f"@{seconds}", "/dev/shm/x"]})[1]
        assert labd.request("POST", f"/exec/{made['Id']}/start", {})[0] == 200
        assert labd.request("GET", f"/exec/{made['Id']}/json")[1]["ExitCode"] == 0
        assert labd.request("HEAD", "/containers/edge/archive?path=/dev/shm/x")[0] == 200


def test_a_tars_long_name_is_told_in_short(labd: Labd, edge: str) -> None:
    """And its control characters as escapes."""
    for name in ("a" * 100_000, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 100_000, "\x1b[31m\n" + "b" * 300):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            archive.addfile(tarfile.TarInfo(name))
        for method, path in (
            ("PUT", "/containers/edge/archive?path=/tmp"),
            ("POST", "/images/create?fromSrc=-&repo=edge"),
        ):
            status, answer = labd.request(method, path, data.getvalue())
            assert status == 400, answer
            assert len(answer["message"]) < 1200
            assert answer["message"].isprintable()


def test_a_variable_without_a_value_is_taken_away(labd: Labd) -> None:
    """Env ["HOSTNAME"]: Docker's way to be without what the image or the engine sets."""
    container(labd, "edge-env", "env", Env=["HOSTNAME", "A=1"])
    assert wait(labd, "edge-env") == 0
    text = labd.request("GET", "/containers/edge-env/logs?stdout=1")[1]
    labd.request("DELETE", "/containers/edge-env")
    assert "A=1" in text
    assert "HOSTNAME=" not in text


@pytest.mark.parametrize(
    "host",
    [
        {"Binds": [".:/mnt"]},
        {"Binds": ["/tmp:/mnt\0"]},
        {"Mounts": [{"Type": "bind", "Source": ".", "Target": "/mnt"}]},
        {"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/mnt:ro"}]},
    ],
)
def test_a_bind_is_what_was_asked_for_or_refused(labd: Labd, host: dict[str, object]) -> None:
    """No directory of the daemon's own, no option out of a path."""
    body = {"Image": "host", "Cmd": ["true"], "HostConfig": host}
    assert labd.request("POST", "/containers/create", body)[0] in (400, 501)


@pytest.mark.parametrize("source", [".", "./etc", "../etc", "..", ".hidden"])
def test_a_relative_bind_is_never_resolved_by_the_daemon(labd: Labd, source: str) -> None:
    """The API takes absolute sources only: labd's working directory is not the client's."""
    body = {"Image": "host", "Cmd": ["true"], "HostConfig": {"Binds": [f"{source}:/x"]}}
    status, answer = labd.request("POST", "/containers/create?name=relative", body)
    assert status == 400
    assert "the source must be an absolute path" in answer["message"]
    assert labd.request("GET", "/containers/relative/json")[0] == 404


def test_labels_named_like_parameters_are_labels(labd: Labd) -> None:
    """A container with the labels kind, action, actor and self is made, and its events carry them."""
    labels = {"kind": "k", "action": "a", "actor": "x", "self": "s"}
    made = container(labd, "labelled", "true", Labels=labels)
    assert wait(labd, "labelled") == 0
    assert labd.request("GET", f"/containers/{made}/json")[1]["Config"]["Labels"] == labels
    assert labd.request("DELETE", "/containers/labelled")[0] == 204
    told = labd.request("GET", f"/events?since=0&until={time.time()}&filters=%7B%22container%22:[%22{made}%22]%7D")[1]
    events = [json.loads(line) for line in told.splitlines()]
    assert [event["Action"] for event in events] == ["create", "start", "die", "destroy"]
    assert all(labels.items() <= event["Actor"]["Attributes"].items() for event in events)


def test_a_client_shows_the_hint_of_a_refusal(labd: Labd, edge: str) -> None:
    """`dockerish rm` of a running container says what to do about it."""
    done = labd.dockerish("rm", "edge")
    assert done.returncode == 125
    assert b"stop the container before removing" in done.stderr


def test_execs_that_are_never_started_are_not_kept_for_ever(labd: Labd, edge: str) -> None:
    """The oldest go."""
    body = {"Cmd": ["true"]}
    first = labd.request("POST", "/containers/edge/exec", body)[1]["Id"]
    for _ in range(1001):
        status, made = labd.request("POST", "/containers/edge/exec", body)
        assert status == 201
    assert labd.request("GET", f"/exec/{first}/json")[0] == 404
    assert labd.request("GET", f"/exec/{made['Id']}/json")[0] == 200


def test_a_start_that_fails_costs_no_descriptor(labd: Labd) -> None:
    """Not the one of the container's log, either."""
    container(labd, "edge-fails", "/no/such/command", start=False)
    before = descriptors(labd)
    for _ in range(20):
        assert labd.request("POST", "/containers/edge-fails/start")[0] == 400
    assert descriptors(labd) < before + 5  # connections that are being closed
    assert labd.request("DELETE", "/containers/edge-fails")[0] == 204


def test_a_container_starts_again_in_the_cgroup_that_a_killed_spawner_left(labd: Labd) -> None:
    """The name is the same, and nothing else can be in it."""
    name = container(labd, "edge-left", "true", start=False, HostConfig={"PidsLimit": 50})
    left = [Path(folder) for folder in cgroup.folders(f"/{cgroup.NAME}{name}", {"pids": 50})]
    for folder in left:
        folder.mkdir()
    assert labd.request("POST", "/containers/edge-left/start")[0] == 204
    assert wait(labd, "edge-left") == 0
    labd.request("DELETE", "/containers/edge-left")
    assert not any(folder.exists() for folder in left)
