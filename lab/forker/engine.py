"""FORK/EXEC: a whole Podman-style engine, `podmanish`.

    login -- shell -- podmanish -- lifeline -- container       each edge is a fork, which copies loginuid

There is no daemon and no socket. `run` forks and stays, as conmon does for podman; `-d` forks a monitor first. The
lifeline ends the container when podmanish ends: lab.runtime.lifeline. The other verbs read the containers' directories
and send signals by pidfd.

    run()      options and image become a Spec; a Record of it is written to disk
    _start()   runtime.spawn() forks the lifeline from this very process, and the lifeline forks the container
    _stand_by()   carry its bytes until it has ended, then write how it ended
"""

from __future__ import annotations

import os
import sys
import time

from lab import interpreter, pidfd, runargs, runtime
from lab.assemble import assemble
from lab.errors import CannotStart, LabError, NotRunning, StillRunning, from_bytes
from lab.files import close_state
from lab.forker.monitor import Monitor, Stdio
from lab.images import Images
from lab.logs import LogWriter
from lab.runtime import cgroup
from lab.signals import SIGKILL, signal_number
from lab.store import Store, new_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from lab.forker.handed import Handed
    from lab.images import Image
    from lab.record import Record
    from lab.runargs import RunOptions
    from lab.spec import Spec

POLL_SECONDS = 0.002  # between two looks at /proc or at a record, for what no descriptor tells


