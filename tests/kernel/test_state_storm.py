"""kill -9 of each part while containers are restarting, unhealthy, or paused with limits: nothing is invented.

What labd tells afterwards must be what the kernel shows: no container "runs" whose first process is dead, no exit code
is one that no process has read, and no process, cgroup or mount is left of a container that has ended.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from private_labd import Labd
from support import Podmanish, lab_python, own_mounts, processes_with, soon

from lab.pidfd import start_time
from lab.record import UNKNOWN
from lab.runtime import cgroup

pytestmark = pytest.mark.needs("root", "cgroups")
NewLabd = Callable[..., Labd]
KILLED = 128 + signal.SIGKILL
OWN_CODE = 3  # of the container that restarts
# Whom to kill, and the exit codes that can then be known: only the spawner reads them.
VICTIMS = {"labd": {KILLED}, "spawner": {UNKNOWN}, "both": {KILLED, UNKNOWN}, "init": {KILLED}}
LIMITS = {"PidsLimit": 50, "Memory": 64 << 20}
UNWELL = {"Test": ["CMD", "false"], "Interval": 20 * 10**6, "Retries": 1}


class Storm:
    """A labd with a container in each of the three states, and what must hold after each blow."""

    def __init__(self, new_labd: NewLabd, seed: int) -> None:
        self.new_labd, self.dice = new_labd, random.Random(seed)
        self.mark = f"7{os.getpid()}.{seed}"
        self.daemon = new_labd()
        again = {"RestartPolicy": {"Name": "always"}}
        self.create("restarting", Cmd=["sh", "-c", f"sleep 0.0{self.mark[:3]}; exit {OWN_CODE}"], HostConfig=again)
        self.create("unhealthy", Cmd=["sleep", self.mark], Healthcheck=UNWELL)
        self.create("paused", Cmd=["sleep", self.mark], HostConfig=LIMITS)

    def create(self, name: str, **body: Any) -> None:
        """Make a container; prepare() starts it."""
        status, made = self.daemon.request("POST", f"/containers/create?name={name}", {"Image": "host", **body})
        assert status == 201, made

    def state(self, name: str) -> dict[str, Any]:
        """State, as inspect shows it, and the id."""
        shown = self.daemon.request("GET", f"/containers/{name}/json")[1]
        return {**shown["State"], "Id": shown["Id"]}

    def prepare(self) -> None:
        """Bring each container into its state."""
        for name in ("restarting", "unhealthy", "paused"):
            assert self.daemon.request("POST", f"/containers/{name}/start")[0] in (204, 304)
        if not self.state("paused")["Paused"]:
            assert self.daemon.request("POST", "/containers/paused/pause")[0] == 204
        assert soon(lambda: self.state("unhealthy")["Health"]["Status"] == "unhealthy")
        assert soon(lambda: self.state("restarting")["Status"] in ("restarting", "running"))

    def strike(self, victim: str) -> str:
        """Kill at a random moment; returns the container whose first process was the victim, if it was one."""
        pids, struck = {"labd": self.daemon.pid, "spawner": self.daemon.spawner}, ""
        if victim == "init":
            struck = self.dice.choice(("unhealthy", "paused"))
            pids["init"] = self.state(struck)["Pid"]
        time.sleep(self.dice.uniform(0, 0.05))
        for part in ("labd", "spawner") if victim == "both" else (victim,):
            os.kill(pids[part], signal.SIGKILL)
        if victim in ("labd", "both"):
            self.daemon.process.wait(20)
            self.daemon = self.new_labd()
        return struck

    def check(self, codes: set[int], struck: str) -> None:
        """What is told is what the kernel shows."""
        for name in ("unhealthy", "paused"):
            if struck in ("", name):
                assert soon(lambda name=name: self.state(name)["Status"] == "exited"), self.state(name)  # type: ignore[misc]
                state = self.state(name)
                assert state["ExitCode"] in codes and state["Pid"] == 0 and not state["Paused"], (name, state)
                assert state["ExitCode"] != UNKNOWN or "killed" in state["Error"], state
        assert soon(self.is_consistent), [self.state(name) for name in ("restarting", "unhealthy", "paused")]
        again = self.state("restarting")
        failed = again["ExitCode"] == 125 and "spawner has died" in again["Error"]  # while it was being started
        unknown = again["ExitCode"] == UNKNOWN and "killed" in again["Error"]  # by an earlier blow, and it still waits
        assert failed or unknown or again["ExitCode"] in {0, OWN_CODE, *codes}, again
        assert own_mounts(self.daemon.state) == []

    def is_consistent(self) -> bool:
        """Whether each state is true, and nothing is left of those that do not run.

        The restarting one changes by itself: it is true if it is the same before and after the look.
        """
        running = 0
        for name in ("restarting", "unhealthy", "paused"):
            before = self.state(name)
            alive = before["Pid"] != 0 and start_time(before["Pid"]) != 0
            left = [folder for folder in cgroup.folders(f"/{cgroup.NAME}{before['Id']}") if Path(folder).is_dir()]
            wrong = before["Running"] != alive if name != "restarting" else before["Running"] and not alive
            if self.state(name) == before and (wrong or (left and not before["Running"])):
                return False
            running += before["Running"] and name != "restarting"
        return len(processes_with(f"sleep\0{self.mark}")) == running

    def end(self) -> None:
        """Remove the containers: nothing is left."""
        for name in ("restarting", "unhealthy", "paused"):
            assert self.daemon.request("DELETE", f"/containers/{name}?force=1")[0] == 204
        assert not processes_with(f"sleep\0{self.mark}")
        assert self.daemon.stop() == 0
        assert "Traceback" not in self.daemon.log.read_text()


def storm(new_labd: NewLabd, rounds: int, seed: int) -> None:
    """So many blows to each part."""
    weather = Storm(new_labd, seed)
    for number in range(rounds * len(VICTIMS)):
        victim = list(VICTIMS)[number % len(VICTIMS)]
        weather.prepare()
        weather.check(VICTIMS[victim], weather.strike(victim))
    weather.end()


def test_one_blow_to_each_part(new_labd: NewLabd) -> None:
    """labd, its spawner, both, and a container's first process, killed once each."""
    storm(new_labd, 1, seed=1)


