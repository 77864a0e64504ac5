"""What systemd hands to a service, and the engine hands on to its container: sd_notify(3), sd_listen_fds(3).

    NOTIFY_SOCKET   where to send READY=1. systemd finds the sender's unit by its cgroup; a forked container is in the
                    cgroup of the unit
    LISTEN_FDS      number of sockets that systemd opened, as descriptors 3 and up, for the process LISTEN_PID only

The engine inherits both, and the container inherits them from the engine. podman-run(1) describes `--sdnotify`.
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
    """What systemd handed to this process.

    mode        who sends READY=1: "container", "conmon" (this engine, once the container runs), "ignore" (nobody)
    listen_fds  number of descriptors, from 3 up, to hand on
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode or MODES[0]
        if self.mode not in MODES:
            raise InvalidArgument(f'invalid value "{mode}" for --sdnotify', f"write one of {', '.join(MODES)}")
        self.socket = "" if mode == "ignore" else os.environ.get("NOTIFY_SOCKET", "")
        number = os.environ.get("LISTEN_FDS", "")
        ours = os.environ.get("LISTEN_PID") == str(os.getpid()) and number.isdecimal()
        self.listen_fds = int(number) if ours else 0

    def hand_on(self, spec: Spec) -> None:
        """Put the variables and the notify socket into the container's Spec."""
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
        """Tell systemd which process to watch and, in mode conmon, that the service is ready."""
        if not self.socket:
            return
        ready = "\nREADY=1" if self.mode == "conmon" else ""
        try:
            notify(self.socket, f"MAINPID={os.getpid()}{ready}")
        except OSError as error:  # the container runs; podman, too, warns and goes on
            print(f"podmanish: {self.socket}: {error.strerror}; READY=1 was not sent", file=sys.stderr)


def notify(path: str, message: str) -> None:
    """Send one datagram to systemd; a leading @ in path stands for the abstract namespace, unix(7). Raises OSError."""
    import socket  # costly, and only a service needs it

    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(message.encode(), address)
