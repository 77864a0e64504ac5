"""The daemon's own life: its socket, its locks, its end, and what it knows after a violent one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from private_labd import CHECKOUT, Labd, UnixConnection
from support import soon

pytestmark = pytest.mark.needs("root")
NewLabd = Callable[..., Labd]


def start_container(daemon: Labd, name: str, *command: str) -> str:
    """Create and start; returns the id."""
    status, made = daemon.request("POST", f"/containers/create?name={name}", {"Image": "host", "Cmd": list(command)})
    assert status == 201, made
    assert daemon.request("POST", f"/containers/{name}/start")[0] == 204
    return str(made["Id"])


def second(*options: str) -> subprocess.CompletedProcess[str]:
    """Another labd, which is expected to refuse."""
    command = [sys.executable, "-m", "daemon", "--allow-loginuid", *options]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=20)


def test_a_stale_socket_is_replaced(new_labd: NewLabd) -> None:
    """Neither a socket that nobody listens on nor an old pid in a lock file keeps the daemon from starting."""
    daemon = new_labd()
    daemon.stop(signal.SIGKILL)
    assert daemon.socket.is_socket()
    innocent = subprocess.Popen(["sleep", "60"])
    Path(f"{daemon.socket}.lock").write_text(str(innocent.pid))
    (daemon.state / "labd.lock").write_text(str(innocent.pid))
    again = new_labd()
    assert again.request("GET", "/_ping") == (200, "OK")
    assert innocent.poll() is None, "a pid in a file was taken for the daemon's"
    innocent.kill()
    innocent.wait()


def test_a_second_daemon_is_refused(new_labd: NewLabd, tmp_path: Path) -> None:
    """On the same socket, or on the same state directory, a second daemon says so and the first keeps serving."""
    daemon = new_labd()
    same_socket = second("--socket", str(daemon.socket), "--state", str(tmp_path / "other"))
    same_state = second("--socket", str(tmp_path / "other.sock"), "--state", str(daemon.state))
    assert (same_socket.returncode, same_state.returncode) == (125, 125)
    assert f"another daemon is listening on {daemon.socket}" in same_socket.stderr
    assert f"another labd is running with the state directory {daemon.state}" in same_state.stderr
    assert daemon.request("GET", "/_ping") == (200, "OK")


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    """The daemon refuses to replace a file that is no socket."""
    path = tmp_path / "labd.sock"
    path.write_text("precious")
    done = subprocess.run(
        [sys.executable, "-m", "daemon", "--allow-loginuid", "--socket", path, "--state", tmp_path / "state"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 125 and "is not a socket" in done.stderr
    assert path.read_text() == "precious"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_open_streams_and_containers(new_labd: NewLabd, number: signal.Signals) -> None:
    """SIGTERM or SIGINT: attached clients, followers and containers end within 10 s, and the socket goes."""
    daemon = new_labd()
    attached = subprocess.Popen(
        [sys.executable, "-m", "client.cli", "run", "host", "sleep", "1000"], env=daemon.env, cwd=CHECKOUT
    )
    events = UnixConnection(daemon.socket)
    events.request("GET", "/events")
    response = events.getresponse()
    assert b"create" in response.fp.readline() + response.fp.readline()
    while not daemon.request("GET", "/containers/json")[1]:
        pass
    pid = daemon.request("GET", f"/containers/{daemon.request('GET', '/containers/json')[1][0]['Id']}/json")[1][
        "State"
    ]["Pid"]
    began = time.monotonic()
    assert daemon.stop(number) == 0
    assert time.monotonic() - began < 10
    assert attached.wait(5) in (125, 137)
    assert not daemon.socket.exists()
    assert not Path(f"/proc/{pid}").exists()
    response.close()
    events.close()


@pytest.mark.parametrize(("seconds", "code"), [("0", 137), ("20", 7)])
def test_containers_have_time_to_end(new_labd: NewLabd, tmp_path: Path, seconds: str, code: int) -> None:
    """--shutdown-timeout: what heeds SIGTERM and tidies up for longer than that is killed; what is faster is not."""
    daemon = new_labd("first", "--shutdown-timeout", seconds, state=tmp_path / "state")
    tidy = start_container(daemon, "tidy", "sh", "-c", "trap 'sleep 0.5; exit 7' TERM; echo up; sleep 60 & wait")
    assert soon(lambda: "up" in str(daemon.request("GET", f"/containers/{tidy}/logs?stdout=1")[1]))
    assert daemon.stop() == 0
    again = new_labd("again", state=tmp_path / "state")
    assert again.request("GET", "/containers/tidy/json")[1]["State"]["ExitCode"] == code


def test_a_wrong_shutdown_timeout() -> None:
    """It is said before anything is done."""
    done = second("--shutdown-timeout", "-1")
    assert done.returncode == 2 and "'-1' is no number of seconds" in done.stderr


def test_the_socket_is_never_wider_than_0660(open_path: Path) -> None:
    """With umask 0, the user nobody tries to connect from before the bind on, and never succeeds."""
    path = open_path / "labd.sock"
    hammer = (
        "import os, socket, sys\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "os.stat(os.path.dirname(sys.argv[1]) + '/.')\n"  # a closed directory would refuse, too, and prove nothing
        "refused = 0\n"
        "while refused < 1000:\n"
        "    with socket.socket(socket.AF_UNIX) as s:\n"
        "        try: s.connect(sys.argv[1]); sys.exit('CONNECTED')\n"
        "        except PermissionError: refused += 1\n"
        "        except OSError: pass\n"
    )
    nobody = subprocess.Popen([sys.executable, "-S", "-c", hammer, str(path)], stderr=subprocess.PIPE)
    daemon = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, sys; os.umask(0); from daemon.__main__ import main; sys.exit(main())",
            "--allow-loginuid",
            "--socket",
            str(path),
            "--state",
            str(open_path / "state"),
        ],
        cwd=CHECKOUT,
        stderr=subprocess.DEVNULL,
    )
    try:
        _, errors = nobody.communicate(timeout=30)
        assert (nobody.returncode, errors) == (0, b"")
        assert path.stat().st_mode & 0o777 == 0o660
    finally:
        nobody.kill()
        daemon.terminate()
        daemon.wait(15)


def test_after_kill_9_a_restart_tells_the_true_fate(new_labd: NewLabd) -> None:
    """After a daemon was killed, its spawner ends the containers and records how: a restart shows that."""
    daemon = new_labd()
    finished = start_container(daemon, "finished", "sh", "-c", "exit 7")
    daemon.request("POST", f"/containers/{finished}/wait")
    start_container(daemon, "running", "sleep", "1000")
    daemon.request("POST", "/containers/create?name=fresh", {"Image": "host", "Cmd": ["true"]})
    vanishing = {"Image": "host", "Cmd": ["sleep", "1000"], "HostConfig": {"AutoRemove": True}}
    daemon.request("POST", "/containers/create?name=vanishing", vanishing)
    daemon.request("POST", "/containers/vanishing/start")
    pid = daemon.request("GET", "/containers/running/json")[1]["State"]["Pid"]
    daemon.stop(signal.SIGKILL)
    again = new_labd()
    states = {
        row["Names"][0]: again.request("GET", f"/containers/{row['Id']}/json")[1]["State"]
        for row in again.request("GET", "/containers/json?all=1")[1]
    }
    told = {name: (state["Status"], state["ExitCode"]) for name, state in states.items()}
    assert told == {"/finished": ("exited", 7), "/running": ("exited", 137), "/fresh": ("created", 0)}
    assert not Path(f"/proc/{pid}").exists()


def test_a_killed_spawner_takes_its_containers_along(new_labd: NewLabd) -> None:
    """Containers die with their spawner; their exit code is 255, since nobody saw it; a new spawner starts."""
    daemon = new_labd()
    start_container(daemon, "orphan", "sleep", "1000")
    pid = daemon.request("GET", "/containers/orphan/json")[1]["State"]["Pid"]
    watch = os.pidfd_open(pid)
    os.kill(daemon.spawner, signal.SIGKILL)
    assert daemon.request("POST", "/containers/orphan/wait")[1] == {"StatusCode": 255}
    os.close(watch)
    state = daemon.request("GET", "/containers/orphan/json")[1]["State"]
    assert state["Status"] == "exited" and "spawner was killed" in state["Error"]
    assert not Path(f"/proc/{pid}/exe").exists()
    assert daemon.dockerish("run", "--rm", "host", "echo", "again").stdout == b"again\n"


def test_both_killed_at_once_is_unknown(new_labd: NewLabd) -> None:
    """With daemon and spawner killed together nobody could record the end: the exit code is 255."""
    daemon = new_labd()
    start_container(daemon, "lost", "sleep", "1000")
    spawner = daemon.spawner
    os.kill(spawner, signal.SIGSTOP)
    daemon.stop(signal.SIGKILL)
    os.kill(spawner, signal.SIGKILL)
    again = new_labd()
    state = again.request("GET", "/containers/lost/json")[1]["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 255)


def test_a_set_loginuid_is_refused(tmp_path: Path) -> None:
    """A daemon started from a login would give every container that login's uid: it says so and does not start."""
    script = (
        "import os\n"
        "fd = os.open('/proc/self/loginuid', os.O_WRONLY); os.write(fd, b'1000')\n"
        "import sys; from daemon.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--socket", tmp_path / "s", "--state", tmp_path / "state"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 125
    assert "loginuid is set (1000)" in done.stderr and "--allow-loginuid" in done.stderr
    assert not (tmp_path / "s").exists()


def test_socket_activation(tmp_path: Path) -> None:
    """A listening socket passed as descriptor 3 with LISTEN_FDS=1 is used, and its name is left to systemd."""
    path = tmp_path / "activated.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        starter = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3, inheritable=True);"
            "os.environ['LISTEN_PID'] = str(os.getpid());"
            "os.execv(sys.executable, [sys.executable, '-m', 'daemon', *sys.argv[2:]])"
        )
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                starter,
                str(listening.fileno()),
                "--allow-loginuid",
                "--state",
                str(tmp_path / "state"),
            ],
            env={**os.environ, "LISTEN_FDS": "1"},
            pass_fds=[listening.fileno()],
            cwd=CHECKOUT,
        )
        connection = UnixConnection(path)
        connection.request("GET", "/_ping")
        assert connection.getresponse().read() == b"OK"
        connection.close()
        process.terminate()
        assert process.wait(15) == 0
    assert path.is_socket()


def test_an_unknown_group_is_refused(tmp_path: Path) -> None:
    """The group is checked before the socket is made."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "daemon",
            "--allow-loginuid",
            "--socket",
            tmp_path / "s",
            "--state",
            tmp_path / "state",
            "--group",
            "no-such-group",
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 125 and 'unknown group "no-such-group"' in done.stderr
    assert not (tmp_path / "s").exists()
