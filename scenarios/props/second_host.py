"""A second host for a copy of the audit log: a network namespace behind a veth(4) pair, with a receiver in it.

    kernel -> shipper (the lab's) -> sender -> TCP -> receiver -> its audit.log
                      \\-> the local audit.log

The sender is auditd's audisp-remote(8), and the receiver is auditd(8) as an aggregator (`local_events = no`: it never
registers with this machine's kernel). Where one of them is not installed, the lab's replacement speaks audisp-remote's
protocol. The shipper replaces the dispatcher of a local auditd, because the administrator's configuration of auditd
must stay as it is.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Self

from lab.audit.names import RECORD_TYPES
from lab.audit.netlink import AuditReader
from lab.audit.records import EOE
from lab.errors import EvidenceLost, MissingFeature
from scenarios import needs
from scenarios.performance.text import message
from scenarios.safety.journal import Journal
from scenarios.safety.processes import end_process
from scenarios.safety.undo import remove_network

HERE, THERE, PORT = "198.18.60.1", "198.18.60.2", 60  # RFC 2544's block for tests; IANA's port of audisp-remote
HEADER = struct.Struct("<BxxBHIHI")  # magic, type, length, sequence: audit-userspace, common/private.h
MESSAGE, ACK = 0, 0x40000000
CONTROL = re.compile(rb"[\0-\x1f\x7f]")
LONGEST = 8900  # auditd hangs up on a longer one: MAX_AUDIT_MESSAGE_LENGTH, libaudit.h
WAIT_SECONDS = 10
AUDITD = """\
local_events = no
log_file = /run/audit.log
log_group = root
log_format = RAW
flush = SYNC
space_left = 75
admin_space_left = 50
tcp_listen_port = {port}
tcp_max_per_addr = 16
use_libwrap = no
transport = TCP
plugin_dir = /run/plugins.d
"""
AUDISP_REMOTE = """\
remote_server = {host}
port = {port}
transport = tcp
format = managed
mode = immediate
queue_file = {directory}/queue
network_failure_action = stop
remote_ending_action = stop
"""
# auditd writes /run/auditd.pid, audisp-remote reads /etc/audit: each gets the lab's directory there, privately mounted.
# An auditd that does not find its configuration falls back to being THE audit daemon, and a network namespace does not
# stop it. Without CAP_AUDIT_CONTROL it cannot register, whatever it has read.
RUN_AUDITD = (
    'mount --bind "$1" /run && test -s /run/auditd.conf && exec setpriv --bounding-set=-audit_control auditd -n -c /run'
)
IN_PRIVATE = ("unshare", "sh", "mount", "setpriv")
RUN_AUDISP_REMOTE = 'mount --bind "$1" /etc/audit && exec setpriv --pdeathsig KILL audisp-remote'


class Remote:
    """The second host and what ships to it; a context manager.

    local, copy        the paths of the two logs
    sender, receiver   the programs in use
    enter              the words before a command that runs on the second host
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.directory = journal.directory("trace")
        self.local, self.copy = self.directory / "here/audit.log", self.directory / "there/audit.log"
        self.name = f"lab-{os.urandom(3).hex()}"
        self.enter = ["ip", "netns", "exec", self.name]
        self.sender = (
            "audisp-remote" if needs.installed("audisp-remote", *IN_PRIVATE) else message("the lab's own sender")
        )
        self.receiver = "auditd" if needs.installed("auditd", *IN_PRIVATE) else "the lab's own receiver"

    def __enter__(self) -> Self:
        """Raises MissingFeature if no second host can be made here."""
        needs.require(
            "ip", *(["unshare", "sh", "mount", "setpriv"] if "lab" not in self.sender + self.receiver else [])
        )
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self.directory)
            self._configure()
            self._network()
            stack.callback(remove_network, self.name)
            receiver = ["auditd"] if self.receiver == "auditd" else []
            sender = ["audisp-remote"] if self.sender == "audisp-remote" else []
            self._start(stack, [*self.enter, *self._module("receive", *receiver)])
            shipper = self._start(stack, self._module("ship", *sender))
            assert shipper.stdout
            if not shipper.stdout.readline():
                raise MissingFeature(
                    "nothing listens on the second host", "start `auditd -n` by hand and read its messages"
                )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def wait_for(self, word: str) -> str:
        """The copy, once it holds that word. Raises EvidenceLost after WAIT_SECONDS."""
        for _ in range(WAIT_SECONDS * 100):
            text = self.copy.read_text(errors="surrogateescape") if self.copy.exists() else ""
            if word in text:
                return text
            time.sleep(0.01)
        raise EvidenceLost(f"the records did not reach the second host in {WAIT_SECONDS} s", "run this again")

    def _configure(self) -> None:
        here, there = self.directory / "here", self.directory / "there"
        here.mkdir(mode=0o700)
        (there / "plugins.d").mkdir(mode=0o700, parents=True)
        (there / "auditd.conf").write_text(AUDITD.format(port=PORT))
        (here / "audisp-remote.conf").write_text(AUDISP_REMOTE.format(host=THERE, port=PORT, directory=here))

    def _network(self) -> None:
        self.journal.note("network", name=self.name)
        near, inside = f"{self.name}-h", ["-n", self.name]
        for words in (
            ["netns", "add", self.name],
            ["link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", self.name],
            ["address", "add", f"{HERE}/30", "dev", near],
            ["link", "set", near, "up"],
            [*inside, "address", "add", f"{THERE}/30", "dev", "eth0"],
            [*inside, "link", "set", "eth0", "up"],
        ):
            made = needs.run(["ip", *words])
            if made.returncode:
                remove_network(self.name)
                raise MissingFeature(
                    f"ip {' '.join(words)}: {made.stderr.strip()}", "this needs ip(8) and the kernel's veth"
                )

    def _module(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "scenarios.props.second_host", words[0], str(self.directory), *words[1:]]

    def _start(self, stack: ExitStack, argv: list[str]) -> subprocess.Popen[bytes]:
        """Start a process that waits until it is journalled, and ends with the story."""
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parent.parent.parent,
            start_new_session=True,
        )
        stack.enter_context(process)
        stack.callback(_end, os.pidfd_open(process.pid))
        self.journal.note_process(process.pid)
        assert process.stdin
        process.stdin.write(b"go\n")
        process.stdin.flush()
        return process


