"""Nothing outlives its engine. The tests widen each window on purpose instead of hoping to hit it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from private_labd import Labd
from support import CHECKOUT, Podmanish, lab_python, soon

from daemon import updating
from lab.errors import Conflict, NotRunning
from lab.pidfd import start_time
from lab.runtime import cgroup, cgroup_control
from lab.runtime.keeper import Keeper
from lab.spec import Spec

pytestmark = pytest.mark.needs("root")

PYTHON = ("/usr/bin/python3", "-ISc")
# A container that clears PR_SET_PDEATHSIG, leaves its session and parent, and ignores every signal that it can.
STUBBORN = """
import ctypes, os, signal, time
prctl = ctypes.CDLL(None).prctl
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
prctl(1, 0)
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
open("/mnt/ready", "a").close()
while True:
    time.sleep(60)
    "MARK"
"""


def stubborn(mark: str) -> tuple[str, ...]:
    """The command STUBBORN, which its mark tells from others."""
    return (*PYTHON, STUBBORN.replace("MARK", mark))


def processes(mark: str) -> dict[int, str]:
    """pid and name of the processes with this mark in their arguments, zombies apart."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "cmdline").read_bytes() and int(folder.name) != os.getpid():
                found[int(folder.name)] = (folder / "comm").read_text().strip()
        except OSError:
            continue
    return found


def gone(mark: str) -> bool:
    """Whether no process has the mark."""
    return not processes(mark)


def parent(pid: int) -> int:
    """The pid of its parent; proc_pid_stat(5)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("options", [[], ["--init"], ["--privileged"], ["--user", "1000"], ["-t"]], ids=" ".join)
def test_kill_9_of_podmanish(podmanish: Podmanish, tmp_path: Path, options: list[str]) -> None:
    """The container's pid namespace lies in the lifeline's, and the lifeline dies with the engine."""
    mark, volume = f"survivor-{os.urandom(8).hex()}", tmp_path / "volume"
    volume.mkdir(mode=0o777)
    volume.chmod(0o777)
    run = podmanish.start("run", "--rm", *options, "-v", f"{volume}:/mnt", "host", *stubborn(mark))
    assert soon(lambda: (volume / "ready").exists())
    assert soon(lambda: len(processes(mark)) > 4)
    run.kill()
    run.communicate()
    assert soon(lambda: not processes(mark)), processes(mark)


@pytest.mark.parametrize("victim", ["monitor", "lifeline"])
def test_kill_9_of_what_stands_behind_a_detached_container(podmanish: Podmanish, tmp_path: Path, victim: str) -> None:
    """The monitor of `run -d`, or the lifeline below it: the container goes with either, and ps says so."""
    mark = f"survivor-{os.urandom(8).hex()}"
    podmanish.output("run", "-d", "--name", "box", "-v", f"{tmp_path}:/mnt", "host", *stubborn(mark))
    assert soon(lambda: (tmp_path / "ready").exists())
    lifeline = next(pid for pid, name in processes(mark).items() if name == "lifeline")
    os.kill(parent(lifeline) if victim == "monitor" else lifeline, signal.SIGKILL)
    assert soon(lambda: not processes(mark)), processes(mark)
    assert soon(lambda: "Exited" in podmanish.output("ps", "-a"))
    podmanish.output("rm", "box")


@pytest.mark.parametrize("victim", ["labd", "spawner", "both"])
def test_kill_9_of_the_daemon(new_labd: Callable[..., Labd], tmp_path: Path, victim: str) -> None:
    """labd's spawner is the first process of a pid namespace: the kernel ends it with all that is in it."""
    daemon, mark = new_labd("d"), f"survivor-{os.urandom(8).hex()}"
    daemon.dockerish("run", "-d", "--name", "box", "-v", f"{tmp_path}:/mnt", "host", *stubborn(mark))
    assert soon(lambda: (tmp_path / "ready").exists())
    victims = {"labd": [daemon.pid], "spawner": [daemon.spawner], "both": [daemon.spawner, daemon.pid]}[victim]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    assert soon(lambda: not processes(mark)), processes(mark)


def test_kill_9_of_an_ordinary_users_podmanish(rootless: Podmanish) -> None:
    """The lifeline's pid namespace then belongs to the container's user namespace; all else is the same."""
    mark = f"survivor-{os.urandom(8).hex()}"
    loud = STUBBORN.replace('open("/mnt/ready", "a").close()', 'print("ready", flush=True)').replace("MARK", mark)
    run = rootless.start("run", "--rm", "host", *PYTHON, loud)
    assert run.stdout and run.stdout.readline() == b"ready\n"
    lifeline = next(pid for pid, name in processes(mark).items() if name == "lifeline")
    os.kill(parent(lifeline), signal.SIGKILL)
    run.communicate()
    assert soon(lambda: not processes(mark)), processes(mark)


