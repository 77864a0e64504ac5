"""People at work: real processes in real logins, which the kernel records as it would record anybody's.

Each person has a login of an own uid and, in it, a shell that does one errand for each line that it reads: it lists,
sorts, counts and copies files in the person's folder. The shells work side by side. They end with their input, so also
when the process that feeds them is killed.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from scenarios.classroom.seeds import Seed
from scenarios.needs import CannotTell
from scenarios.stage.login import Login

# In the person's folder; each is one command, and some fail now and then, as commands do.
ERRANDS = (
    "ls -l > list.txt", "date >> diary.txt", "date >> ../shared/minutes.txt", "wc -l diary.txt > lines.txt",
    "grep -c : /etc/passwd > count.txt", "cat /etc/hostname diary.txt > copy.txt", "cp diary.txt backup.txt",
    "sort -r diary.txt > sorted.txt", "id > id.txt", "rm -f copy.txt", "cat ../shared/minutes.txt > mine.txt",
    "ls -l ../shared > shared.txt", "grep -c 0 list.txt > zeros.txt", "uname -r > kernel.txt", "mv backup.txt old.txt",
)  # fmt: skip
AHEAD = 6  # errands that a shell is told before it has done them, so that it never waits
QUIET_SECONDS = 20.0  # without a single errand done: then something is wrong


def working(uid: int, folder: Path) -> list[str]:
    """The words of the shell: `read` and `echo` are its own, so that only the errands leave records.

    In another locale than C most of these would be about the files of that locale.
    """
    cases = "".join(f"{number}) {errand} ;;\n" for number, errand in enumerate(ERRANDS))
    loop = f"while read -r errand; do\ncase $errand in\n{cases}esac\necho\ndone 2>/dev/null"
    script = f"export LC_ALL=C\ncd {folder} || exit 1\n{loop}"
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "sh", "-c", script]


class Worker:
    """One person's shell; a context manager. fileno() is readable when errands are done."""

    def __init__(self, uid: int, folder: Path) -> None:
        with ExitStack() as stack:
            self._login = stack.enter_context(Login(uid, anew=True))
            orders, self._orders = os.pipe2(os.O_CLOEXEC)
            self._done, done = os.pipe2(os.O_CLOEXEC)
            try:
                self._login.start(working(uid, folder), orders, done, done)
            finally:
                os.close(orders)
                os.close(done)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._orders)
        os.close(self._done)
        self._stack.close()

    def fileno(self) -> int:
        return self._done

    def order(self, errand: int) -> None:
        """One more errand. Raises CannotTell if the shell has ended."""
        try:
            os.write(self._orders, f"{errand}\n".encode())
        except BrokenPipeError:
            raise CannotTell("a shell of the hidden run has ended", "run this again") from None

    def did(self) -> int:
        """How many errands were done since the last time; call this when it is readable. Raises CannotTell."""
        told = os.read(self._done, 4096)
        if not told:
            raise CannotTell("a shell of the hidden run has ended", "run this again")
        return len(told)


class Crowd:
    """All of them; a context manager. Who works at what, and when, follows from the seed and the scheduler."""

    def __init__(self, seed: Seed, folders: Mapping[int, Path]) -> None:
        """By uid, the folder of each, which is that user's own."""
        self._seed, self._given = seed, 0
        with ExitStack() as stack:
            self.workers = [stack.enter_context(Worker(uid, folder)) for uid, folder in folders.items()]
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        for worker in self.workers:
            for _ in range(AHEAD):
                self._order(worker)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def work(self, enough: Callable[[], bool]) -> None:
        """Until that is so; it is asked after each few errands. Raises CannotTell if nobody works."""
        poll = select.poll()
        by_fd = {worker.fileno(): worker for worker in self.workers}
        for worker in self.workers:
            poll.register(worker, select.POLLIN)
        while not enough():
            ready = poll.poll(QUIET_SECONDS * 1000)
            if not ready:
                raise CannotTell("the shells of the hidden run do nothing", "run this again")
            for fd, _ in ready:
                for _ in range(by_fd[fd].did()):
                    self._order(by_fd[fd])

    def _order(self, worker: Worker) -> None:
        self._given += 1
        worker.order(self._seed.number(f"errand {self._given}", 0, len(ERRANDS) - 1))
