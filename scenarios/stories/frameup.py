"""Unset is writable: in a daemon's container anybody may claim to be anybody, and the audit log believes it."""

from lab.audit.records import Event
from lab.audit.watch import Watch
from lab.identity import UNSET, name_of
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.stage import Stage

NAME = "frameup"
TITLE = "Blame somebody else"
LOGIN_RECORD = 1006
VICTIM = 33  # www-data on Debian; any uid but the user's will do


def play(stage: Stage) -> None:
    victim = name_of(VICTIM)
    stage.say(
        f"The workload writes {VICTIM} ({victim}) into its own loginuid, then touches the file.\n"
        "No --privileged: Docker's default capabilities are enough. First where the loginuid is unset:"
    )
    with stage.watch() as watch:
        for engine in stage.each(DAEMON):
            served = attack(stage, watch, engine)
            stage.expect(served is not None and served.auid == VICTIM, f"the record of the write blames {victim}",
                         f"auid={name_of(served.auid)}" if served else "no record")  # fmt: skip
        stage.say("\nThe same through a fork, where the loginuid is set:")
        for engine in stage.each(FORK):
            forked = attack(stage, watch, engine)
            stage.expect(forked is not None and forked.auid == stage.user_id, f"the record still names {stage.user}",
                         f"auid={name_of(forked.auid)}" if forked else "no record")  # fmt: skip
        hunt(stage, watch)


def attack(stage: Stage, watch: Watch, engine: Engine) -> Event | None:
    """Claim, then write; the record of the write."""
    workload = f"echo {VICTIM} > /proc/self/loginuid; touch /host{stage.target}"
    stage.run(engine, ("sh", "-c", workload), "-v", "/:/host")
    return stage.witness(watch)


def hunt(stage: Stage, watch: Watch) -> None:
    """Every write to a loginuid, also a refused one, leaves a LOGIN record: the forger's, too."""
    stage.say("\nThe hunt: who became somebody, coming from nobody, and was no login program?")
    events = watch.matching(lambda event: bool(event.of_type(LOGIN_RECORD)))
    forged = [event for event in events if claim(event) == (UNSET, VICTIM, "1")]
    refused = [event for event in events if claim(event) == (stage.user_id, VICTIM, "0")]
    for event in forged[:1] + refused[:1]:
        stage.show_records(event)
    expected = len(stage.each(DAEMON)), len(stage.each(FORK))
    stage.expect(
        len(forged) == expected[0], "the forger's LOGIN record gives it away: old-auid=unset, and its pid is no login's"
    )
    stage.expect(
        len(refused) == expected[1], f"the refused attempt is on record, too, under {stage.user}'s name: res=no"
    )


def claim(event: Event) -> tuple[int, int, str]:
    """Of a LOGIN record: whose loginuid was to become whose, and whether it did ("1") or not ("0")."""
    fields = event.of_type(LOGIN_RECORD)[0].fields
    return int(fields["old-auid"]), int(fields["auid"]), fields["res"]
