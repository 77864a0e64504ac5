"""Unset is writable: in a daemon's container anybody may claim to be anybody, and the audit log believes it."""

from collections.abc import Sequence

from lab.audit.records import LOGIN, Event
from lab.audit.watch import Watch
from lab.errors import MissingFeature
from lab.identity import UNSET, name_of
from scenarios.performance.text import Text
from scenarios.props.capabilities import capabilities
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.report import whom
from scenarios.stage.stage import Stage

NAME = "frameup"
TITLE = "Blame somebody else"
AUTHOR, ANYBODY = 3267, 1000  # the article's uid; from 1000 on, since many rules leave out the uids below


def play(stage: Stage) -> None:
    uid = AUTHOR if stage.user_id != AUTHOR else ANYBODY
    blamed: dict[str, Event | None] = {}
    with stage.watch() as watch:
        for engine in stage.each(DAEMON):
            blamed[engine.name] = where_unset(stage, watch, engine, uid)
        for engine in stage.each(FORK):
            blamed[engine.name] = where_set(stage, watch, engine, uid)
        hunt(stage, watch, uid)
        for engine in stage.each(FORK):
            privileged(stage, watch, engine, uid, blamed)
    rows = [["who wrote", *([stage.user] * len(blamed))]]
    rows += [["auid", *(whom(event)[0] for event in blamed.values())]]
    stage.contrast("Whom does the record of the write blame?", ["", *blamed], rows, ("auid",))


def where_unset(stage: Stage, watch: Watch, engine: Engine, uid: int) -> Event | None:
    victim = name_of(uid)
    stage.say("The workload writes {uid} into its own loginuid, then touches the file. No --privileged.", uid=uid)
    question = "A daemon started it, so its loginuid is unset. Whom will the record blame?"
    stage.ask(question, stage.user, "nobody", victim)
    event = attack(stage, watch, engine, uid)
    stage.names(event, uid, "the record of the write blames {victim}", victim=victim)
    return event


def where_set(stage: Stage, watch: Watch, engine: Engine, uid: int) -> Event | None:
    stage.ask("The same through a fork, where the loginuid is set. And now?", stage.user, "nobody", name_of(uid))
    event = attack(stage, watch, engine, uid)
    stage.names(event, stage.user_id, "the record still names {user}", user=stage.user)
    return event


def attack(stage: Stage, watch: Watch, engine: Engine, uid: int, *options: str) -> Event | None:
    """Claim to be that user, then write; returns the event of the write."""
    workload = f"echo {uid} > /proc/self/loginuid; touch /host{stage.target}"
    stage.run(engine, ("sh", "-c", workload), *options, "-v", "/:/host")
    return stage.witness(watch)


def hunt(stage: Stage, watch: Watch, uid: int) -> None:
    """Every write to a loginuid leaves a LOGIN record, also a refused one, also the forger's."""
    stage.ask("The hunt: does a write to a loginuid leave a record, also a refused one?", "yes", "no")
    forged = logins(watch.events, UNSET, uid, "1")
    refused = logins(watch.events, stage.user_id, uid, "0")
    for event in forged[:1] + refused[:1]:
        stage.show_records(event)
    all_forged = len(forged) == len(stage.each(DAEMON))
    stage.expect(all_forged, "the LOGIN record shows the forgery: old-auid=unset, and its pid is no login's")
    all_refused = len(refused) == len(stage.each(FORK))
    stage.expect(all_refused, "the refused attempt is on record, too, under {user}'s name: res=no", user=stage.user)


def privileged(stage: Stage, watch: Watch, engine: Engine, uid: int, blamed: dict[str, Event | None]) -> None:
    """The article's own command has --privileged, and so CAP_AUDIT_CONTROL: a fork protects the record no longer."""
    if "CAP_AUDIT_CONTROL" not in capabilities(which="CapBnd"):
        raise MissingFeature("this machine gives root no CAP_AUDIT_CONTROL", "run this on the host")
    for new in (uid, UNSET):
        stage.say("Forked, and --privileged, as in the article. The workload writes {new}.", new=new)
        stage.ask("Whom does the record name now?", stage.user, "nobody", name_of(uid))
        before = len(watch.events)
        event = blamed[f"--privileged: {new}"] = attack(stage, watch, engine, new, "--privileged")
        claim = Text("the record names nobody")
        if new != UNSET:
            claim = Text("the record of the write blames {victim}", {"victim": name_of(uid)})
        stage.names(event, new, "a privileged {engine} protects nobody: {claim}", engine=engine.name, claim=claim)
        signed = logins(watch.events[before:], stage.user_id, new, "1")
        for login in signed[:1]:
            stage.show_records(login)
        stage.expect(bool(signed), "but the LOGIN record of that change is signed: old-auid={user}", user=stage.user)


def logins(events: Sequence[Event], old: int, new: int, result: str) -> list[Event]:
    """Those with a LOGIN record of this change; result: "1" if the kernel made the change, "0" if it refused."""
    wanted = {"old-auid": str(old), "auid": str(new), "res": result}
    return [event for event in events if any(wanted.items() <= login.fields.items() for login in event.of_type(LOGIN))]
