"""What the fork/exec engine passes on from systemd to its container; and the systemd that the stage boots."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import CHECKOUT, Podmanish, own_mounts

from lab.pidfd import is_alive
from scenarios.props.systemd import Systemd
from scenarios.safety.journal import Journal

pytestmark = pytest.mark.needs("root")

SAY_READY = """
import os, socket, sys
path = os.environ.get("NOTIFY_SOCKET", "")
if path:
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", path.replace("@", "\\0"))
print(path)
"""
PYTHON = str(Path(sys.executable).resolve())


@pytest.fixture
def supervisor(short_place: Path) -> Iterator[socket.socket]:
    """A notify socket with credentials, as systemd's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(short_place / "notify"))
        channel.setblocking(False)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        yield channel


def received(supervisor: socket.socket) -> list[str]:
    """All messages that have come."""
    messages = []
    try:
        while True:
            messages.append(supervisor.recv(4096).decode())
    except BlockingIOError:
        return messages


def test_the_containers_ready_arrives(podmanish: Podmanish, supervisor: socket.socket) -> None:
    """--sdnotify=container, the default: the engine names itself the main process, the container says READY=1."""
    environment = {**os.environ, "NOTIFY_SOCKET": supervisor.getsockname()}
    done = podmanish("run", "--rm", "host", PYTHON, "-c", SAY_READY, env=environment)
    assert done.stdout == b"/run/notify/notify.sock\n", done.stderr
    main, ready = received(supervisor)
    assert main.startswith("MAINPID=")
    assert ready == "READY=1"


def test_an_abstract_socket_is_passed_by_name(podmanish: Podmanish) -> None:
    """unix(7)'s abstract names need no mount: they belong to the network namespace."""
    name = f"lab-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(f"\0{name}")
        channel.setblocking(False)
        podmanish("run", "--rm", "host", PYTHON, "-c", SAY_READY, env={**os.environ, "NOTIFY_SOCKET": f"@{name}"})
        assert sorted(received(channel))[-1] == "READY=1"  # the engine names its pid, before or after that


def test_conmon_mode_is_ready_when_the_container_runs(podmanish: Podmanish, supervisor: socket.socket) -> None:
    """--sdnotify=conmon: the engine says READY=1, and the container is not told of the socket."""
    environment = {**os.environ, "NOTIFY_SOCKET": supervisor.getsockname()}
    with podmanish.start(
        "run", "--rm", "--sdnotify=conmon", "host", PYTHON, "-c", SAY_READY, env=environment
    ) as engine:
        output = engine.communicate()[0]
    assert output == b"\n"
    assert received(supervisor) == [f"MAINPID={engine.pid}\nREADY=1"]


def test_conmon_mode_stays_silent_when_the_container_cannot_start(
    podmanish: Podmanish, supervisor: socket.socket
) -> None:
    """READY=1 is a statement about a running container."""
    environment = {**os.environ, "NOTIFY_SOCKET": supervisor.getsockname()}
    assert podmanish("run", "--rm", "--sdnotify=conmon", "host", "/no/such", env=environment).returncode == 127
    assert received(supervisor) == []


def test_ignore_mode_passes_nothing(podmanish: Podmanish, supervisor: socket.socket) -> None:
    """--sdnotify=ignore: the engine sends nothing, and the container is not told of the socket."""
    environment = {**os.environ, "NOTIFY_SOCKET": supervisor.getsockname()}
    done = podmanish("run", "--rm", "--sdnotify=ignore", "host", PYTHON, "-c", SAY_READY, env=environment)
    assert (done.stdout, received(supervisor)) == (b"\n", [])


def test_an_unknown_mode_is_refused(podmanish: Podmanish) -> None:
    """An unknown --sdnotify is refused, even without a NOTIFY_SOCKET."""
    done = podmanish("run", "--rm", "--sdnotify=yes", "host", "true")
    assert done.returncode == 125
    assert b"container, conmon, ignore" in done.stderr


