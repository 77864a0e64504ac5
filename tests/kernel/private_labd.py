"""A private labd for the tests, and what they ask it with: raw HTTP, `dockerish`, the real `docker`."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support import SLOW

CHECKOUT = Path(__file__).parent.parent.parent
START_SECONDS = int(20 * SLOW)


class UnixConnection(http.client.HTTPConnection):
    """http.client over a UNIX socket."""

    def __init__(self, path: Path, timeout: float = 30) -> None:
        super().__init__("labd", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


@dataclass
class Labd:
    """A daemon: its socket, its state directory, its process, and the environment that leads commands to it."""

    socket: Path
    state: Path
    process: subprocess.Popen[bytes]
    log: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        """The daemon's pid."""
        return self.process.pid

    @property
    def spawner(self) -> int:
        """The pid of labd's helper, which is the containers' parent; it may just be giving itself its name."""
        for _ in range(500):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            for pid in children:
                if Path(f"/proc/{pid}/comm").read_text() == "labd-spawner\n":
                    return int(pid)
            time.sleep(0.01)
        raise AssertionError("labd has no spawner")

    def request(self, method: str, path: str, body: Any = None, timeout: float = 30) -> tuple[int, Any]:
        """(status, parsed JSON or text); body is sent as JSON, bytes as they are."""
        connection = UnixConnection(self.socket, timeout)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, data, {"Content-Type": "application/json"} if data is not None else {})
            response = connection.getresponse()
            text = response.read()
            return response.status, _parsed(text)
        finally:
            connection.close()

    def dockerish(self, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run our own client."""
        return self._command([sys.executable, "-m", "client.cli", *words], options)

    def docker(self, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run the real docker command."""
        return self._command(["docker", *words], options)

    def _command(self, command: Sequence[str], options: dict[str, Any]) -> subprocess.CompletedProcess[bytes]:
        options.setdefault("stdin", subprocess.DEVNULL) if "input" not in options else None
        return subprocess.run(
            command, env=self.env, cwd=CHECKOUT, capture_output=True, check=False, **{"timeout": 60, **options}
        )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the daemon; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(20)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace")


def launch(
    folder: Path,
    *options: str,
    state: Path | None = None,
    env: dict[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> Labd:
    """Start a labd below this folder and wait until it answers; `prefix` goes before its command and execs it."""
    folder.mkdir(parents=True, exist_ok=True)
    path, state, log = folder / "labd.sock", state or folder / "state", folder / "log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                *prefix,
                sys.executable,
                "-m",
                "daemon",
                "--socket",
                str(path),
                "--state",
                str(state),
                "--allow-loginuid",
                "--shutdown-timeout",
                "1",
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=CHECKOUT,
            env=env,
        )
    host = f"unix://{path}"
    home = {"DOCKER_CONFIG": str(folder / "docker"), "LAB_HOST": host, "DOCKER_HOST": host}
    daemon = Labd(path, state, process, log, {**os.environ, **home, "DOCKER_CLI_HINTS": "false"})
    try:
        await_answer(daemon)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return daemon


def await_answer(daemon: Labd) -> None:
    """Return at the first answered ping. inotify(7) would report the socket's bind, not its listen."""
    ended = os.pidfd_open(daemon.pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    try:
        for _ in range(START_SECONDS * 50):
            try:
                if daemon.request("GET", "/_ping")[0] == 200:
                    return
            except OSError:
                pass
            if poll.poll(20):
                break
    finally:
        os.close(ended)
    raise AssertionError(f"labd did not start: {daemon.log.read_text()}")


@pytest.fixture(scope="session")
def labd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labd]:
    """One daemon for all tests that do not end it."""
    daemon = launch(tmp_path_factory.mktemp("labd"))
    yield daemon
    daemon.stop()


@pytest.fixture
def new_labd(tmp_path: Path) -> Iterator[Callable[..., Labd]]:
    """Start daemons that the test may end; whatever is left of them is ended here."""
    started: list[Labd] = []

    def start(name: str = "d", *options: str, **more: Any) -> Labd:
        started.append(launch(tmp_path / name, *options, **more))
        return started[-1]

    yield start
    for daemon in started:
        daemon.stop()
