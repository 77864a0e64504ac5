"""The kernel's audit socket: NETLINK_AUDIT, family 9 (netlink(7), linux/audit.h, kernel/audit.c).

There are two kinds of sockets. AuditControl sends one request at a time and reads the answer; it needs
CAP_AUDIT_CONTROL in the initial user and pid namespaces. AuditReader joins the multicast group AUDIT_NLGRP_READLOG
and gets every record that auditd gets; it needs CAP_AUDIT_READ. The lab never registers as the audit daemon.
"""

import errno
import os
import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from lab.errors import AuditUnavailable

NETLINK_AUDIT = 9
AUDIT_GET, AUDIT_SET = 1000, 1001
AUDIT_USER = 1005
AUDIT_VIRT_CONTROL = 2500  # a program has started or stopped a machine or a container
AUDIT_ADD_RULE, AUDIT_DEL_RULE, AUDIT_LIST_RULES = 1011, 1012, 1013
AUDIT_SET_FEATURE, AUDIT_GET_FEATURE = 1018, 1019
LOGINUID_IMMUTABLE = 1 << 1  # of the features: a loginuid that is set cannot be changed

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_ACK = 1, 4
_READLOG_GROUP = 1
_SO_RCVBUFFORCE = 33

_STATUS_ENABLED = 0x01
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_STATUS = struct.Struct("=11I")  # struct audit_status
_FEATURES = struct.Struct("=4I")  # struct audit_features: version, mask, the features that are on, those locked
_ERROR = struct.Struct("=i")  # struct nlmsgerr: a negative errno, then the request

# MAX_AUDIT_MESSAGE_LENGTH is 8970 bytes; a listed rule is 1,040 bytes and its strings.
_LONGEST = 16384
# Bytes. The default, 208 KiB, loses events from 1,000 a second on. This buffer holds about 12,000 file events that wait
# to be read. The kernel uses the memory only while they wait.
RECEIVE_BUFFER = 32 * 1024 * 1024
ANSWER_SECONDS = 5.0

# include/uapi/linux/nsfs.h: the inode numbers of the initial namespaces are fixed.
_INITIAL_NAMESPACES = {"user": 0xEFFFFFFD, "pid": 0xEFFFFFFC}


@dataclass(frozen=True, slots=True)
class Status:
    """struct audit_status, as `auditctl -s` prints it. `enabled` is 0, 1 or 2 (locked until the next boot)."""

    enabled: int
    failure: int
    pid: int
    rate_limit: int
    backlog_limit: int
    lost: int
    backlog: int
    features: int
    backlog_wait_time: int
    backlog_wait_time_actual: int

    @property
    def locked(self) -> bool:
        return self.enabled == 2

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """From the kernel's bytes; kernels before 5.9 leave the last word out, it is then 0."""
        return cls(*_STATUS.unpack(payload[: _STATUS.size].ljust(_STATUS.size, b"\0"))[1:])


class AuditControl:
    """Ask the kernel about audit and change it. A context manager.

    Every method raises AuditUnavailable if this process cannot control audit (no audit in the kernel, no
    CAP_AUDIT_CONTROL, a user namespace, a pid namespace), and OSError if the kernel refuses the request.
    """

    def __init__(self) -> None:
        self._socket = _open_socket()
        self._socket.settimeout(ANSWER_SECONDS)
        self._sequence = 0

    def status(self) -> Status:
        """The kernel's audit status: AUDIT_GET."""
        for payload in self._ask(AUDIT_GET, b"", 0):
            return Status.unpack(payload)
        raise AuditUnavailable("the kernel gave no audit status", "look at the kernel's log: dmesg")

    def set_enabled(self, enabled: bool) -> None:
        """Turn audit on or off: AUDIT_SET. Never 2, which locks audit until the next boot."""
        self._tell(AUDIT_SET, _STATUS.pack(_STATUS_ENABLED, int(enabled), *[0] * 9))

    def rules(self) -> list[bytes]:
        """All rules: AUDIT_LIST_RULES; each as struct audit_rule_data, in the kernel's order."""
        return list(self._ask(AUDIT_LIST_RULES, b"", 0))

    def add_rule(self, packed: bytes) -> None:
        """Add a rule: AUDIT_ADD_RULE. Raises FileExistsError if the kernel has the same rule already."""
        self._tell(AUDIT_ADD_RULE, packed)

    def delete_rule(self, packed: bytes) -> None:
        """Delete a rule: AUDIT_DEL_RULE. Raises FileNotFoundError if the kernel does not have it."""
        self._tell(AUDIT_DEL_RULE, packed)

    def features(self) -> tuple[int, int]:
        """The features that are on, and those that are locked until the next boot: AUDIT_GET_FEATURE."""
        for payload in self._ask(AUDIT_GET_FEATURE, b"", 0):
            _, _, on, locked = _FEATURES.unpack(payload[: _FEATURES.size])
            return on, locked
        raise AuditUnavailable("the kernel gave no audit features", "look at the kernel's log: dmesg")

    def set_feature(self, feature: int, on: bool) -> None:
        """Turn a feature on or off: AUDIT_SET_FEATURE. Never locks it, as auditctl does. EPERM if it is locked."""
        self._tell(AUDIT_SET_FEATURE, _FEATURES.pack(1, feature, feature if on else 0, 0))

    def user_message(self, text: str, kind: int = AUDIT_USER) -> None:
        """Write one record of a program's, by default as `auditctl -m TEXT` does. Dropped if audit is off.

        The kernel adds pid, uid, auid and ses of this process; it asks for CAP_AUDIT_WRITE alone.
        """
        self._tell(kind, text.encode("utf-8", "surrogateescape") + b"\0")

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, kind: int, payload: bytes) -> None:
        for _ in self._ask(kind, payload, _NLM_F_ACK):
            raise AuditUnavailable(f"the kernel answered audit request {kind} with data instead of yes or no")

    def _ask(self, kind: int, payload: bytes, flags: int) -> Iterator[bytes]:
        """Send one request and yield the payloads of its answers. Raises as the class says."""
        self._sequence += 1
        header = _HEADER.pack(_HEADER.size + len(payload), kind, _NLM_F_REQUEST | flags, self._sequence, 0)
        try:
            self._socket.sendto(header + payload, (0, 0))
            while True:
                answer = self._socket.recv(_LONGEST)
                _, answered, _, sequence, _ = _HEADER.unpack_from(answer)
                if sequence != self._sequence:
                    continue
                if answered == _NLMSG_DONE:
                    return
                if answered == _NLMSG_ERROR:
                    _raise_for(-_ERROR.unpack_from(answer, _HEADER.size)[0])
                    return
                yield answer[_HEADER.size :]
                if kind in (AUDIT_GET, AUDIT_GET_FEATURE):
                    return
        except TimeoutError:
            raise AuditUnavailable(f"the kernel did not answer audit request {kind} in {ANSWER_SECONDS:g} s") from None
        except OSError as error:
            raise _translated(error, "control audit", "CAP_AUDIT_CONTROL") from error


