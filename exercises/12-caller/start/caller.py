"""Who asks? A daemon's answer, for one connection.

The listener has SO_PASSCRED set (unix(7)), and the request is waiting to be read: recvmsg(2) gives it.
This runs as root, on your machine.
"""

import socket
import struct


def who_asks(connection: socket.socket) -> int | None:
    """The loginuid of the process that connected, as a number; 4294967295 if nobody logged in there.

    None if it cannot be known: that process is gone, or it is not the one that has sent the request. A daemon that gets
    None starts nothing. Whatever happens meanwhile, a wrong name is worse than none.
    """
    ucred = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, _uid, _gid = struct.unpack("3i", ucred)
    with open(f"/proc/{pid}/loginuid") as file:
        return int(file.read())
