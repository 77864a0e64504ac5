"""One engine process for all containers, or one for each: which containers end when an engine crashes?"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lab.pidfd import ended
from scenarios.needs import CannotTell
from scenarios.performance.text import Text
from scenarios.props.labd import Daemon
from scenarios.props.real_daemons import start_dockerd
from scenarios.props.real_engines import with_image
from scenarios.stage.engines import DAEMON, FORK, Engine, inspected, killing, lab_engines, paste
from scenarios.stage.stage import Stage

NAME = "crash"
TITLE = "Who else is hurt?"
WORKLOAD = ("sleep", "600")
QUESTIONS = ("its containers that died", "the others can be managed", "how they ended")
Answers = tuple[str, str | Text, str | Text]


def play(stage: Stage) -> None:
    home = stage.journal.directory("crash")
    card = {"podmanish": forks(stage, home), "labd": daemons(stage, home)}
    for engine in stage.each(FORK):
        if engine.adopted:
            card[f"{engine.name}'s conmon"] = monitors(stage, engine)
    for engine in stage.each(DAEMON):
        if engine.name == "docker":
            card["dockerd"] = shims(stage, home, engine)
    rows = [[question, *(answers[place] for answers in card.values())] for place, question in enumerate(QUESTIONS)]
    stage.contrast("One process was killed", ["", *card], rows)


def forks(stage: Stage, home: Path) -> Answers:
    stage.say("Two containers, forked. Each has its own podmanish, which stays beside it.")
    plain = stage.engine(FORK)
    engine = Engine(plain.name, FORK, [*plain.argv, "--root", str(home / "fork")])
    names, pids = start_two(stage, engine)
    stage.ask("Kill one of the two podmanish. Which containers die?", "one", "both", "none")
    stage.shell(*stage.sudo, *killing(parent(parent(pids[0]))), answers=[0])  # past its lifeline
    dead = died(pids, wait_for=pids[:1])
    if not stage.expect(gone(pids[0], 0), "its container dies with it"):
        stage.quiet(*killing(pids[0]))
    stage.expect(not gone(pids[1], 0), "the other one does not notice")
    end = state(engine, names[0])
    stage.expect(end == "exited (255)", "no process saw how the first one ended: 255 stands for unknown", end)
    return dead, manage(stage, engine, names[1]), end


def monitors(stage: Stage, engine: Engine) -> Answers:
    """The real Podman: conmon stands where podmanish's parent stands, and its container outlives it."""
    stage.say("The same with {engine}: two containers, a conmon beside each.", engine=engine.name)
    names, pids = start_two(stage, engine)
    stage.ask("Kill one conmon. Which containers die?", "one", "both", "none")
    conmon = parent(pids[0])
    stage.shell(*stage.sudo, *killing(conmon), answers=[0])
    stage.expect(gone(conmon) and not gone(pids[0], 0), "its container runs on, but no process will see how it ends")
    stage.expect(not gone(pids[1], 0), "the other one does not notice")
    answers = died(pids), manage(stage, engine, names[1]), Text("nobody will know")
    stage.quiet(*killing(pids[0]))
    stage.quiet(*engine.command("rm", "--force", *names))
    return answers


def manage(stage: Stage, engine: Engine, name: str) -> Text:
    """A container that was not hurt can be killed as before; whether that is so."""
    stage.say("Can the other one still be managed?")
    stage.shell(*engine.command("kill", name), answers=[0])
    stage.quiet(*engine.command("wait", name))
    end = state(engine, name)
    return answer(stage.expect(end == "exited (137)", "the other can still be managed: killed, 128+9", end))


def daemons(stage: Stage, home: Path) -> Answers:
    stage.say("Two containers behind one daemon, a labd for this story alone.")
    socket, directory = str(home / "labd.sock"), str(home / "daemon")
    engine = lab_engines(f"unix://{socket}")[DAEMON]
    with Daemon(stage.journal, socket, directory) as daemon:
        daemon.wait_ready()
        names, pids = start_two(stage, engine)
        daemon.check()  # of one that ended by itself, kill(1) may still find a zombie
        stage.ask("Kill the daemon. Which containers die?", "one", "both", "none")
        stage.shell(*stage.sudo, *killing(daemon.pid), answers=[0])
        dead = died(pids, wait_for=pids)
        stage.expect(all(gone(pid, 0) for pid in pids), "all its containers die")
        managed = nothing_answers(stage, engine)
    stage.say("Start it again. What does it know of its containers?")
    with Daemon(stage.journal, socket, directory) as daemon:
        daemon.wait_ready()
        ends = [state(engine, name) for name in names]
        daemon.check()
        known = all(end in ("exited (137)", "exited (255)") for end in ends)
        stage.expect(known, "it knows how they died, or says 255 for unknown", ", ".join(ends))
        stage.quiet(*engine.command("rm", *names))
    return dead, managed, ends[0]


def shims(stage: Stage, home: Path, plain: Engine) -> Answers:
    """The real Docker, with a dockerd for this story alone: the shim beside each container outlives dockerd."""
    stage.say("The same with docker: a dockerd for this story alone, and a shim beside each container.")
    daemon = start_dockerd(stage.journal, home)
    own = replace(plain, argv=["docker", "--host", f"unix://{home}/docker.sock"])
    engine = with_image(own, stage.journal)
    _, pids = start_two(stage, engine)
    for pid in (*map(parent, pids), *pids):
        stage.journal.note_process(pid)
    stage.ask("Kill dockerd. Which containers die?", "one", "both", "none")
    stage.shell(*stage.sudo, *killing(daemon), answers=[0])
    stage.expect(gone(daemon) and not any(gone(pid, 0) for pid in pids), "its containers run on, a shim beside each")
    answers = died(pids), nothing_answers(stage, engine), Text("the shims will know")
    for pid in pids:
        stage.quiet(*killing(parent(pid)))
        stage.quiet(*killing(pid))
    return answers


def nothing_answers(stage: Stage, engine: Engine) -> Text:
    """Ask for a list of the containers, which no process can give now; whether they can be managed."""
    stage.say("Can they be managed, or at least listed?")
    ps = stage.shell(*engine.command("ps"), answers=range(126))  # 125: labd's client, 1: docker
    seen = Text("exit code {code}", {"code": str(ps.exit_code)})
    stage.expect(ps.exit_code != 0, "nothing can be managed, or even listed", seen)
    return answer(ps.exit_code == 0)


def answer(yes: bool) -> Text:
    return Text("yes" if yes else "no")


def died(pids: Sequence[int], wait_for: Sequence[int] = ()) -> str:
    """How many of these processes have ended, after those that are waited for."""
    for pid in wait_for:
        gone(pid)
    return f"{sum(gone(pid, 0) for pid in pids)}/{len(pids)}"


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
