"""--pid, --ipc, --uts, --userns, --cgroupns and --cgroup-parent: the same through both engines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from private_labd import Labd
from support import Podmanish, processes_with, soon

from lab.runtime import cgroup

pytestmark = pytest.mark.needs("root", "cgroups")
Run = Callable[..., subprocess.CompletedProcess[bytes]]
PYTHON = ("/usr/bin/python3", "-ISc")
# A second process that the death of the first does not reach: in its own session, without PR_SET_PDEATHSIG.
STRAY = "setsid sleep {} & exec setpriv --pdeathsig clear sleep {}"


def printed(engine: Run, *words: str) -> str:
    """What `run --rm` of these words prints; a failure shows what it printed as an error."""
    done = engine("run", "--rm", *words)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def own(kind: str) -> str:
    """The test process's own namespace, as /proc names it."""
    return str(Path(f"/proc/self/ns/{kind}").readlink())


@pytest.fixture
def donor(engine: Run) -> Iterator[str]:
    """A running container whose IPC namespace may be joined."""
    assert engine("run", "-d", "--name", "donor", "--ipc", "shareable", "host", "sleep", "60").returncode == 0
    yield "donor"
    engine("rm", "-f", "donor")


@pytest.mark.parametrize("kind", ["pid", "ipc", "uts", "cgroup"])
def test_the_hosts_namespace_or_a_new_one(engine: Run, kind: str) -> None:
    """host is the engine's namespace, private a new one."""
    option = "--cgroupns" if kind == "cgroup" else f"--{kind}"
    look = ("host", "readlink", f"/proc/self/ns/{kind}")
    assert printed(engine, option, "host", *look) == own(kind)
    assert printed(engine, option, "private", *look) != own(kind)


def test_the_attack_that_everybody_types(engine: Run) -> None:
    """--privileged --pid host with nsenter -t 1 -m: a command in the mount namespace of the host's pid 1.

    Where that has capabilities that root lacks, as on some virtual machines, even root may not; then this process's.
    """
    target = "1" if os.access("/proc/1/root/", os.R_OK) else str(os.getpid())
    words = ("--privileged", "--pid", "host", "host", "nsenter", "-t", target, "-m", "readlink", "/proc/self/ns/mnt")
    assert printed(engine, *words) == own("mnt")


def test_an_exec_sees_the_hosts_processes(engine: Run) -> None:
    """exec joins what its container shares: with --pid host, the pid of this very process."""
    assert engine("run", "-d", "--name", "box", "--pid", "host", "--uts", "host", "host", "sleep", "60").returncode == 0
    done = engine("exec", "box", "cat", f"/proc/{os.getpid()}/comm")
    engine("rm", "-f", "box")
    assert done.stdout.decode() == Path("/proc/self/comm").read_text(), done.stderr


@pytest.mark.parametrize("how", ["end", "rm", "stop"])
def test_a_container_in_the_hosts_pid_namespace_ends_whole(engine: Run, how: str) -> None:
    """The kernel ends no pid namespace here: what the first process leaves is ended by the cgroup."""
    mark = f"7{os.getpid()}.{len(how)}"
    script = STRAY.format(mark, "0.1" if how == "end" else "60")
    assert engine("run", "-d", "--name", "box", "--pid", "host", "host", "sh", "-c", script).returncode == 0
    if how == "end":
        engine("wait", "box")
    else:
        assert soon(lambda: len(processes_with(mark)) > 0)
        engine(*(("rm", "-f") if how == "rm" else ("stop", "-t", "0")), "box")
    assert soon(lambda: not processes_with(mark))
    engine("rm", "-f", "box")


def test_pid_of_another_container(engine: Run, donor: str) -> None:
    """--pid container:NAME: the other's processes are seen and can be signalled; its first one is pid 1."""
    look = (
        "host",
        "sh",
        "-c",
        "readlink /proc/1/ns/pid /proc/self/ns/pid; cat /proc/1/cmdline | tr '\\0' ' '; echo $$",
    )
    first, mine, told = printed(engine, "--privileged", "--pid", f"container:{donor}", *look).splitlines()
    command, _, pid = told.rpartition(" ")
    assert (first, command) == (mine, "sleep 60")
    assert mine != own("pid") and int(pid) > 1


def test_the_end_of_a_joined_container(engine: Run, donor: str) -> None:
    """When its pid 1 ends, the kernel kills all others in that pid namespace: 137."""
    engine("run", "-d", "--name", "guest", "--pid", f"container:{donor}", "--init", "host", "sleep", "60")
    engine("kill", donor)
    code = engine("wait", "guest").stdout
    engine("rm", "-f", "guest")
    assert code == b"137\n"


