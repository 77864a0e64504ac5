"""Start a service as systemd starts one of Type=notify, and tell whose READY=1 came; sd_notify(3).

    python -m scenarios.props.notified SOCKET WORKLOAD COMMAND [ARG...]     WORKLOAD: the words of a command, as JSON

systemd looks up in whose cgroup a sender is, and takes READY=1 for that unit. A fork inherits the cgroup; here the
sender must descend from COMMAND, which comes to the same for what a fork makes; the kernel tells of each fork, so a
sender may have ended (forks.py). No systemd is needed. One JSON object
is printed, the fields of Seen, then all of this process group is killed: start this in a process group of its own.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.identity import ancestry
from scenarios.props.forks import Forks

SECONDS = 30  # until the workload runs; systemd's TimeoutStartSec= is 90
SILENT_SECONDS = 3  # from then on until READY=1
LOOK_SECONDS = 0.05
LARGEST = 4096
UCRED = struct.Struct("3i")


@dataclass
class Seen:
    """What was seen until READY=1, or in vain.

    unit      the pid of the command
    sender    who sent READY=1, and its ancestors: pids, from the sender up; empty if nobody did
    unknown   READY=1 came, and its sender had ended before anybody could look; the sender is empty then
    workload  the same of the workload, in a pid namespace of its own; empty while none runs
    ended     the command's exit code, if it ended before
    """

    unit: int
    sender: list[int] = field(default_factory=list)
    unknown: bool = False
    workload: list[int] = field(default_factory=list)
    ended: int | None = None


def line_of(pid: int) -> list[int]:
    return [process.pid for process in ancestry(pid)]


def running(workload: Sequence[str]) -> list[int]:
    """The ancestry of a process that is this command, in another pid namespace than ours; empty if there is none."""
    wanted, here = "".join(f"{word}\0" for word in workload).encode(), Path("/proc/self/ns/pid").readlink()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (place / "cmdline").read_bytes() == wanted and (place / "ns/pid").readlink() != here:
                return line_of(int(place.name))
        except OSError:  # it has ended
            continue
    return []


def told(listener: socket.socket, forks: Forks) -> list[int] | None:
    """The sender's line, empty if it has ended and nobody can tell; None if no message waits that says READY=1."""
    if not select.select([listener], [], [], LOOK_SECONDS)[0]:
        forks.read()
        return None
    room = socket.CMSG_SPACE(UCRED.size) + socket.CMSG_SPACE(4)
    text, ancillary, _, _ = listener.recvmsg(LARGEST, room)
    pids = [UCRED.unpack(data)[0] for _, kind, data in ancillary if kind == socket.SCM_CREDENTIALS]
    senders = forks.line(pids[0]) if pids and b"READY=1" in text.splitlines() else None
    for _, kind, data in ancillary:
        if kind == socket.SCM_RIGHTS:  # BARRIER=1: the sender waits until this is closed
            os.close(struct.unpack("i", data[:4])[0])
    return senders


def await_ready(
    listener: socket.socket, command: subprocess.Popen[bytes], workload: Sequence[str], forks: Forks
) -> Seen:
    """Return when READY=1 has come, the command has ended, or the workload runs and says nothing."""
    seen, until = Seen(command.pid), time.monotonic() + SECONDS
    while time.monotonic() < until and seen.ended is None:
        sender = told(listener, forks)
        if not seen.workload and (found := running(workload)):
            seen.workload, until = found, time.monotonic() + SILENT_SECONDS
        if sender is not None:
            seen.sender, seen.unknown = sender, not sender
            break
        seen.ended = command.poll()
    return seen


def main(path: str, workload: str, *command: str) -> None:
    """As above; standard output is for the object alone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener, Forks() as forks:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        listener.bind(path)
        environment = {**os.environ, "NOTIFY_SOCKET": path}
        child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        print(json.dumps(asdict(await_ready(listener, child, json.loads(workload), forks))), flush=True)
    os.kill(0, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
