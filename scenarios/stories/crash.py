"""One engine process for all containers, or one for each: which containers end when an engine crashes?"""

import os
from dataclasses import replace
from pathlib import Path

from lab.pidfd import ended
from scenarios.needs import CannotTell
from scenarios.props.labd import Daemon
from scenarios.props.real_daemons import start_dockerd
from scenarios.props.real_engines import with_image
from scenarios.stage.engines import DAEMON, FORK, Engine, inspected, killing, lab_engines, paste
from scenarios.stage.stage import Stage

NAME = "crash"
TITLE = "Who else is hurt?"
WORKLOAD = ("sleep", "600")


def play(stage: Stage) -> None:
    home = stage.journal.directory("crash")
    forks(stage, home)
    daemons(stage, home)
    for engine in stage.each(FORK):
        if engine.adopted:
            monitors(stage, engine)
    for engine in stage.each(DAEMON):
        if engine.name == "docker":
            shims(stage, home, engine)


def forks(stage: Stage, home: Path) -> None:
    stage.say("Two containers, forked. Each has its own podmanish, which stays beside it:")
    plain = stage.engine(FORK)
    engine = Engine(plain.name, FORK, [*plain.argv, "--root", str(home / "fork")])
    names, pids = start_two(stage, engine)
    stage.then("Kill one of the two:")
    stage.shell(*stage.sudo, *killing(parent(parent(pids[0]))), answers=[0])  # past its lifeline
    if not stage.expect(gone(pids[0]), "its container dies with it"):
        stage.quiet(*killing(pids[0]))
    stage.expect(not gone(pids[1], 0), "the other one does not notice")
    end = state(engine, names[0])
    stage.expect(end == "exited (255)", "no process saw how the first one ended: 255 stands for unknown", end)
    manage(stage, engine, names[1])


def monitors(stage: Stage, engine: Engine) -> None:
    """The real Podman: conmon stands where podmanish's parent stands, and its container outlives it."""
    stage.then(f"The same with {engine.name}: two containers, a conmon beside each. Kill one conmon:")
    names, pids = start_two(stage, engine)
    conmon = parent(pids[0])
    stage.shell(*stage.sudo, *killing(conmon), answers=[0])
    stage.expect(gone(conmon) and not gone(pids[0], 0), "its container runs on, but no process will see how it ends")
    stage.expect(not gone(pids[1], 0), "the other one does not notice")
    manage(stage, engine, names[1])
    stage.quiet(*killing(pids[0]))
    stage.quiet(*engine.command("rm", "--force", *names))


def manage(stage: Stage, engine: Engine, name: str) -> None:
    """A container that was not hurt can be killed as before."""
    stage.shell(*engine.command("kill", name), answers=[0])
    stage.quiet(*engine.command("wait", name))
    end = state(engine, name)
    stage.expect(end == "exited (137)", "the other can still be managed: killed, 128+9", end)


def daemons(stage: Stage, home: Path) -> None:
    stage.then("Two containers behind one daemon (a labd for this story alone):")
    socket, directory = str(home / "labd.sock"), str(home / "daemon")
    engine = lab_engines(f"unix://{socket}")[DAEMON]
    with Daemon(stage.journal, socket, directory) as daemon:
        daemon.wait_ready()
        names, pids = start_two(stage, engine)
        daemon.check()  # of one that ended by itself, kill(1) may still find a zombie
        stage.then("Kill the daemon:")
        stage.shell(*stage.sudo, *killing(daemon.pid), answers=[0])
        stage.expect(all(gone(pid) for pid in pids), "all its containers die")
        nothing_answers(stage, engine)
    stage.then("Start it again. What does it know?")
    with Daemon(stage.journal, socket, directory) as daemon:
        daemon.wait_ready()
        ends = [state(engine, name) for name in names]
        daemon.check()
        known = all(end in ("exited (137)", "exited (255)") for end in ends)
        stage.expect(known, "it knows how they died, or says 255 for unknown", ", ".join(ends))
        stage.quiet(*engine.command("rm", *names))


def shims(stage: Stage, home: Path, plain: Engine) -> None:
    """The real Docker, with a dockerd for this story alone: the shim beside each container outlives dockerd."""
    stage.then("The same with docker (a dockerd for this story alone). Kill it:")
    daemon = start_dockerd(stage.journal, home)
    own = replace(plain, argv=["docker", "--host", f"unix://{home}/docker.sock"])
    engine = with_image(own, stage.journal)
    _, pids = start_two(stage, engine)
    for pid in (*map(parent, pids), *pids):
        stage.journal.note_process(pid)
    stage.shell(*stage.sudo, *killing(daemon), answers=[0])
    stage.expect(gone(daemon) and not any(gone(pid, 0) for pid in pids), "its containers run on, a shim beside each")
    nothing_answers(stage, engine)
    for pid in pids:
        stage.quiet(*killing(parent(pid)))
        stage.quiet(*killing(pid))


def nothing_answers(stage: Stage, engine: Engine) -> None:
    ps = stage.shell(*engine.command("ps"), answers=range(126))  # 125: labd's client, 1: docker
    stage.expect(ps.exit_code != 0, "and nothing can be managed, or even listed", f"exit code {ps.exit_code}")


def start_two(stage: Stage, engine: Engine) -> tuple[list[str], list[int]]:
    """Start two containers; returns their names, and the pids of their first processes on the host."""
    names = [f"lab-{os.urandom(4).hex()}" for _ in range(2)]
    return names, [start_one(stage, engine, name) for name in names]


def start_one(stage: Stage, engine: Engine, name: str) -> int:
    """The pid is noted, since the container would outlive a story that ends before its time."""
    stage.shell(*engine.command("run", "-d", "--name", name, *engine.run_options, engine.image, *WORKLOAD))
    pid = int(inspected(engine, name).get("Pid", 0))
    if not pid:
        raise CannotTell(f"a container of {engine.name} ended as soon as it ran", "run the command above by hand")
    stage.journal.note_process(pid)
    return pid


def state(engine: Engine, name: str) -> str:
    """Status and exit code as `inspect` tells them. Raises CannotTell if it tells nothing."""
    found = inspected(engine, name)
    if not found:
        line = paste(engine.inspect(name))
        raise CannotTell(f"`{line}` tells nothing", f"run it by hand: {line}")
    return f"{found['Status']} ({found['ExitCode']})"


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def gone(pid: int, seconds: float = 5) -> bool:
    """Whether the process ends within that time."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return ended(pidfd, seconds)
    finally:
        os.close(pidfd)
