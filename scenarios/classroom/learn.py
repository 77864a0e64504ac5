"""`lab learn`: one exercise after the other. It checks by itself when a file was saved or a record arrived."""

from __future__ import annotations

import argparse
import errno
import importlib.util
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from lab.audit.records import Event
from lab.errors import InvalidArgument, LabError, MissingFeature
from scenarios.classroom import verbs
from scenarios.classroom.beginning import begin
from scenarios.classroom.checking import check
from scenarios.classroom.desk import Desk
from scenarios.classroom.exercise import Exercise, every, find
from scenarios.classroom.showing import Shown
from scenarios.classroom.student import Student
from scenarios.classroom.waking import Arriving, Saved, Waking, Woken, single_keys
from scenarios.performance.beats import UNKNOWN
from scenarios.performance.text import message
from scenarios.playing import HELD_ALL

KEYS = message("h hint  c check  n next  l list  q quit")
WAITING = "Waiting for a saved file or a record.  {keys}"


def learn(arguments: argparse.Namespace) -> int:
    """Go on where the student was, until q, or until all exercises are passed."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidArgument("lab learn needs a terminal", "in a pipe, use `lab exercise check`")
    if importlib.util.find_spec("watchfiles") is None:
        raise MissingFeature("the Python package watchfiles is missing", "run `tools/setup venv`, then again")
    shown = Shown(color=not arguments.no_color, plain=arguments.plain, language=arguments.language)
    loop = Loop(Desk(Student.here(), arguments.language.code), shown, every())
    try:
        loop.run(find(arguments.exercise, loop.exercises) if arguments.exercise else None)
    except KeyboardInterrupt as error:
        if error.args:  # SIGTERM or SIGHUP
            raise
        shown.gap()
    except OSError as error:
        if error.errno == errno.EIO:  # the terminal is gone, and SIGHUP is on its way
            raise KeyboardInterrupt(signal.SIGHUP) from None
        raise
    return HELD_ALL


class Loop:
    """The student's way through the exercises."""

    def __init__(self, desk: Desk, shown: Shown, exercises: Sequence[Exercise]) -> None:
        self.desk, self.shown, self.exercises = desk, shown, exercises

    def run(self, one: Exercise | None = None) -> None:
        """Begin with this one, else with the first that is not passed."""
        self.shown.naming()
        at = one or self._open_from(0)
        while at:
            at = Turn(self.desk, self.shown, at, self).take()
        if not self._open_from(0):
            self.shown.say("You have passed all {number} exercises.", number=len(self.exercises))

    def after(self, one: Exercise) -> Exercise | None:
        """The next that is not passed, from the first on again behind the last; None if there is no other."""
        found = self._open_from(self.exercises.index(one) + 1)
        return None if found == one else found

    def _open_from(self, start: int) -> Exercise | None:
        progress = self.desk.progress()
        order = [*self.exercises[start:], *self.exercises[:start]]
        return next((one for one in order if not progress.of(one).passed), None)


class Turn:
    """One exercise: the task, the predictions, and checks until it is passed or left."""

    def __init__(self, desk: Desk, shown: Shown, one: Exercise, loop: Loop) -> None:
        self.desk, self.shown, self.one, self.loop = desk, shown, one, loop
        self.passed = bool(desk.progress().of(one).passed)

    def take(self) -> Exercise | None:
        """The exercise that comes next; None to quit."""
        begin(self.desk, self.one, self.shown)
        self.shown.gap()
        verbs.tell_stale(self.desk, [self.one], self.shown)
        verbs.show_task(self.desk, self.one, self.shown)
        if not verbs.predict(self.desk, self.one, self.shown):
            return None
        with ExitStack() as stack:
            stack.enter_context(single_keys())
            saved = stack.enter_context(Saved(self.desk.folder(self.one), self.one.about.files))
            waking = Waking(saved, stack.enter_context(Arriving()))
            self.arrived = stack.enter_context(tempfile.NamedTemporaryFile("w", encoding="utf-8"))
            self._prompt()
            while True:
                woken = waking.wait()
                if woken.key == "q":
                    return None
                if woken.key == "n":
                    return self._next()
                self._answer(woken)
                if woken.key or woken.saved or woken.arrived:
                    self._prompt()

    def _next(self) -> Exercise | None:
        following = self.loop.after(self.one)
        if not following and not self.passed:
            self.shown.say("There is no other that you have not passed.")
            return self.one
        return following

    def _answer(self, woken: Woken) -> None:
        if woken.key == "h":
            verbs.next_hint(self.desk, self.one, self.shown)
        elif woken.key == "l":
            self.shown.listed(self.loop.exercises, self.desk.progress())
        elif woken.arrived:
            self._take_records(woken.arrived)
        elif woken.saved or woken.key in ("c", "\n", "\r"):
            self._check()

    def _take_records(self, events: Sequence[Event]) -> None:
        """Keep them for the check; the exercise may want the last one in a file, whose change then wakes the check."""
        for event in events:
            lines = "".join(record.to_line() + "\n" for record in event.records)
            self.arrived.write(lines)
            self.shown.say("A record has arrived:")
            self.shown.record(event)
        self.arrived.flush()
        if self.one.about.records:
            self.desk.write(self.one, self.one.about.records, lines.encode())
        else:
            self._check()

    def _check(self) -> None:
        """What has been passed is not run again."""
        if self.passed:
            return
        self.shown.say("checking ...", style="dim")
        try:
            result = check(self.one, self.desk.folder(self.one), arrived=Path(self.arrived.name))
        except LabError as error:  # it says what to do; the loop goes on
            self.shown.marked(UNKNOWN, error.message)
            self.shown.lines(self.shown.look.translate(error.hint), indent="  ")
            return
        verbs.keep(self.desk, self.one, result)
        self.passed = result.good
        self.shown.result(self.one, result, self.desk.progress().of(self.one))
        if result.good:
            self.shown.passed(self.one)

    def _prompt(self) -> None:
        self.shown.gap()
        if self.passed:
            self.shown.say("Passed.   n next   l list   q quit", style="bold")
        else:
            self.shown.say(WAITING, keys=KEYS, style="bold")
