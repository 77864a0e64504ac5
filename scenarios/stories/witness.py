"""One write, several witnesses: /proc, the kernel's record, journald, logind, auditd. Do they name the same user?"""

import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from lab.audit.records import Event
from lab.audit.watch import Watch
from lab.errors import MissingFeature
from lab.identity import UNSET, name_of
from scenarios import needs
from scenarios.performance.text import Text, message
from scenarios.props.journald import Journald
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.report import Outcome
from scenarios.stage.stage import Stage

NAME = "witness"
TITLE = "Do all the witnesses agree?"
WRITE = "touch $FILE && cd /proc/self && echo $(cat loginuid; echo; cat sessionid)"
SAY = "(echo touched; cat) | logger --socket $LOG -t {tag}"  # logger stays until the input ends
STAY = "exec cat"
INSIDE, OUTSIDE, RECORD, JOURNALD = "inside, /proc/self", "the host's /proc/PID", "the kernel's record", "journald"
LOGIND, AUSEARCH = "logind, by ses", "ausearch --session"
ROWS = (INSIDE, OUTSIDE, RECORD, JOURNALD, LOGIND, AUSEARCH)
GUEST = "vagrant up   (there you have logged in by ssh, and systemd-logind knows your session)"
Pair = tuple[int, int]  # a loginuid and a session, either may be UNSET


def play(stage: Stage) -> None:
    columns: dict[str, dict[str, str]] = {}
    events: dict[str, Event | None] = {}
    with ExitStack() as stack:
        journald = speaking(stage, stack)
        with stage.watch() as watch:
            for engine in (*stage.each(FORK), *stage.each(DAEMON)):
                columns[engine.name] = hear(stage, watch, engine, journald, events)
    known = logind(stage)
    columns = {name: {**heard, **(known if forked(stage, name) else {})} for name, heard in columns.items()}
    searched(stage, watch, columns, events)
    rows = [[row, *(heard.get(row, "-") for heard in columns.values())] for row in ROWS]
    stage.contrast("What each witness says of the write", ["", *columns], rows, [OUTSIDE])


def speaking(stage: Stage, stack: ExitStack) -> Journald | None:
    """A journald for this story; None if this machine has none."""
    try:
        needs.require("logger")
        return stack.enter_context(Journald(stage.journal))
    except MissingFeature as missing:
        stage.unknown("journald can be asked", missing.message, missing.hint, lacking=True)
        return None


def hear(
    stage: Stage, watch: Watch, engine: Engine, journald: Journald | None, events: dict[str, Event | None]
) -> dict[str, str]:
    """What each witness says of a write by that engine's container: its name in words, by witness."""
    wanted = (stage.user_id, stage.login.sessionid) if engine.model == FORK else (UNSET, UNSET)
    tag, whom = f"lab-{os.urandom(4).hex()}", stage.user if engine.model == FORK else Text("nobody")
    outcome = write(stage, engine, wanted, whom, tag, journald)
    first = outcome.ancestry[0]
    heard = {INSIDE: printed(outcome), OUTSIDE: (first.loginuid, first.sessionid)}
    stage.say("The kernel wrote a record as the touch ended.")
    event = events[engine.name] = stage.witness(watch)
    stage.names(event, wanted[0], "the record names {whom}", whom=whom)
    stage.in_session(event, wanted[1], "in the same session" if engine.model == FORK else "and no session")
    if event:
        heard[RECORD] = (event.auid, event.ses)
    if journald and (said := asked(stage, journald, tag, wanted, whom)):
        heard[JOURNALD] = said
    claim = "{engine}: {count} witnesses, one answer"
    stage.expect(set(heard.values()) == {wanted}, claim, engine=engine.name, count=len(heard))
    return {row: told(pair) for row, pair in heard.items()}


def write(stage: Stage, engine: Engine, wanted: Pair, whom: str | Text, tag: str, journald: Journald | None) -> Outcome:
    stage.say("{engine}: a container touches the file on the host, says so to journald, and stays.", engine=engine.name)
    stage.ask("Whom will each witness name?", stage.user, "nobody")
    workload = f"{WRITE} && {SAY.format(tag=tag) if journald else STAY}"
    options = ["-v", "/:/host", "-e", f"FILE=/host{stage.target}"]
    options += ["-e", f"LOG=/host{journald.socket}"] if journald else []
    outcome = stage.run_watched(engine, ("sh", "-c", workload), *options)
    stage.prints(outcome, wanted[0], "inside, /proc/self/loginuid says {whom}", whom=whom)
    stage.carries(outcome, wanted[0], "the host's /proc says {whom}, too", whom=whom)
    return outcome


