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
wrong = [f"walk.sh prints {' '.join(output.split())[:120]!r}; the pids are {' '.join(pid for pid, _ in right)}"]
inside.finish([*inside.ended(code), *(wrong if walked != right else [])])