def test_a_guest_ends_alone(engine: Run, donor: str) -> None:
    """The end of the joining container leaves the other one as it was, and none of its own processes."""
    mark = f"8{os.getpid()}.5"
    printed(engine, "--pid", f"container:{donor}", "host", "sh", "-c", f"setsid sleep {mark} & exit 0")
    assert soon(lambda: not processes_with(mark))
    assert engine("exec", donor, "true").returncode == 0


def test_ipc_of_another_container(engine: Run, donor: str) -> None:
    """--ipc container:NAME: its shared memory, and its /dev/shm."""
    engine("exec", donor, "sh", "-c", "ipcmk -M 4096 && echo theirs >/dev/shm/file")
    seen = printed(
        engine, "--ipc", f"container:{donor}", "host", "sh", "-c", "ipcs -m | grep -c 4096; cat /dev/shm/file"
    )
    assert seen.split() == ["1", "theirs"]
    assert printed(engine, "host", "sh", "-c", "ipcs -m | grep -c 4096; ls /dev/shm | wc -l; :").split() == ["0", "0"]


def test_ipc_of_the_host(engine: Run) -> None:
    """--ipc host has the host's /dev/shm, --ipc none has none."""
    file = Path(f"/dev/shm/labtest-{os.getpid()}")
    file.touch()
    try:
        assert printed(engine, "--ipc", "host", "host", "ls", str(file)) == str(file)
        assert printed(engine, "--ipc", "none", "host", "sh", "-c", "ls -d /dev/shm || :") == ""
    finally:
        file.unlink()


@pytest.mark.parametrize("options", [["--pid", "container:{}"], ["--ipc", "container:{}"]])
def test_a_container_that_cannot_be_joined(engine: Run, options: list[str]) -> None:
    """An unknown or ended container, or for IPC a private one: 125 and docker's sentence."""
    engine("run", "--name", "ended", "host", "true")
    engine("run", "-d", "--name", "alone", "host", "sleep", "60")
    word = options[0].strip("-").upper()
    try:
        for name, reason in (("nosuch", "No such container: nosuch"), ("ended", "is not running")):
            done = engine("run", "--rm", options[0], options[1].format(name), "host", "true")
            assert done.returncode == 125
            assert f"failed to join {word} namespace: ".encode() in done.stderr and reason.encode() in done.stderr
        done = engine("run", "--rm", options[0], options[1].format("alone"), "host", "true")
        shares = word == "PID"
        assert done.returncode == (0 if shares else 125)
        assert shares or b"non-shareable IPC (hint: use IpcMode:shareable for the donor container)" in done.stderr
    finally:
        engine("rm", "-f", "ended", "alone")


def test_names_of_the_host(engine: Run) -> None:
    """--uts host: the machine's name, also in HOSTNAME; a name of one's own contradicts it."""
    name = os.uname().nodename
    assert printed(engine, "--uts", "host", "host", "sh", "-c", "echo $HOSTNAME; uname -n").split() == [name, name]
    done = engine("run", "--rm", "--uts", "host", "--hostname", "x", "host", "true")
    assert (done.returncode, b"conflicting options: hostname and the UTS mode" in done.stderr) == (125, True)
    assert os.uname().nodename == name


def test_a_private_cgroup_namespace(engine: Run) -> None:
    """--cgroupns private: the container's cgroup is the top, in /proc and below /sys/fs/cgroup; exec's, too."""
    engine("run", "-d", "--name", "box", "--cgroupns", "private", "host", "sleep", "60")
    look = "cat /proc/self/cgroup | grep ^0; cat $(find /sys/fs/cgroup -maxdepth 2 -name cgroup.freeze | head -1)"
    done = engine("exec", "box", "sh", "-c", look)
    others = engine("exec", "box", "sh", "-c", f"find {cgroup.version_2()} -maxdepth 1 -name '{cgroup.NAME}*'")
    engine("rm", "-f", "box")
    assert done.stdout.split() == [b"0::/", b"0"], done.stderr
    assert others.stdout == b""


