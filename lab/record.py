"""What a store keeps of one container: a directory with its config and its state.

    config   what was asked for; written once, and again for a rename
    state    what became of it; replaced by rename(2), so a reader never sees half of it

Both are Python literals, written by repr() and read by ast.literal_eval(): importing json is costly for the fork/exec
engine, see docs/developer.md. They survive a cut of power, but for those of `--rm`: such a container does not outlive
one, and a sweep removes what is left of it.
"""

from __future__ import annotations

import fcntl
import os
import time

from lab import files
from lab.errors import NotRunning
from lab.files import Lock
from lab.pidfd import is_alive, open_process, start_time
from lab.spec import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UNKNOWN = 255  # the exit code of a container whose end nobody saw


class Record:
    """One container's directory. config and state are read once; reload() reads them again.

    state has "status" ("created", "running", "exited"; "damaged": lab.damage) and, in time, "pid", "start_time"
    (clock ticks since boot), "monitor" and "monitor_start_time" (the process that waits for it), "cgroup" (its path),
    "started" and "finished" (ns since 1970), "exit_code", "oom_killed", "error".
    """

    def __init__(self, path: str, config: dict[str, Any], state: dict[str, Any]) -> None:
        self.path, self.config, self.state = path, config, state
        self.damage = ""  # what is wrong with its config

    @property
    def id(self) -> str:
        return os.path.basename(self.path)

    @property
    def name(self) -> str:
        name: str = self.config["name"]
        return name

    @property
    def log_path(self) -> str:
        return f"{self.path}/log"

    @property
    def spec(self) -> Spec:
        """What was asked for, and the cgroup of its last start."""
        spec = Spec.from_dict(self.config["spec"])
        spec.cgroup = self.state.get("cgroup", "")
        return spec

    @property
    def status(self) -> str:
        status: str = self.state["status"]
        return status

    def save_config(self, **changes: Any) -> None:
        """Merge changes into the config and write it."""
        self.config.update(changes)
        files.write(f"{self.path}/config", self.config, durable=self.is_durable)

    def save_state(self, **changes: Any) -> None:
        """Merge changes into the state and write it."""
        self.state.update(changes)
        files.write(f"{self.path}/state", self.state, durable=self.is_durable)

    @property
    def is_durable(self) -> bool:
        """Whether it is to be found after a cut of power."""
        return not self.config.get("rm")

    @property
    def is_left_over(self) -> bool:
        """Whether it is of `--rm`, has ended, and whoever was to remove it has died."""
        monitor: int = self.state.get("monitor", 0)
        orphaned = not is_alive(monitor, self.state.get("monitor_start_time", 0))
        return bool(self.config.get("rm")) and self.status == "exited" and orphaned

    def open(self) -> int:
        """A pidfd of its first process. Raises NotRunning."""
        known = {"pid", "start_time"} <= self.state.keys()
        pidfd = open_process(self.state["pid"], self.state["start_time"]) if known else -1
        if pidfd < 0:
            raise NotRunning(f"container {self.name} is not running", "`ps` lists the containers that run")
        return pidfd

    def kept(self) -> Lock:
        """For the length of a `with`, nobody removes this container: a shared flock(2) on its directory."""
        return Lock(self.path, fcntl.LOCK_SH)

    def started(self, pid: int, monitor: int, cgroup: str = "") -> None:
        """It runs as pid; monitor is the process that will record its end."""
        self.save_state(
            status="running", pid=pid, start_time=start_time(pid), monitor=monitor, cgroup=cgroup,
            monitor_start_time=start_time(monitor), started=time.time_ns(), finished=0, exit_code=None,
        )  # fmt: skip

    def exited(self, code: int, oom_killed: bool = False) -> None:
        """It has ended with this exit code; oom_killed: the kernel had killed a process at its memory limit."""
        self.save_state(status="exited", exit_code=code, oom_killed=oom_killed, finished=time.time_ns())

    def reload(self) -> Record:
        """Read the state again; a container whose monitor died without a word ended in a way nobody knows."""
        self.state = self._read_state()
        if self._is_abandoned():
            self.state = self._read_state()  # the monitor may have written it between the two reads
            if self._is_abandoned():
                _remove_cgroup(self.state.get("cgroup", ""))
                self.save_state(status="exited", exit_code=UNKNOWN, error="its monitor was killed", finished=0)
        return self

    def _read_state(self) -> dict[str, Any]:
        from lab import damage  # not for `run`, which only writes

        state: dict[str, Any] = {}
        try:
            state = damage.read_state(self.path)
            reason = self.damage
        except damage.Damage as error:
            reason = str(error)
        except FileNotFoundError:
            if not os.path.isdir(self.path):
                raise  # somebody has removed it
            reason = f"{self.path}/state: missing"
        return damage.state_instead(reason, state) if reason else state

    def _is_abandoned(self) -> bool:
        """Whether neither it nor its monitor lives. One that has lost only its monitor is still running."""
        monitor: int = self.state.get("monitor", 0)
        if self.status == "exited" or not monitor or is_alive(monitor, self.state["monitor_start_time"]):
            return False
        return self.status == "created" or not is_alive(self.state["pid"], self.state["start_time"])


def _remove_cgroup(path: str) -> None:
    if path:
        from lab.runtime import cgroup  # rarely needed: its engine removes it

        cgroup.remove(path)