def _end(pidfd: int) -> None:
    end_process(pidfd)
    os.close(pidfd)


def receive(directory: Path, *auditd: str) -> None:
    """The second host's process: execute auditd if it is named; else log and acknowledge each record."""
    there = directory / "there"
    if auditd:
        os.execvp("unshare", ["unshare", "--mount", "sh", "-c", RUN_AUDITD, "sh", str(there)])
    with socket.create_server((THERE, PORT)) as server, (there / "audit.log").open("ab", buffering=0) as log:
        while True:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as stream:
                while len(header := stream.read(HEADER.size)) == HEADER.size:
                    *_, length, sequence = HEADER.unpack(header)
                    log.write(stream.read(length))
                    connection.sendall(HEADER.pack(0xFE, 0xFF, 0, ACK, 0, sequence))


def ship(directory: Path, *audisp_remote: str) -> None:
    """Write every record from now on to the local log and to the sender, as auditd would; print `ready` first."""
    here = directory / "here"
    with ExitStack() as stack:
        connection, reader = stack.enter_context(_connect()), stack.enter_context(AuditReader())
        log = stack.enter_context((here / "audit.log").open("ab", buffering=0))
        sender = _audisp_remote(stack, here) if audisp_remote else Sender(connection)
        print("ready", flush=True)
        while not reader.overrun:
            for kind, text in reader.records(3600):
                if kind == EOE:  # auditd does not log these
                    continue
                line = log_line(kind, text)
                log.write(line)
                sender.write(line)


def log_line(kind: int, text: bytes) -> bytes:
    """A record as a line of audit.log.

    The kernel passes a user's message on as it was written (AUDIT_USER, CAP_AUDIT_WRITE). A newline in it would begin
    a new record, and auditd's separator \\x1d a field that auditd has interpreted, so both are escaped.
    """
    name = RECORD_TYPES.get(kind, f"UNKNOWN[{kind}]")
    written = CONTROL.sub(lambda found: b"\\x%02x" % found[0][0], text.rstrip(b"\0\n"))
    return f"type={name} msg=".encode() + written[:LONGEST] + b"\n"


class Sender:
    """What audisp-remote does: send a header and a record, then wait for the acknowledgement."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.sequence = connection, 0

    def write(self, line: bytes) -> None:
        self.sequence += 1
        self.connection.sendall(HEADER.pack(0xFE, 0xFF, 0, MESSAGE, len(line), self.sequence) + line)
        self.connection.recv(HEADER.size, socket.MSG_WAITALL)


def _audisp_remote(stack: ExitStack, here: Path) -> IO[bytes]:
    command = ["unshare", "--mount", "sh", "-c", RUN_AUDISP_REMOTE, "sh", str(here)]
    process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0))
    assert process.stdin
    return process.stdin


def _connect() -> socket.socket:
    for _ in range(WAIT_SECONDS * 100):
        try:
            return socket.create_connection((THERE, PORT))
        except ConnectionRefusedError:
            time.sleep(0.01)  # the receiver is starting
    sys.exit(1)


if __name__ == "__main__":
    if sys.stdin.readline() == "go\n":  # else the lab died before it had journalled this process
        {"receive": receive, "ship": ship}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
