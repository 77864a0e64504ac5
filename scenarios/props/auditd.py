"""auditd as a second witness: what its log says, through ausearch(8), about the events that the lab has read."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.audit.netlink import AuditControl
from lab.audit.records import Event, Record, events
from lab.errors import EvidenceLost
from scenarios import needs
from scenarios.needs import CannotTell

DEFAULT = Path("/etc/audit")
SECONDS = 10
SERIAL = re.compile(rb"msg=audit\(\d+\.\d+:(\d+)\)")
Fact = tuple[int, int, int]  # auid, ses, uid


class Auditd:
    """The audit daemon that runs here. log is the path of its log, words the `ausearch` command that searches it."""

    def __init__(self, log: Path, words: Sequence[str]) -> None:
        self.log, self.words = log, words

    @classmethod
    def find(cls) -> Auditd | None:
        """None if no audit daemon is registered with the kernel, or its log cannot be searched from here."""
        with AuditControl() as control:
            pid = control.status().pid
        if not pid or not needs.installed("ausearch"):
            return None
        try:
            directory = _configured(Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0"))
            log = _log(directory / "auditd.conf")
        except OSError:  # it has ended, or lives in another mount namespace
            return None
        own = directory == DEFAULT  # ausearch then finds the log's rotated files, too
        return cls(log, ["ausearch", *(["--input-logs"] if own else ["-if", str(log)])])

    def command(self, key: str) -> list[str]:
        """The command that shows the same records."""
        return [*self.words, "-k", key]

    def differences(self, key: str, seen: Sequence[Event]) -> list[str]:
        """A sentence for each event in which auditd's log and the lab's reader differ in auid, ses or uid.

        Compared are the system calls with that rule key, by their serials. Raises EvidenceLost if one of the two lacks
        an event, or if auditd has not logged beyond the last one within SECONDS; CannotTell if ausearch fails.
        """
        needs.require("ausearch", "tail")
        found = self._search(key) if not seen else self._until(key, max(event.serial for event in seen))
        ours, theirs = _facts(key, seen), _facts(key, found)
        if lacking := sorted(ours.keys() ^ theirs.keys()):
            who = "auditd's log" if lacking[0] in ours else "what the lab's reader got"
            raise EvidenceLost(f"{who} lacks event {lacking[0]}", f"see whether a disk is full: df {self.log}")
        return [
            f"event {serial}: auditd says {_say(theirs[serial])}, the lab's reader {_say(ours[serial])}"
            for serial in sorted(ours)
            if ours[serial] != theirs[serial]
        ]

    def _until(self, key: str, last: int) -> list[Event]:
        """The events up to that serial: a rule may go on, and even record the ausearch that asks for them."""
        self.await_event(last)
        return [event for event in self._search(key) if event.serial <= last]

    def _search(self, key: str) -> list[Event]:
        """Raises CannotTell if ausearch fails. Its exit status 1 without a message stands for "nothing found"."""
        words = [*self.command(key), "--raw"]
        done = needs.run(words, errors="surrogateescape")
        said = done.stderr.strip()
        if done.returncode not in (0, 1) or (done.returncode and said):
            line = " ".join(words)
            raise CannotTell(f"`{line}` ended with exit code {done.returncode}: {said}", f"run it by hand: {line}")
        lines = done.stdout.split("\n")  # splitlines() would also split at auditd's \x1d
        return list(events(Record.from_line(line) for line in lines if line.startswith(("type=", "node="))))

    def await_event(self, serial: int) -> None:
        """Return when the log has a record after that serial; the marker that ended the lab's reading is such a one.

        Raises EvidenceLost if it has none within SECONDS.
        """
        deadline = time.monotonic() + SECONDS
        with subprocess.Popen(["tail", "-n", "1", "-F", self.log], stdout=subprocess.PIPE) as tail:
            assert tail.stdout
            written = b""
            try:
                while select.select([tail.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                    written = (written + os.read(tail.stdout.fileno(), 1 << 16))[-1 << 16 :]
                    if any(int(found) > serial for found in SERIAL.findall(written)):
                        return
            finally:
                tail.terminate()
        raise EvidenceLost(
            f"auditd did not write event {serial} to {self.log} in {SECONDS} s",
            "see whether its disk is full, and whether it is suspended",
        )


def _facts(key: str, seen: Sequence[Event]) -> Mapping[int, Fact]:
    """The facts of the system calls with that key, by serial. A CONFIG_CHANGE also names the key, but has no call."""
    return {event.serial: (event.auid, event.ses, event.uid) for event in seen if key in event.keys}


def _say(fact: Fact) -> str:
    return "auid={} ses={} uid={}".format(*fact)


def _configured(argv: Sequence[str]) -> Path:
    """The directory of auditd's configuration, by its command line; auditd(8)."""
    return Path(argv[argv.index("-c") + 1]) if "-c" in argv else DEFAULT


def _log(configuration: Path) -> Path:
    """The log_file of auditd's configuration; auditd.conf(5)."""
    lines = configuration.read_text(encoding="utf-8").splitlines()
    values = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
    return Path(values.get("log_file", "/var/log/audit/audit.log"))
