"""Bytes through the daemon: many of them, slow readers, readers that leave, terminals, logs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest
from private_labd import CHECKOUT, Labd
from support import processes_with, soon

pytestmark = pytest.mark.needs("root")
GIBIBYTE = 1 << 30


def resident(labd: Labd) -> int:
    """The peak RSS in KiB since reset_peak()."""
    text = Path(f"/proc/{labd.pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM"))


def reset_peak(labd: Labd) -> None:
    """Let the kernel count the peak from now on; clear_refs of proc_pid_clear_refs(5)."""
    Path(f"/proc/{labd.pid}/clear_refs").write_text("5")


def client(labd: Labd, *words: str, **options: Any) -> subprocess.Popen[bytes]:
    """Our own client, in the background."""
    return subprocess.Popen([sys.executable, "-m", "client.cli", *words], env=labd.env, cwd=CHECKOUT, **options)


def descriptors(labd: Labd) -> int:
    """How many descriptors the daemon has."""
    return len(list(Path(f"/proc/{labd.pid}/fd").iterdir()))


def attach(labd: Labd, container: str, query: str) -> socket.socket:
    """A hijacked connection, behind the head of its response."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(str(labd.socket))
    connection.sendall(
        f"POST /containers/{container}/attach?{query} HTTP/1.1\r\nHost: x\r\n"
        "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return connection


def test_a_gibibyte_arrives_whole_in_bounded_memory(labd: Labd) -> None:
    """1 GiB of binary output: equal SHA-256, and the daemon grows by less than 16 MiB."""
    reset_peak(labd)
    before = resident(labd)
    script = f"head -c {GIBIBYTE} /dev/zero | tr '\\0' '\\252'"
    running = client(labd, "run", "--rm", "host", "sh", "-c", script, stdout=subprocess.PIPE)
    digest, total = hashlib.sha256(), 0
    assert running.stdout
    with running.stdout:
        while chunk := running.stdout.read(1 << 20):
            digest.update(chunk)
            total += len(chunk)
    assert running.wait() == 0 and total == GIBIBYTE
    expected = hashlib.sha256()
    for _ in range(1024):
        expected.update(b"\xaa" * (1 << 20))
    assert digest.digest() == expected.digest()
    assert resident(labd) - before < 16 << 10


def test_a_slow_reader_loses_nothing(labd: Labd) -> None:
    """Ten bytes every 50 ms: all of the output arrives, in order, after the container has long ended."""
    running = client(labd, "run", "--rm", "host", "seq", "1", "100", stdout=subprocess.PIPE, bufsize=0)
    received = b""
    assert running.stdout
    with running.stdout:
        while chunk := os.read(running.stdout.fileno(), 10):
            received += chunk
            time.sleep(0.05)  # the slowness is what is tested
    assert received == "".join(f"{number}\n" for number in range(1, 101)).encode()
    assert running.wait() == 0


def test_a_stalled_reader_stalls_the_container_and_a_vanished_one_does_not(labd: Labd) -> None:
    """A client that does not read blocks the writer; when that client leaves, the writer goes on to its end."""
    body = {"Image": "host", "Cmd": ["sh", "-c", "head -c 4000000 /dev/zero; echo done >&2"]}
    _, made = labd.request("POST", "/containers/create?name=stalled", body)
    connection = attach(labd, "stalled", "stream=1&stdout=1&stderr=1")
    labd.request("POST", "/containers/stalled/start")
    assert connection.recv(1000)
    for _ in range(20):  # the container does not end by itself
        assert labd.request("GET", "/containers/stalled/json")[1]["State"]["Running"]
    connection.close()
    assert labd.request("POST", "/containers/stalled/wait")[1] == {"StatusCode": 0}
    logged = labd.dockerish("logs", "stalled")
    assert (len(logged.stdout), logged.stderr) == (4_000_000, b"done\n")
    assert labd.request("DELETE", f"/containers/{made['Id']}")[0] == 204


def test_a_killed_client_leaves_nothing_behind(labd: Labd) -> None:
    """A client that dies in the middle costs the daemon no descriptor, once its container has ended."""
    before = descriptors(labd)
    running = client(
        labd,
        "run",
        "--rm",
        "--name",
        "abandoned",
        "host",
        "sh",
        "-c",
        "while :; do echo x; done",
        stdout=subprocess.PIPE,
    )
    assert running.stdout and running.stdout.read(10)
    running.kill()
    running.wait()
    running.stdout.close()
    assert labd.dockerish("rm", "-f", "abandoned").returncode == 0
    assert labd.dockerish("run", "--rm", "host", "true").returncode == 0
    assert soon(lambda: descriptors(labd) <= before)


def terminal(labd: Labd, *words: str, rows: int = 33, columns: int = 77) -> tuple[subprocess.Popen[bytes], int]:
    """dockerish with a terminal of this size; its master side."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    running = client(
        labd,
        *words,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    return running, master


def read_until(master: int, wanted: bytes, seconds: float = 15) -> bytes:
    """What the terminal shows until the wanted bytes have come."""
    received, deadline = b"", time.monotonic() + seconds
    while wanted not in received:
        assert select.select([master], [], [], max(0, deadline - time.monotonic()))[0], received
        received += os.read(master, 65536)
    return received


def test_a_terminal_has_the_callers_size_and_follows_it(labd: Labd) -> None:
    """run -it: the size is right from the start, SIGWINCH changes it, raw mode is undone at the end."""
    script = "stty size; trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.05; done"
    running, master = terminal(labd, "run", "--rm", "-it", "host", "sh", "-c", script)
    before = termios.tcgetattr(master)
    assert b"33 77\r\n" in read_until(master, b"ready")
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 100, 0, 0))
    running.send_signal(signal.SIGWINCH)
    assert b"20 100" in read_until(master, b"20 100")
    assert running.wait(10) == 3
    assert termios.tcgetattr(master)[3] == before[3] | termios.ECHO | termios.ICANON | termios.ISIG
    os.close(master)


def test_a_terminal_has_its_size_before_its_command_begins(labd: Labd) -> None:
    """The size is set by the container's side before exec, so that no command can be too early; exec's likewise."""
    body = {"Image": "host", "Cmd": ["stty", "size"], "Tty": True, "HostConfig": {"ConsoleSize": [33, 77]}}
    for _ in range(5):
        made = labd.request("POST", "/containers/create", body)[1]["Id"]
        assert labd.request("POST", f"/containers/{made}/start")[0] == 204
        labd.request("POST", f"/containers/{made}/wait")
        assert "33 77" in labd.request("GET", f"/containers/{made}/logs?stdout=1")[1]
        labd.request("DELETE", f"/containers/{made}")


def test_a_shell_in_a_terminal(labd: Labd) -> None:
    """exec -it: an interactive shell gets the keys, Ctrl-C included, and its exit code comes back."""
    labd.dockerish("run", "-d", "--name", "shell", "host", "sleep", "100")
    running, master = terminal(labd, "exec", "-it", "shell", "sh")
    os.write(master, b"tty; sleep 4711\n")
    read_until(master, b"/dev/pts/0")
    while not processes_with("4711"):  # between the two commands a Ctrl-C finds no foreground group to go to
        time.sleep(0.01)
    os.write(master, b"\x03")
    os.write(master, b"exit 5\n")
    read_until(master, b"exit 5")
    assert running.wait(10) == 5
    os.close(master)
    labd.dockerish("rm", "-f", "shell")


def test_terminals_are_given_back(labd: Labd) -> None:
    """No master side of a pseudoterminal stays open in the daemon or in its spawner."""
    for _ in range(3):
        assert labd.dockerish("run", "--rm", "-t", "host", "true").returncode == 0
    for pid in (labd.pid, labd.spawner):
        links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
        assert not [link for link in links if "ptmx" in link]


def test_a_signal_to_the_client_reaches_the_container(labd: Labd) -> None:
    """SIGTERM to dockerish is SIGTERM to the container's process."""
    script = "trap 'echo got it; exit 4' TERM; echo ready; while :; do sleep 0.05; done"
    running = client(labd, "run", "--rm", "host", "sh", "-c", script, stdout=subprocess.PIPE, bufsize=0)
    assert running.stdout
    assert running.stdout.read(6) == b"ready\n"
    running.terminate()
    assert running.stdout.read() == b"got it\n"
    running.stdout.close()
    assert running.wait(10) == 4


def test_logs_tail_since_timestamps_follow(labd: Labd) -> None:
    """Lines written in pieces are lines; --tail counts them, -t has each one's time, -f follows to the end."""
    script = "printf a; printf 'b\\n'; echo c >&2; echo d; until [ -e /x/go ]; do sleep 0.02; done; echo e; exit 6"
    folder = labd.state.parent / "logs"
    folder.mkdir()
    labd.dockerish("run", "-d", "--name", "logged", "-v", f"{folder}:/x", "host", "sh", "-c", script)
    follower = client(labd, "logs", "-f", "logged", stdout=subprocess.PIPE, bufsize=0)
    assert follower.stdout
    seen = b""
    while not seen.endswith(b"d\n"):
        seen += follower.stdout.read(1)
    (folder / "go").touch()
    seen += follower.stdout.read()
    follower.stdout.close()
    assert (seen, follower.wait(10)) == (b"ab\nd\ne\n", 0)
    assert labd.dockerish("wait", "logged").stdout == b"6\n"
    assert labd.dockerish("logs", "--tail", "3", "logged").stdout == b"d\ne\n"  # and c, on stderr
    stamped = labd.dockerish("logs", "-t", "--tail", "all", "logged").stdout.decode().splitlines()
    assert [line.split(" ")[1] for line in stamped] == ["ab", "d", "e"]
    moment = stamped[2].split(" ")[0]
    assert moment.endswith("Z") and len(moment) == 30
    assert labd.dockerish("logs", "--since", str(time.time() + 60), "logged").stdout == b""
    labd.dockerish("rm", "logged")


def test_attach_with_logs_then_live(labd: Labd) -> None:
    """attach?logs=1&stream=1 gives what was and goes on with what comes; the detach keys end the session alone."""
    body = {"Image": "host", "Cmd": ["cat"], "Tty": True, "OpenStdin": True}
    labd.request("POST", "/containers/create?name=cat", body)
    labd.request("POST", "/containers/cat/start")
    with attach(labd, "cat", "stream=1&stdin=1&stdout=1") as first:
        first.sendall(b"one\r")
        assert first.recv(100).startswith(b"one")
    with attach(labd, "cat", "logs=1&stream=1&stdin=1&stdout=1") as second:
        received = b""
        while b"one" not in received:
            received += second.recv(100)
        second.sendall(b"two\r")
        while b"two" not in received:
            received += second.recv(100)
        second.sendall(b"\x10\x11")
        while second.recv(100):
            pass
    assert labd.request("GET", "/containers/cat/json")[1]["State"]["Running"]
    labd.request("DELETE", "/containers/cat?force=1")
