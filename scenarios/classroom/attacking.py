"""For checks: run the student's attack.sh as an ordinary user, who is root only through what the script finds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from lab.audit.records import Event
from lab.audit.watch import Watch
from scenarios.classroom.lessons import Work, teach
from scenarios.performance.text import message
from scenarios.stage.report import Outcome
from scenarios.stage.stage import Stage

NOBODY = 65534
SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True)
class Attacked:
    """What the script came to: records about the watched file, and all events meanwhile."""

    script: str
    outcome: Outcome
    found: Sequence[Event]
    events: Sequence[Event]

    @property
    def trouble(self) -> str:
        """Why there is no record of a write by root: who wrote, or why the script's last program gave up."""
        if other := next((one for one in self.found if one.success), None):
            return message(f"the write was made by uid {other.uid}")
        why = reason(self.outcome.stderr) or message("attack.sh ended without an error, and nobody has written")
        return message(f"the write was refused: {why}") if any(not one.success for one in self.found) else why

    def written(self) -> Event:
        """The record of the write as root; the check fails without one."""
        root = next((one for one in self.found if one.success and one.uid == 0), None)
        look = "which process is root, and listens? labd; without sudo, to a file that is outside of the container: -v"
        if "podmanish" in self.script:
            look = "podmanish forks: its container has your rights outside. Which process is root already, and listens?"
        teach(root is not None, expected="a record of a write to $WATCHED by uid 0", seen=self.trouble, look=look)
        assert root
        return root


def reason(stderr: str) -> str:
    """The first line of what the last program said, without its hints: sudo says why first, then what to do."""
    said = [line for line in stderr.splitlines() if line.strip() and not line.startswith("  ")]
    program = said[-1].partition(":")[0] if said else ""
    last = list(takewhile(lambda line: line.startswith(f"{program}:"), reversed(said)))
    return (last or said[-1:] or [""])[-1]


def attack(work: Work, stage: Stage, *groups: int) -> Attacked:
    """Run it in these groups, and with no_new_privs, so that no set-uid program makes it root: setpriv(1)."""
    script = work.shell("attack.sh")
    stage.require_for_user(str(SCRIPTS / "dockerish"))
    user = stage.user_id or NOBODY
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--no-new-privs"]
    become.append(f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups")
    home = stage.journal.directory("home", owner=user)
    places = [f"{name}={home}" for name in ("HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")]
    variables = [f"PATH={SCRIPTS}:/usr/bin:/bin", f"WATCHED={stage.target}", *places]
    with Watch(stage.target, journal=stage.journal) as watch:
        outcome = stage.quiet(*become, "env", *variables, "sh", "-c", script)
        return Attacked(script, outcome, watch.collect(), watch.events)


def sockets_group(stage: Stage) -> int:
    """The group that may open labd's socket."""
    return Path(stage.daemon.path).stat().st_gid
