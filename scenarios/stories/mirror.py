"""One kernel value, three answers: /proc shows a loginuid through the reader's user namespace, a record does not."""

from collections.abc import Sequence

from lab.audit.records import Event
from lab.audit.watch import Watch
from lab.errors import MissingFeature
from lab.identity import UNSET
from scenarios import needs
from scenarios.performance.text import Text
from scenarios.stage.engines import FORK, Engine
from scenarios.stage.report import Outcome, whom
from scenarios.stage.stage import Stage

NAME = "mirror"
TITLE = "Why `cat` inside a container is no evidence"


def play(stage: Stage) -> None:
    if stage.user_id == 0:
        raise MissingFeature("root is logged in, and every user namespace shows root as 0", needs.AS_USER)
    stage.say("The kernel holds {uid} for this session.", uid=stage.user_id)
    found: dict[str, tuple[Outcome, Event | None]] = {}
    with stage.watch() as watch:
        found["on the host"] = look(stage, watch, "on the host", (), stage.user_id)
        own_map = ("setpriv", f"--reuid={stage.user_id}", "unshare", "--user", "--map-root-user")
        where = "in a user namespace that maps {uid} to 0, as rootless podman's does"
        found["mapped to 0"] = look(stage, watch, where, own_map, 0)
        where = "in a user namespace that does not map {uid}"
        found["not mapped"] = look(stage, watch, where, ("unshare", "--user", "--map-root-user"), UNSET)
        for engine in stage.each(FORK):
            if engine.adopted:
                found[engine.name] = contained(stage, watch, engine)
    rows = [
        ["/proc says", *(str(outcome.printed) for outcome, _ in found.values())],
        ["the record says auid=", *(whom(event)[0] for _, event in found.values())],
    ]
    stage.contrast("From inside, unset and unmapped look alike", ["", *found], rows, ("the record says auid=",))


READ = "Read it, and touch the file, {where}. What does /proc say there?"
Seen = tuple[Outcome, Event | None]


def look(stage: Stage, watch: Watch, where: str, launcher: Sequence[str], expected: int) -> Seen:
    """What /proc says there, and what the record of a write from there says."""
    place = Text(where, {"uid": stage.user_id})
    stage.ask(READ, where=place)
    both = f"cat /proc/self/loginuid; echo; exec 3>>{stage.target}"
    outcome = stage.shell(*launcher, "sh", "-c", both)
    if outcome.printed is None:
        raise needs.no_user_namespaces(stage.user)
    return outcome, judge(stage, watch, place, outcome, expected)


def judge(stage: Stage, watch: Watch, where: Text, outcome: Outcome, expected: int) -> Event | None:
    stage.prints(outcome, expected, "{where}, /proc says {number}", where=where, number=expected)
    event = stage.witness(watch, successful=None)
    stage.names(event, stage.user_id, "the record says {uid}", uid=stage.user_id)
    return event


def contained(stage: Stage, watch: Watch, engine: Engine) -> Seen:
    """The same in a container with such a map, which only a real engine gives to root."""
    own_map = [f"--{kind}map=0:{stage.user_id}:1" for kind in ("uid", "gid")]
    both = f"cat /proc/self/loginuid; echo; exec 3>>/host{stage.target}"
    where = Text("in {engine}'s container with such a map", {"engine": engine.name})
    stage.ask(READ, where=where)
    outcome = stage.run(engine, ("sh", "-c", both), *own_map, "-v", "/:/host")
    return outcome, judge(stage, watch, where, outcome, 0)
