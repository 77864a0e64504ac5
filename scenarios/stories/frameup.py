"""Unset is writable: in a daemon's container anybody may claim to be anybody, and the audit log believes it."""

from lab.audit.records import Event
from lab.audit.watch import Watch
from lab.identity import UNSET, name_of
from scenarios.props.forging import attack, logins, victim
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.report import whom
from scenarios.stage.stage import Stage

NAME = "frameup"
TITLE = "Blame somebody else"


def play(stage: Stage) -> None:
    uid = victim(stage)
    blamed: dict[str, Event | None] = {}
    with stage.watch() as watch:
        for engine in stage.each(DAEMON):
            blamed[engine.name] = where_unset(stage, watch, engine, uid)
        for engine in stage.each(FORK):
            blamed[engine.name] = where_set(stage, watch, engine, uid)
        hunt(stage, watch, uid)
    rows = [["who wrote", *([stage.user] * len(blamed))]]
    rows += [["auid", *(whom(event)[0] for event in blamed.values())]]
    stage.contrast("Whom does the record of the write blame?", ["", *blamed], rows, ("auid",))


def where_unset(stage: Stage, watch: Watch, engine: Engine, uid: int) -> Event | None:
    what = "The workload writes another user's number, {uid}, into its own loginuid, then touches the file."
    stage.say(what, uid=uid)
    question = "A daemon started it, so its loginuid is unset. Whom will the record blame?"
    stage.ask(question, stage.user, "nobody", name_of(uid))
    event = attack(stage, watch, engine, uid)
    stage.names(event, uid, "the record of the write blames {victim}", victim=name_of(uid))
    return event


def where_set(stage: Stage, watch: Watch, engine: Engine, uid: int) -> Event | None:
    stage.ask("The same through a fork, where the loginuid is set. And now?", stage.user, "nobody", name_of(uid))
    event = attack(stage, watch, engine, uid)
    stage.names(event, stage.user_id, "the record still names {user}", user=stage.user)
    return event


def hunt(stage: Stage, watch: Watch, uid: int) -> None:
    """Every write to a loginuid leaves a LOGIN record, also a refused one, also the forger's."""
    stage.ask("The hunt: does a write to a loginuid leave a record, also a refused one?", "yes", "no")
    forged = logins(watch.events, UNSET, uid, "1")
    refused = logins(watch.events, stage.user_id, uid, "0")
    for event in forged[:1] + refused[:1]:
        stage.show_records(event)
    all_forged = len(forged) == len(stage.each(DAEMON))
    stage.expect(all_forged, "the LOGIN record shows the forgery: old-auid=unset")
    all_refused = len(refused) == len(stage.each(FORK))
    stage.expect(all_refused, "the refused attempt is on record, too, under {user}'s name: res=no", user=stage.user)
