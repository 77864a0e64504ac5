"""One process for all, or one for each: what a crash of the engine takes with it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from lab.fork import ended
from scenarios.engines import DAEMON, FORK, Engine, lab_engines
from scenarios.journal import DIRECTORY
from scenarios.service import Daemon
from scenarios.stage import Stage

NAME = "crash"
TITLE = "Who else is hurt?"
WORKLOAD = ("sleep", "600")
NAMES = ("lab-one", "lab-two")


def play(stage: Stage) -> None:
    home = DIRECTORY / f"crash-{os.urandom(4).hex()}"
    stage.journal.note("directory", path=str(home))
    home.mkdir(mode=0o700)
    forks(stage, home)
    daemons(stage, home)


def forks(stage: Stage, home: Path) -> None:
    stage.say("Two containers, forked. Each has a podmanish of its own that stands by it:")
    plain = stage.engine(FORK)
    engine = Engine(plain.name, FORK, [*plain.argv, "--root", str(home / "fork")])
    pids = start_two(stage, engine)
    stage.say("\nKill one of the two:")
    stage.shell(*stage.sudo, "kill", "-9", str(parent(pids[0])))
    if not stage.expect(gone(pids[0]), "its container dies with it (PR_SET_PDEATHSIG)"):
        stage.quiet("kill", "-9", str(pids[0]))
    stage.expect(not gone(pids[1], 0), "the other one does not notice")
    stage.expect(state(engine, NAMES[0]) == "exited (255)", "how the first one ended nobody saw: 255, not invented",
                 state(engine, NAMES[0]))  # fmt: skip
    stage.shell(*engine.sudo, *engine.argv, "kill", NAMES[1])
    stage.quiet(*engine.sudo, *engine.argv, "wait", NAMES[1])
    stage.expect(state(engine, NAMES[1]) == "exited (137)", "the other can still be managed: killed, 128+9",
                 state(engine, NAMES[1]))  # fmt: skip


def daemons(stage: Stage, home: Path) -> None:
    stage.say("\nTwo containers behind one daemon (a labd of this story's own):")
    socket, directory = str(home / "labd.sock"), str(home / "daemon")
    engine = lab_engines(f"unix://{socket}")[DAEMON]
    with Daemon(stage.journal, socket, directory) as daemon:
        daemon.wait_ready()
        pids = start_two(stage, engine)
        stage.say("\nKill the daemon:")
        stage.shell(*stage.sudo, "kill", "-9", str(daemon.pid))
        stage.expect(all(gone(pid) for pid in pids), "all its containers die")
        ps = stage.shell(*engine.sudo, *engine.argv, "ps")
        stage.expect(ps.exit_code != 0, "and nothing can be managed, or even listed", f"exit code {ps.exit_code}")
    stage.say("\nStart it again. What does it know?")
    with Daemon(stage.journal, socket, directory) as daemon:
        daemon.wait_ready()
        ends = [state(engine, name) for name in NAMES]
        stage.expect(all(end in ("exited (137)", "exited (255)") for end in ends), "what it can know: how they died, "
                     "or 255 for unknown", ", ".join(ends))  # fmt: skip
        stage.quiet(*engine.sudo, *engine.argv, "rm", *NAMES)


def start_two(stage: Stage, engine: Engine) -> list[int]:
    """Their first processes, as the host numbers them."""
    for name in NAMES:
        stage.shell(*engine.sudo, *engine.argv, "run", "-d", "--name", name, engine.image, *WORKLOAD)
    return [int(inspected(engine, name)["Pid"]) for name in NAMES]


def inspected(engine: Engine, name: str) -> dict[str, Any]:
    answer = subprocess.run(engine.inspect(name), capture_output=True, check=True).stdout
    found: dict[str, Any] = json.loads(answer)[0]["State"]
    return found


def state(engine: Engine, name: str) -> str:
    found = inspected(engine, name)
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
