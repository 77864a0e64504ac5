"""Who learns here. Under sudo(8) it is the user who called it, and what is done in that user's folder is done with that
user's rights: the kernel then refuses what a symlink of the user's would lead root to.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lab.errors import InvalidArgument
from lab.identity import UNSET, loginuid

HOME = "LAB_EXERCISES"  # of the environment: another place than ~/loginuid-exercises


@dataclass(frozen=True)
class Student:
    """A user of this machine, and the place of the exercises."""

    uid: int
    gid: int
    name: str
    place: Path

    @classmethod
    def here(cls) -> Self:
        """Whoever called sudo, else, for root in another's login, whose login it is, else this process's user."""
        uids = [os.geteuid()]
        if uids == [0]:
            others = (int(os.environ.get("SUDO_UID") or 0), loginuid())
            uids = [*(uid for uid in others if uid not in (0, UNSET)), 0]
        for uid in uids:
            with suppress(KeyError):
                return cls.of(pwd.getpwuid(uid))
        raise InvalidArgument(f"uid {uids[-1]} has no home on this machine", "log in as a user of it")

    @classmethod
    def of(cls, account: pwd.struct_passwd) -> Self:
        place = Path(os.environ.get(HOME) or Path(account.pw_dir) / "loginuid-exercises")
        return cls(account.pw_uid, account.pw_gid, account.pw_name, place.absolute())

    @contextmanager
    def rights(self) -> Iterator[None]:
        """Act as the student: root becomes that user for the length of the block; seteuid(2).

        The real and the saved uid stay root's, so no signal of the user's reaches this process.
        """
        with rights_of(self.uid, self.gid):
            yield


@contextmanager
def rights_of(uid: int, gid: int) -> Iterator[None]:
    """Act as that user, if this process is root and the user is not."""
    if os.geteuid() != 0 or uid == 0:
        yield
        return
    groups, own = os.getgroups(), os.getegid()
    os.setgroups([gid])
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(own)
        os.setgroups(groups)
