"""At whose mercy? A rootless fork has the user's own rights; a daemon's socket has root's."""

import errno
from pathlib import Path

from lab.audit.watch import Watch
from lab.errors import MissingFeature
from lab.identity import UNSET, name_of
from scenarios import needs
from scenarios.performance.text import Text
from scenarios.stage.engines import DAEMON, FORK
from scenarios.stage.report import Outcome, whom
from scenarios.stage.stage import Basis, Stage

NAME = "rootless"
TITLE = "At the mercy of the daemon, or of the kernel"


def play(stage: Stage) -> None:
    if stage.user_id == 0:
        raise MissingFeature("root is logged in, and this story needs an ordinary user", needs.AS_USER)
    rows: list[list[str | Text]] = []
    with stage.watch() as watch:
        by_a_fork(stage, watch, rows)
        through_the_daemon(stage, watch, rows)
    stage.contrast("Who is root?", ["", "inside", "on the host", "auid"], rows, ())


def by_a_fork(stage: Stage, watch: Watch, rows: list[list[str | Text]]) -> None:
    stage.say("{user} forks a container, without sudo.", user=stage.user)
    stage.ask("Who is the user inside?", stage.user, "root")
    podmanish = rootless_forker(stage)
    inside = stage.shell(*podmanish, "run", "--rm", "host", "id", "-u")
    stage.prints(inside, 0, "uid 0 inside")
    stage.ask("Does that root own anything outside, the file for example?", "yes", "no")
    stage.shell(*podmanish, "run", "--rm", "-v", "/:/host", "host", "sh", "-c", f": >> /host{stage.target}")
    refused = stage.witness(watch, successful=None)
    denied = refused is not None and refused.exit == -errno.EACCES
    seen = f"success=no exit={refused.exit}" if refused else Text("no record")
    basis = stage.basis("exit", -errno.EACCES, refused)
    stage.expect(denied, "the HOST's kernel refuses the write", seen, basis=basis)
    stage.names(refused, stage.user_id, "and the record names {user}", user=stage.user)
    uid = name_of(refused.uid) if refused else "?"
    rows.append([Text("a rootless fork"), "root", uid, whom(refused)[0]])


def through_the_daemon(stage: Stage, watch: Watch, rows: list[list[str | Text]]) -> None:
    """The same user asks labd: first with no right to its socket, then as a member of the socket's group."""
    touch = ("run", "--rm", "-v", "/:/host", "host", "touch", f"/host{stage.target}")
    command = [*stage.engine(DAEMON).argv, *touch]
    stage.ask("Now {user} asks the daemon. What decides?", "the kernel", "the socket's mode", user=stage.user)
    denied = stage.shell(*stage.as_user(), *command, answers=[0, 125])
    if denied.exit_code and "permission denied" not in denied.stderr.lower():  # the client failed for another reason
        stage.daemon.check()
        raise denied.trouble()
    refused = denied.exit_code == 125 and stage.witness(watch) is None
    claim = "refused at the socket: only its mode protects the host"
    stage.expect(refused, claim, code(denied), basis=Basis("code", 125, denied.beat))
    group = Path(stage.daemon.path).stat().st_gid
    stage.say("And as a member of the socket's group, {group}: without a password, without sudo.", group=group)
    stage.ask("Who is {user} on the host now?", stage.user, "root", user=stage.user)
    granted = stage.shell(*stage.as_user(group), *command)
    written = stage.witness(watch)
    root = granted.exit_code == 0 and written is not None and written.uid == 0
    seen = f"uid={written.uid}" if written else Text("no record")
    basis = stage.basis("uid", 0, written)
    stage.expect(root, "the group's member is root on the host", seen, basis=basis)
    stage.names(written, UNSET, "and the record names nobody")
    uid = name_of(written.uid) if written else "?"
    rows.append([Text("the socket's group"), "root", uid, whom(written)[0]])


def code(outcome: Outcome) -> Text:
    return Text("exit code {code}", {"code": str(outcome.exit_code)})


def rootless_forker(stage: Stage) -> list[str]:
    """The words of podmanish as the user, with a state directory that the user owns."""
    program = stage.engine(FORK).argv[0]
    home = stage.journal.directory("rootless", owner=stage.user_id)
    stage.require_for_user(program)
    return [*stage.as_user(), program, "--root", str(home)]
