"""The article's user. Where he has an account, as in the lab's own machine, the article's commands are his."""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lab.errors import NotAllowed
from scenarios.stage.login import Login
from scenarios.stage.stage import Stage

NAME, UID = "dwalsh", 3267


@contextmanager
def logged_in(stage: Stage) -> Iterator[None]:
    """Give the stage a session of the author's; without his account, or if the kernel refuses, the run's user stays."""
    login = None if stage.user_id == UID else _login()
    if login is None:
        yield
        return
    before = stage.login, stage.user_id, stage.user
    with login:
        stage.login, stage.user_id, stage.user = login, UID, NAME
        try:
            yield
        finally:
            stage.login, stage.user_id, stage.user = before


def _login() -> Login | None:
    with suppress(KeyError, NotAllowed):
        if pwd.getpwnam(NAME).pw_uid == UID:
            return Login(UID)
    return None
