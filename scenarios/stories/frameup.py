"""Unset is writable: in a daemon's container anybody may claim to be anybody, and the audit log believes it."""

from collections.abc import Sequence

from lab.audit.records import LOGIN, Event
from lab.audit.watch import Watch
from lab.errors import MissingFeature
from lab.identity import UNSET, name_of
from scenarios.props.capabilities import capabilities
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.stage import Stage

NAME = "frameup"
TITLE = "Blame somebody else"
AUTHOR, ANYBODY = 3267, 1000  # the article's uid; from 1000 on, since many rules leave out the uids below


def play(stage: Stage) -> None:
    uid = AUTHOR if stage.user_id != AUTHOR else ANYBODY
    victim = name_of(uid)
    stage.say(
        f"The workload writes {uid}{f' ({victim})' if victim != str(uid) else ''} into its own loginuid, then touches\n"
        "the file. No --privileged: Docker's default capabilities are enough. First where the loginuid is unset:"
    )
    with stage.watch() as watch:
        for engine in stage.each(DAEMON):
            stage.names(attack(stage, watch, engine, uid), uid, f"the record of the write blames {victim}")
        stage.then("The same through a fork, where the loginuid is set:")
        for engine in stage.each(FORK):
            stage.names(attack(stage, watch, engine, uid), stage.user_id, f"the record still names {stage.user}")
        hunt(stage, watch, uid)
        privileged(stage, watch, uid)


def attack(stage: Stage, watch: Watch, engine: Engine, uid: int, *options: str) -> Event | None:
    """Claim to be that user, then write; returns the event of the write."""
    workload = f"echo {uid} > /proc/self/loginuid; touch /host{stage.target}"
    stage.run(engine, ("sh", "-c", workload), *options, "-v", "/:/host")
    return stage.witness(watch)


def hunt(stage: Stage, watch: Watch, uid: int) -> None:
    """Every write to a loginuid leaves a LOGIN record, also a refused one, also the forger's."""
    stage.then("The hunt: which write to an unset loginuid came from no login program?")
    forged = logins(watch.events, UNSET, uid, "1")
    refused = logins(watch.events, stage.user_id, uid, "0")
    for event in forged[:1] + refused[:1]:
        stage.show_records(event)
    all_forged = len(forged) == len(stage.each(DAEMON))
    stage.expect(all_forged, "the LOGIN record shows the forgery: old-auid=unset, and its pid is no login's")
    all_refused = len(refused) == len(stage.each(FORK))
    stage.expect(all_refused, f"the refused attempt is on record, too, under {stage.user}'s name: res=no")


def privileged(stage: Stage, watch: Watch, uid: int) -> None:
    """The article's own command has --privileged, and so CAP_AUDIT_CONTROL: a fork protects the record no longer."""
    if "CAP_AUDIT_CONTROL" not in capabilities(which="CapBnd"):
        raise MissingFeature("this machine gives root no CAP_AUDIT_CONTROL", "run this on the host")
    for new, claim in ((uid, f"the record of the write blames {name_of(uid)}"), (UNSET, "the record names nobody")):
        stage.then(f"Forked, and --privileged, as in the article. The workload writes {new}:")
        for engine in stage.each(FORK):
            before = len(watch.events)
            event = attack(stage, watch, engine, new, "--privileged")
            stage.names(event, new, f"a privileged {engine.name} protects nobody: {claim}")
            signed = logins(watch.events[before:], stage.user_id, new, "1")
            for login in signed[:1]:
                stage.show_records(login)
            stage.expect(bool(signed), f"but the LOGIN record of that change is signed: old-auid={stage.user}")


def logins(events: Sequence[Event], old: int, new: int, result: str) -> list[Event]:
    """Those with a LOGIN record of this change; result: "1" if the kernel made the change, "0" if it refused."""
    wanted = {"old-auid": str(old), "auid": str(new), "res": result}
    return [event for event in events if any(wanted.items() <= login.fields.items() for login in event.of_type(LOGIN))]