# The window: if the engine dies between its word to go and PR_SET_PDEATHSIG, no signal comes for the child.
WINDOW = """
import os, sys, time
from lab import runtime
from lab.runtime import child, lifeline
from lab.spec import Mount, Spec
honest = child.die_with_parent
place = "/mnt" if sys.argv[3] == "container" else sys.argv[1]
def late(pipe):
    open(place + "/window", "a").close()
    time.sleep(0.5)
    honest(pipe)
if sys.argv[3] == "container":
    child.die_with_parent = late
else:
    lifeline.die_with_parent = late
spec = Spec(args=["touch", "/mnt/ran"], mounts=[Mount(sys.argv[1], "/mnt")], env={"PATH": "/usr/bin"})
runtime.spawn(spec, lifeline=sys.argv[2] == "lifeline")
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("above", "where"), [("none", "container"), ("lifeline", "container"), ("lifeline", "lifeline")]
)
def test_the_engine_dies_while_its_child_prepares_for_that(tmp_path: Path, above: str, where: str) -> None:
    """A child that sets PR_SET_PDEATHSIG too late sees that the engine's pipe has hung up, and does not exec."""
    code = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n{WINDOW}"
    tmp_path.chmod(0o777)
    engine = subprocess.Popen([sys.executable, "-ISc", code, str(tmp_path), above, where], stdin=subprocess.DEVNULL)
    assert soon(lambda: (tmp_path / "window").exists())
    time.sleep(0.1)  # the word to go is in the pipe by now
    engine.kill()
    engine.wait()
    time.sleep(1)
    assert not (tmp_path / "ran").exists()
    assert processes(str(tmp_path)) == {}


ORPHAN = """
import os, sys
from lab.spec import Spec
from lab.store import Store, new_id
config = {"image": "host", "spec": Spec(args=["sleep"]).to_dict(), "rm": False, "label": []}
container = Store(sys.argv[1]).create(new_id(), "orphan", config)
null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
pid = os.posix_spawn("/bin/sleep", ["sleep", "300"], {}, file_actions=null)
container.started(pid, os.getpid())
print(pid)
"""


def test_a_container_without_a_monitor_is_not_forgotten(podmanish: Podmanish) -> None:
    """A process that has outlived its monitor is shown as running by ps; rm refuses, and rm -f ends it."""
    pid = int(lab_python(ORPHAN, f"{podmanish.root}/podmanish"))
    assert "Up " in podmanish.output("ps")
    refused = podmanish("rm", "orphan")
    assert (refused.returncode, b"is running" in refused.stderr) == (125, True)
    podmanish.output("rm", "-f", "orphan")
    assert start_time(pid) == 0


@pytest.fixture
def half_begun() -> Iterator[Callable[[str], list[Path]]]:
    """Makes the cgroup of a container, as a start does before anything is recorded of it."""
    parent = f"/labtest-{os.getpid()}"

    def make(container_id: str) -> list[Path]:
        found = [Path(folder) for folder in cgroup.folders(f"{parent}/{cgroup.NAME}{container_id}", ())]
        for folder in found:
            folder.mkdir(parents=True)
        return found

    yield make
    for folder in cgroup.folders(parent, ()):
        Path(folder).rmdir()


@pytest.mark.needs("cgroups")
def test_kill_9_of_labd_within_a_start(new_labd: Callable[..., Labd], half_begun: Callable[[str], list[Path]]) -> None:
    """The next labd removes the cgroup of a start that no record tells of, below a --cgroup-parent, too."""
    daemon = new_labd("d")
    body = {"Image": "host", "Cmd": ["true"], "HostConfig": {"CgroupParent": f"/labtest-{os.getpid()}"}}
    made = half_begun(daemon.request("POST", "/containers/create", body)[1]["Id"])
    daemon.process.kill()
    daemon.process.wait()
    new_labd("d")
    assert not any(folder.exists() for folder in made)


@pytest.mark.needs("cgroups")
def test_kill_9_of_podmanish_within_a_start(podmanish: Podmanish, half_begun: Callable[[str], list[Path]]) -> None:
    """So does the next podmanish that lists the containers."""
    words = "Store(sys.argv[1]).create('f' * 64, 'half', {'image': 'host', 'rm': False, 'spec': spec}, os.getpid())"
    spec = "spec = Spec(args=['true'], cgroup_parent=sys.argv[2]).to_dict()"
    script = f"import os, sys; from lab.spec import Spec; from lab.store import Store; {spec}; {words}"
    lab_python(script, f"{podmanish.root}/podmanish", f"/labtest-{os.getpid()}")
    made = half_begun("f" * 64)
    assert "half" in podmanish.output("ps", "-a")
    assert not any(folder.exists() for folder in made)
    podmanish.output("rm", "half")


