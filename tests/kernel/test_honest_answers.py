"""Requests at the limits of HTTP, JSON and files get a plain answer, and leave nothing behind."""

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

pytestmark = pytest.mark.needs("root")
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
    """A client's end is noticed, though more requests, junk or an unknown upgrade came after its request."""
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
    """Ten requests in one packet get ten answers."""
    with connect(labd, ask("GET", "/_ping") * 10, 5) as connection:
        answer = b""
        while answer.count(b"200 OK") < 10 or not answer.endswith(b"OK"):
            answer += connection.recv(1 << 16)
    assert answer.count(b"200 OK") == 10


def test_half_a_character_is_400_however_it_is_written(labd: Labd) -> None:
    """Half a surrogate pair is a 400, as bytes that are no UTF-8 and as UTF-16."""
    for field in (b'"Hostname":"h\xed\xa0\x80"', b'"Labels":{"\xed\xa0\x80":""}'):
        assert labd.request("POST", "/containers/create", b'{"Image":"host","Cmd":["true"],' + field + b"}")[0] == 400
    device = b'"HostConfig":{"Devices":[{"PathOnHost":"/dev/\xed\xa0\x80"}]}'
    assert labd.request("POST", "/containers/create", b'{"Image":"host","Cmd":["true"],' + device + b"}")[0] == 400
    wide = '{"Image":"host","Cmd":["true"],"Hostname":"\\ud800"}'.encode("utf-16")
    assert labd.request("POST", "/containers/create", wide)[0] == 400


def test_a_stop_timeout_is_64_bits_wide(labd: Labd) -> None:
    """A StopTimeout of more than 64 bits is a 400: it would overflow at the container's stop."""
    for seconds in (2**63, -(10**400), 10**400):
        body = b'{"Image":"host","Cmd":["true"],"StopTimeout":%d}' % seconds
        assert labd.request("POST", "/containers/create", body)[0] == 400


def test_a_file_of_any_time_can_be_copied(labd: Labd, edge: str) -> None:
    """A file's time may lie outside the years 0 to 9999 of RFC 3339: it can be copied all the same."""
    for seconds in (2**56, -(2**56), -(10**11)):
        made = labd.request("POST", "/containers/edge/exec", {"Cmd": ["touch", "-d", f"@{seconds}", "/dev/shm/x"]})[1]
        assert labd.request("POST", f"/exec/{made['Id']}/start", {})[0] == 200
        assert labd.request("GET", f"/exec/{made['Id']}/json")[1]["ExitCode"] == 0
        assert labd.request("HEAD", "/containers/edge/archive?path=/dev/shm/x")[0] == 200


def test_codes_of_docker_cp(labd: Labd, edge: str) -> None:
    """dockerd's codes: a missing place is a 404, a file with a slash behind it a 400; an empty tar is no mistake."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    path = f"/containers/{edge}/archive?path="
    asked = [
        ("PUT", "/tmp/nosuch", data.getvalue()), ("PUT", "/etc/passwd", data.getvalue()), ("PUT", "/tmp", b""),
        ("GET", "/etc/passwd/", None), ("GET", "/etc/nosuch/", None), ("HEAD", "/etc/", None),
    ]  # fmt: skip
    answers = [labd.request(method, path + place, body)[0] for method, place, body in asked]
    assert answers == [404, 400, 200, 400, 404, 200]


def test_variables_in_inspect(labd: Labd) -> None:
    """Config.Env is what was asked for, a name to be unset included, and not what the engine adds, as in Docker."""
    made = labd.request("POST", "/containers/create", {"Image": "host", "Cmd": ["true"], "Env": ["A=b", "GONE"]})[1][
        "Id"
    ]
    shown = labd.request("GET", f"/containers/{made}/json")[1]["Config"]["Env"]
    labd.request("DELETE", f"/containers/{made}")
    assert "A=b" in shown and "GONE" in shown
    assert not [item for item in shown if item.startswith(("HOSTNAME=", "TERM="))]


def test_a_tars_long_name_is_told_in_short(labd: Labd, edge: str) -> None:
    """A long name of a tar's member is cut in the error, and its control characters are escapes."""
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
    """Env ["HOSTNAME"], without a value, takes away the variable that the image or the engine sets."""
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
    """A relative source, a NUL, and an option within a path are refused."""
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
    """Of more than 1,000 execs that are never started, the oldest go."""
    body = {"Cmd": ["true"]}
    first = labd.request("POST", "/containers/edge/exec", body)[1]["Id"]
    for _ in range(1001):
        status, made = labd.request("POST", "/containers/edge/exec", body)
        assert status == 201
    assert labd.request("GET", f"/exec/{first}/json")[0] == 404
    assert labd.request("GET", f"/exec/{made['Id']}/json")[0] == 200


def test_a_start_that_fails_costs_no_descriptor(labd: Labd) -> None:
    """A start that fails leaves no descriptor open, not even that of the container's log."""
    container(labd, "edge-fails", "/no/such/command", start=False)
    before = descriptors(labd)
    for _ in range(20):
        assert labd.request("POST", "/containers/edge-fails/start")[0] == 400
    assert descriptors(labd) < before + 5  # connections that are being closed
    assert labd.request("DELETE", "/containers/edge-fails")[0] == 204


def test_a_container_starts_again_in_the_cgroup_that_a_killed_spawner_left(labd: Labd) -> None:
    """A container starts in a cgroup that is left over under its name."""
    name = container(labd, "edge-left", "true", start=False, HostConfig={"PidsLimit": 50})
    left = [Path(folder) for folder in cgroup.folders(f"/{cgroup.NAME}{name}", {"pids": 50})]
    for folder in left:
        folder.mkdir()
    assert labd.request("POST", "/containers/edge-left/start")[0] == 204
    assert wait(labd, "edge-left") == 0
    labd.request("DELETE", "/containers/edge-left")
    assert not any(folder.exists() for folder in left)
