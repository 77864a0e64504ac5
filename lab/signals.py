"""Signals by name and number, for both engines: signal(7).

Python's `signal` module is costly to import on the way to a container; see docs/developer.md.

The numbers are those of x86-64 and arm64; other architectures differ.
"""

from __future__ import annotations

from lab.errors import InvalidArgument

SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGUSR1, SIGUSR2, SIGPIPE, SIGTERM = 1, 2, 3, 9, 10, 12, 13, 15
SIGCONT, SIGXFSZ, SIGWINCH = 18, 25, 28
SIGRTMIN, SIGRTMAX = 34, 64  # as the C library counts them: it uses 32 and 33 itself
NAMES = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG "
    "XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
)
FORWARDED = (SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGCONT, SIGWINCH)  # by a client to its container
ALIASES = {"CLD": "CHLD", "IOT": "ABRT", "POLL": "IO"}


def signal_number(text: str) -> int:
    """The number for SIGKILL, KILL, kill, 9, RTMIN+3 or RTMAX-2; docker-kill(1). Raises InvalidArgument."""
    if text.isascii() and text.isdigit() and len(text) <= 4:
        number = int(text)
    else:
        number = _by_name(text.upper().removeprefix("SIG"))
    if 1 <= number <= SIGRTMAX:
        return number
    raise InvalidArgument(
        f"Invalid signal: {text[:40]}", "write a name such as TERM or a number from 1 to 64; signal(7) lists them"
    )


def _by_name(name: str) -> int:
    """The number of a name in capitals without SIG; 0 if there is no such signal."""
    name = ALIASES.get(name, name)
    if name in NAMES.split():
        return NAMES.split().index(name) + 1
    for first, sign in ((SIGRTMIN, "+"), (SIGRTMAX, "-")):
        base, _, distance = name.partition(sign)
        if base == ("RTMIN" if sign == "+" else "RTMAX") and (distance or "0") in map(str, range(31)):
            return first + int(f"{sign}{distance or 0}")
    return 0
