"""Unset is writable: in a daemon's container anybody may claim to be anybody, and the audit log believes it."""

from lab.audit.records import Event
from lab.audit.watch import Watch
from lab.identity import UNSET, name_of
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.stage import Stage

NAME = "frameup"
TITLE = "Blame somebody else"
LOGIN_RECORD = 1006  # AUDIT_LOGIN, linux/audit.h
VICTIM = 33  # www-data on Debian; any uid but the user's will do


def play(stage: Stage) -> None:
    victim = name_of(VICTIM)
    stage.say(
        f"The workload writes {VICTIM} ({victim}) into its own loginuid, then touches the file.\n"
        "No --privileged: Docker's default capabilities are enough. First where the loginuid is unset:"
    )
    with stage.watch() as watch:
        for engine in stage.each(DAEMON):
            stage.names(attack(stage, watch, engine), VICTIM, f"the record of the write blames {victim}")
        stage.then("The same through a fork, where the loginuid is set:")
        for engine in stage.each(FORK):
            stage.names(attack(stage, watch, engine), stage.user_id, f"the record still names {stage.user}")
        hunt(stage, watch)


def attack(stage: Stage, watch: Watch, engine: Engine) -> Event | None:
    """Claim to be the victim, then write; returns the event of the write."""
    workload = f"echo {VICTIM} > /proc/self/loginuid; touch /host{stage.target}"
    stage.run(engine, ("sh", "-c", workload), "-v", "/:/host")
    return stage.witness(watch)


def hunt(stage: Stage, watch: Watch) -> None:
    """Every write to a loginuid leaves a LOGIN record, also a refused one, also the forger's."""
    stage.then("The hunt: which write to an unset loginuid came from no login program?")
    events = watch.matching(lambda event: bool(event.of_type(LOGIN_RECORD)))
    forged = [event for event in events if claim(event) == (UNSET, VICTIM, "1")]
    refused = [event for event in events if claim(event) == (stage.user_id, VICTIM, "0")]
    for event in forged[:1] + refused[:1]:
        stage.show_records(event)
    all_forged = len(forged) == len(stage.each(DAEMON))
    stage.expect(all_forged, "the LOGIN record shows the forgery: old-auid=unset, and its pid is no login's")
    all_refused = len(refused) == len(stage.each(FORK))
    stage.expect(all_refused, f"the refused attempt is on record, too, under {stage.user}'s name: res=no")


def claim(event: Event) -> tuple[int, int, str]:
    """What a LOGIN record tells: the old loginuid, the new one, and "1" if the write succeeded, else "0"."""
    fields = event.of_type(LOGIN_RECORD)[0].fields
    return int(fields["old-auid"]), int(fields["auid"]), fields["res"]
