"""One workload, two parents: a fork hands the loginuid down, a socket does not."""

from collections.abc import Sequence

from lab.identity import UNSET, Ancestor
from scenarios.engines import DAEMON, FORK
from scenarios.stage import Outcome, Stage

NAME = "run"
TITLE = "Who is the container's parent?"
# It prints, and stays until its input ends: long enough to be looked at from outside.
WORKLOAD = ("sh", "-c", "echo $(cat /proc/self/loginuid); exec cat")


def play(stage: Stage) -> None:
    stage.say("The same command through both engines. First the one that forks:")
    forked = stage.run_watched(FORK, WORKLOAD)
    show(stage, forked, "")
    stage.expect(forked.printed == stage.user_id, f"a fork inherits {stage.user}", forked.printed)
    stage.expect(forked.loginuid == stage.user_id, "the host's /proc says the same", forked.loginuid)
    stage.expect(inherits(forked.ancestry, stage), "every step from the login to the container is a fork")
    stage.pause()

    stage.say("\nNow the one that asks a daemon:")
    served = stage.run_watched(DAEMON, WORKLOAD)
    show(stage, served, "a UNIX socket: the request comes in here, the login does not")
    stage.expect(served.printed == UNSET, "a daemon's child inherits nobody", served.printed)
    stage.expect(served.loginuid == UNSET, "the host's /proc says the same", served.loginuid)
    stage.expect(
        bool(served.ancestry) and stage.login.pid not in {process.pid for process in served.ancestry},
        "the login is not among its ancestors",
        " < ".join(process.comm for process in served.ancestry),
    )


def show(stage: Stage, outcome: Outcome, note: str) -> None:
    """The tree from pid 1 to the container; note, if there is one, stands where the socket is."""
    breaks_at = stage.daemon.pid if note else 0
    stage.screen.tree("the container's ancestors, each with its loginuid", outcome.ancestry, breaks_at, note)


def inherits(chain: Sequence[Ancestor], stage: Stage) -> bool:
    """Whether the login is an ancestor, and all below it carry its loginuid."""
    pids = [process.pid for process in chain]
    if stage.login.pid not in pids:
        return False
    return all(process.loginuid == stage.user_id for process in chain[: pids.index(stage.login.pid) + 1])
