"""The stage of `lab talk`: a process that tells stories at the pace of the screen at the other end of a socket.

    python -m scenarios.talk_stage FD OPTIONS

FD is its end of the socket, OPTIONS a Cast, the names of the stories, `lenient`, and the page's port (null: no page),
as JSON. When the screen ends, in whatever way, the kernel sends SIGINT, and what the run changed is taken back as after
Ctrl-C.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from lab.errors import DaemonUnreachable, LabError
from lab.pidfd import start_time
from lab.syscalls import PR_SET_PDEATHSIG, prctl
from scenarios import needs
from scenarios.audiences.look import Look
from scenarios.audiences.page.page import Page, ends_a_story
from scenarios.audiences.talk_wire import NOTES, Channel
from scenarios.demo import status
from scenarios.languages.choice import LANGUAGES
from scenarios.pages import invitation
from scenarios.performance import recording
from scenarios.performance.beats import Moment, Stop, to_json
from scenarios.performance.performance import Leave, Performance
from scenarios.playing import Cast, chosen, conclude, on_stage, tell
from scenarios.stage.engines import script
from scenarios.stage.report import Report
from scenarios.stage.stage import Stage, Story

A_DAY = 24 * 3600.0  # the longest that the speaker's shell may be open, in seconds
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Going(Leave):
    """The speaker goes to the story of this index; that of the summary is the number of stories."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index


class Quit(Leave):
    """The speaker has ended the talk."""


class Speaker:
    """The audience at the other end: is shown each moment, and says at each stop how to go on.

    Where there is a page, its speaker's keys go on, too. index is that of the story that is told.
    """

    def __init__(self, channel: Channel, page: Page | None = None) -> None:
        self._channel, self._page = channel, page
        self.stage: Stage | None = None
        self.index = 0
        self._goes = False
        self._between = False  # at a stop before the next story

    def take(self, moment: Moment) -> None:
        """Show a moment. At a stop, wait, unless the speaker has just said where to go. Raises Going and Quit."""
        self.tell("moment", to_json(moment))
        if not isinstance(moment.beat, Stop):
            return
        self._between = ends_a_story(moment.beat)
        if self._goes and self._between:
            self._goes = False
            return
        if self._page:
            self._page.key()  # one that was pressed before this stop was not meant for it
        self.tell("waiting")
        while self._next_word() != "on":
            pass

    def finish(self, exit_code: int) -> None:
        """All is told: wait for another story or the end. Raises Going and Quit."""
        self.tell("finished", exit_code)
        while True:
            self._next_word()

    def tell(self, word: str, value: object = None) -> None:
        try:
            self._channel.send(word, value)
        except OSError:
            raise Quit from None

    def _next_word(self) -> str:
        try:
            word, value, descriptor = self._heard()
        except EOFError:
            raise Quit from None
        if word == "go":
            self._goes = True
            raise Going(value)
        if word == "quit":
            raise Quit
        if word == "shell":
            self._shell(descriptor)
        return word

    def _heard(self) -> tuple[str, Any, int]:
        """What the screen says next, or the key that was pressed on the page. Raises EOFError if the screen is gone."""
        while self._page:
            if line := self._channel.whole_line():
                return line
            screen, page = self._channel.connection.fileno(), self._page.fileno()
            if screen in select.select([screen, page], [], [])[0]:
                break
            if key := self._page.key():
                return ("on", None, -1) if key == "on" or self._between else ("go", self.index + 1, -1)
            self._page = None  # its server has ended: the talk goes on without it
        return self._channel.receive()

    def _shell(self, terminal: int) -> None:
        """A shell in the login's session, on a terminal of its own; what it did is no part of the story."""
        assert self.stage
        login = self.stage.login
        before, login.seconds = login.seconds, A_DAY
        try:
            login.start(shell_words(), terminal, terminal, terminal)
            login.wait()
            self.stage.overlook()
            self.tell("shell")
        except (OSError, LabError) as error:
            self.tell("shell", str(error))
        finally:
            os.close(terminal)
            login.seconds = before


