"""One workload, two parents: a fork hands the loginuid down, a socket does not."""

from collections.abc import Mapping, Sequence

from lab.identity import UNSET, Ancestor, name_of
from scenarios.performance.text import message
from scenarios.stage.commands import WORKLOAD
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.report import Outcome
from scenarios.stage.stage import Basis, Stage

NAME = "run"
TITLE = "Who is the container's parent?"


def play(stage: Stage) -> None:
    seen: dict[str, Outcome] = {}
    for engine in stage.each(FORK):
        seen[engine.name] = by_a_fork(stage, engine)
    for engine in stage.each(DAEMON):
        seen[engine.name] = through_a_daemon(stage, engine)
    compare(stage, seen)


def by_a_fork(stage: Stage, engine: Engine) -> Outcome:
    stage.say("The same workload through each engine: it prints its own loginuid. First by a fork.")
    stage.ask("Whose loginuid does the container have?", stage.user, "root", "nobody")
    forked = stage.run_watched(engine, WORKLOAD)
    stage.prints(forked, stage.user_id, "{engine}, forked, inherits {user}", engine=engine.name, user=stage.user)
    stage.carries(forked, stage.user_id, "the host's /proc says {user}, too", user=stage.user)
    if engine.adopted:
        claim = "every step was a fork: its monitor left its parent on purpose, with the loginuid"
        stage.expect(marked(forked.ancestry, stage), claim)
    else:
        basis = Basis("descends", 1, forked.lineage)
        claim = "every step from the login to the container is a fork"
        stage.expect(inherits(forked.ancestry, stage), claim, basis=basis)
    return forked


def through_a_daemon(stage: Stage, engine: Engine) -> Outcome:
    stage.say("Now the client asks a daemon over a UNIX socket, and the daemon makes the container.")
    stage.ask("Whose loginuid does this one have?", stage.user, "root", "nobody")
    served = stage.run_watched(engine, WORKLOAD)
    stage.prints(served, UNSET, "{engine}, asked of a daemon, inherits nobody", engine=engine.name)
    stage.carries(served, UNSET, "the host's /proc says nobody, too")
    apart = bool(served.ancestry) and stage.login.pid not in {process.pid for process in served.ancestry}
    ancestors = " < ".join(process.comm for process in served.ancestry)
    basis = Basis("descends", 0, served.lineage)
    stage.expect(apart, "the login is not among its ancestors", ancestors, basis=basis)
    return served


def compare(stage: Stage, seen: Mapping[str, Outcome]) -> None:
    """The engines side by side."""
    rows = [
        ["inside, /proc says", *(str(outcome.printed) for outcome in seen.values())],
        ["the host's /proc says", *(known(outcome.loginuid) for outcome in seen.values())],
        ["its parent", *(outcome.ancestry[1].comm if outcome.ancestry[1:] else "?" for outcome in seen.values())],
        ["your login is", *(place_of_login(outcome, stage) for outcome in seen.values())],
    ]
    stage.contrast("The same workload, side by side", ["", *seen], rows, ["the host's /proc says"])


def place_of_login(outcome: Outcome, stage: Stage) -> str:
    above = stage.login.pid in {process.pid for process in outcome.ancestry}
    return message("above it") if above else message("nowhere above")


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