@pytest.mark.needs("cgroups")
def test_a_keeper_ends_its_own_container_only(half_begun: Callable[[str], list[Path]]) -> None:
    """Its engine has died; if the container runs again by then, in a new cgroup at the same path, that one lives."""
    for again in (True, False):
        (tracked, *_) = half_begun("0" * 64)
        keeper = Keeper(f"/{tracked.parent.name}/{tracked.name}")
        if again:
            tracked.rmdir()
            tracked.mkdir()
        os.close(keeper.pipe)  # as the engine's end does
        os.waitpid(keeper.pid, 0)
        assert tracked.exists() is again
        cgroup.remove(f"/{tracked.parent.name}/{tracked.name}")


@pytest.mark.needs("cgroups")
def test_an_update_of_a_container_that_ends() -> None:
    """It makes no cgroup anew: nobody would remove that one. If the container runs on, it cannot be limited."""
    path, limits = f"/{cgroup.NAME}{'0' * 64}", {"pids_limit": 5, "memory": 64 << 20}
    with pytest.raises(NotRunning):
        cgroup_control.update(path, limits)
    assert not any(Path(folder).exists() for folder in cgroup.folders(path))
    container: Any = SimpleNamespace(name="box", spec=Spec(args=["true"]), record=SimpleNamespace(state={}))
    container.spec.cgroup, container.record.state = path, {"pid": os.getpid(), "start_time": 1}
    updating.apply(container, limits)
    container.record.state["start_time"] = start_time(os.getpid())
    with pytest.raises(Conflict, match="box: it has no cgroup"):
        updating.apply(container, limits)


def test_a_pause_of_a_container_that_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cgroup may go between any two steps: then it is not running, and that is no bug of the daemon's."""
    monkeypatch.setattr(cgroup, "folders", lambda *_: [str(tmp_path)])
    with pytest.raises(NotRunning):
        cgroup_control.freeze("/gone", True)


@pytest.mark.stress
def test_two_hundred_kills(
    podmanish: Podmanish, new_labd: Callable[..., Labd], capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL for each part of each engine in turn, while stubborn containers run in it: none is ever left."""
    dice, slowest = random.Random(39), 0.0
    for number in range(200):
        mark = f"survivor-{os.urandom(8).hex()}"
        quiet = [*PYTHON, STUBBORN.replace('open("/mnt/ready", "a").close()', "").replace("MARK", mark)]
        part = ("podmanish", "lifeline", "monitor", "spawner")[number % 4]
        if part == "spawner":
            daemon = new_labd(f"d{number}")
            daemon.dockerish("run", "-d", "host", *quiet)
            victim = daemon.spawner
        elif part == "podmanish":
            run = podmanish.start("run", "--rm", "host", *quiet)
            victim = run.pid
        else:
            podmanish.output("run", "-d", "--rm", "host", *quiet)
            lifeline = next(pid for pid, name in processes(mark).items() if name == "lifeline")
            victim = lifeline if part == "lifeline" else parent(lifeline)
        time.sleep(dice.uniform(0, 0.1))
        begin = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        assert soon(partial(gone, mark)), (part, processes(mark))
        slowest = max(slowest, time.monotonic() - begin)
        if part == "spawner":
            daemon.stop()
        elif part == "podmanish":
            run.communicate()
    with capsys.disabled():
        print(f"\n200 kills: no survivor; the slowest end took {slowest * 1000:.0f} ms")


@pytest.mark.stress
def test_fifty_deaths_of_a_daemon_with_twenty_containers(new_labd: Callable[..., Labd]) -> None:
    """Each restart works; each container's fate is the true one, 137, or 255 for unknown; nothing is left of any."""
    mark = f"8{os.urandom(3).hex()}".translate(str.maketrans("abcdef", "012345"))
    mounts = Path("/proc/self/mountinfo").read_text().count("\n")
    for _ in range(50):
        daemon = new_labd("d")
        run = partial(daemon.dockerish, "run", "-d", "host", "sleep", mark)
        with ThreadPoolExecutor(10) as pool:
            done = [future.result() for future in [pool.submit(run) for _ in range(20)]]
        assert [one.returncode for one in done] == [0] * 20, done
        daemon.stop(signal.SIGKILL)
        again = new_labd("d")
        rows = again.request("GET", "/containers/json?all=1")[1]
        states = [again.request("GET", f"/containers/{row['Id']}/json")[1]["State"] for row in rows]
        assert len(states) == 20 and {state["Status"] for state in states} == {"exited"}
        assert {state["ExitCode"] for state in states} <= {137, 255}
        assert [pid for pid, name in processes(mark).items() if name == "sleep"] == []
        for row in rows:
            assert again.request("DELETE", f"/containers/{row['Id']}")[0] == 204
        assert Path("/proc/self/mountinfo").read_text().count("\n") == mounts
        again.stop()
