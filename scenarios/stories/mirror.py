"""One kernel value, three answers: /proc shows a loginuid through the reader's user namespace, a record does not."""

from collections.abc import Sequence

from lab.audit.watch import Watch
from lab.errors import MissingFeature
from lab.identity import UNSET
from scenarios import needs
from scenarios.stage.engines import FORK, Engine
from scenarios.stage.report import Outcome
from scenarios.stage.stage import Stage

NAME = "mirror"
TITLE = "Why `cat` inside a container is no evidence"


def play(stage: Stage) -> None:
    if stage.user_id == 0:
        raise MissingFeature("root is logged in, and every user namespace shows root as 0", needs.AS_USER)
    stage.say(f"The kernel holds {stage.user_id} for this session. Read it, and touch the file, in three places:")
    with stage.watch() as watch:
        look(stage, watch, "on the host", (), stage.user_id)
        own_map = ("setpriv", f"--reuid={stage.user_id}", "unshare", "--user", "--map-root-user")
        look(stage, watch, f"in a user namespace that maps {stage.user_id} to 0, as rootless podman's does", own_map, 0)
        look(stage, watch, "in one that does not map it", ("unshare", "--user", "--map-root-user"), UNSET)
        for engine in stage.each(FORK):
            if engine.adopted:
                contained(stage, watch, engine)
    stage.then("Unset and unmapped look alike from inside. Only the host's record tells them apart.")


def look(stage: Stage, watch: Watch, where: str, launcher: Sequence[str], expected: int) -> None:
    """What /proc says there, and what the record of a write from there says."""
    stage.say("")
    both = f"cat /proc/self/loginuid; echo; exec 3>>{stage.target}"
    outcome = stage.shell(*launcher, "sh", "-c", both)
    if outcome.printed is None:
        raise needs.no_user_namespaces(stage.user)
    judge(stage, watch, where, outcome, expected)


def judge(stage: Stage, watch: Watch, where: str, outcome: Outcome, expected: int) -> None:
    stage.expect(outcome.printed == expected, f"{where}, /proc says {expected}", outcome.printed)
    event = stage.witness(watch, successful=None)
    auid = event.auid if event else None
    stage.expect(auid == stage.user_id, f"the record says {stage.user_id}", f"auid={auid}")


def contained(stage: Stage, watch: Watch, engine: Engine) -> None:
    """The same in a container with such a map, which only a real engine gives to root."""
    own_map = [f"--{kind}map=0:{stage.user_id}:1" for kind in ("uid", "gid")]
    both = f"cat /proc/self/loginuid; echo; exec 3>>/host{stage.target}"
    outcome = stage.run(engine, ("sh", "-c", both), *own_map, "-v", "/:/host")
    judge(stage, watch, f"in {engine.name}'s container with such a map", outcome, 0)
