"""What a run changes on this machine, written down before each change, so that `lab restore` can take it back.

    /run/lab/stage.lock   held by the one run that may be active
    /run/lab/journal      one JSON object a line, synced to disk before the change that it describes
    /run/lab/check/       the same two for an exercise's check, which may run beside a `lab shell`

A reboot empties /run and ends what is journalled: audit rules, processes, files in /run. Two things would stay:
the images of a story's dockerd, which scenarios/props/real_daemons.py keeps below /var/lib/lab; and the crontab of
`launder`, in the lab's own machine, which its job removes as soon as cron has run it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path
from typing import Any, Self

from lab.errors import Conflict, LabError
from lab.pidfd import start_time
from scenarios.safety.undo import DIRECTORY, ENGINES, Refused, take_back

CHECKS = DIRECTORY / "check"


class Journal:
    """The lock and the journal of one run; a context manager. Its exit takes back what is still noted."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self.path, self.lock_path = directory / "journal", directory / "stage.lock"
        self._kept = False
        self.failed: list[str] = []
        self.gone: list[str] = []

    def __enter__(self) -> Self:
        """Restore what a killed run left. Raises Conflict if another run is active."""
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._lock = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            if error.errno != errno.EWOULDBLOCK:
                raise
            raise Conflict(
                "another run of the lab is on",
                "wait until it ends, or leave `lab shell` or `lab records`: two runs would see each other's records",
            ) from None
        self.restored = self._restore()
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        if not self._kept:
            self._restore()
        os.close(self._lock)
        if self.failed and not self._kept and error[0] is None:
            raise LabError(f"not taken back: {'; '.join(self.failed)}", "run `sudo lab restore` to try again")

    def keep(self) -> None:
        """Leave what is noted as it is: the next Journal of this directory takes it back."""
        self._kept = True

    def note(self, kind: str, **facts: object) -> None:
        """Write down a change that is about to be made; returns when it is on disk."""
        json.dump({"kind": kind, **facts}, self._file)
        self._file.write("\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def note_process(self, pid: int) -> None:
        """A process that must not outlive the run."""
        self.note("process", pid=pid, start_time=start_time(pid))

    def directory(self, name: str, *, mode: int = 0o700, owner: int = 0) -> Path:
        """Make a directory below DIRECTORY, under this name and a random suffix, for the length of the run.

        owner is the uid and the gid that the directory belongs to. It is noted before it is made.
        """
        DIRECTORY.mkdir(mode=0o755, exist_ok=True)  # it stays, as the journal's own directory does
        path = self.make_directory(DIRECTORY / f"{name}-{os.urandom(4).hex()}", mode)
        os.chown(path, owner, owner)
        return path

    def make_directory(self, path: Path, mode: int = 0o700) -> Path:
        """Make just this directory, noted before it is made. Raises FileExistsError if it is there already."""
        self.note("directory", path=str(path))
        path.mkdir(mode=mode)
        return path

    def _restore(self) -> list[str]:
        """Undo what is noted, the latest first; a line for each thing that was there. Safe to run twice.

        What was gone already is listed in `gone`. What cannot be undone now stays noted, and is listed in `failed`. A
        line that the lab cannot have written is reported once and dropped.
        """
        self.failed, self.gone = [], []
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        told: list[str] = []
        kept: list[bytes] = []
        places = (DIRECTORY, ENGINES, self.path.parent)
        for number, line in reversed(list(enumerate(lines, 1))):
            if not line.strip() or (number == len(lines) and not line.endswith(b"}")):
                continue  # a last line that is cut short: its change was not made yet
            try:
                entry = json.loads(line)
                (told if take_back(entry, places) else self.gone).append(_describe(entry))
            except (Refused, ValueError, RecursionError) as error:
                told.append(f"nothing for line {number}, which the lab cannot have written: {ascii(str(error))[1:-1]}")
            except (OSError, LabError) as error:
                self.failed.append(f"{_describe(entry)}: {error}")
                kept.insert(0, line)
        self._rewrite(kept)
        return told

    def _rewrite(self, lines: list[bytes]) -> None:
        if not lines:
            self.path.unlink()
            return
        new = self.path.with_name("journal.new")
        with new.open("wb") as file:
            file.write(b"".join(line + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        new.rename(self.path)


def _describe(entry: dict[str, Any]) -> str:
    facts = " ".join(f"{name}={value}" for name, value in entry.items() if name not in ("kind", "packed"))
    text = f"{entry['kind']}: {facts}" if facts else entry["kind"]
    return text if text.isprintable() else ascii(text)
