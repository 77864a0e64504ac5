"""Requests that no client should send, and the answers that other clients get meanwhile."""

from __future__ import annotations

import socket
import statistics
import time
from pathlib import Path

import pytest
from private_labd import Labd, UnixConnection

pytestmark = pytest.mark.needs("root")
CREATE = b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
ATTACH = b"POST /containers/nobody/attach?stream=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
DEEP = b'{"Cmd":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def send_raw(labd: Labd, data: bytes, timeout: float = 15) -> bytes:
    """Send bytes, return all that comes back until the daemon closes."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(labd.socket))
        received = b""
        try:
            connection.sendall(data)
            while chunk := connection.recv(65536):
                received += chunk
        except (ConnectionError, TimeoutError):  # labd may keep the connection for the next request
            pass
    return received


def status_of(answer: bytes) -> int:
    """The status of an answer."""
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "body",
    [
        b'{"Image": "host", "Cmd": ["true"]',
        b'{"Image": "host"} trailing',
        DEEP,
        b'{"Image": "host", "Tty": NaN}',
        b'{"Image": "host", "Image": "host"}',
        b'{"Image": "host", "Nonsense": Infinity}',
        b"[]",
        b"null",
        b'"host"',
        b"",
        b'{"Image": 5}',
        b'{"Image": "host", "Tty": "yes"}',
        b'{"Image": "host", "Env": {"A": 1}}',
        b"\xff\xfe",
        b'{"Image": "host", "Cmd": ["a\\u0000b"]}',
        b'{"Image": "host", "Cmd": ["\\ud800"]}',
        b'{"Image": "host", "Env": ["\\udcff=1"], "Cmd": ["true"]}',
        b'{"Image": "host", "Cmd": ["true"], "HostConfig": {"Binds": ["/a\\u0000:/b"]}}',
        b'{"Image": "host", "Cmd": ["true"], "StopTimeout": 1e400}',
        b'{"Image": "host\\u0000", "Cmd": ["true"]}',
        b'{"Image": "host", "Cmd": ["true"], "Hostname": "' + b"h" * 300 + b'"}',
        b'{"Image": "host", "Cmd": ["true"], "StopSignal": "SIGNONSENSE"}',
        b'{"Image": "host", "Cmd": ["true"], "Labels": {"a": "\\ud800"}}',
    ],
)
def test_bad_json_is_the_callers_fault(labd: Labd, body: bytes) -> None:
    """Truncated, trailing, deep, NaN, duplicate, mistyped, half a character: 4xx with a message, and no container."""
    before = len(labd.request("GET", "/containers/json?all=1")[1])
    status, answer = labd.request("POST", "/containers/create", body)
    assert 400 <= status < 500, answer
    assert answer["message"]
    assert len(labd.request("GET", "/containers/json?all=1")[1]) == before


def test_unknown_fields_are_accepted(labd: Labd) -> None:
    """A field that is not in the API changes nothing, as with dockerd; names may come in any case."""
    body = {
        "Image": "host",
        "cmd": ["true"],
        "Nonsense": {"deep": [1]},
        "HostConfig": {"Weather": "fine", "init": None},
    }
    status, made = labd.request("POST", "/containers/create", body)
    assert status == 201
    assert labd.request("GET", f"/containers/{made['Id']}/json")[1]["Path"] == "true"
    labd.request("DELETE", f"/containers/{made['Id']}")


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2f..%2fetc", "a%00b", "%00", "x" * 4096, "%E2%98%83", "%ff", "a/b", "-", "*", "%20"]
)
def test_strange_ids_are_not_found_and_write_nothing(labd: Labd, name: str) -> None:
    """Ids that look like paths, hold NUL, or are 4 KiB long: 4xx everywhere, and nothing new outside the state."""
    outside = sorted(path.name for path in labd.state.parent.iterdir())
    for method, path in (
        ("GET", "containers/{}/json"),
        ("POST", "containers/{}/start"),
        ("DELETE", "containers/{}"),
        ("POST", "exec/{}/start"),
        ("GET", "containers/{}/logs?stdout=1"),
        ("GET", "images/{}/json"),
        ("POST", "containers/create?name={}"),
        ("DELETE", "images/{}"),
        ("HEAD", "containers/{}/archive?path=/"),
        ("POST", "images/create?fromSrc=-&repo={}"),
    ):
        body = b'{"Image": "host", "Cmd": ["true"]}' if method == "POST" else None
        status, answer = labd.request(method, "/" + path.format(name), body)
        assert 400 <= status < 500, (path, answer)
    assert sorted(path.name for path in labd.state.parent.iterdir()) == outside


@pytest.mark.parametrize("path", ["/v1.23/version", "/v1.99/version", "/v9999.1/version"])
def test_versions_out_of_range_are_refused(labd: Labd, path: str) -> None:
    """Older than 1.24 or newer than what is advertised: 400 in dockerd's words, which the docker command looks for."""
    status, answer = labd.request("GET", path)
    assert status == 400 and ("is too old" in answer["message"] or "is too new" in answer["message"])
    assert labd.request("GET", "/v1.24/version")[0] == 200


