"""At whose mercy? A rootless fork has the user's own rights; a daemon's socket has root's."""

import errno
from pathlib import Path

from lab.audit.records import Event
from lab.errors import MissingFeature
from lab.identity import UNSET
from scenarios.stage.engines import DAEMON, FORK
from scenarios.stage.stage import Stage

NAME = "rootless"
TITLE = "At the mercy of the daemon, or of the kernel"


def play(stage: Stage) -> None:
    if stage.user_id == 0:
        raise MissingFeature("root is logged in, and this is about an ordinary user", "choose one with --as")
    stage.say(f"{stage.user} forks a container, without sudo. Inside, the user is root:")
    with stage.watch() as watch:
        podmanish = rootless_forker(stage)
        inside = stage.shell(*podmanish, "run", "--rm", "host", "id", "-u")
        stage.expect(inside.printed == 0, "uid 0 inside", inside.printed)
        stage.say("\nBut that root owns nothing outside:")
        stage.shell(*podmanish, "run", "--rm", "-v", "/:/host", "host", "sh", "-c", f": >> /host{stage.target}")
        refused = stage.witness(watch, successful=None)
        stage.expect(refused is not None and refused.exit == -errno.EACCES, "the HOST's kernel refuses the write",
                     f"success=no exit={refused.exit}" if refused else "no record")  # fmt: skip
        stage.expect(refused is not None and refused.auid == stage.user_id, f"and the record names {stage.user}",
                     auid(refused))  # fmt: skip

        stage.say(f"\nNow {stage.user} asks the daemon:")
        touch = ("run", "--rm", "-v", "/:/host", "host", "touch", f"/host{stage.target}")
        dockerish = stage.engine(DAEMON).argv
        denied = stage.shell(*become(stage, "--clear-groups"), *dockerish, *touch)
        stage.expect(denied.exit_code == 125 and stage.witness(watch) is None, "refused at the socket: its mode is all "
                     "that stands between", f"exit code {denied.exit_code}")  # fmt: skip
        group = Path(stage.daemon.path).stat().st_gid
        stage.say(f"\nand as a member of the socket's group ({group}), which needs no password and no sudo:")
        granted = stage.shell(*become(stage, f"--groups={group}"), *dockerish, *touch)
        written = stage.witness(watch)
        stage.expect(granted.exit_code == 0 and written is not None and written.uid == 0, "is root on the host",
                     f"uid={written.uid}" if written else "no record")  # fmt: skip
        stage.expect(written is not None and written.auid == UNSET, "and nobody, in the record", auid(written))


def become(stage: Stage, groups: str) -> list[str]:
    return ["setpriv", f"--reuid={stage.user_id}", f"--regid={stage.user_id}", groups]


def rootless_forker(stage: Stage) -> list[str]:
    """podmanish as the user, with a state directory that is the user's."""
    program = stage.engine(FORK).argv[0]
    home = stage.journal.directory("rootless", owner=stage.user_id)
    words = [*become(stage, "--clear-groups"), program, "--root", str(home)]
    if stage.quiet(*become(stage, "--clear-groups"), "test", "-x", program).exit_code:
        raise MissingFeature(f"{stage.user} may not read {Path(program).resolve()}", "put the checkout where all may")
    return words


def auid(event: Event | None) -> str:
    return f"auid={'unset' if event.auid == UNSET else event.auid}" if event else "no record"
