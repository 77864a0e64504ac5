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

UNKNOWN = 255  # the exit code of a container whose parent ended first, so that no process could read the code


class Record:
    """One container's directory, with its config and state as they were read; reload() reads the state again.

    state has "status" ("created", "running", "exited"; "damaged": lab.damage) and, once started, "pid", "start_time"
    (clock ticks since boot), "monitor" and "monitor_start_time" (the process that waits for it), "cgroup" (its path),
    "started" and "finished" (ns since 1970), "exit_code", "oom_killed", "error". labd's restart policies add
    "restart_count", and "stopped": a user has stopped it since its start.
    """

    def __init__(self, path: str, config: dict[str, Any], state: dict[str, Any]) -> None:
        self.path, self.config, self.state = path, config, state
        self.damage = ""  # what is wrong with the config; "" if nothing is

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
        """What was asked for, with the cgroup of the last start."""
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
        """Whether the container survives a cut of power; one of `--rm` does not."""
        return not self.config.get("rm")

    @property
    def is_left_over(self) -> bool:
        """Whether this is a container of `--rm` that has ended, and its monitor died before removing it."""
        monitor: int = self.state.get("monitor", 0)
        orphaned = not is_alive(monitor, self.state.get("monitor_start_time", 0))
        return bool(self.config.get("rm")) and self.status == "exited" and orphaned

    def open(self) -> int:
        """A pidfd of the container's first process. Raises NotRunning."""
        known = {"pid", "start_time"} <= self.state.keys()
        pidfd = open_process(self.state["pid"], self.state["start_time"]) if known else -1
        if pidfd < 0:
            raise NotRunning(f"container {self.name} is not running", "`ps` lists the containers that run")
        return pidfd

    def held(self) -> Lock:
        """No process removes this container during a `with`: a shared flock(2) on its directory."""
        return Lock(self.path, fcntl.LOCK_SH)

    def started(self, pid: int, monitor: int, cgroup: str = "") -> None:
        """Record that the container runs as pid; the process monitor will record its end."""
        self.save_state(
            status="running", pid=pid, start_time=start_time(pid), monitor=monitor, cgroup=cgroup,
            monitor_start_time=start_time(monitor), started=time.time_ns(), finished=0, exit_code=None, error="",
        )  # fmt: skip

    def exited(self, code: int, oom_killed: bool = False, error: str = "") -> None:
        """Record the exit code; oom_killed: the kernel has killed a process of it at the memory limit.

        error says why the code is unknown: one write with the code, as whatever writes can be killed between two.
        """
        self.save_state(status="exited", exit_code=code, oom_killed=oom_killed, error=error, finished=time.time_ns())

    def reload(self) -> Record:
        """Read the state again. A container that has lost its monitor and its process is recorded as ended: UNKNOWN."""
        self.state = self._read_state()
        if self._is_abandoned():
            self.state = self._read_state()  # the monitor may have written the end between the two reads
            if self._is_abandoned():
                self._remove_cgroup()
                self.save_state(status="exited", exit_code=UNKNOWN, error="its monitor was killed", finished=0)
        return self

    def _read_state(self) -> dict[str, Any]:
        from lab import damage  # a `run` only writes, and so need not import this

        state: dict[str, Any] = {}
        try:
            state = damage.read_state(self.path)
            reason = self.damage
        except damage.Damage as error:
            reason = str(error)
        except FileNotFoundError:
            if not os.path.isdir(self.path):
                raise  # another process has removed the container
            reason = f"{self.path}/state: missing"
        return damage.state_instead(reason, state) if reason else state

    def _is_abandoned(self) -> bool:
        """Whether container and monitor have both died. A container that has lost only its monitor still runs."""
        monitor: int = self.state.get("monitor", 0)
        if self.status == "exited" or not monitor or is_alive(monitor, self.state["monitor_start_time"]):
            return False
        return self.status == "created" or not is_alive(self.state["pid"], self.state["start_time"])

    def _remove_cgroup(self) -> None:
        """The one of its last start, or of the start in which its monitor was killed."""
        from lab.runtime import cgroup  # rarely needed: the engine removes it at the end

        cgroup.remove(self.state.get("cgroup") or cgroup.path(self.id, self.spec))
