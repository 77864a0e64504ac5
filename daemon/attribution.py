"""Can a daemon name the user after all? What labd can do with its peer's loginuid: log it, or stamp it.

Neither equals a fork. The kernel vouches only for the process that called connect(2), not for the one that sends the
request; and a stamped process gets a new session id, never the user's.
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
    """labd's `--attribution`; by_pid: find the peer by its pid alone, the only way before Linux 6.5."""

    mode: Mode = "none"
    by_pid: bool = False

    def of(self, connection: socket.socket, what: str) -> int | None:
        """The loginuid to stamp on a process that this peer starts, None for no stamp.

        Raises NotAllowed if the peer cannot be identified: then nothing is started.
        """
        if self.mode == "none":
            return None
        peer = peer_of(connection, by_pid=self.by_pid)
        log.info("%s: started by %s", what, peer)
        if self.mode == "log":
            return None
        if peer.loginuid is None:
            raise NotAllowed(
                "labd cannot tell who asks: the process that connected is gone",
                "ask again, and stay until the answer",
            )
        return peer.loginuid if peer.loginuid != UNSET else None
