"""A workload that writes into its own loginuid, then to the watched file; and the LOGIN records of such changes."""

from __future__ import annotations

from collections.abc import Sequence

from lab.audit.records import LOGIN, Event
from lab.audit.watch import Watch
from scenarios.stage.engines import Engine
from scenarios.stage.stage import Stage

AUTHOR, ANYBODY = 3267, 1000  # the article's uid; from 1000 on, since many rules leave out the uids below


def victim(stage: Stage) -> int:
    """The uid of somebody else than the user."""
    return AUTHOR if stage.user_id != AUTHOR else ANYBODY


def attack(stage: Stage, watch: Watch, engine: Engine, uid: int, *options: str) -> Event | None:
    """Claim to be that user, or nobody with UNSET, then write; returns the event of the write."""
    workload = f"echo {uid} > /proc/self/loginuid; touch /host{stage.target}"
    stage.run(engine, ("sh", "-c", workload), *options, "-v", "/:/host")
    return stage.witness(watch)


def logins(events: Sequence[Event], old: int, new: int, result: str) -> list[Event]:
    """Those with a LOGIN record of this change; result: "1" if the kernel made the change, "0" if it refused.

    audit_log_set_loginuid(), kernel/auditsc.c.
    """
    wanted = {"old-auid": str(old), "auid": str(new), "res": result}
    return [event for event in events if any(wanted.items() <= login.fields.items() for login in event.of_type(LOGIN))]
