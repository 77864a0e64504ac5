"""VIRT_CONTROL records: labd tells the audit log which container it has started or seen end, and who asked for it.

The words are libvirt's, src/conf/domain_audit.c, so that `ausearch -m VIRT_CONTROL`, `aureport --virt` and auvirt(8)
read them; those for who asked, spid= and sauid=, are of audit's field dictionary. All of it is labd's word: the kernel
vouches for the record's own pid=, uid=, auid= and ses=, which are labd's.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Literal

from daemon.peer import Peer
from lab.audit.netlink import AUDIT_VIRT_CONTROL, AuditControl
from lab.errors import LabError

Operation = Literal["start", "stop"]
log = logging.getLogger("labd")


def write(op: Operation, container_id: str, name: str, pid: int, peer: Peer | None, *, success: bool = True) -> None:
    """Write one record; waits while audit's backlog is full. Where that is impossible, labd's log says so."""
    text = message(op, container_id, name, pid, peer, success=success)
    try:
        with AuditControl() as control:
            control.user_message(text, AUDIT_VIRT_CONTROL)
    except (LabError, OSError) as error:
        log.warning("no VIRT_CONTROL record of %s's %s could be written: %s", name, op, error)


def message(op: Operation, container_id: str, name: str, pid: int, peer: Peer | None, *, success: bool) -> str:
    """The record's text. The uuid is the beginning of the container's id; peer is who asked, None for its own end."""
    parts = (container_id[:8], container_id[8:12], container_id[12:16], container_id[16:20], container_id[20:32])
    words = ["virt=labd", f"op={op}", f"reason={'api' if peer else 'exited'}", f"vm={encoded(name)}"]
    words += [f"uuid={'-'.join(parts)}", f"vm-pid={pid}"]
    if peer:
        words += [f"spid={peer.pid}", f"sauid={'?' if peer.loginuid is None else peer.loginuid}"]
    words += [f"exe={encoded(str(Path('/proc/self/exe').readlink()))}", "hostname=?", "addr=?", "terminal=?"]
    return " ".join([*words, f"res={'success' if success else 'failed'}"])


def encoded(value: str) -> str:
    """In quotes, or in hexadecimal where a reader could take a part of it for another field; audit_encode_value(3)."""
    plain = all("!" <= character <= "~" and character != '"' for character in value)
    return f'"{value}"' if plain else os.fsencode(value).hex().upper()
