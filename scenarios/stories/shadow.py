"""The article's main example: a privileged container writes to /etc/shadow. Whom does the audit log name?"""

from lab.audit.records import Event
from lab.audit.watch import Watch
from lab.identity import UNSET, name_of
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.report import whom
from scenarios.stage.stage import Stage

NAME = "shadow"
TITLE = "Who touched the shadow file?"
ROWS = ("auid", "ses", "uid", "tty", "comm")
TELLING = ROWS[:2]


def play(stage: Stage) -> None:
    events: dict[str, Event | None] = {}
    stage.say("The kernel is to record every write to {file}. Touch it on the host:", file=stage.target)
    with stage.watch() as watch:
        stage.ask("Whom will the record name?", stage.user, "root", "nobody")
        stage.shell(*stage.sudo, "touch", stage.target)
        events["on the host"] = stage.witness(watch)
        stage.names(events["on the host"], stage.user_id, "on the host, the record names {user}", user=stage.user)
        stage.in_session(events["on the host"], stage.login.sessionid, "and the session of this login")
        for engine in stage.each(FORK):
            events[engine.name] = forked(stage, watch, engine)
        for engine in stage.each(DAEMON):
            events[engine.name] = served(stage, watch, engine)
    compare(stage, events)


def forked(stage: Stage, watch: Watch, engine: Engine) -> Event | None:
    stage.say("The same write from a privileged container, forked.")
    stage.ask("Whom will the record name?", stage.user, "root", "nobody")
    event = touched(stage, watch, engine)
    claim = "from {engine}'s container, the record names {user}"
    stage.names(event, stage.user_id, claim, engine=engine.name, user=stage.user)
    stage.in_session(event, stage.login.sessionid, "and the session of this login")
    return event


def served(stage: Stage, watch: Watch, engine: Engine) -> Event | None:
    stage.say("The same write again, from a privileged container. This time a daemon starts it.")
    stage.ask("Whom will the record name?", stage.user, "root", "nobody")
    event = touched(stage, watch, engine)
    stage.names(event, UNSET, "through {engine}'s daemon, the record names nobody", engine=engine.name)
    stage.in_session(event, UNSET, "and no session")
    return event


def touched(stage: Stage, watch: Watch, engine: Engine) -> Event | None:
    """Touch the target from a privileged container that has the whole host below /host; the event that this left."""
    stage.run(engine, ("touch", f"/host{stage.target}"), "--privileged", "-v", "/:/host")
    return stage.witness(watch)


def compare(stage: Stage, events: dict[str, Event | None]) -> None:
    """The records side by side, field by field."""
    columns = [dict(zip(ROWS, cells(event), strict=True)) for event in events.values()]
    rows = [[field, *(column[field] for column in columns)] for field in ROWS]
    stage.contrast("The records of the three writes, side by side", ["", *events], rows, TELLING)


def cells(event: Event | None) -> tuple[str, ...]:
    """An event's values of ROWS."""
    rest = (name_of(event.uid), event.tty, event.comm) if event else ("", "", "")
    return *whom(event), *rest
