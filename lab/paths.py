"""Where the engines keep their files: one directory for each user. labd's defaults are those of root."""

from __future__ import annotations

import os

STATE = "/var/lib/lab"
SOCKET = "/run/lab/labd.sock"


def state_directory() -> str:
    """/var/lib/lab, or the XDG data directory of an ordinary user (XDG Base Directory Specification)."""
    if os.geteuid() == 0:
        return STATE
    return os.path.join(os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share"), "lab")
