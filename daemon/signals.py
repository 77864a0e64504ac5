"""Signals by name or number, as docker-kill(1) takes them."""

from __future__ import annotations

import signal

from lab.errors import InvalidArgument


def signal_number(name: str) -> int:
    """SIGKILL, KILL, kill or 9. Raises InvalidArgument."""
    if name.isascii() and name.isdigit() and len(name) <= 4 and 0 < int(name) < signal.NSIG:
        return int(name)
    text = name.upper()
    wanted = text if text.startswith("SIG") else f"SIG{text}"
    if wanted.startswith("SIGRTMIN+") and wanted[9:] in map(str, range(31)):
        return signal.SIGRTMIN + int(wanted[9:])
    for member in signal.Signals:
        if member.name == wanted:
            return member.value
    raise InvalidArgument(f"Invalid signal: {name[:40]}", "`kill -l` lists them")
