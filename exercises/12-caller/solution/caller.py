import errno
import os
import signal
import socket
import struct

SO_PEERPIDFD = 77  # Linux 6.5; include/uapi/asm-generic/socket.h


def who_asks(connection: socket.socket) -> int | None:
    pid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    if sender(connection) != pid:
        return None
    try:
        pidfd = pidfd_of(connection, pid)
    except OSError:
        return None
    try:
        with open(f"/proc/{pid}/loginuid") as file:
            loginuid = int(file.read())
        signal.pidfd_send_signal(pidfd, 0)
        return loginuid
    except OSError:
        return None
    finally:
        os.close(pidfd)


def sender(connection: socket.socket) -> int:
    for level, kind, data in connection.recvmsg(4096, socket.CMSG_SPACE(12))[1]:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            return struct.unpack("3i", data)[0]
    return 0


def pidfd_of(connection: socket.socket, pid: int) -> int:
    try:
        return connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise
        return os.pidfd_open(pid)