class Forker:
    """The engine, with its images and containers below one directory."""

    def __init__(self, root: str) -> None:
        close_state(root)
        self.root = root
        self.images = Images(f"{root}/images")
        self.store = Store(f"{root}/podmanish")

    def run(self, argv: Sequence[str]) -> int:
        """`podmanish run`; returns the container's exit code."""
        interpreter.guard()
        options = runargs.parse_run(argv, runargs.RUN_FORKED)
        image = self.images.find(options.image)
        container_id = new_id()
        if options.volumes or options.volumes_from or image.volumes:
            from lab.forker import placing

            placing.settle(options, image, self.store)
        spec = self._spec(options, image, container_id)
        handed = _handed(options.sdnotify, spec)
        config = {
            "image": image.name, "image_id": image.id, "rm": options.rm, "label": options.label,
            "entrypoint": len(options.entrypoint or ()), "stop_signal": options.stop_signal,
        }  # fmt: skip
        record = self._create(container_id, spec, options, image, config)
        spec.cgroup = cgroup.path(container_id, spec)  # a cgroup belongs to one start: the config is without it
        if options.detach:
            return self._detached(record, spec, handed)
        stdin = os.dup(0) if options.interactive else -1
        monitor = self._start(record, spec, handed, stdin=stdin, output=1, error=2)
        return self._stand_by(record, monitor, raw=spec.tty and options.interactive)

    def _create(
        self, container_id: str, spec: Spec, options: RunOptions, image: Image, config: dict[str, Any]
    ) -> Record:
        """Write the container to disk, and its volumes and files if it gets some. Raises InvalidArgument, NameInUse."""
        name = options.name or container_id[:12]
        if image.is_host and not (spec.mounts or options.names_others()):
            return self.store.create(container_id, name, {**config, "spec": spec.to_dict()}, os.getpid())
        from lab.forker import placing

        return placing.create(self.store, container_id, name, spec, options, image, config)

    def _spec(self, options: RunOptions, image: Image, container_id: str) -> Spec:
        layer = "" if image.is_host else self.store.layer_path(container_id)
        spec = assemble(options, image, container_id, layer, state=self.root)
        if spec.init:
            from lab.forker import environment

            environment.hide(spec, options.env)
        if os.geteuid() != 0:
            from lab import userns

            spec.uid_mappings, spec.gid_mappings = userns.mappings()
        return spec

    def _start(
        self, record: Record, spec: Spec, handed: Handed | None, *, stdin: int = -1, output: int = -1, error: int = -1
    ) -> Monitor:
        """Fork the container. The monitor that is returned carries its bytes from and to these descriptors.

        Raises what runtime.spawn() raises, and OSError for a record or a log that cannot be written.
        """
        stdio = None if spec.tty else Stdio(stdin >= 0)
        try:
            # The fork that keeps the loginuid: the caller of spawn() is the user's own process.
            process = runtime.spawn(
                spec,
                stdio.child if stdio else (),
                preserve_fds=handed.listen_fds if handed else 0,
                lifeline=True,
                on_clone=lambda pid: record.started(pid, os.getpid(), spec.cgroup),
                joined=self._joined(spec),
            )
            if handed:
                handed.tell_started()
            monitor = Monitor(process, LogWriter(record.log_path), output=output, error=error, stdin=stdin)
            monitor.attach(stdio)
            return monitor
        except BaseException as failure:
            self._record_failure(record, failure)
            raise

    def _joined(self, spec: Spec) -> dict[str, int]:
        """The containers whose namespaces this one joins, as pidfds. Raises what lab.joining.join() raises."""
        if not spec.joins:
            return {}
        from lab import joining

        def open_other(reference: str) -> tuple[str, Spec, int]:
            other = self.store.find(reference)
            if other.status != "running":
                raise NotRunning(f"container {other.id} is not running", "start that one first")
            return other.id, other.spec, other.open()

        return joining.join(spec, open_other)

    def _record_failure(self, record: Record, failure: BaseException) -> None:
        """A container that could not be started keeps its record, as under Docker; that of `--rm` is removed."""
        if record.config["rm"]:
            self._drop(record)
        elif isinstance(failure, LabError):
            record.save_state(status="created", monitor=0, exit_code=failure.exit_code, error=failure.message)

    def _stand_by(self, record: Record, monitor: Monitor, *, raw: bool) -> int:
        """Run the monitor until the container has ended, and record the end; returns the exit code."""
        try:
            code = stand_by(monitor, raw)
            self._record_end(record, code)
            if monitor.process.keeper:
                monitor.process.keeper.release()
            return code
        finally:
            if record.config["rm"]:
                self._drop(record)

    def _drop(self, record: Record, *, volumes: bool = True) -> None:
        """Remove the container from disk; volumes: and its anonymous volumes, unless another container has them."""
        self.store.remove(record)
        if volumes and any(mount.get("anonymous") for mount in record.config["spec"]["mounts"]):
            from lab.forker import placing

            placing.release(record, self.store)

    def _record_end(self, record: Record, code: int) -> None:
        oom_killed = cgroup.remove(record.state["cgroup"])
        try:
            self.store.end(record, code, oom_killed)
        except OSError as error:  # a full disk must not change the exit code that the caller gets
            print(f"podmanish: cannot record the end of {record.name}: {error.strerror}", file=sys.stderr)

    def _detached(self, record: Record, spec: Spec, handed: Handed | None) -> int:
        """`-d`: fork a monitor into a new session; return when the container runs, or raise why it does not."""
        report, reply = os.pipe2(os.O_CLOEXEC)
        if os.fork() == 0:
            self._monitor_in_background(record, spec, handed, reply)
        os.close(reply)
        with open(report, "rb") as file:
            failure = file.read()
        if failure:
            raise from_bytes(failure)
        print(record.id)
        return 0

    def _monitor_in_background(self, record: Record, spec: Spec, handed: Handed | None, reply: int) -> NoReturn:
        """The forked monitor of `-d`. It closes reply once the container runs, or writes there why it does not."""
        try:
            os.setsid()
            null = os.open("/dev/null", os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            monitor = self._start(record, spec, handed)
        except (LabError, OSError) as error:
            failure = error if isinstance(error, LabError) else CannotStart(f"cannot record it: {error.strerror}")
            os.write(reply, failure.to_bytes())
            os._exit(125)
        os.close(reply)
        self._stand_by(record, monitor, raw=False)
        os._exit(0)

    def exec(self, argv: Sequence[str]) -> int:
        """`podmanish exec`; returns the command's exit code."""
        from lab.assemble import assemble_exec
        from lab.forker import environment
        from lab.runtime.begun import has_begun

        interpreter.guard()
        options = runargs.parse_exec(argv)
        container = self.running(options.container)
        spec = assemble_exec(options, container.spec)
        environment.hide(container.spec, options.env)
        process = container.open()
        # Until its command begins, the container may still be in the host's root.
        while not has_begun(container.state["pid"]) and not pidfd.ended(process, POLL_SECONDS):
            pass
        stdio = None if spec.tty else Stdio(options.interactive)
        started = runtime.spawn_into(process, spec, stdio.child if stdio else ())
        monitor = Monitor(started, None, output=1, error=2, stdin=os.dup(0) if options.interactive else -1)
        monitor.attach(stdio)
        return stand_by(monitor, spec.tty and options.interactive)

    def running(self, reference: str) -> Record:
        """Raises NoSuchContainer, NotRunning."""
        container = self.store.find(reference)
        if container.status != "running":
            raise NotRunning(f"container {container.name} is not running", "`podmanish ps` lists the running ones")
        return container

    def containers(self) -> list[Record]:
        """All containers, the youngest first. What a killed `run --rm` has left is removed first."""
        self.store.sweep()
        cgroup.sweep()
        found = self.store.list()
        for container in found:
            if container.config["rm"] and container.status == "exited":
                self._drop(container)
        return [container for container in found if os.path.exists(container.path)]

    def stop(self, container: Record, seconds: float) -> None:
        """Send SIGTERM or what the image asks for, and SIGKILL after that many seconds.

        Returns when the container's end has been recorded.
        """
        with container.held():  # as in wait(): one of --rm leaves its end to be read
            try:
                process = container.open()
                pidfd.send_signal(process, signal_number(container.config.get("stop_signal") or "TERM"))
                if not pidfd.ended(process, seconds):
                    pidfd.send_signal(process, SIGKILL)
            except NotRunning:
                pass  # it has just ended, and its monitor is about to write that
            self.wait(container)

    def wait(self, container: Record) -> int:
        """Wait until the monitor has recorded the exit code, and return it."""
        with container.held():
            while container.reload().status == "running":
                try:
                    pidfd.ended(container.open(), None)
                except NotRunning:
                    time.sleep(POLL_SECONDS)  # the process has ended, and its monitor is about to write the exit code
            code: int = container.state.get("exit_code") or 0
            return code

    def remove(self, container: Record, force: bool, volumes: bool = False) -> None:
        """Remove a container; force kills a running one first, volumes: with its anonymous volumes.

        Raises StillRunning for a running one without force.
        """
        if container.status == "running":
            with container.held():
                try:
                    process = container.open()
                    if not force:
                        raise StillRunning(f"container {container.name} is running", "stop it first, or use --force")
                    pidfd.send_signal(process, SIGKILL)
                except NotRunning:
                    pass  # as in stop()
                self.wait(container)
        elif container.status == "damaged":
            end_damaged(container, force)
        self._drop(container, volumes=volumes)


def _handed(mode: str, spec: Spec) -> Handed | None:
    """What systemd has handed to this process, put into spec; None if nothing was and nothing is asked for."""
    if not (mode or "NOTIFY_SOCKET" in os.environ or "LISTEN_FDS" in os.environ):
        return None
    from lab.forker.handed import Handed

    handed = Handed(mode)
    handed.hand_on(spec)
    return handed


def end_damaged(container: Record, force: bool) -> None:
    """Kill the process that a damaged record names, if it runs. Raises StillRunning without force."""
    try:
        process = container.open()
    except NotRunning:
        return
    if not force:
        raise StillRunning(
            f"the record of container {container.name} is damaged, but its process runs", "use --force to kill it"
        )
    pidfd.send_signal(process, SIGKILL)
    pidfd.ended(process, None)


def stand_by(monitor: Monitor, raw: bool) -> int:
    """Run the monitor to the end of the container; raw puts the caller's terminal, if there is one, into raw mode."""
    if not raw:
        return monitor.run()
    from lab.terminal import RawTerminal

    with RawTerminal(True):
        return monitor.run()
