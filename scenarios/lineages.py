"""Play one container through each engine, look at its ancestors, and have them drawn; tools/picture starts this."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError
from lab.identity import Ancestor, ancestry
from lab.syscalls import set_process_name
from scenarios.audiences.picture import Lineages, draw
from scenarios.performance.performance import Performance
from scenarios.props.labd import Daemon
from scenarios.safety.journal import Journal
from scenarios.stage.commands import WORKLOAD
from scenarios.stage.engines import DAEMON, FORK, lab_engines
from scenarios.stage.login import Login
from scenarios.stage.report import Outcome, Report
from scenarios.stage.stage import Stage


def take(stage: Stage) -> Lineages:
    """One container through each engine. Raises LabError if one was not seen."""
    client: list[Ancestor] = []

    def look(pid: int) -> dict[str, str]:
        client[:] = ancestry(_youngest(stage.login.pid))
        return {}

    forked = _seen(stage.run_watched(stage.engine(FORK), WORKLOAD))
    served = _seen(stage.run_watched(stage.engine(DAEMON), WORKLOAD, look=look))
    return Lineages(forked, client, served)


def _seen(outcome: Outcome) -> Sequence[Ancestor]:
    if not outcome.ancestry:
        raise LabError(f"no container was seen: {outcome.stderr.strip()}", "run the command by hand and read its words")
    return outcome.ancestry


def _youngest(pid: int) -> int:
    """The last child's last child, and so on; proc_pid_task(5)."""
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
        pid = int(children[-1])
    return pid


def main(uid: int) -> None:
    """Write the picture of a run on standard output; uid is who logs in for it. As root."""
    set_process_name("lab")
    with Journal() as journal, Login(uid) as login, Daemon(journal) as daemon:
        stage = Stage(Performance([]), journal, login, daemon, lab_engines(), target="", chosen=())
        stage.report = Report("picture", "")
        sys.stdout.write(draw(take(stage)))


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]))
    except LabError as error:
        sys.exit(error.told_by("tools/picture"))
