"""For an exercise's trial_*.py, whose faults() pid 1 calls where a student's code runs for the grader: judge.py.

No signal of the student's processes reaches pid 1 (pid_namespaces(7)), and none of them can read its memory or write to
its descriptors, since it is not dumpable: PR_SET_DUMPABLE of prctl(2). So what the trial says is the trial's own.
"""

import ctypes
import os
import resource
import select
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lab.syscall_table import NUMBERS

WORK = Path("/work")  # the student's files; judge.py sets it for each trial
SECONDS = 5
MOST = 64 << 10  # bytes of an output that are read
PR_SET_DUMPABLE = 4  # linux/prctl.h
PYTHON = (sys.executable, "-ISB")  # without site: half the time to start
WRITABLE = ("/tmp", "/dev/shm", "/dev/mqueue")  # all that is writable in the container
TABLES = ("/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg")  # proc(5): a line of titles, then the objects

SOCKETS = ("/proc/net/unix", "/proc/net/tcp", "/proc/net/tcp6")  # the same; a TCP connection outlives its processes
IOPRIO_WHO_PROCESS = 1  # linux/ioprio.h
SCHED_ATTR = 56  # bytes of struct sched_attr, linux/sched/types.h


class Cannot(Exception):
    """This machine cannot run the trial: then the code was not run, and that is no fault of the student's."""


def hide() -> None:
    """Keep this process from those that it will start; SIGINT, which Python handles, would get through to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError("prctl(PR_SET_DUMPABLE)")


def output_file() -> int:
    """A descriptor of a file without a name, which cannot get one: O_EXCL with O_TMPFILE in open(2)."""
    return os.open("/tmp", os.O_TMPFILE | os.O_RDWR | os.O_EXCL | os.O_CLOEXEC, 0o600)


def text(output: int) -> str:
    """What has been written there, up to MOST bytes; the file is closed."""
    data = os.pread(output, MOST, 0)
    os.close(output)
    return data.decode(errors="replace")


def run(words: Sequence[str], *, fds: Sequence[int] = ()) -> tuple[int | None, str]:
    """The exit status and the output of a program; None after SECONDS. All that it has left running is killed."""
    output = output_file()
    for fd in fds:
        os.set_inheritable(fd, True)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        *((os.POSIX_SPAWN_DUP2, output, fd) for fd in (1, 2)),
    ]
    pid = os.posix_spawnp(
        words[0], list(words), os.environ, file_actions=actions, setsid=True, setsigdef=[signal.SIGPIPE, signal.SIGXFSZ]
    )
    for fd in fds:
        os.set_inheritable(fd, False)
    pidfd = os.pidfd_open(pid)
    ended = select.poll()
    ended.register(pidfd, select.POLLIN)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if ended.poll(SECONDS * 1000) else None
    os.close(pidfd)
    kill_all()
    return code, text(output)


def kill_all() -> None:
    """End every process of this container but this one: kill(2), pid -1."""
    with suppress(ProcessLookupError, ChildProcessError):
        while True:
            os.kill(-1, signal.SIGKILL)
            os.wait()


def kept() -> str:
    """What is left where the student's next process would find it: a file, or an object of System V IPC; "" if none."""
    for folder in WRITABLE:
        if Path(folder).is_dir():
            with os.scandir(folder) as entries:
                if next(entries, None):
                    return f"a file in {folder}"
    for table in TABLES:
        if Path(table).exists() and len(Path(table).read_text().splitlines()) > 1:
            return f"an object of System V IPC in {table}"
    return ""


def left(limits: object) -> str:
    """As kept(), and what else the next trial could find: a socket; other `limits` of this process."""
    if found := kept():
        return found
    for table in SOCKETS:
        if Path(table).exists() and len(Path(table).read_bytes().splitlines()) > 1:
            return f"a socket in {table}"
    return "" if limits == own_limits() else "other limits of the judge"


def own_limits() -> object:
    """What a process of the same uid could change of this one, and a child would inherit.

    That is what prlimit(2), sched_setaffinity(2), sched_setattr(2), with the nice value, and ioprio_set(2) set.
    """
    soft_hard = [resource.getrlimit(number) for number in range(16)]
    numbers, scheduling = NUMBERS[os.uname().machine], ctypes.create_string_buffer(SCHED_ATTR)
    call = ctypes.CDLL(None).syscall
    call(numbers["sched_getattr"], 0, scheduling, SCHED_ATTR, 0)
    return soft_hard, os.sched_getaffinity(0), scheduling.raw, call(numbers["ioprio_get"], IOPRIO_WHO_PROCESS, 0)


def late(code: int | None) -> Sequence[str]:
    """The fault of a program that did not end by itself; what it said meanwhile tells nothing more."""
    return [f"it did not end within {SECONDS} s"] if code is None else []


def first_line(output: str) -> str:
    """What a program said, for a sentence."""
    return repr((output.strip().splitlines() or ["nothing"])[0][:60])