def test_a_declared_300_mebibytes_is_refused_unread(labd: Labd) -> None:
    """A request that declares too large a body gets a 413 before the body is sent, and the connection ends."""
    answer = send_raw(labd, CREATE + b"Content-Length: 314572800\r\n\r\n" + b"x" * 1000)
    assert status_of(answer) == 413 and b"connection: close" in answer.lower()


def test_endless_chunks_are_cut_off(labd: Labd) -> None:
    """A chunked body without end: 413 or a reset at the limit, and the daemon's memory stays where it was."""
    before = resident(labd)
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    sent = 0
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(15)
        connection.connect(str(labd.socket))
        connection.sendall(CREATE + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            while sent < 300 << 20:
                connection.sendall(chunk)
                sent += len(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert sent < 20 << 20
    assert resident(labd) - before < 24 << 10


def resident(labd: Labd) -> int:
    """RSS in KiB."""
    for line in Path(f"/proc/{labd.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError


def test_slow_connections_do_not_slow_the_others(labd: Labd) -> None:
    """500 half-sent heads: each is closed within 10 s; meanwhile a ping's 99th percentile is under 100 ms."""
    slow = []
    for _ in range(500):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(labd.socket))
        connection.sendall(b"GET /_ping HTTP/1.1\r\nHost:")
        slow.append(connection)
    began, times = time.monotonic(), []
    for _ in range(200):
        start = time.perf_counter()
        assert labd.request("GET", "/_ping")[0] == 200
        times.append(time.perf_counter() - start)
    for connection in slow:
        connection.settimeout(max(0.1, began + 12 - time.monotonic()))
        assert connection.recv(1) == b"", "the daemon answered half a request"
        connection.close()
    assert time.monotonic() - began < 10
    assert statistics.quantiles(times, n=100)[98] < 0.1


def test_a_byte_at_a_time_does_not_buy_time(labd: Labd) -> None:
    """A head that trickles in is cut off like one that stops: the time runs from its first byte."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(0.2)
        connection.connect(str(labd.socket))
        began = time.monotonic()
        while time.monotonic() - began < 12:
            try:
                connection.send(b"x")
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n" * 1000,
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /_ping HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"CONNECT /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\nConnection: Upgrade, close\r\n\r\n",
    ],
)
def test_what_is_not_http_is_no_5xx(labd: Labd, data: bytes) -> None:
    """Whatever the bytes, the answer is below 500 or none, and the next connection is served."""
    answer = send_raw(labd, data, timeout=1)
    assert not answer or status_of(answer) < 500
    assert labd.request("GET", "/_ping") == (200, "OK")


def test_refused_upgrades_do_not_leak_connections(labd: Labd) -> None:
    """An attach to a container that is not there is a 404, and the half-closed connection ends."""
    before = len(list(Path(f"/proc/{labd.pid}/fd").iterdir()))
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(labd.socket))
            connection.sendall(ATTACH)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
            assert status_of(answer) == 404
    assert len(list(Path(f"/proc/{labd.pid}/fd").iterdir())) <= before + 1


def test_pipelined_requests_are_answered_in_order(labd: Labd) -> None:
    """Three requests in one packet: three answers."""
    one = b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert send_raw(labd, one + one + last).count(b"200 OK") == 3


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/volumes/x", 501),
        ("POST", "/networks/create", 501),
        ("POST", "/networks/host/connect", 501),
        ("DELETE", "/networks/host", 403),
        ("DELETE", "/networks/x", 404),
        ("GET", '/networks?filters={"nosuch":["x"]}'.replace('"', "%22"), 400),
        ("POST", "/build", 501),
        ("POST", "/auth", 501),
        ("GET", "/swarm", 501),
        ("GET", "/services", 501),
        ("GET", "/distribution/x/json", 501),
        ("GET", "/volumes/x", 404),
        ("GET", "/networks/x", 404),
        ("GET", "/nonsense", 404),
        ("PATCH", "/containers/json", 405),
    ],
)
def test_what_the_lab_has_not_is_said(labd: Labd, method: str, path: str, status: int) -> None:
    """A feature of Docker's that is not part of the lab gets its status and a message, never a 500."""
    code, answer = labd.request(method, path)
    assert code == status
    assert isinstance(answer["message"], str) and answer["message"]


def test_keep_alive(labd: Labd) -> None:
    """One connection serves many requests."""
    connection = UnixConnection(labd.socket)
    for _ in range(3):
        connection.request("GET", "/_ping")
        assert connection.getresponse().read() == b"OK"
    connection.close()
