"""The container is removed and the local log is gone. What is left, and what can it still tell?"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lab.audit.netlink import AuditControl
from lab.audit.records import Event, Record, RecordError, events
from lab.audit.watch import Watch
from lab.identity import UNSET, name_of
from scenarios.props.second_host import Remote
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.stage import Stage

NAME = "trace"
TITLE = "Remove the container: what is left?"
USER_CMD = 1123  # sudo's own record; linux/audit.h leaves 1100 to 1199 to programs


def play(stage: Stage) -> None:
    with Remote(stage.journal) as remote, stage.watch() as watch:
        stage.say(f"Each record also goes to a second host: the network namespace {remote.name}. There, "
                  f"{remote.receiver} receives; here, {remote.sender} sends.")  # fmt: skip
        writes: dict[str, Event | None] = {}
        stage.say("\nThrough the daemon, with sudo; --rm takes the container away:")
        for engine in stage.each(DAEMON):
            writes[engine.name], command = attack(stage, watch, engine)
            stage.expect(not left_of(stage, engine), "of the container nothing is left")
            sudo_remembers(stage, command)
            shared = ties(command, writes[engine.name])
            stage.expect(writes[engine.name] is not None and not shared, "but nothing ties it to the write",
                         f"in common: {' '.join(shared) or 'nothing'}")  # fmt: skip

        stage.say("\nAs a member of the socket's group, without sudo:")
        watch.collect()
        before = len(watch.events)
        silent, _ = attack(stage, watch, stage.engine(DAEMON), become(stage))
        own = [event for event in watch.events[before:] if event.ses == stage.login.sessionid]
        stage.expect(
            silent is not None and not own, f"no record of {stage.user}'s session at all", f"{len(own)} records"
        )

        writes["the group"] = silent
        stage.say("\nForked, with sudo:")
        for engine in stage.each(FORK):
            writes[engine.name], command = attack(stage, watch, engine)
            stage.expect(not left_of(stage, engine), "of the container nothing is left")
            stage.expect(who(writes[engine.name])[0] == stage.user, f"but the write itself names {stage.user}",
                         " ".join(ties(command, writes[engine.name])))  # fmt: skip
        stage.pause()
        afterwards(stage, watch, remote, writes)


def attack(
    stage: Stage, watch: Watch, engine: Engine, prefix: Sequence[str] | None = None
) -> tuple[Event | None, Event | None]:
    """Write to the target from a privileged container; the record of the write, and sudo's."""
    before = len(watch.events)
    words = engine.run(("touch", f"/host{stage.target}"), "--privileged", "-v", "/:/host")
    stage.shell(*(words if prefix is None else [*prefix, *words[len(engine.sudo) :]]))
    write = stage.witness(watch)
    new = [event for event in watch.events[before:] if event.of_type(USER_CMD) and event.ses == stage.login.sessionid]
    return write, next(iter(new), None)


def become(stage: Stage) -> list[str]:
    group = Path(stage.daemon.path).stat().st_gid
    return ["setpriv", f"--reuid={stage.user_id}", f"--regid={stage.user_id}", f"--groups={group}"]


def left_of(stage: Stage, engine: Engine) -> bool:
    """Whether the engine still knows of a container that touched the target."""
    return stage.target in stage.shell(*engine.command("ps", "--all", "--no-trunc")).stdout


def sudo_remembers(stage: Stage, command: Event | None) -> None:
    claim = f"sudo's own record names {stage.user}"
    if not stage.sudo:
        stage.unknown(claim, "sudo is not installed")
        return
    if command:
        stage.show_records(command)
    stage.expect(command is not None and command.auid == stage.user_id, claim, " ".join(who(command)))


def ties(command: Event | None, write: Event | None) -> list[str]:
    """What sudo's record and the write's have in common: who, which session, which process."""
    if write is None or command is None:
        return []
    shared = [f"{name}={write.field(name)}" for name in ("auid", "ses") if write.field(name) == command.field(name)]
    if command.field("pid") in (write.field("pid"), write.field("ppid")):
        shared.append(f"pid={command.pid}")
    return shared


def afterwards(stage: Stage, watch: Watch, remote: Remote, writes: dict[str, Event | None]) -> None:
    """Delete the local log, then read the other host's."""
    last = f"{watch.key}-last"
    with AuditControl() as control:
        control.user_message(last)
    remote.wait_for(last)
    stage.say("\nThe attacker is root here, and deletes the log:")
    stage.shell(*stage.sudo, "rm", str(remote.local))
    copied = read(remote.copy.read_text(errors="surrogateescape") if remote.copy.exists() else "")
    kept = [copied.get(event.serial) == event.render() for event in writes.values() if event]
    stage.expect(not remote.local.exists() and kept == [True] * len(writes), "the second host has "
                 "them all, word for word")  # fmt: skip
    stage.say("\nAnd whom does it name?")
    stage.screen.table(["", "auid", "ses"], [[by, *who(event)] for by, event in writes.items()])
    forkers = {engine.name for engine in stage.each(FORK)}
    named = {name for name, event in writes.items() if who(event)[0] == stage.user}
    nameless = {name for name, event in writes.items() if who(event)[0] == "unset"}
    stage.expect(named == forkers and nameless == writes.keys() - forkers,
                 "a copy keeps what was recorded: it cannot name whom the kernel never knew")  # fmt: skip


def who(event: Event | None) -> list[str]:
    return [name_of(event.auid), "unset" if event.ses == UNSET else str(event.ses)] if event else ["no record", ""]


def read(log: str) -> dict[int, list[str]]:
    """The events of an audit.log, by serial, as `ausearch -i` prints them."""
    records = []
    for line in log.splitlines():
        with suppress(RecordError):  # an empty line, which auditd leaves between its own
            records.append(Record.from_line(line))
    return {event.serial: event.render() for event in events(records)}
