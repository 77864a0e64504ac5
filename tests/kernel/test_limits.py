"""cgroups(7): limits hold, each container has one cgroup, and nothing stays of it; both engines share the code."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from private_labd import Labd
from support import Podmanish, soon

from lab.errors import MissingFeature
from lab.runtime import cgroup
from lab.spec import Spec

pytestmark = pytest.mark.needs("root", "cgroups")

PYTHON = ("/usr/bin/python3", "-ISc")
Run = Callable[..., subprocess.CompletedProcess[bytes]]


def ours() -> list[str]:
    """All cgroups of the lab on this machine."""
    return sorted(folder for folder, _, _ in os.walk(cgroup.MOUNT) if Path(folder).name.startswith(cgroup.NAME))


@pytest.fixture(params=["podmanish", "dockerish"])
def engine(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Both engines; afterwards no cgroup is there that was not there before."""
    before = set(ours())
    if request.param == "podmanish":
        forker: Podmanish = request.getfixturevalue("podmanish")
        yield forker
    else:
        daemon: Labd = request.getfixturevalue("labd")
        yield daemon.dockerish
    assert soon(lambda: not set(ours()) - before)


def test_sweep_lives_with_other_engines() -> None:
    """A cgroup that another engine removes between the listing and the look at it is not an error."""
    folder = Path(f"{cgroup.version_2()}/{cgroup.NAME}{os.urandom(8).hex()}")
    done = threading.Event()

    def come_and_go() -> None:
        while not done.is_set():
            folder.mkdir()
            folder.rmdir()

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(300):
            cgroup.sweep()
    finally:
        done.set()
        other.join()


FORKS = """
import os, time
made = 0
try:
    for _ in range(100):
        if os.fork() == 0:
            time.sleep(5)
            os._exit(0)
        made += 1
except OSError as error:
    print(made, error.errno)
"""


def test_a_fork_bomb(engine: Run) -> None:
    """--pids-limit 10: the tenth process is the last, the next fork(2) ends with EAGAIN; the host goes on."""
    done = engine("run", "--rm", "--pids-limit", "10", "host", *PYTHON, FORKS)
    assert done.stdout.decode().split() == ["9", str(errno.EAGAIN)], done.stderr


def test_a_memory_bomb(engine: Run) -> None:
    """-m 20m: the kernel kills the process that wants more, 137 as under docker, and inspect says OOMKilled."""
    done = engine("run", "--name", "bomb", "-m", "20m", "host", *PYTHON, "x = bytearray(100 << 20)")
    shown = json.loads(engine("inspect", "bomb").stdout)[0]
    engine("rm", "bomb")
    assert (done.returncode, shown["State"]["OOMKilled"]) == (137, True)
    assert engine("run", "--name", "tame", "-m", "200m", "host", *PYTHON, "x = bytearray(50 << 20)").returncode == 0
    assert not json.loads(engine("inspect", "tame").stdout)[0]["State"]["OOMKilled"]
    engine("rm", "tame")


def test_a_share_of_a_processor(engine: Run) -> None:
    """With --cpus 0.2, two seconds by the clock give some 0.4 seconds of processor time."""
    spin = "import time; end = time.monotonic() + 2\nwhile time.monotonic() < end: pass\nprint(time.process_time())"
    seconds = float(engine("run", "--rm", "--cpus", "0.2", "host", *PYTHON, spin).stdout)
    assert 0.1 < seconds < 0.8


def test_exec_is_inside_the_limits(engine: Run) -> None:
    """A process of exec counts with the others: the limit is the container's."""
    engine("run", "-d", "--name", "box", "--pids-limit", "10", "host", "sleep", "60")
    done = engine("exec", "box", *PYTHON, FORKS)
    engine("rm", "-f", "box")
    assert done.stdout.decode().split() == ["8", str(errno.EAGAIN)], done.stderr


