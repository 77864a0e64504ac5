"""Forked with --privileged, a workload may name anybody, or nobody. But then the kernel signs the forgery."""

from collections.abc import Sequence
from dataclasses import dataclass

from lab.audit.records import LOGIN, Event
from lab.audit.watch import Watch
from lab.errors import MissingFeature
from lab.identity import UNSET, name_of
from scenarios.performance.text import Text
from scenarios.props.capabilities import capabilities
from scenarios.props.forging import attack, victim
from scenarios.props.immutable import immutable, is_on
from scenarios.safety.guest import LAB_MACHINE
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.report import whom
from scenarios.stage.stage import Stage

NAME = "forge"
TITLE = "After a fork, the forgery is signed"
PRIVILEGED = ("--privileged",)
WITHOUT = ("--cap-add=ALL", "--cap-drop=AUDIT_CONTROL")  # beside --privileged, podman 4.3 ignores --cap-drop


@dataclass(frozen=True)
class Attempt:
    """Somebody wrote `new` into a loginuid, then to the file: the event of that write, and that of the LOGIN record."""

    who: str
    new: int
    write: Event | None
    login: Event | None


def play(stage: Stage) -> None:
    if "CAP_AUDIT_CONTROL" not in capabilities(which="CapBnd"):
        raise MissingFeature("this machine gives root no CAP_AUDIT_CONTROL", "run this on the host")
    if is_on():
        raise MissingFeature("no loginuid can be changed here: loginuid_immutable is on", "see `sudo auditctl -s`")
    uid, card = victim(stage), list[Attempt]()
    with stage.watch() as watch:
        for engine in stage.each(FORK):
            made = [forged(stage, watch, engine, new) for new in (uid, UNSET)]
            signed(stage, engine, made)
            card += made
        card += [unsigned(stage, watch, engine, uid) for engine in stage.each(DAEMON)]
        if not LAB_MACHINE.exists():
            stage.say("Two defences. loginuid_immutable is for a whole machine: the lab shows that in its guest only.")
        card += [dropped(stage, watch, engine, uid) for engine in stage.each(FORK)]
        if LAB_MACHINE.exists():
            card += immutably(stage, watch, uid)
    compare(stage, card)


def attempt(
    stage: Stage, watch: Watch, engine: Engine, new: int, how: str, options: Sequence[str] = PRIVILEGED
) -> Attempt:
    """One attempt in a container with these options."""
    before = len(watch.events)
    write = attack(stage, watch, engine, new, *options)
    of_it = [
        event for event in watch.events[before:] for record in event.of_type(LOGIN) if record.fields["auid"] == str(new)
    ]
    return Attempt(f"{engine.name}{how}", new, write, of_it[-1] if of_it else None)


def forged(stage: Stage, watch: Watch, engine: Engine, new: int) -> Attempt:
    if new == UNSET:
        stage.say("The same, but the workload erases the name: it writes {new}.", new=new)
    else:
        stage.say(
            "The article's command, forked, with --privileged. The workload first writes {new} as its loginuid.",
            new=new,
        )
    stage.ask("Whom does the record of its write to the file name?", stage.user, "nobody", name_of(victim(stage)))
    made = attempt(stage, watch, engine, new, "")
    claim = (
        Text("the record names nobody")
        if new == UNSET
        else Text("the record blames {victim}", {"victim": name_of(new)})
    )
    stage.names(made.write, new, "a privileged {engine} protects nobody: {claim}", engine=engine.name, claim=claim)
    return made


def signed(stage: Stage, engine: Engine, made: list[Attempt]) -> None:
    """Both changes left a LOGIN record, which no rule had asked for."""
    stage.ask("{user}'s name is gone from both. Does any other record have it?", "yes", "no", user=stage.user)
    for one, what in zip(made, ("the forgery", "the erasure"), strict=True):
        claim = "{what} by {engine}'s workload is signed: old-auid={user}"
        show_old(
            stage, one, stage.user_id, Text(claim, {"what": Text(what), "engine": engine.name, "user": stage.user})
        )
    unasked = all(one.login and not one.login.keys for one in made)
    stage.expect(unasked, "no rule asked for these records, and none is needed", Text("no key"))


def unsigned(stage: Stage, watch: Watch, engine: Engine, uid: int) -> Attempt:
    stage.say("The same forgery through the daemon.")
    stage.ask("Who signs it?", stage.user, "root", "nobody")
    made = attempt(stage, watch, engine, uid, "")
    show_old(
        stage, made, UNSET, Text("through {engine}'s daemon, nobody signs: old-auid=unset", {"engine": engine.name})
    )
    return made


def show_old(stage: Stage, made: Attempt, uid: int, claim: Text) -> None:
    """Show the LOGIN record, and expect this user as its old-auid."""
    if made.login:
        stage.show_records(made.login)
    held = made.login is not None and made.login.number("old-auid") == uid
    stage.expect(held, claim, "" if made.login else Text("no record"), basis=stage.basis("old-auid", uid, made.login))


def dropped(stage: Stage, watch: Watch, engine: Engine, uid: int) -> Attempt:
    stage.say("A defence: not --privileged, but all capabilities without one, CAP_AUDIT_CONTROL.")
    stage.ask("Does the kernel accept the forgery?", "yes", "no")
    made = attempt(stage, watch, engine, uid, ", no AUDIT_CONTROL", WITHOUT)
    refused(stage, made, Text("without CAP_AUDIT_CONTROL in {engine}", {"engine": engine.name}))
    return made


def refused(stage: Stage, made: Attempt, how: Text) -> None:
    """The write names the user, and the LOGIN record says res=no."""
    stage.names(made.write, stage.user_id, "{how}, the record names {user}", how=how, user=stage.user)
    if made.login:
        stage.show_records(made.login)
    held = made.login is not None and not made.login.number("res")
    stage.expect(held, "and the attempt itself is on record: res=no", basis=stage.basis("res", 0, made.login))


def immutably(stage: Stage, watch: Watch, uid: int) -> list[Attempt]:
    """The audit feature loginuid_immutable, for the length of two containers."""
    fork, daemon = stage.engine(FORK), stage.engine(DAEMON)
    stage.say("The other defence, for the whole machine: the audit feature loginuid_immutable. --privileged again.")
    stage.ask("Does the kernel accept the forgery now?", "yes", "no")
    with immutable(stage.journal):
        second = attempt(stage, watch, fork, uid, ", loginuid_immutable")
        refused(stage, second, Text("under loginuid_immutable"))
        stage.ask("And through the daemon, where the loginuid is unset?", "yes", "no")
        first = attempt(stage, watch, daemon, uid, ", loginuid_immutable")
    claim = "the first write is free even so: through the daemon, the record blames {victim}"
    stage.names(first.write, uid, claim, victim=name_of(uid))
    return [second, first]


def compare(stage: Stage, card: list[Attempt]) -> None:
    """What the records of each attempt say."""
    rows: list[tuple[Text, str, str, str]] = []
    for made in card:
        old = name_of(made.login.number("old-auid")) if made.login else "no record"
        res = ("yes" if made.login.number("res") else "no") if made.login else ""
        new = "-1" if made.new == UNSET else str(made.new)
        rows.append((Text("{who}: {new}", {"who": made.who, "new": new}), whom(made.write)[0], old, res))
    columns = ["who writes which loginuid", "the write's auid", "LOGIN's old-auid", "res"]
    stage.contrast("Whom do the two records name?", columns, rows)
