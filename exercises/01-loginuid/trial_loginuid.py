"""Exercise 1: own.sh prints the loginuid, in a container that has the grader's."""

from pathlib import Path

from scenarios.classroom.trials import inside

inside.hide()
code, output = inside.run(["sh", "-c", (inside.WORK / "own.sh").read_text()])
number = Path("/proc/self/loginuid").read_text().strip()
wrong = [f"own.sh prints {inside.first_line(output)}, and the loginuid is {number}"] if output.strip() != number else []
inside.finish(inside.late(code) or wrong)
