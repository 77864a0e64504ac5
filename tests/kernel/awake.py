"""Shared by the tests that nothing blocks labd: clients that leave early, a pinger, and what the daemon holds."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from private_labd import Labd
from support import SLOW, soon

UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
READER = """
import socket, sys, time
path, target, pace = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(path)
    connection.sendall(f"GET {target} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n".encode())
    buffer, total = bytearray(1 << 20), 0
    while count := connection.recv_into(buffer):
        total += count
        time.sleep(float(pace))
print(total)
"""


def ask(method: str, path: str, body: str = "", headers: str = "") -> bytes:
    """A request's bytes."""
    length = f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n{body}".encode()


def leave_after(labd: Labd, data: bytes) -> None:
    """Connect, send the data, and close at once."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(labd.socket))
        connection.sendall(data)


def connect(labd: Labd, data: bytes, seconds: float = 30) -> socket.socket:
    """A connection on which the data has been sent."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(seconds)
    connection.connect(str(labd.socket))
    connection.sendall(data)
    return connection


def reader(labd: Labd, target: str, pace: float = 0.0) -> subprocess.Popen[bytes]:
    """A process that reads a response and throws it away; it prints how many bytes there were."""
    command = [sys.executable, "-ISc", READER, str(labd.socket), target, str(pace)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def descriptors(labd: Labd) -> int:
    """How many descriptors the daemon has."""
    return len(list(Path(f"/proc/{labd.pid}/fd").iterdir()))


def tasks(labd: Labd) -> int:
    """How many tasks the daemon's event loop has: at SIGUSR1 labd writes the number to its log."""
    seen = labd.log.stat().st_size
    labd.process.send_signal(signal.SIGUSR1)
    for _ in range(500):
        if found := re.search(r"tasks: (\d+)\n", labd.log.read_text()[seen:]):
            return int(found[1])
        time.sleep(0.01)
    raise AssertionError("labd did not write how many tasks it has")


def held(labd: Labd) -> tuple[int, int]:
    """How many descriptors and tasks the daemon has."""
    return descriptors(labd), tasks(labd)


def resident(labd: Labd) -> int:
    """The daemon's peak of RSS, in KiB, since the last forget_peak()."""
    rows = Path(f"/proc/{labd.pid}/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("VmHWM"))


def forget_peak(labd: Labd) -> None:
    """Let the kernel count the peak from now on; proc_pid_clear_refs(5)."""
    Path(f"/proc/{labd.pid}/clear_refs").write_text("5")


@contextmanager
def pinging(labd: Labd) -> Iterator[list[float]]:
    """Ping again and again, each time on a new connection; the list gets the seconds that each ping took."""
    took: list[float] = []
    stop = Event()

    def ping() -> None:
        while not stop.is_set():
            began = time.monotonic()
            assert labd.request("GET", "/_ping", timeout=120) == (200, "OK")
            took.append(time.monotonic() - began)
            stop.wait(0.005)

    thread = Thread(target=ping)
    thread.start()
    try:
        yield took
    finally:
        stop.set()
        thread.join()


def percentile(took: list[float], part: float = 0.99) -> float:
    """The seconds within which this part of the pings was answered."""
    return sorted(took)[min(len(took) - 1, int(len(took) * part))]


def container(labd: Labd, name: str, *command: str, start: bool = True, **body: object) -> str:
    """Make a container (and start it); its id."""
    status, made = labd.request(
        "POST", f"/containers/create?name={name}", {"Image": "host", "Cmd": list(command), **body}
    )
    assert status == 201, made
    if start:
        status, answer = labd.request("POST", f"/containers/{name}/start")
        assert status == 204, answer
    return str(made["Id"])


def wait(labd: Labd, name: str, seconds: float = 60) -> int:
    """Wait for the container's end; its exit code."""
    code: int = labd.request("POST", f"/containers/{name}/wait", timeout=seconds)[1]["StatusCode"]
    return code


@contextmanager
def ending(labd: Labd, name: str, **body: object) -> Iterator[socket.socket]:
    """A container whose process has just ended: labd waits up to 2 s for an attached client to read the last output.

    Nobody reads on the connection that the `with` gives; its close ends the wait.
    """
    writes = "x=$(printf %01000d 0); while :; do echo $x; done & wait"
    container(labd, name, "/bin/sh", "-c", writes, start=False, **body)
    try:
        with connect(labd, ask("POST", f"/containers/{name}/attach?stream=1&stdout=1", headers=UPGRADE)) as client:
            client.recv(12)
            assert labd.request("POST", f"/containers/{name}/start")[0] == 204
            time.sleep(0.3 * SLOW)  # the pipe is full by now
            pid = labd.request("GET", f"/containers/{name}/json")[1]["State"]["Pid"]
            os.kill(pid, signal.SIGKILL)
            assert soon(lambda: not Path(f"/proc/{pid}").exists())
            time.sleep(0.05)  # the spawner tells labd
            yield client
    finally:
        labd.request("DELETE", f"/containers/{name}?force=1")