@pytest.mark.stress
def test_fifty_blows_to_each_part(new_labd: NewLabd, capsys: pytest.CaptureFixture[str]) -> None:
    """The same, fifty times each."""
    began = time.monotonic()
    storm(new_labd, 50, seed=2)
    with capsys.disabled():
        print(f"\n{50 * len(VICTIMS)} kills in three states: nothing invented, {time.monotonic() - began:.0f} s")


HELPER_DIES = """
import os, signal
from lab import runtime
from lab.errors import CannotStart
from lab.runtime import child
from lab.spec import Spec
child.join = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
try:
    runtime.spawn_into(os.pidfd_open(os.getpid()), Spec(args=["true"]), (0, 1, 2))
except CannotStart as error:
    print(error.message)
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child is left")
"""


def test_a_container_ends_while_an_exec_is_being_started() -> None:
    """cgroup.kill also ends the process that joins the container for an exec: an error, and no end of the spawner."""
    assert lab_python(HELPER_DIES).splitlines() == ["the process was killed before it began", "no child is left"]


def blows_to_podmanish(podmanish: Podmanish, rounds: int, seed: int) -> None:
    """Kill the monitor or the first process of a container with limits; ps then says the truth, and nothing is left."""
    dice, mark = random.Random(seed), f"7{os.getpid()}.{seed}"
    for number in range(rounds * 2):
        options = ("--memory", "64m", "--pids-limit", "50", *(("--pid", "host") if number % 4 > 1 else ()))
        made = podmanish.output("run", "-d", "--name", "box", *options, "host", "sleep", mark)
        pid: int = json.loads(podmanish.output("inspect", "box"))[0]["State"]["Pid"]
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        above = int(status[1])
        monitor = (
            int(Path(f"/proc/{above}/stat").read_text().rpartition(")")[2].split()[1]) if number % 4 < 2 else above
        )
        time.sleep(dice.uniform(0, 0.05))
        os.kill(monitor if number % 2 else pid, signal.SIGKILL)
        assert soon(lambda: "Exited" in podmanish.output("ps", "-a"))
        code = podmanish.output("wait", "box")
        assert code == str(UNKNOWN if number % 2 else KILLED), code
        assert soon(lambda: not processes_with(f"sleep\0{mark}"))
        assert soon(lambda made=made: not any(Path(f).is_dir() for f in cgroup.folders(f"/{cgroup.NAME}{made}")))  # type: ignore[misc]
        podmanish.output("rm", "box")


def test_blows_to_podmanish(podmanish: Podmanish) -> None:
    """The monitor and the first process, twice each; every other time in the host's pid namespace."""
    blows_to_podmanish(podmanish, 2, seed=3)


@pytest.mark.stress
def test_fifty_blows_to_podmanish(podmanish: Podmanish) -> None:
    """The same, fifty times each."""
    blows_to_podmanish(podmanish, 50, seed=4)