def shell_words() -> list[str]:
    """bash, or where there is none sh, as the leader of a session with the terminal; setsid(1)."""
    here = os.path.dirname(os.path.abspath(script("lab")))  # noqa: PTH100, PTH120 - a symlink must stay as it is
    shell = ["bash", "--norc", "--noprofile", "-i"] if needs.installed("bash") else ["sh", "-i"]
    path = f"PATH={here}:{os.environ.get('PATH', os.defpath)}"
    return ["setsid", "--ctty", "--wait", "env", path, "PS1=$ ", "HISTFILE=", *shell]


class Director:
    """Tells the stories in their order, or in the speaker's."""

    def __init__(self, stories: Sequence[Story], speaker: Speaker, performance: Performance, *, lenient: bool) -> None:
        self._stories, self._speaker, self._performance, self._lenient = stories, speaker, performance, lenient
        self._index = 0
        self._reports: dict[int, Report] = {}

    def direct(self, stage: Stage) -> bool:
        """Tell stories until the speaker quits: False; or until the stage has to be set anew: True."""
        self._speaker.stage = stage
        while True:
            try:
                self._tell_next(stage)
            except Going as going:
                self._index = going.index
                if is_worn(stage):
                    return True
            except Quit:
                return False

    def _tell_next(self, stage: Stage) -> None:
        self._speaker.index = self._index
        if self._index < len(self._stories):
            self._reports[self._index] = tell(stage, self._stories[self._index])
            self._index += 1
            return
        reports = [self._reports[index] for index in sorted(self._reports)]
        closing = conclude(reports, self._performance)
        self._speaker.finish(status(closing, reports, lenient=self._lenient))


def is_worn(stage: Stage) -> bool:
    """Whether labd or the login session of this run has ended, so that a story cannot be told again."""
    try:
        stage.daemon.check()
    except DaemonUnreachable:
        return stage.daemon.started_here
    return not start_time(stage.login.pid)


def play(channel: Channel, options: Mapping[str, Any]) -> None:
    """The whole talk. Raises LabError if the stage cannot be set, or if something is left behind."""
    stories = chosen(options["stories"], options["cast"]["engines"])
    with ExitStack() as stack:
        kept = stack.enter_context(recording.new_file())
        port, language = options["port"], LANGUAGES[options["language"]]
        pages = [] if port is None else [stack.enter_context(Page(port, keyboard=False, language=language))]
        speaker = Speaker(channel, *pages)
        for page in pages:
            speaker.tell("page", invitation(page, Look(translate=language.translate)))
        performance = Performance([recording.Recorder(kept), *pages, speaker])
        director = Director(stories, speaker, performance, lenient=options["lenient"])
        again = True
        while again:
            with on_stage(Cast(**options["cast"]), stories, performance) as stage:
                again = director.direct(stage)


def main(descriptor: int, options: str) -> int:
    for number in SIGNALS:
        signal.signal(number, _end)
    os.set_inheritable(descriptor, False)
    prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    channel = Channel(socket.socket(fileno=descriptor))
    try:
        play(channel, json.loads(options))
    except KeyboardInterrupt:
        return 130
    except LabError as error:
        _tell_failure(channel, error)
        return 125
    except Exception as error:
        traceback.print_exc()
        _tell_failure(channel, LabError(f"{type(error).__name__}: {error}", "report it, with what `lab doctor` prints"))
        return 125
    finally:
        NOTES.unlink(missing_ok=True)  # where the screen was killed, it has left the notes' socket
    return 0


def _tell_failure(channel: Channel, error: LabError) -> None:
    with suppress(OSError):
        channel.send("failed", error.to_dict())


def _end(number: int, frame: object) -> None:
    """End like Ctrl-C. A second signal does not disturb the taking back."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
