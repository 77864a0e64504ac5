"""The file that the stories watch: what the user names, else /etc/shadow in the lab's own machine, else a decoy."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from lab.errors import InvalidArgument
from scenarios.safety.guest import LAB_MACHINE
from scenarios.safety.journal import Journal

SHADOW = "/etc/shadow"


def watchable(path: str) -> str:
    """The absolute path, without symlinks, of a file that can stand for /etc/shadow. Raises InvalidArgument.

    Stories expect that an ordinary user's write is refused, and name the path in a shell's command.
    """
    found = os.path.realpath(path)
    try:
        status = Path(found).stat()
    except OSError as error:
        raise InvalidArgument(f"--target {path}: {error.strerror}", f"give a file, for example {SHADOW}") from None
    if not stat.S_ISREG(status.st_mode):
        raise InvalidArgument(f"--target {path} is no regular file", f"give a file, for example {SHADOW}")
    if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        reason = f"--target {path}: others than root may write to it, so that no refusal could be shown"
        raise InvalidArgument(reason, f"give a file that is root's alone, for example {SHADOW}")
    if shlex.quote(found) != found:
        raise InvalidArgument(f"--target {path}: a shell would have to quote {found!r}", "give a plainer path")
    return found


def default(journal: Journal) -> str:
    """/etc/shadow in the lab's own machine, a decoy elsewhere."""
    if LAB_MACHINE.exists():
        return SHADOW
    return decoy(journal)


def decoy(journal: Journal) -> str:
    """A file that looks like /etc/shadow, for the length of the run."""
    directory = journal.directory("decoy", mode=0o755)  # as open as /etc: the file's own mode must refuse
    made = directory / "shadow"
    made.write_text("root:*:19000:0:99999:7:::\n")
    made.chmod(0o640)
    return str(made)
