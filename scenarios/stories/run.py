"""One workload, two parents: a fork hands the loginuid down, a socket does not."""

from collections.abc import Mapping, Sequence

from lab.identity import UNSET, Ancestor, name_of
from scenarios.stage.commands import WORKLOAD
from scenarios.stage.engines import DAEMON, FORK
from scenarios.stage.report import Outcome
from scenarios.stage.stage import Stage

NAME = "run"
TITLE = "Who is the container's parent?"


def play(stage: Stage) -> None:
    seen: dict[str, Outcome] = {}
    stage.say("The same command through each engine. First by a fork:")
    for engine in stage.each(FORK):
        seen[engine.name] = forked = stage.run_watched(engine, WORKLOAD)
        show(stage, forked, "")
        stage.expect(forked.printed == stage.user_id, f"{engine.name}, forked, inherits {stage.user}", forked.printed)
        stage.expect(forked.loginuid == stage.user_id, "the host's /proc says the same", forked.loginuid)
        if engine.adopted:
            stage.say("Its monitor left its parent on purpose, so that the command may end. The loginuid stays:")
            stage.expect(marked(forked.ancestry, stage), "every process below init carries the loginuid")
        else:
            stage.expect(inherits(forked.ancestry, stage), "every step from the login to the container is a fork")
        stage.pause()

    stage.then("Now by asking a daemon:")
    for engine in stage.each(DAEMON):
        seen[engine.name] = served = stage.run_watched(engine, WORKLOAD)
        show(stage, served, "a UNIX socket: the request comes in here, the login does not")
        stage.expect(served.printed == UNSET, f"{engine.name}, asked of a daemon, inherits nobody", served.printed)
        stage.expect(served.loginuid == UNSET, "the host's /proc says the same", served.loginuid)
        apart = bool(served.ancestry) and stage.login.pid not in {process.pid for process in served.ancestry}
        ancestors = " < ".join(process.comm for process in served.ancestry)
        stage.expect(apart, "the login is not among its ancestors", ancestors)
    compare(stage, seen)


def show(stage: Stage, outcome: Outcome, note: str) -> None:
    """The tree from pid 1 to the container; note, if there is one, stands below init's child."""
    breaks_at = outcome.ancestry[-2].pid if note and len(outcome.ancestry) > 1 else 0
    stage.screen.tree("the container's ancestors, each with its loginuid", outcome.ancestry, breaks_at, note)


def compare(stage: Stage, seen: Mapping[str, Outcome]) -> None:
    """The engines side by side."""
    rows = [
        ["inside, /proc says", *(str(outcome.printed) for outcome in seen.values())],
        ["the host's /proc", *(known(outcome.loginuid) for outcome in seen.values())],
        ["its parent", *(outcome.ancestry[1].comm if outcome.ancestry[1:] else "?" for outcome in seen.values())],
    ]
    stage.screen.table(["", *seen], rows, "the same workload, side by side")


def known(uid: int | None) -> str:
    return "?" if uid is None else name_of(uid)


def marked(chain: Sequence[Ancestor], stage: Stage) -> bool:
    """Whether all but pid 1 carry the user's loginuid."""
    return len(chain) > 1 and all(process.loginuid == stage.user_id for process in chain[:-1])


def inherits(chain: Sequence[Ancestor], stage: Stage) -> bool:
    """Whether the login is an ancestor, and all below it carry its loginuid."""
    pids = [process.pid for process in chain]
    if stage.login.pid not in pids:
        return False
    return all(process.loginuid == stage.user_id for process in chain[: pids.index(stage.login.pid) + 1])
