"""Can a daemon do better than nobody? What labd may do with the loginuid of whoever connected: log it, or stamp it.

Neither is what a fork gives. The kernel vouches only for who called connect(2), not for who sends the request, and a
stamped process has a session id of its own, never the user's.
"""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass
from typing import Literal

from daemon.peer import peer_of
from lab.errors import NotAllowed
from lab.identity import UNSET

Mode = Literal["none", "log", "stamp"]
log = logging.getLogger("labd")


@dataclass(frozen=True)
class Attribution:
    """labd's `--attribution`, and whether it looks the peer up by pid alone, as every kernel before 6.5 must."""

    mode: Mode = "none"
    by_pid: bool = False

    def of(self, connection: socket.socket, what: str) -> int | None:
        """The loginuid to stamp on a process that this peer starts; None: do not. Raises NotAllowed: fail closed."""
        if self.mode == "none":
            return None
        peer = peer_of(connection, by_pid=self.by_pid)
        log.info("%s: started by %s", what, peer)
        if self.mode == "log":
            return None
        if peer.loginuid is None:
            raise NotAllowed(
                "labd cannot tell who asks: the process that connected is gone", "ask again, and stay until the answer"
            )
        return peer.loginuid if peer.loginuid != UNSET else None
