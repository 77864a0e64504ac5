"""A watch that others can follow: who holds it, its file and its key are told in a file below /run/lab.

    /run/lab/watch-RANDOM/watch.json   made by the holder, removed with the directory; the holder has the journal's lock

Whoever follows needs no lock and changes nothing: scenarios/records.py.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.pidfd import is_alive, open_process, start_time
from scenarios.safety.undo import DIRECTORY

NAME = "watch.json"
# Bytes. A watch whose events others read is never read itself, beyond its first marker; so little is kept for it.
BUFFER = 1 << 20


@dataclass(frozen=True)
class Watched:
    """A file that is being watched.

    path         of the file
    key          of the rules
    holder       the command that added them, and that removes them at its end
    pid          of the holder
    start_time   of the holder, so that a later process with its pid is told apart; lab.pidfd
    """

    path: str
    key: str
    holder: str
    pid: int
    start_time: int

    @classmethod
    def by_this_process(cls, path: str, key: str, holder: str) -> Watched:
        return cls(path, key, holder, os.getpid(), start_time(os.getpid()))

    def tell(self, directory: Path) -> None:
        """Write it where found() looks; the directory is one that the journal has made."""
        new = directory / f"{NAME}.new"
        new.write_text(json.dumps(asdict(self)), encoding="utf-8")
        new.replace(directory / NAME)

    def open_holder(self) -> int:
        """A pidfd of the holder; -1 if it has ended."""
        return open_process(self.pid, self.start_time)


def found() -> Watched | None:
    """The watch that is on, if there is one whose holder lives; only root could have told of it."""
    for path in DIRECTORY.glob(f"watch-*/{NAME}"):
        with suppress(OSError, ValueError, TypeError):
            watched = Watched(**json.loads(path.read_text(encoding="utf-8")))
            if path.stat().st_uid == 0 and is_alive(watched.pid, watched.start_time):
                return watched
    return None
