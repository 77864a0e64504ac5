"""`docker top`: the host's ps(1), narrowed to one container's processes, as dockerd does it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from lab.errors import InvalidArgument, MissingFeature, NotRunning
from lab.runtime import cgroup


async def top(path: str, arguments: str) -> dict[str, Any]:
    """{"Titles": [...], "Processes": [[...], ...]} of the cgroup with this path.

    Raises InvalidArgument if ps(1) does or PID is not shown, NotRunning, MissingFeature where there are no cgroups.
    """
    words = arguments.split() or ["-ef"]
    if not all(re.fullmatch(r"[\w,=:%+-]+", word, re.ASCII) for word in words):
        raise InvalidArgument(f"invalid ps argument in {arguments[:80]!r}", "see ps(1)")
    try:
        ps = await asyncio.create_subprocess_exec(
            "ps",
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        raise MissingFeature("ps(1) is not installed on this machine", "install the package procps") from None
    output, errors = await ps.communicate()
    if ps.returncode:
        raise InvalidArgument(f"ps: {errors.decode(errors='replace').strip()[:300]}")
    titles, *rows = [line.split() for line in output.decode(errors="surrogateescape").splitlines() if line.strip()]
    if "PID" not in titles:
        raise InvalidArgument("Couldn't find PID field in ps output", "the arguments for ps must show the PID")
    column, last = titles.index("PID"), len(titles) - 1
    wanted = {str(number) for number in cgroup.processes(path)}
    if not wanted and cgroup.version_2():
        raise NotRunning("the container has just ended", "start it first")
    if not wanted:
        raise MissingFeature("this machine has no cgroups to tell the container's processes", "mount cgroup2 first")
    table = [[*row[:last], " ".join(row[last:])] for row in rows if len(row) > column and row[column] in wanted]
    return {"Titles": titles, "Processes": table}