def test_every_container_has_a_cgroup_of_its_own(engine: Run) -> None:
    """A container's cgroup lies below its engine's. No process can leave it."""
    inside = engine("run", "--rm", "host", "cat", "/proc/self/cgroup").stdout.decode().splitlines()
    own = [line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    found = next(line for line in inside if line.startswith("0::"))
    assert found.startswith(f"{own[0].rstrip('/')}/{cgroup.NAME}")
    leave = "for f in $(find /sys/fs/cgroup -name cgroup.procs); do echo 0 >$f && echo left; done 2>/dev/null; :"
    assert engine("run", "--rm", "host", "sh", "-c", leave).stdout == b""


def test_a_failed_start_leaves_no_cgroup(engine: Run) -> None:
    """A start that fails leaves no cgroup: the fixture looks for it. The command or the mount point is missing."""
    for words in (["no-such-command"], ["/etc"]):
        assert engine("run", "--rm", "-m", "64m", "--pids-limit", "9", "host", *words).returncode in (126, 127)
    assert engine("run", "--rm", "-v", "/tmp:/etc/no-such-directory", "host", "true").returncode == 125


def test_pause_stats_and_top_go_by_it(labd: Labd) -> None:
    """pause, stats and top see the processes of an exec, and of a pid namespace below the container's."""
    labd.dockerish("run", "-d", "--name", "tree", "--privileged", "host", "unshare", "-pf", "sleep", "61")
    labd.dockerish("exec", "-d", "tree", "sleep", "62")
    try:
        table = labd.request("GET", "/containers/tree/top?ps_args=-eo%20pid,args")[1]
        titles, rows = table["Titles"], table["Processes"]
        commands = sorted(row[titles.index("COMMAND")] for row in rows)
        assert commands == ["sleep 61", "sleep 62", "unshare -pf sleep 61"]
        pid = rows[0][titles.index("PID")]
        stats = labd.request("GET", "/containers/tree/stats?stream=0&one-shot=1")[1]
        assert stats["pids_stats"]["current"] == 3 and stats["memory_stats"]["usage"] > 0
        assert labd.request("POST", "/containers/tree/pause")[0] == 204
        path = next(line for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if line.startswith("0::"))
        assert "frozen 1" in Path(f"{cgroup.version_2()}{path[3:]}/cgroup.events").read_text()
        assert labd.request("POST", "/containers/tree/unpause")[0] == 204
    finally:
        labd.request("DELETE", "/containers/tree?force=1")


def test_cgroups_of_killed_engines_are_swept(podmanish: Podmanish, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cgroup of the lab is removed when it is older than a minute."""
    left = Path(f"{cgroup.version_2()}/{cgroup.NAME}test-{os.getpid()}")
    left.mkdir()
    cgroup.sweep()
    assert left.exists()
    monkeypatch.setattr(cgroup, "SWEEP_SECONDS", 0)
    cgroup.sweep()
    assert not left.exists()


@pytest.mark.parametrize("name", ["\u00fc", "a..b", "a\vb\rc\udcff d"], ids=ascii)
def test_a_cgroup_may_have_any_name(podmanish: Podmanish, name: str) -> None:
    """An engine in a cgroup whose name is no plain word runs containers there, and finds them again."""
    home = Path(f"{cgroup.version_2()}/{name}-{os.getpid()}")
    home.mkdir()
    podmanish.command = ["sh", "-c", 'echo 0 >"$0/cgroup.procs"; exec "$@"', str(home), *podmanish.command]
    try:
        podmanish.output("run", "-d", "--name", "box", "host", "sleep", "60")
        assert len([*home.glob(f"{cgroup.NAME}*")]) == 1
        assert podmanish.output("exec", "box", "echo", "here") == "here"
        podmanish.output("rm", "-f", "box")
        assert podmanish.output("run", "--rm", "--cgroupns=private", "host", "grep", "0::", "/proc/self/cgroup")
        assert not [*home.glob(f"{cgroup.NAME}*")]
    finally:
        cgroup.until(lambda: "populated 0" in (home / "cgroup.events").read_text())
        home.rmdir()


def test_what_is_not_the_labs_is_not_removed(tmp_path: Path) -> None:
    """A cgroup without the lab's name is not removed, even if a state file names it."""
    other = Path(f"{cgroup.version_2()}/not-the-lab-{os.getpid()}")
    other.mkdir()
    try:
        cgroup.remove(f"/{other.name}")
        cgroup.remove("")
        cgroup.remove("/")
        assert other.exists()
    finally:
        other.rmdir()


def test_a_limit_that_cannot_be_kept_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its controller a limit is refused by name, never accepted and ignored."""
    monkeypatch.setattr(cgroup, "available", lambda: {"cpu"})
    cgroup.check(Spec(args=["true"], resources={"nano_cpus": 10**9}))
    with pytest.raises(MissingFeature, match="memory, pids"):
        cgroup.check(Spec(args=["true"], resources={"nano_cpus": 10**9, "memory": 1 << 30, "pids_limit": 5}))
