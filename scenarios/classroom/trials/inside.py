"""For an exercise's trial_*.py, which is pid 1 where a student's code runs for the grader: scenarios/classroom/cell.py.

No signal of the student's processes reaches pid 1 (pid_namespaces(7)), and none of them can read its memory or write to
its descriptors, since it is not dumpable: PR_SET_DUMPABLE of prctl(2). So what the trial says is the trial's own.
"""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

WORK = Path("/work")  # the student's files
GOOD, FAULTY = 40, 41  # exit statuses that neither Python nor the engine has
SECONDS = 5
MOST = 64 << 10  # bytes of an output that are read
PR_SET_DUMPABLE = 4  # linux/prctl.h


def hide() -> None:
    """Keep this process from those that it will start."""
    if ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError("prctl(PR_SET_DUMPABLE)")


def run(words: Sequence[str], *, fds: Sequence[int] = ()) -> tuple[int | None, str]:
    """The exit status and the output of a program; None after SECONDS. All that it has left running is killed."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=fds, start_new_session=True
        )
        code = None
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(SECONDS)
        kill_all()
        output.seek(0)
        return code, output.read(MOST).decode(errors="replace")


def kill_all() -> None:
    """End every process of this container but this one: kill(2), pid -1."""
    with suppress(ProcessLookupError, ChildProcessError):
        while True:
            os.kill(-1, signal.SIGKILL)
            os.wait()


def late(code: int | None) -> Sequence[str]:
    """The fault of a program that did not end by itself; what it said meanwhile tells nothing more."""
    return [f"it did not end within {SECONDS} s"] if code is None else []


def first_line(output: str) -> str:
    """What a program said, for a sentence."""
    return repr((output.strip().splitlines() or ["nothing"])[0][:60])


def finish(faults: Iterable[str]) -> None:
    """Say what is wrong, and end the trial."""
    found = [" ".join(fault.split())[:300] for fault in faults]
    print("\n".join(found[:10]))
    sys.stdout.flush()
    os._exit(FAULTY if found else GOOD)
