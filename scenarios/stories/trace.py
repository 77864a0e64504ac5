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
from scenarios.performance.text import Text
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
        writes: dict[str, Event | None] = {}
        for engine in stage.each(DAEMON):
            writes[engine.name] = through_the_daemon(stage, watch, engine)
        writes["the group"] = by_the_group(stage, watch)
        for engine in stage.each(FORK):
            writes[engine.name] = forked(stage, watch, engine)
        afterwards(stage, watch, remote, writes)


def through_the_daemon(stage: Stage, watch: Watch, engine: Engine) -> Event | None:
    stage.say("Through the daemon, with sudo. The script is piped in, so that no command line shows it.")
    stage.ask("The container is still there. Does the daemon tell for whom?", "yes", "no")
    name = f"lab-{os.urandom(4).hex()}"
    write, command = attack(stage, watch, engine, name)
    asked_for(stage, engine, name)
    stage.ask("Remove it. What ties {user} to the write now?", "sudo's record", "nothing", user=stage.user)
    removed(stage, engine, name)
    sudo_remembers(stage, command)
    shared = ties(command, write)
    untied = write is not None and not shared
    seen = f"in common: {' '.join(shared)}" if shared else Text("in common: nothing")
    stage.expect(untied, "but no field that the kernel vouches for ties it to the write", seen)
    return write


def forked(stage: Stage, watch: Watch, engine: Engine) -> Event | None:
    stage.say("Forked, with sudo, and the container is removed again.")
    stage.ask("What is left that names {user}?", "nothing", "sudo's record", "all records", user=stage.user)
    name = f"lab-{os.urandom(4).hex()}"
    write, command = attack(stage, watch, engine, name)
    removed(stage, engine, name)
    stage.names(write, stage.user_id, "but the write itself names {user}", user=stage.user)
    if command:
        tied = " ".join(ties(command, write))
        stage.expect(bool(tied), "and so does sudo's record, in the same session", tied)
    return write


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
    stage.say("The same write as a member of the socket's group, without sudo.")
    stage.ask("Which record names {user} now?", "one", "none", user=stage.user)
    watch.collect()
    before = len(watch.events)
    group = Path(stage.daemon.path).stat().st_gid
    engine, name = stage.engine(DAEMON), f"lab-{os.urandom(4).hex()}"
    write, _ = attack(stage, watch, engine, name, stage.as_user(group))
    watch.collect()
    own = [event for event in watch.events[before:] if event.ses == stage.login.sessionid]
    silent = write is not None and not own
    records = Text("{count} records", {"count": len(own)})
    stage.expect(silent, "no record of {user}'s session at all", records, user=stage.user)
    stage.quiet(*engine.command("rm", name))
    return write


def asked_for(stage: Stage, engine: Engine, name: str) -> None:
    """What the daemon tells of a container while it is still there: all about it, and not for whom it was made."""
    words = [word for user in (stage.user, str(stage.user_id)) for word in ("-e", user)]
    found = stage.shell(
        "sh", "-c", f"{paste(engine.inspect(name))} | grep -c -w {paste(words)}", answers=[0, 1]
    ).printed
    complete = name in stage.quiet(*engine.inspect(name)).stdout
    claim = "inspect names no caller: neither {user} nor {uid}"
    named = Text("{count} lines of inspect name {user}", {"count": found or 0, "user": stage.user})
    stage.expect(complete and found == 0, claim, named, user=stage.user, uid=stage.user_id)


def removed(stage: Stage, engine: Engine, name: str) -> None:
    """Remove the container, and look whether the engine still knows of it."""
    stage.shell(*engine.command("rm", name))
    asked = stage.shell(*engine.inspect(name), answers=range(126))  # 125: podman, 1: docker
    if asked.exit_code and "no such" not in asked.stderr.lower():
        raise asked.trouble()
    stage.expect(asked.exit_code != 0, "nothing is left of the container")


def sudo_remembers(stage: Stage, command: Event | None) -> None:
    claim = Text("sudo's own record names {user}", {"user": stage.user})
    if not stage.sudo:
        stage.unknown(claim, "sudo is not installed", needs.install(["sudo"]), lacking=True)
        return
    if command:
        stage.show_records(command)
    stage.names(command, stage.user_id, claim)


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
    stage.say(
        "Each record also went to a second host, the network namespace {name}, by {sender}.",
        name=remote.name,
        sender=remote.sender,
    )
    stage.ask("The attacker is root here, and deletes the log. What does the second host have?", "all", "nothing")
    stage.shell(*stage.sudo, "rm", str(remote.local))
    copied = read(remote.copy.read_text(errors="surrogateescape") if remote.copy.exists() else "")
    kept = all(event is not None and copied.get(event.serial) == event.render() for event in writes.values())
    stage.expect(not remote.local.exists() and kept, "the second host has them all, word for word")
    rows = [[field, *(whom(event)[place] for event in writes.values())] for place, field in enumerate(("auid", "ses"))]
    stage.contrast("Whom does the copy name?", ["", *writes], rows, ("auid", "ses"))
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