def test_a_cgroup_parent(engine: Run) -> None:
    """--cgroup-parent: the container's cgroup lies there, with limits or without; no path leads elsewhere."""
    parent = f"labtest-{os.getpid()}"
    try:
        for options in ([], ["--pids-limit", "50"]):
            words = ("--cgroup-parent", f"/{parent}/low", *options, "host", "cat", "/proc/self/cgroup")
            assert f"0::/{parent}/low/{cgroup.NAME}" in printed(engine, *words)
        for path, reason in (("/../x", b"invalid cgroup parent"), ("a//b", b"invalid"), ("a.slice", b"systemd")):
            done = engine("run", "--rm", "--cgroup-parent", path, "host", "true")
            assert (done.returncode, reason in done.stderr) == (125, True), done.stderr
    finally:
        for folder, _, _ in os.walk(cgroup.MOUNT, topdown=False):
            if f"/{parent}" in folder and f"/{parent}/low/" not in folder:
                Path(folder).rmdir()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--pid", "bogus"], "invalid PID mode: bogus"),
        (["--ipc", "bogus"], "invalid IPC mode: bogus"),
        (["--uts", "bogus"], "invalid UTS mode: bogus"),
        (["--cgroupns", "bogus"], "invalid cgroup namespace mode: bogus"),
        (["--userns", "bogus"], "invalid user namespace mode: bogus"),
        (["--userns", "keep-id"], "is not part of this lab"),
        (["--pid", "ns:/proc/1/ns/pid"], "is not part of this lab"),
        (["--pid", "container:"], "invalid PID mode: container:"),
        (["--ipc", "host", "--sysctl", "kernel.shmmax=65536"], "not allowed"),
        (["--memory-swappiness", "101"], "valid memory swappiness range is 0-100"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_words_that_mean_nothing(engine: Run, options: list[str], reason: str) -> None:
    """125, and docker's sentence."""
    done = engine("run", "--rm", *options, "host", "true")
    assert (done.returncode, reason in done.stderr.decode()) == (125, True), done.stderr


def test_the_hosts_user_namespace(engine: Run) -> None:
    """--userns host is what happens anyway."""
    assert printed(engine, "--userns", "host", "host", "readlink", "/proc/self/ns/user") == own("user")


def test_swappiness(engine: Run) -> None:
    """--memory-swappiness 0 to 100 with version 1; version 2 has no such setting, and the option is refused."""
    done = engine("run", "-d", "--name", "box", "--memory-swappiness", "0", "host", "sleep", "60")
    if not Path(f"{cgroup.MOUNT}/memory/memory.swappiness").exists():
        assert (done.returncode, b"swappiness" in done.stderr) == (125, True)
        return
    path = f"/{cgroup.NAME}{json.loads(engine('inspect', 'box').stdout)[0]['Id']}"
    seen = Path(f"{cgroup.folders(path, ['memory'])[-1]}/memory.swappiness").read_text()
    engine("rm", "-f", "box")
    assert seen == "0\n"


@pytest.mark.parametrize("victim", ["keeper", "engine", "first"])
def test_kills_of_podmanish_with_the_hosts_pids(podmanish: Podmanish, victim: str) -> None:
    """Whichever of the three is killed with -9, no process of the container stays, and its end is recorded."""
    mark = f"6{os.getpid()}.{len(victim)}"
    words = ("run", "--name", "box", "--pid", "host", "host", "sh", "-c", STRAY.format(mark, f"{mark}9"))
    with podmanish.start(*words) as run:
        assert soon(lambda: len(processes_with(f"sleep\0{mark}")) == 2)  # the engine's own line has no NUL there
        keeper = next(pid for pid in children(run.pid) if Path(f"/proc/{pid}/comm").read_text() == "keeper\n")
        first = next(pid for pid in children(run.pid) if pid != keeper)
        os.kill({"keeper": keeper, "engine": run.pid, "first": first}[victim], signal.SIGKILL)
        if victim == "keeper":
            assert podmanish("rm", "-f", "box").returncode == 0
    assert soon(lambda: not processes_with(mark))
    assert podmanish("ps", "-q").stdout == b""
    podmanish("rm", "-f", "box")


def children(pid: int) -> list[int]:
    """The pids of its children."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("victim", ["spawner", "labd", "both"])
def test_kills_of_labd_with_the_hosts_pids(new_labd: Callable[..., Labd], victim: str) -> None:
    """kill -9 of labd, of the spawner for --pid host or of both leaves no process and no container that "runs"."""
    daemon = new_labd()
    mark = f"5{os.getpid()}.{len(victim)}"
    daemon.dockerish("run", "-d", "--name", "box", "--pid", "host", "host", "sh", "-c", STRAY.format(mark, f"{mark}9"))
    assert soon(lambda: len(processes_with(mark)) > 1)
    helper = next(pid for pid in children(daemon.pid) if Path(f"/proc/{pid}/comm").read_text() == "labd-host-pids\n")
    for pid in {"spawner": [helper], "labd": [daemon.pid], "both": [daemon.pid, helper]}[victim]:
        os.kill(pid, signal.SIGKILL)
    assert soon(lambda: not processes_with(mark))
    if victim != "spawner":
        daemon.process.wait(10)
        daemon = new_labd()
    assert soon(lambda: json.loads(daemon.dockerish("inspect", "box").stdout)[0]["State"]["Status"] == "exited")
    code = json.loads(daemon.dockerish("inspect", "box").stdout)[0]["State"]["ExitCode"]
    assert code == (137 if victim == "labd" else 255)
    assert daemon.dockerish("start", "box").returncode == 0
    assert daemon.dockerish("rm", "-f", "box").returncode == 0
    assert soon(lambda: not processes_with(mark))
