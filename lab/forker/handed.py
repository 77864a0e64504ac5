"""What systemd hands to a service, and the engine to its container: sd_notify(3), sd_listen_fds(3).

    NOTIFY_SOCKET   where to say READY=1. systemd asks the sender's cgroup which unit it belongs to; a forked
                    container is in the unit's own
    LISTEN_FDS      sockets opened by the supervisor, as descriptors 3 and up; for the process LISTEN_PID only

Both reach the container as they reach the engine, by inheritance. podman-run(1) describes `--sdnotify`.
"""

from __future__ import annotations

import os
import sys

from lab.errors import InvalidArgument
from lab.spec import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lab.spec import Spec

MODES = ("container", "conmon", "ignore")
SOCKET_INSIDE = "/run/notify/notify.sock"


class Handed:
    """What this process was handed.

    mode        who says READY=1: the container, conmon (this engine, once the container runs), or nobody
    listen_fds  number of descriptors from 3 on to hand down
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode or MODES[0]
        if self.mode not in MODES:
            raise InvalidArgument(f'invalid value "{mode}" for --sdnotify', f"one of: {', '.join(MODES)}")
        self.socket = "" if mode == "ignore" else os.environ.get("NOTIFY_SOCKET", "")
        number = os.environ.get("LISTEN_FDS", "")
        ours = os.environ.get("LISTEN_PID") == str(os.getpid()) and number.isdecimal()
        self.listen_fds = int(number) if ours else 0

    def hand_on(self, spec: Spec) -> None:
        """Put the variables, and the notify socket itself, into the container."""
        if self.socket and self.mode == "container":
            if self.socket.startswith("/"):
                spec.mounts.append(Mount(self.socket, SOCKET_INSIDE))
            inside = SOCKET_INSIDE if self.socket.startswith("/") else self.socket
            spec.env.setdefault("NOTIFY_SOCKET", inside)
        if self.listen_fds:
            spec.env["LISTEN_FDS"] = str(self.listen_fds)
            spec.env["LISTEN_PID"] = "2" if spec.init else "1"
            if "LISTEN_FDNAMES" in os.environ:
                spec.env["LISTEN_FDNAMES"] = os.environ["LISTEN_FDNAMES"]

    def tell_started(self) -> None:
        """Say which process to watch, and in mode conmon that the service is ready."""
        if not self.socket:
            return
        ready = "\nREADY=1" if self.mode == "conmon" else ""
        try:
            notify(self.socket, f"MAINPID={os.getpid()}{ready}")
        except OSError as error:  # the container runs: as podman does, say so and go on
            print(f"podmanish: {self.socket}: {error.strerror}; nobody was told READY=1", file=sys.stderr)


def notify(path: str, message: str) -> None:
    """One datagram to the supervisor; a leading @ stands for the abstract namespace, unix(7). Raises OSError."""
    import socket  # 6 ms

    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(message.encode(), address)
