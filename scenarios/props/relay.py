"""Pass what a container says to systemd on: python -m scenarios.props.relay SOCKET COMMAND [ARG...]; sd_notify(3).

Run it as the main process of a Type=notify unit. It listens at SOCKET, which COMMAND gives the container as
NOTIFY_SOCKET, and sends each message to the unit's own NOTIFY_SOCKET. systemd then sees a sender of the unit's cgroup.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

LARGEST = 1 << 16


def pass_on(listener: socket.socket, address: str) -> None:
    """Send each datagram on. A descriptor in it (BARRIER=1) is not received, so that the sender's wait ends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        while True:
            sender.sendto(listener.recv(LARGEST), address)


def main(path: str, command: Sequence[str]) -> int:
    """Run the command and relay meanwhile; returns the command's exit code."""
    address = os.environ.pop("NOTIFY_SOCKET")
    address = "\0" + address[1:] if address.startswith("@") else address  # an abstract name; unix(7)
    Path(path).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        threading.Thread(target=pass_on, args=(listener, address), daemon=True).start()
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
