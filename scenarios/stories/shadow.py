"""The article's main example: a privileged container writes to /etc/shadow. Whom does the audit log name?"""

from lab.audit.records import Event
from lab.identity import UNSET, name_of
from scenarios.stage.engines import DAEMON, FORK
from scenarios.stage.stage import Stage

NAME = "shadow"
TITLE = "Who touched the shadow file?"
ROWS = ("auid", "ses", "uid", "tty", "comm")


def play(stage: Stage) -> None:
    touch, whole_host = ("touch", f"/host{stage.target}"), ("--privileged", "-v", "/:/host")
    events: dict[str, Event | None] = {}
    stage.say(f"Ask the kernel to record every write to {stage.target}:")
    with stage.watch() as watch:
        stage.say("\nTouch it on the host:")
        stage.shell(*stage.sudo, "touch", stage.target)
        events["on the host"] = stage.witness(watch)
        named(stage, events["on the host"], "on the host")

        stage.say("\nThe same from a privileged container, forked:")
        for engine in stage.each(FORK):
            stage.run(engine, touch, *whole_host)
            events[engine.name] = stage.witness(watch)
            named(stage, events[engine.name], f"from {engine.name}'s container")

        stage.say("\nAnd through a daemon:")
        for engine in stage.each(DAEMON):
            stage.run(engine, touch, *whole_host)
            events[engine.name] = served = stage.witness(watch)
            stage.expect(served is not None and served.auid == UNSET, f"through {engine.name}'s daemon, the record "
                         "names nobody", said(served))  # fmt: skip
            stage.expect(served is not None and served.ses == UNSET, "and no session", f"ses={ses(served)}")
    compare(stage, events)


def named(stage: Stage, event: Event | None, where: str) -> None:
    """The record must have the user's auid and the login's session."""
    stage.expect(
        event is not None and event.auid == stage.user_id, f"{where}, the record names {stage.user}", said(event)
    )
    stage.expect(
        event is not None and event.ses == stage.login.sessionid, "and the session of this login", f"ses={ses(event)}"
    )


def said(event: Event | None) -> str:
    return f"auid={name_of(event.auid)}" if event else "no record"


def ses(event: Event | None) -> str:
    return "none" if event is None else "unset" if event.ses == UNSET else str(event.ses)


def compare(stage: Stage, events: dict[str, Event | None]) -> None:
    """The records side by side, field by field."""
    columns = [{"auid": said(e).removeprefix("auid="), "ses": ses(e), **raw(e)} for e in events.values()]
    rows = [[field, *(column.get(field, "") for column in columns)] for field in ROWS]
    stage.screen.table(["", *events], rows, "the records, side by side")


def raw(event: Event | None) -> dict[str, str]:
    if event is None:
        return {}
    return {"uid": name_of(event.uid), "tty": event.tty, "comm": event.comm}