class AuditReader:
    """Every audit record of the machine from now on, without auditd. A context manager.

    `overrun` becomes True when the kernel has dropped records because they were not read in time (ENOBUFS).
    bind(2) makes the kernel write one record of type 1335 (EVENT_LISTENER).
    In a net namespace other than the initial one no record arrives, and the kernel reports no error.

    buffer      bytes the kernel may queue; it doubles the figure for its own bookkeeping (socket(7))
    """

    def __init__(self, *, buffer: int = RECEIVE_BUFFER) -> None:
        self.overrun = False
        self._socket = _open_socket()
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer)
        except PermissionError:  # CAP_AUDIT_READ without CAP_NET_ADMIN: as much as net.core.rmem_max allows
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        try:
            self._socket.bind((0, _READLOG_GROUP))
        except OSError as error:
            self.close()
            raise _translated(error, "read audit records", "CAP_AUDIT_READ") from error

    def fileno(self) -> int:
        return self._socket.fileno()

    def pending(self) -> Iterator[tuple[int, bytes]]:
        """The (type, text) of each record that is queued now. Never waits: ends when the queue is empty."""
        receive, kind_at = self._socket.recv, _HEADER.unpack_from
        while True:
            try:
                message = receive(_LONGEST)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.overrun = True
                continue
            # In some kernels the length word does not count the header, so the length of the datagram is used.
            yield kind_at(message)[1], message[_HEADER.size :]

    def records(self, seconds: float) -> Iterator[tuple[int, bytes]]:
        """The (type, text) of records as they come, for at most that many seconds."""
        deadline = monotonic() + seconds
        while True:
            yield from self.pending()
            left = deadline - monotonic()
            if left <= 0 or not self._poll.poll(left * 1000):
                return

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def in_initial_namespace(kind: str) -> bool | None:
    """Whether this process is in the initial `user`, `pid` or `net` namespace of the machine; None if that is unknown.

    The net namespace has no fixed inode number before Linux 6.18, and reading its link needs CAP_SYS_PTRACE. But the
    files of /proc/PID/net have other inodes in each net namespace, and kthreadd, pid 2, is always in the initial one.
    """
    try:
        if kind in _INITIAL_NAMESPACES:
            return Path(f"/proc/self/ns/{kind}").stat().st_ino == _INITIAL_NAMESPACES[kind]
        if not in_initial_namespace("pid"):
            return None
        return Path("/proc/self/net/dev").stat().st_ino == Path("/proc/2/net/dev").stat().st_ino
    except OSError:
        return None


def _open_socket() -> socket.socket:
    try:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_AUDIT)
    except OSError as error:
        raise _translated(error, "open the audit socket", "permission") from error


def _raise_for(number: int) -> None:
    if number:
        raise OSError(number, os.strerror(number))


def _translated(error: OSError, action: str, capability: str) -> Exception:
    """AuditUnavailable with the reason if all of audit is out of reach; else the error itself."""
    if error.errno in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
        return AuditUnavailable(
            "this kernel has no audit subsystem",
            "use a kernel with CONFIG_AUDIT, without audit=0 on its command line or a seccomp filter on netlink",
        )
    if error.errno not in (errno.EPERM, errno.EACCES, errno.ECONNREFUSED):
        return error
    if in_initial_namespace("user") is False:
        return AuditUnavailable(
            f"cannot {action} inside a user namespace: the kernel serves audit to the initial one only",
            "run this on the host or in a virtual machine, not in a rootless container",
        )
    if in_initial_namespace("pid") is False:
        return AuditUnavailable(
            f"cannot {action} inside a pid namespace: the kernel serves audit to the initial one only",
            "run this on the host or in a virtual machine, not in a container",
        )
    return AuditUnavailable(f"cannot {action}: {capability} is missing", "run this as root")
