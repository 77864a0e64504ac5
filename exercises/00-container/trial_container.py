"""Exercise 0: which calls container.py makes. Nobody may make them here: they are noted, and return 0."""

import sys
from collections.abc import Iterable, Iterator, Sequence

from scenarios.classroom.trials import inside
from scenarios.classroom.trials.tracing import Call, calls_of

COMMAND = ["sh", "-c", "echo in: $$; exit 7"]
NAMESPACES = {0x00020000: "CLONE_NEWNS", 0x04000000: "CLONE_NEWUTS", 0x20000000: "CLONE_NEWPID"}  # linux/sched.h
MS_REC, MS_PRIVATE, MS_SLAVE = 0x4000, 1 << 18, 1 << 19  # linux/mount.h
CALLS = {"unshare": "i", "mount": "sssis", "sethostname": "si", "umount2": "si", "setns": "ii", "chroot": "s"}


def faults() -> Iterable[str]:
    """Run container.py, and judge what it did."""
    words = [sys.executable, "-B", str(inside.WORK / "container.py"), *COMMAND]
    code, output, calls = calls_of(words, CALLS)
    return inside.late(code) or [*wrong(code, output, calls)]


def wrong(code: int | None, output: str, calls: Sequence[Call]) -> Iterator[str]:
    """What is wrong with these calls."""
    left = next((call for call in calls if call.name == "unshare"), None)
    if left is None:
        yield "it does not call unshare"
        return
    flags = 0
    for call in calls:
        if call.name == "unshare" and call.pid == left.pid:
            flags |= int(call.words[0])
    yield from (f"unshare has no {name}" for flag, name in NAMESPACES.items() if not flags & flag)
    begun = [line.split()[-1] for line in output.splitlines() if line.startswith("in: ")]
    born = [call for call in calls if call.parent == left.pid]
    if not begun:
        yield f"the command does not run: container.py prints {inside.first_line(output)}"
    elif begun[0] not in {str(call.pid) for call in born}:
        yield "the command is no child of the process that called unshare: it would not be pid 1"
    yield from become(born)
    if code != 7:
        yield f"the command ends with 7, and container.py with {code}"


def become(calls: Sequence[Call]) -> Iterator[str]:
    """What is wrong with the calls of the container itself."""
    mounts = [call.words for call in calls if call.name == "mount"]
    if not any(call.name == "sethostname" and str(call.words[0])[: int(call.words[1])] == "zero" for call in calls):
        yield "the host name is not set to zero in the container"
    if not any(
        at == "/" and int(flags) & MS_REC and int(flags) & (MS_PRIVATE | MS_SLAVE) for _, at, _, flags, _ in mounts
    ):
        yield "the mounts below / do not become private: MS_REC | MS_PRIVATE"
    if not any((at, kind) == ("/proc", "proc") for _, at, kind, *_ in mounts):
        yield "no new proc is mounted on /proc"
