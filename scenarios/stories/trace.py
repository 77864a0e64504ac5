"""The container is removed and the local log is deleted. What is left, and what does that still tell?"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lab.audit.netlink import AuditControl
from lab.audit.records import Event, Record, RecordError, events
from lab.audit.watch import Watch
from lab.errors import MissingFeature
from scenarios import needs
from scenarios.props.second_host import Remote
from scenarios.stage.engines import DAEMON, FORK, Engine, paste
from scenarios.stage.report import whom
from scenarios.stage.stage import Stage

NAME = "trace"
TITLE = "Remove the container: what is left?"
USER_CMD = 1123  # sudo's own record; linux/audit.h leaves 1100 to 1199 to programs


def play(stage: Stage) -> None:
    if stage.user_id == 0:
        raise MissingFeature("root is logged in, and this story looks for an ordinary user's name", needs.AS_USER)
    stage.require_for_user(stage.engine(DAEMON).argv[0])
    with Remote(stage.journal) as remote, stage.watch() as watch:
        stage.say(
            f"Each record also goes to a second host: the network namespace {remote.name}. There, "
            f"{remote.receiver} receives; here, {remote.sender} sends."
        )
        writes: dict[str, Event | None] = {}
        stage.then("Through the daemon, with sudo. The script is piped in, so that no command line shows it:")
        for engine in stage.each(DAEMON):
            name = f"lab-{os.urandom(4).hex()}"
            writes[engine.name], command = attack(stage, watch, engine, name)
            asked_for(stage, engine, name)
            removed(stage, engine, name)
            sudo_remembers(stage, command)
            shared = ties(command, writes[engine.name])
            untied = writes[engine.name] is not None and not shared
            seen = f"in common: {' '.join(shared) or 'nothing'}"
            stage.expect(untied, "but no field that the kernel vouches for ties it to the write", seen)

        stage.then("As a member of the socket's group, without sudo:")
        writes["the group"] = by_the_group(stage, watch)
        stage.then("Forked, with sudo:")
        for engine in stage.each(FORK):
            name = f"lab-{os.urandom(4).hex()}"
            writes[engine.name], command = attack(stage, watch, engine, name)
            removed(stage, engine, name)
            named = whom(writes[engine.name])[0] == stage.user
            shared = ties(command, writes[engine.name])
            stage.expect(named, f"but the write itself names {stage.user}", " ".join(shared))
        stage.pause()
        afterwards(stage, watch, remote, writes)


def attack(
    stage: Stage, watch: Watch, engine: Engine, name: str, prefix: Sequence[str] | None = None
) -> tuple[Event | None, Event | None]:
    """Write to the target from a privileged container; returns the events of the write and of sudo, where there is one.

    The container stays, under that name. prefix stands before the engine's command instead of sudo.
    """
    before = len(watch.events)
    words = engine.run(("sh",), "-i", "--name", name, "--privileged", "-v", "/:/host")
    words.remove("--rm")
    words = words if prefix is None else [*prefix, *words[len(engine.sudo) :]]
    stage.shell("sh", "-c", f"echo touch /host{stage.target} | {paste(words)}")
    write = stage.witness(watch)
    new = [event for event in watch.events[before:] if event.of_type(USER_CMD) and event.ses == stage.login.sessionid]
    return write, next(iter(new), None)


def by_the_group(stage: Stage, watch: Watch) -> Event | None:
    """The same through labd's socket alone; returns the event of the write."""
    watch.collect()
    before = len(watch.events)
    group = Path(stage.daemon.path).stat().st_gid
    engine, name = stage.engine(DAEMON), f"lab-{os.urandom(4).hex()}"
    write, _ = attack(stage, watch, engine, name, stage.as_user(group))
    watch.collect()
    own = [event for event in watch.events[before:] if event.ses == stage.login.sessionid]
    silent = write is not None and not own
    stage.expect(silent, f"no record of {stage.user}'s session at all", f"{len(own)} records")
    stage.quiet(*engine.command("rm", name))
    return write


def asked_for(stage: Stage, engine: Engine, name: str) -> None:
    """What the daemon tells of a container while it is still there: all about it, and not for whom it was made."""
    words = [word for user in (stage.user, str(stage.user_id)) for word in ("-e", user)]
    found = stage.shell(
        "sh", "-c", f"{paste(engine.inspect(name))} | grep -c -w {paste(words)}", answers=[0, 1]
    ).printed
    complete = name in stage.quiet(*engine.inspect(name)).stdout
    claim = f"inspect names no caller: neither {stage.user} nor {stage.user_id}"
    stage.expect(complete and found == 0, claim, f"{found} lines of inspect name {stage.user}")


def removed(stage: Stage, engine: Engine, name: str) -> None:
    """Remove the container, and look whether the engine still knows of it."""
    stage.shell(*engine.command("rm", name))
    left = name in stage.shell(*engine.command("ps", "--all", "--no-trunc"), answers=[0]).stdout
    stage.expect(not left, "nothing is left of the container")


def sudo_remembers(stage: Stage, command: Event | None) -> None:
    claim = f"sudo's own record names {stage.user}"
    if not stage.sudo:
        stage.unknown(claim, "sudo is not installed", needs.install(["sudo"]), lacking=True)
        return
    if command:
        stage.show_records(command)
    stage.expect(command is not None and command.auid == stage.user_id, claim, " ".join(whom(command)))


def ties(command: Event | None, write: Event | None) -> list[str]:
    """The fields that sudo's event and the write's have in common: who, which session, which process."""
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
    stage.then("The attacker is root here, and deletes the log:")
    stage.shell(*stage.sudo, "rm", str(remote.local))
    copied = read(remote.copy.read_text(errors="surrogateescape") if remote.copy.exists() else "")
    kept = all(event is not None and copied.get(event.serial) == event.render() for event in writes.values())
    stage.expect(not remote.local.exists() and kept, "the second host has them all, word for word")
    stage.then("And whom does the copy name?")
    stage.screen.table(["", "auid", "ses"], [[by, *whom(event)] for by, event in writes.items()])
    forkers = {engine.name for engine in stage.each(FORK)}
    named = {name for name, event in writes.items() if whom(event)[0] == stage.user}
    nameless = {name for name, event in writes.items() if whom(event)[0] == "unset"}
    as_recorded = named == forkers and nameless == writes.keys() - forkers
    stage.expect(as_recorded, "a copy keeps what was recorded: it cannot name whom the kernel never knew")


def read(log: str) -> dict[int, list[str]]:
    """The events of an audit.log, by serial, as `ausearch -i` prints them."""
    records = []
    for line in log.splitlines():
        with suppress(RecordError):  # auditd leaves empty lines between its own records
            records.append(Record.from_line(line))
    return {event.serial: event.render() for event in events(records)}
