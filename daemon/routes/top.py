"""`docker top`: the host's ps(1), filtered for one container's processes, as in dockerd."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from lab.errors import InvalidArgument, MissingFeature, NotRunning
from lab.runtime import cgroup


async def processes(path: str, arguments: str) -> dict[str, Any]:
    """{"Titles": [...], "Processes": [[...], ...]} of the cgroup with this path.

    Raises InvalidArgument if ps(1) refuses the arguments or does not show PID, NotRunning if no process is left,
    MissingFeature on a machine without cgroups or without ps.
    """
    wanted = {str(number) for number in cgroup.processes(path)}
    if not wanted and cgroup.version_2():
        raise NotRunning("the container has just ended", "start it first")
    if not wanted:
        raise MissingFeature("without cgroups the container's processes cannot be told from others", "mount cgroup2")
    titles, *rows = await _ps(arguments, wanted)
    if "PID" not in titles:
        raise InvalidArgument("Couldn't find PID field in ps output", "choose arguments for ps that show the PID")
    column, last = titles.index("PID"), len(titles) - 1
    table = [[*row[:last], " ".join(row[last:])] for row in rows if len(row) > column and row[column] in wanted]
    return {"Titles": titles, "Processes": table}


async def _ps(arguments: str, wanted: set[str]) -> list[list[str]]:
    """The words of each line that ps(1) prints.

    By itself `ps -o` shows the processes of its own terminal alone; so ps is asked for these pids, and a second time
    without, since some options exclude `-q` (moby, daemon/top_unix.go).
    """
    words = arguments.split() or ["-ef"]
    if not all(re.fullmatch(r"[\w,=:%+-]+", word, re.ASCII) for word in words):
        raise InvalidArgument(f"invalid ps argument in {arguments[:80]!r}", "see ps(1)")
    status, output, _ = await _run([*words, "-q", ",".join(wanted)])
    if status:
        status, output, errors = await _run(words)
        if status:
            raise InvalidArgument(f"ps: {errors.decode(errors='replace').strip()[:300]}", "see ps(1)")
    lines = output.decode(errors="surrogateescape").splitlines()
    return [line.split() for line in lines if line.strip()] or [[]]


async def _run(words: list[str]) -> tuple[int | None, bytes, bytes]:
    """Exit status, standard output and standard error of ps."""
    pipe = asyncio.subprocess.PIPE
    try:
        ps = await asyncio.create_subprocess_exec(
            "ps", *words, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
    except FileNotFoundError:
        raise MissingFeature("ps(1) is not installed on this machine", "install the package procps") from None
    output, errors = await ps.communicate()
    return ps.returncode, output, errors
