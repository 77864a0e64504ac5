"""What a check asks the kernel with: the stage of the stories, without an audience. Everything is journalled.

While a `lab shell` or a `lab records` is on, which holds the lab's lock, a check has another lock and journal: its
rules have another key, and its file is another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lab import interpreter
from lab.errors import Conflict
from scenarios.performance.performance import Performance
from scenarios.playing import refuse_what_cannot_be, user_id
from scenarios.props.labd import Daemon
from scenarios.props.target import decoy
from scenarios.safety.journal import CHECKS, Journal
from scenarios.safety.watching import found
from scenarios.stage.engines import lab_engines
from scenarios.stage.login import Login
from scenarios.stage.stage import Stage


@contextmanager
def checks_journal() -> Iterator[Journal]:
    """The lab's lock and journal, or those of checks while somebody plays in a `lab shell`. Raises Conflict."""
    with Journal(CHECKS) as beside, ExitStack() as stack:
        try:
            yield stack.enter_context(Journal())
        except Conflict:
            if not found():
                raise
            yield beside


@contextmanager
def stage(*, own: bool = False) -> Iterator[Stage]:
    """A stage with a login of the student's, labd, both engines and a decoy; taken down whatever happens.

    own: a labd for this stage alone, so that the containers that a student's script leaves in it end with it.
    """
    refuse_what_cannot_be()
    interpreter.executable()  # makes the one mount that stays after a run
    with ExitStack() as stack:
        journal = stack.enter_context(checks_journal())
        target = decoy(journal)
        login = stack.enter_context(Login(user_id("")))
        place = journal.directory("labd") if own else None
        daemon = stack.enter_context(Daemon(journal, *([f"{place}/socket", f"{place}/state"] if place else [])))
        daemon.wait_ready()
        engines = lab_engines(f"unix://{daemon.path}" if own else "")
        yield Stage(Performance([]), journal, login, daemon, engines, target)
