"""Can a daemon name the user after all? What labd can do with its peer's loginuid: log it, or stamp it.

Both write it to labd's log and to the audit log, too. Neither equals a fork. The kernel vouches only for the process
that called connect(2), not for the one that sends the request; and a stamped process gets a new session id, never the
user's.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass
from typing import Literal

from daemon import virt_control
from daemon.peer import Peer, peer_of
from lab.errors import NotAllowed
from lab.identity import UNSET

Mode = Literal["none", "log", "stamp"]
log = logging.getLogger("labd")


@dataclass(frozen=True)
class Asker:
    """Who asks for a process; nobody where labd does not look.

    loginuid is the one to stamp on the process, None for no stamp.
    """

    peer: Peer | None = None
    loginuid: int | None = None


NOBODY = Asker()


@dataclass(frozen=True)
class Attribution:
    """labd's `--attribution`; by_pid: find the peer by its pid alone, the only way before Linux 6.5."""

    mode: Mode = "none"
    by_pid: bool = False

    def of(self, connection: socket.socket, what: str) -> Asker:
        """Who asks for `what` on this connection.

        Raises NotAllowed if the peer is to be stamped and cannot be identified: then nothing is started.
        """
        if self.mode == "none":
            return NOBODY
        peer = peer_of(connection, by_pid=self.by_pid)
        log.info("%s: started by %s", what, peer)
        if self.mode == "log":
            return Asker(peer)
        if peer.loginuid is None:
            raise NotAllowed(
                "labd cannot tell who asks: the process that connected is gone",
                "ask again, and stay until the answer",
            )
        return Asker(peer, peer.loginuid if peer.loginuid != UNSET else None)

    async def audit(
        self,
        op: virt_control.Operation,
        container_id: str,
        name: str,
        pid: int,
        peer: Peer | None = None,
        *,
        success: bool = True,
    ) -> None:
        """Tell the audit log of a container's start or end; a full backlog delays this container alone."""
        if self.mode != "none":
            await asyncio.to_thread(virt_control.write, op, container_id, name, pid, peer, success=success)
