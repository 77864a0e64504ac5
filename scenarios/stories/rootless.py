"""At whose mercy? A rootless fork has the user's own rights; a daemon's socket has root's."""

import errno
from pathlib import Path

from lab.audit.watch import Watch
from lab.errors import MissingFeature
from lab.identity import UNSET
from scenarios import needs
from scenarios.stage.engines import DAEMON, FORK
from scenarios.stage.stage import Stage

NAME = "rootless"
TITLE = "At the mercy of the daemon, or of the kernel"


def play(stage: Stage) -> None:
    if stage.user_id == 0:
        raise MissingFeature("root is logged in, and this story needs an ordinary user", needs.AS_USER)
    stage.say(f"{stage.user} forks a container, without sudo. Inside, the user is root:")
    with stage.watch() as watch:
        podmanish = rootless_forker(stage)
        inside = stage.shell(*podmanish, "run", "--rm", "host", "id", "-u")
        stage.expect(inside.printed == 0, "uid 0 inside", inside.printed)
        stage.then("But that root owns nothing outside:")
        stage.shell(*podmanish, "run", "--rm", "-v", "/:/host", "host", "sh", "-c", f": >> /host{stage.target}")
        refused = stage.witness(watch, successful=None)
        denied = refused is not None and refused.exit == -errno.EACCES
        seen = f"success=no exit={refused.exit}" if refused else "no record"
        stage.expect(denied, "the HOST's kernel refuses the write", seen)
        stage.names(refused, stage.user_id, f"and the record names {stage.user}")
        through_the_daemon(stage, watch)


def through_the_daemon(stage: Stage, watch: Watch) -> None:
    """The same user asks labd: first with no right to its socket, then as a member of the socket's group."""
    touch = ("run", "--rm", "-v", "/:/host", "host", "touch", f"/host{stage.target}")
    command = [*stage.engine(DAEMON).argv, *touch]
    stage.then(f"Now {stage.user} asks the daemon:")
    denied = stage.shell(*stage.as_user(), *command, answers=[0, 125])
    if denied.exit_code and "permission denied" not in denied.stderr.lower():  # the client failed for another reason
        stage.daemon.check()
        raise denied.trouble()
    refused = denied.exit_code == 125 and stage.witness(watch) is None
    stage.expect(refused, "refused at the socket: only its mode protects the host", f"exit code {denied.exit_code}")
    group = Path(stage.daemon.path).stat().st_gid
    stage.then(f"and as a member of the socket's group ({group}), which needs no password and no sudo:")
    granted = stage.shell(*stage.as_user(group), *command)
    written = stage.witness(watch)
    root = granted.exit_code == 0 and written is not None and written.uid == 0
    stage.expect(root, "the group's member is root on the host", f"uid={written.uid}" if written else "no record")
    stage.names(written, UNSET, "and the record names nobody")


def rootless_forker(stage: Stage) -> list[str]:
    """The words of podmanish as the user, with a state directory that the user owns."""
    program = stage.engine(FORK).argv[0]
    home = stage.journal.directory("rootless", owner=stage.user_id)
    stage.require_for_user(program)
    return [*stage.as_user(), program, "--root", str(home)]