def printed(outcome: Outcome) -> Pair:
    """Raises CannotTell unless the workload printed its loginuid and its session."""
    words = outcome.stdout.split()[:2]
    if len(words) < 2 or not "".join(words).isdecimal():
        raise outcome.trouble()
    return int(words[0]), int(words[1])


def asked(stage: Stage, journald: Journald, tag: str, wanted: Pair, whom: str | Text) -> Pair | None:
    """What journald added to the message: it reads /proc of the process that sent it, and omits what is unset."""
    stage.say("journald looked the sender up in /proc when the message came, and added two fields.")
    stage.ask("Whom do they name?", stage.user, "nobody")
    journald.await_message(tag)
    fields = shown(stage.shell(*stage.sudo, *journald.command(tag), answers=[0]))
    said = int(fields.get("_AUDIT_LOGINUID", UNSET)), int(fields.get("_AUDIT_SESSION", UNSET))
    stage.expect(said == wanted, "journald's fields name {whom}", told(said), whom=whom)
    return said


def shown(outcome: Outcome) -> Mapping[str, str]:
    """The lines NAME=value of a command's output."""
    return dict(re.findall(r"^ *(\w+)=(.*)$", outcome.stdout, re.MULTILINE))


def logind(stage: Stage) -> Mapping[str, str]:
    """systemd-logind gives a session the number of its audit session, so that `ses=` in a record leads to a login."""
    number = str(stage.login.sessionid)
    claim = "logind knows session {number} as {user}'s"
    stage.say("systemd-logind numbers its sessions as audit does.")
    stage.ask("Whose session is {number}?", stage.user, "nobody", number=number)
    try:
        needs.require("loginctl")
        if not Path("/run/systemd/system").is_dir():
            raise MissingFeature("no systemd-logind runs here", GUEST)
        outcome = stage.shell("loginctl", "show-session", number, "-p", "User", "-p", "Audit", answers=[0, 1])
        if outcome.exit_code:
            raise MissingFeature("no login program opened this session: the lab did", GUEST)
    except MissingFeature as missing:
        stage.unknown(claim, missing.message, missing.hint, lacking=True, number=number, user=stage.user)
        return {}
    fields = shown(outcome)
    held = fields.get("User") == str(stage.user_id) and fields.get("Audit") == number
    stage.expect(held, claim, f"User={fields.get('User')}", number=number, user=stage.user)
    return {LOGIND: name_of(int(fields.get("User", UNSET)))}


def searched(
    stage: Stage, watch: Watch, columns: dict[str, dict[str, str]], events: Mapping[str, Event | None]
) -> None:
    """auditd's log, searched for this login's session: the forked writes are in it, the daemons' are not."""
    number = str(stage.login.sessionid)
    claim = "in auditd's log, session {number} has the forked write alone"
    stage.say("ausearch shows what a login did, by its session.")
    stage.ask("Which of the writes are there?", "all", "the forked one", "none")
    if not stage.auditd:
        stage.unknown(claim, "no auditd runs here", "sudo make engines-up", lacking=True, number=number)
        return
    words = [*stage.auditd.command(watch.key), "--session", number, "-m", "SYSCALL"]
    outcome = stage.shell(*stage.sudo, *words, answers=[0, 1])
    serials = {int(serial) for serial in re.findall(r"type=SYSCALL msg=audit\([\d.]+:(\d+)\)", outcome.stdout)}
    found = [name for name, event in events.items() if event and event.serial in serials]
    wanted = [name for name in events if forked(stage, name)]
    stage.expect(found == wanted, claim, ", ".join(found), number=number)
    for name in columns:
        columns[name][AUSEARCH] = message("the write") if name in found else message("not the write")


def forked(stage: Stage, name: str) -> bool:
    return name in {engine.name for engine in stage.chosen if engine.model == FORK}


def told(pair: Pair) -> str:
    """A loginuid and a session in words."""
    uid, ses = pair
    return name_of(uid) if ses == uid == UNSET else f"{name_of(uid)} {'unset' if ses == UNSET else ses}"
