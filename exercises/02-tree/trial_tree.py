"""Exercise 2: walk.sh prints a chain of four processes, from a sleeping one up to pid 1."""

import os
import time
from pathlib import Path

from scenarios.classroom.trials import inside


def chain(depth: int, tell: int) -> None:
    """Fork that many processes, each the child of the one before; each writes its pid, and sleeps."""
    if depth and os.fork() == 0:
        os.write(tell, f"{os.getpid()}\n".encode())
        chain(depth - 1, tell)
        time.sleep(inside.SECONDS * 2)
        os._exit(0)


inside.hide()
read, write = os.pipe()
chain(3, write)
with os.fdopen(read) as file:
    pids = [file.readline().strip() for _ in range(3)]
right = [(pid, Path(f"/proc/{pid}/loginuid").read_text()) for pid in (*pids[::-1], "1")]
code, output = inside.run(["sh", "-c", (inside.WORK / "walk.sh").read_text(), "walk.sh", pids[-1]])
rows = [line.split() for line in output.splitlines() if line.strip()]
walked = [(row[0], row[-1]) for row in rows]
where = next((number for number, pair in enumerate(right) if walked[number : number + 1] != [pair]), len(right))
seen = " ".join(rows[where])[:60] if where < len(rows) else "not there"
wrong = [f"line {where + 1} of walk.sh is {seen}"]
if where < len(right):
    wrong = [f"{wrong[0]}; it should have pid {right[where][0]} and loginuid {right[where][1]}"]
inside.finish(inside.late(code) or (wrong if walked != right else []))
