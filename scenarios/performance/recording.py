"""A performance as a file: JSON lines, a header and then a moment each; written as it is played."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lab.errors import InvalidArgument
from lab.paths import STATE
from scenarios.performance.beats import Busy, Moment, from_json, to_json

FORMAT, VERSION = "loginuid-lab recording", 1
DIRECTORY = Path(STATE) / "recordings"
KEPT = 20
LONGEST_LINE = 4 << 20  # bytes; a file from elsewhere may be anything


class Recorder:
    """An audience that writes what it takes to files; after a crash they hold all up to the last whole line."""

    def __init__(self, *files: IO[str]) -> None:
        self._files = files
        for file in files:
            file.write(json.dumps({"format": FORMAT, "version": VERSION}) + "\n")

    def take(self, moment: Moment) -> None:
        if isinstance(moment.beat, Busy):
            return
        line = to_json(moment)
        for file in self._files:
            file.write(line + "\n")
            file.flush()


def new_file(directory: Path = DIRECTORY) -> IO[str]:
    """A new recording for this run, which root alone can read; the oldest of more than KEPT are removed."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = sorted(directory.glob("*.jsonl"))
    for path in found[: max(0, len(found) - KEPT + 1)]:
        path.unlink(missing_ok=True)
    name = time.strftime("%Y-%m-%dT%H-%M-%S") + f"-{os.getpid()}.jsonl"
    path = directory / name
    path.touch(0o600, exist_ok=False)
    return path.open("w", encoding="utf-8")


def read(path: Path) -> Iterator[Moment]:
    """The moments of a recording. Raises InvalidArgument for a file that is none, with the line where that shows.

    A last line that is cut short, as a crash leaves it, is left out.
    """
    try:
        with path.open("rb") as file:
            lines = _lines(file, path)
            _require_header(next(lines, b""), path)
            for number, line in enumerate(lines, 2):
                try:
                    yield from_json(line)
                except ValueError:
                    if not line.endswith(b"\n"):
                        return
                    raise _wrong(path, f"line {number} is no beat of a performance") from None
    except OSError as error:
        raise InvalidArgument(f"cannot read {path}: {error.strerror}", "`lab play` lists the recordings") from None


def _lines(file: IO[bytes], path: Path) -> Iterator[bytes]:
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise _wrong(path, f"a line is longer than {LONGEST_LINE} bytes")
        yield line


def _require_header(line: bytes, path: Path) -> None:
    try:
        header = json.loads(line)
        known = header["format"] == FORMAT
    except (ValueError, TypeError, KeyError):
        known = False
    if not known:
        raise _wrong(path, "its first line is not a recording's header")
    if header.get("version") != VERSION:
        raise _wrong(path, f"it has version {header.get('version')!r}, and this lab reads version {VERSION}")


def _wrong(path: Path, reason: str) -> InvalidArgument:
    return InvalidArgument(f"{path} is no recording of this lab: {reason}", "give a file that `--record FILE` wrote")
