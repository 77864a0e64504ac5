"""A systemd-journald for one story, also where systemd is not pid 1: an instance with a separate namespace.

Such an instance, systemd-journald@.service(8), has its own sockets, and does not read the kernel's log. It would read
audit's records (measured with systemd 252), and turn the kernel's audit on, as its setting Audit= asks; without the
capabilities it can do neither. In a private mount namespace, its files are in the story's directory.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Self

from lab.errors import MissingFeature
from scenarios import needs
from scenarios.needs import CannotTell
from scenarios.props.labd import start
from scenarios.props.real_daemons import await_ready
from scenarios.safety.journal import Journal
from scenarios.safety.processes import end_process

PROGRAM = "/lib/systemd/systemd-journald"
WITHOUT = "--bounding-set=-audit_control,-audit_read,-audit_write"
BOOT = f"""
set -e
mount --bind "$1/log" /var/log
[ ! -d /run/log ] || mount --bind "$1/log" /run/log
RUNTIME_DIRECTORY=$1 exec setpriv {WITHOUT} {PROGRAM} lab
"""
SECONDS = 10


class Journald:
    """The instance; a context manager. socket is where syslog(3)'s messages go: `logger --socket`."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def __enter__(self) -> Self:
        """Raises MissingFeature if it cannot be started."""
        needs.require("journalctl", "unshare", "mount", "setpriv")
        if not Path(PROGRAM).exists():
            raise MissingFeature("systemd-journald is not installed", needs.install(["journalctl"]))
        place = self.journal.directory("journald")
        (place / "log" / "journal").mkdir(parents=True)
        self.socket, self.files = place / "dev-log", f"{place}/log/journal/*/*.journal"
        pid = start(self.journal, ["unshare", "--mount", "sh", "-c", BOOT, "sh", str(place)], log=str(place / "said"))
        self._pidfd = os.pidfd_open(pid)
        await_ready(pid, self.socket.exists, place / "said")
        # It ends when it is idle, but not while a program holds a connection to this socket.
        self._held = socket.socket(socket.AF_UNIX)
        self._held.connect(str(place / "stdout"))
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()
        end_process(self._pidfd)
        os.close(self._pidfd)

    def command(self, tag: str) -> list[str]:
        """The words that print what was logged under this tag: which fields journald itself added, and the message.

        _COMM= tells whether journald found the process in /proc: without it, nothing is known of the loginuid either.
        """
        fields = "--output-fields=_COMM,_AUDIT_LOGINUID,_AUDIT_SESSION"
        return ["journalctl", "--file", self.files, "-o", "verbose", fields, "-t", tag]

    def await_message(self, tag: str) -> None:
        """Return when a message under this tag is in the journal. Raises CannotTell if none comes within SECONDS."""
        deadline = time.monotonic() + SECONDS
        while "_COMM=" not in needs.run(self.command(tag)).stdout:
            if time.monotonic() > deadline:
                raise CannotTell(f"journald got no message under {tag}, or too late", "run this again")
            time.sleep(0.02)
