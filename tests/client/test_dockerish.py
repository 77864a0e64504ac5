"""The client alone: what it imports, what it says when there is no daemon."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from client.api import _url, socket_path
from client.run import create_body
from lab.errors import InvalidArgument
from lab.runargs import parse_run

CHECKOUT = Path(__file__).parent.parent.parent


def dockerish(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run our own client."""
    return subprocess.run(
        [sys.executable, "-m", "client.cli", *words],
        cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=30, env=env,
    )  # fmt: skip


def test_the_hot_path_imports_httpx_and_nothing_heavier() -> None:
    """`dockerish run` has httpx, but neither the daemon's packages nor httpx's own command line with its colours."""
    script = "import sys, client.cli, httpcore; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=60
    )
    modules = set(loaded.stdout.split())
    assert "httpx" in modules
    assert not modules & {
        "click",
        "rich",
        "pygments",
        "fastapi",
        "pydantic",
        "starlette",
        "uvicorn",
        "argparse",
        "daemon",
    }


def test_click_can_be_imported_afterwards() -> None:
    """Hiding click from httpx does not hide it from others."""
    script = "import client.api, sys; assert 'click' not in sys.modules; import click"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr  # click is there: uvicorn needs it


def test_no_socket(tmp_path: Path) -> None:
    """Without a daemon, the error names the socket and the way to start labd; the exit code is 125."""
    done = dockerish("--host", f"unix://{tmp_path}/none.sock", "run", "host", "true")
    assert done.returncode == 125 and done.stdout == ""
    assert f"{tmp_path}/none.sock: there is no such socket" in done.stderr and "systemctl start labd" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_socket_that_nobody_listens_on(tmp_path: Path) -> None:
    """For a stale socket the error says that nobody listens there."""
    path = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    done = dockerish("ps", env={**os.environ, "LAB_HOST": f"unix://{path}"})
    assert done.returncode == 125 and "nobody listens there" in done.stderr


@pytest.mark.needs("root")
def test_a_socket_that_one_may_not_open(open_path: Path) -> None:
    """Without permission for the socket, the error says so and names the group."""
    path = open_path / "labd.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        path.chmod(0o660)
        sock.listen()
        script = (  # all imports come first: the user nobody may be unable to read Python's library
            "import os, sys, client.verbs, client.api; from client.cli import main; client.api.Api('/x');"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"  # sudo leaves root in the group root
            f"os.stat('{open_path}/.'); sys.exit(main(['-H', '{path}', 'ps']))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode == 125 and "permission denied" in done.stderr and "group" in done.stderr


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{"]
)
def test_a_daemon_that_dies_in_the_middle(tmp_path: Path, answer: bytes) -> None:
    """A connection that ends too early gives one sentence and exit code 125."""
    path = tmp_path / "dying.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def die() -> None:
            connection, _ = listening.accept()
            connection.recv(65536)
            connection.sendall(answer)
            connection.close()

        dying = threading.Thread(target=die)
        dying.start()
        done = dockerish("--host", str(path), "run", "host", "true")
        dying.join()
    assert done.returncode == 125
    assert "ended during this command" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [("run",), ("run", "--nonsense", "host"), ("nonsense",), ("exec", "x"), ("--host",)])
def test_wrong_words(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A wrong command line is told before any daemon is asked."""
    done = dockerish(*words, env={**os.environ, "LAB_HOST": f"unix://{tmp_path}/none.sock"})
    assert done.returncode == 125 and done.stderr.startswith("dockerish: ") and "Traceback" not in done.stderr
    assert "none.sock" not in done.stderr


@pytest.mark.parametrize("host", ["tcp://localhost:2375", "http://x", "relative/path", ""])
def test_only_unix_sockets(host: str) -> None:
    """A host that is no absolute path of a UNIX socket is refused: the client speaks no TCP."""
    with pytest.raises(InvalidArgument):
        socket_path(host)


def test_paths_are_quoted() -> None:
    """A reference cannot become another path, whatever it holds."""
    assert _url(("containers", "a/../b?c", "json"), {"all": True, "x": None}) == "/containers/a%2F..%2Fb%3Fc/json?all=1"


def test_create_body_holds_what_was_asked() -> None:
    """The flags arrive under Docker's names."""
    body = create_body(
        parse_run(["--rm", "-i", "-e", "A=b", "-v", "/etc:/x:ro", "--entrypoint", "", "host", "c", "-d"])
    )
    assert (body["Cmd"], body["Env"], body["Entrypoint"]) == (["c", "-d"], ["A=b"], [""])
    assert body["OpenStdin"] and body["StdinOnce"] and body["HostConfig"]["AutoRemove"]
    assert body["HostConfig"]["Binds"] == ["/etc:/x:ro"]


def test_create_body_holds_the_limits(tmp_path: Path) -> None:
    """-m, --cpus, --pids-limit, --device, --read-only and a profile's text arrive under Docker's names."""
    profile = tmp_path / "p"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    words = ["-m", "20m", "--cpus", "1.5", "--pids-limit", "9", "--device", "/dev/null", "--read-only"]
    host = create_body(parse_run([*words, "--security-opt", f"seccomp={profile}", "host"]))["HostConfig"]
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (20 << 20, 1_500_000_000, 9)
    device = {"PathOnHost": "/dev/null", "PathInContainer": "/dev/null", "CgroupPermissions": "rwm"}
    assert host["Devices"] == [device] and host["ReadonlyRootfs"] is True
    assert host["SecurityOpt"] == [f"seccomp={profile.read_text()}"]


def test_a_relative_bind_is_resolved_by_the_client() -> None:
    """`-v ./etc:/x` is below the caller's working directory, and the request names it absolutely."""
    body = create_body(parse_run(["-v", "./etc:/x", "host", "true"]))
    assert body["HostConfig"]["Binds"] == [f"{Path.cwd()}/etc:/x"]


def test_verbs_for_several_containers_show_hints(tmp_path: Path) -> None:
    """Each container's error is followed by what to do about it."""
    done = dockerish("--host", f"unix://{tmp_path}/none.sock", "rm", "a", "b")
    assert done.returncode == 125
    assert done.stderr.count("\n  `sudo systemctl start labd`") == 2
