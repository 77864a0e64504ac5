"""Exercise 2: walk.sh prints a chain of four processes, from a sleeping one up to pid 1."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from scenarios.classroom.trials import inside


def chain(depth: int, tell: int) -> None:
    """Fork that many processes, each the child of the one before; each writes its pid, and sleeps."""
    if depth and os.fork() == 0:
        os.write(tell, f"{os.getpid()}\n".encode())
        chain(depth - 1, tell)
        time.sleep(inside.SECONDS * 2)
        os._exit(0)


def faults() -> Iterable[str]:
    """Run walk.sh for the last of the chain, and compare line by line."""
    read, write = os.pipe()
    chain(3, write)
    os.close(write)
    with os.fdopen(read) as file:
        pids = [file.readline().strip() for _ in range(3)]
    right = [(pid, Path(f"/proc/{pid}/loginuid").read_text()) for pid in (*pids[::-1], "1")]
    code, output = inside.run(["sh", "-c", (inside.WORK / "walk.sh").read_text(), "walk.sh", pids[-1]])
    rows = [line.split() for line in output.splitlines() if line.strip()]
    walked = [(row[0], row[-1]) for row in rows]
    if late := inside.late(code):
        return late
    return [] if walked == right else [first_difference(rows, walked, right)]


def first_difference(rows: list[list[str]], walked: list[tuple[str, str]], right: list[tuple[str, str]]) -> str:
    """The first line that is wrong, and what it should have."""
    where = next((number for number, pair in enumerate(right) if walked[number : number + 1] != [pair]), len(right))
    seen = " ".join(rows[where])[:60] if where < len(rows) else "not there"
    told = f"line {where + 1} of walk.sh is {seen}"
    if where == len(right):
        return told
    return f"{told}; it should have pid {right[where][0]} and loginuid {right[where][1]}"
