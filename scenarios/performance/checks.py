"""How a verdict follows from recorded evidence: one number is read from one beat, and compared with what was wanted.

The stage judges by these functions while it plays, and `lab verify` judges a recording by the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scenarios.performance.beats import Beat, Evidence, Lineage, Output


def first_number(text: str) -> int | None:
    """The number that a workload printed first; None if it printed none."""
    words = text.split()
    return int(words[0]) if words and words[0].isascii() and words[0].isdecimal() else None


def _printed(beat: Beat) -> int | None:
    return first_number(beat.text) if isinstance(beat, Output) else None


def _code(beat: Beat) -> int | None:
    return beat.code if isinstance(beat, Output) else None


def _descends(beat: Beat) -> int | None:
    return int(bool(beat.login)) if isinstance(beat, Lineage) else None


def _loginuid(beat: Beat) -> int | None:
    return beat.processes[-1].loginuid if isinstance(beat, Lineage) and beat.processes else None


def _auid(beat: Beat) -> int | None:
    return beat.event.auid if isinstance(beat, Evidence) else None


def _ses(beat: Beat) -> int | None:
    return beat.event.ses if isinstance(beat, Evidence) else None


def _uid(beat: Beat) -> int | None:
    return beat.event.uid if isinstance(beat, Evidence) else None


def _exit(beat: Beat) -> int | None:
    return beat.event.exit if isinstance(beat, Evidence) else None


def _old_auid(beat: Beat) -> int | None:
    return beat.event.number("old-auid") if isinstance(beat, Evidence) else None


def _res(beat: Beat) -> int | None:
    return beat.event.number("res") if isinstance(beat, Evidence) else None


# What a check reads. Of an output: the number that was printed first, the command's exit code. Of a lineage, as the
# host's /proc showed it: the loginuid of the container's first process, and 1 if the login is among the ancestors, else
# 0. Of an audit event: auid, ses, uid and exit; of a LOGIN record old-auid and res. None if there is no such number.
CHECKS: Mapping[str, Callable[[Beat], int | None]] = {
    "printed": _printed,
    "code": _code,
    "descends": _descends,
    "loginuid": _loginuid,
    "auid": _auid,
    "ses": _ses,
    "uid": _uid,
    "exit": _exit,
    "old-auid": _old_auid,
    "res": _res,
}


def holds(check: str, beat: Beat, wanted: int) -> bool:
    """Whether that check reads the wanted number in the beat. Raises RecordError for lines that are no audit event."""
    return CHECKS[check](beat) == wanted
