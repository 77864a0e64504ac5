"""Exercise 1: own.sh prints the loginuid, in a container that has the grader's."""

from collections.abc import Iterable
from pathlib import Path

from scenarios.classroom.trials import inside


def faults() -> Iterable[str]:
    """Run own.sh, and compare."""
    code, output = inside.run(["sh", "-c", (inside.WORK / "own.sh").read_text()])
    number = Path("/proc/self/loginuid").read_text().strip()
    right = output.strip() == number
    return inside.late(code) or (
        [] if right else [f"own.sh prints {inside.first_line(output)}, and the loginuid is {number}"]
    )
