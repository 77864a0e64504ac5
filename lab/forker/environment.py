"""The engine's own environment, which no container may see: imported only for --init and `exec`."""

from __future__ import annotations

import os

from lab import interpreter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.spec import Spec

# The variables that the engine reads, and LC_CTYPE, which Python sets for itself (PEP 538).
OWN_VARIABLES = (
    "HOME",
    "LC_CTYPE",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "PATH",
    "XDG_DATA_HOME",
)


def hide(spec: Spec, wanted: Sequence[str]) -> None:
    """Restart the engine without the variables that are not for the container, if the container may read its memory.

    With CAP_SYS_PTRACE a container can read the memory of each process in it. A copy of the engine is such a process
    until exec, and for ever as pid 1 of `--init`.
    """
    wanted_names = {*OWN_VARIABLES, *(item.partition("=")[0] for item in wanted)}
    if "CAP_SYS_PTRACE" in spec.capabilities and not wanted_names.issuperset(os.environ):
        interpreter.restart({name: value for name, value in os.environ.items() if name in wanted_names})
