"""What wakes `lab learn`: a key, a saved file, a record that a `lab shell` has caused."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lab.audit.follow import Follower
from lab.audit.records import Event
from lab.errors import LabError
from scenarios.safety.watching import Watched, found

READY_SECONDS = 10
LOOK_SECONDS = 1.0  # how soon a `lab shell` that was started meanwhile is found


@dataclass(frozen=True)
class Woken:
    """Why: a key ("" for none; "q" at the end of input), whether a file was saved, which events have arrived."""

    key: str = ""
    saved: bool = False
    arrived: tuple[Event, ...] = ()


class Saved:
    """Readable, as a descriptor, when one of these files of a folder was written, or replaced, as editors do."""

    def __init__(self, folder: Path, names: Collection[str]) -> None:
        self._folder, self._names = folder, names
        self._ready, self._end = threading.Event(), threading.Event()
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(READY_SECONDS)  # what is saved from now on wakes
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()
        os.close(self._read)
        os.close(self._write)

    def fileno(self) -> int:
        return self._read

    def take(self) -> bool:
        """Whether anything was saved since the last time."""
        with suppress(BlockingIOError):
            return bool(os.read(self._read, 1 << 16))
        return False

    def _watch(self) -> None:
        from watchfiles import Change, watch  # takes 100 ms, and no other verb needs it

        def wanted(change: Change, path: str) -> bool:
            return change != Change.deleted and Path(path).name in self._names

        stops = {"stop_event": self._end, "rust_timeout": 200, "yield_on_timeout": True, "raise_interrupt": False}
        for changes in watch(self._folder, watch_filter=wanted, recursive=False, debounce=300, **stops):  # type: ignore[arg-type]
            self._ready.set()
            if changes:
                with suppress(BlockingIOError):
                    os.write(self._write, b"s")


class Arriving:
    """The records of the `lab shell` that is on, if there is one and this process may read them."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._watched: Watched | None = None
        self.follower: Follower | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def look(self) -> None:
        """Follow the shell that is on now."""
        watched = found() if os.geteuid() == 0 else None
        if watched == self._watched:
            return
        self._stack.close()
        self._watched, self.follower = watched, None
        if watched:
            with suppress(LabError):  # no audit here: then only files and keys wake
                self.follower = self._stack.enter_context(Follower(watched.key))

    def take(self) -> tuple[Event, ...]:
        return tuple(self.follower.arrived()) if self.follower else ()


class Waking:
    """Waits for one of them; the terminal gives single keys meanwhile."""

    def __init__(self, saved: Saved, arriving: Arriving) -> None:
        self._saved, self._arriving = saved, arriving

    def wait(self, seconds: float | None = None) -> Woken:
        """Why it woke; nothing after that many seconds, if given."""
        deadline = None if seconds is None else time.monotonic() + seconds
        keyboard = sys.stdin.fileno()
        while deadline is None or time.monotonic() < deadline:
            self._arriving.look()
            follower = self._arriving.follower
            readers = [keyboard, self._saved, *([follower] if follower else [])]
            ready, _, _ = select.select(readers, [], [], LOOK_SECONDS)
            if keyboard in ready:
                return Woken(key=os.read(keyboard, 1).decode(errors="replace").lower().replace("\x04", "q") or "q")
            events = self._arriving.take() if follower in ready else ()
            if self._saved in ready or events:
                return Woken(saved=self._saved.take(), arrived=events)
        return Woken()


@contextmanager
def single_keys() -> Iterator[None]:
    """Keys come without Enter and without an echo; also after Ctrl-Z and fg, where a shell gives back its own modes."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)

    def again(number: int = 0, frame: object = None) -> None:
        with suppress(termios.error):  # the terminal is gone: SIGCONT comes with SIGHUP, too
            tty.setcbreak(fd, termios.TCSADRAIN)

    handler = signal.signal(signal.SIGCONT, again)
    try:
        again()
        yield
    finally:
        signal.signal(signal.SIGCONT, handler)
        with suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