@pytest.mark.parametrize(("options", "pid"), [((), "1"), (("--init",), "2")])
def test_listen_fds_reach_the_container(podmanish: Podmanish, options: tuple[str, ...], pid: str) -> None:
    """Descriptors from 3 on keep their numbers, and LISTEN_PID is the command's pid inside; sd_listen_fds(3)."""
    workload = "echo $LISTEN_FDS $LISTEN_PID $$ $LISTEN_FDNAMES; cat <&3; cat <&4; ls /proc/self/fd | wc -l"
    done = subprocess.run(
        ["sh", "-c", 'exec 3</etc/hostname 4</etc/hostname; LISTEN_PID=$$ exec "$@"', "sh",
         *podmanish.command, "run", "--rm", *options, "host", "sh", "-c", workload],
        capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"},
    )  # fmt: skip
    name = Path("/etc/hostname").read_text()
    assert done.stdout == f"2 {pid} {pid} a:b\n{name}{name}6\n"


def test_listen_fds_of_another_process_are_left_out(podmanish: Podmanish) -> None:
    """Descriptors for another LISTEN_PID are not passed on: neither the variables nor the descriptors."""
    environment = {**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": "1"}
    with Path("/etc/hostname").open() as file:
        done = podmanish("run", "--rm", "host", "sh", "-c", "echo ${LISTEN_FDS-none}; ls /proc/self/fd | wc -l",
                         env=environment, pass_fds=[file.fileno()])  # fmt: skip
    assert done.stdout == b"none\n4\n"


@pytest.mark.needs("systemd-nspawn")
class TestSystemd:
    """The stage's system manager."""

    def test_leaves_nothing_behind(self, short_place: Path) -> None:
        """The booted systemd has a new mount namespace; afterwards its cgroups, directory and processes are gone."""
        with Journal(short_place) as journal:
            with Systemd(journal) as systemd:
                assert systemd.run("cat", "/proc/1/comm") == "systemd"
                noted = [json.loads(line) for line in journal.path.read_text().splitlines()]
                assert not systemd.booted_here or {"process", "cgroup", "directory"} <= {
                    entry["kind"] for entry in noted
                }
            assert [entry["path"] for entry in noted if "path" in entry and Path(entry["path"]).exists()] == []
            assert not any(is_alive(entry["pid"], entry["start_time"]) for entry in noted if "pid" in entry)
            assert own_mounts(Path("/run/lab/systemd-")) == []

    def test_has_no_loginuid(self, short_place: Path) -> None:
        """The booted systemd has no loginuid, even if the stage was started from a login."""
        with Journal(short_place) as journal, Systemd(journal) as systemd:
            assert systemd.run("cat", "/proc/1/loginuid") == "4294967295"

    def test_a_machines_own_is_used_and_left_as_it_was(self, short_place: Path) -> None:
        """Where pid 1 is systemd no other is booted; the units that were installed are stopped and removed."""
        inside = """
from pathlib import Path
from scenarios.safety.journal import Journal
from scenarios.props.systemd import Systemd
with Journal(Path("/run/lab")) as journal, Systemd(journal) as systemd:
    assert not systemd.booted_here
    systemd.install({"lab-test.service": "[Service]\\nExecStart=sleep infinity\\n"})
    systemd.run("systemctl", "start", "lab-test")
    print(systemd.run("systemctl", "is-active", "lab-test"))
print(systemd.run("systemctl", "is-active", "lab-test"), Path("/run/systemd/system/lab-test.service").exists())
"""
        with Journal(short_place) as journal, Systemd(journal) as systemd:
            code = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n{inside}"
            assert systemd.run(sys.executable, "-c", code) == "active\ninactive False"

    def test_a_killed_stage_is_taken_back(self, short_place: Path) -> None:
        """After SIGKILL of the stage its journal still ends the booted systemd and removes its cgroups."""
        code = f"""
import os, sys
sys.path.insert(0, {str(CHECKOUT)!r})
from pathlib import Path
from scenarios.safety.journal import Journal
from scenarios.props.systemd import Systemd
with Journal(Path({str(short_place)!r})) as journal, Systemd(journal) as systemd:
    print(systemd.enter[-1], flush=True)
    os.kill(os.getpid(), 9)
"""
        killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
        if not killed.stdout.strip().isdecimal():
            pytest.skip("the machine's own systemd was used: nothing was booted")
        with Journal(short_place) as journal:
            taken_back = journal.restored
        assert {line.split(":")[0] for line in taken_back} == {"process", "cgroup", "directory"}
        assert not Path(f"/proc/{killed.stdout.strip()}").exists()
        paths = [line.partition("path=")[2] for line in taken_back if "path=" in line]
        assert [path for path in paths if Path(path).exists()] == []
