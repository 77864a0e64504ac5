"""The state of a talk, without a terminal: what is looked at, what the stage does, and what a key changes of that."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence

from lab.errors import CannotStart, LabError, from_dict
from scenarios.audiences import talk_screen
from scenarios.audiences.look import Look
from scenarios.audiences.talk_link import Link
from scenarios.audiences.talk_notes import leads_in
from scenarios.audiences.talk_reel import Reel, Shipped, View, card
from scenarios.performance import beats
from scenarios.performance.beats import Moment, from_json
from scenarios.performance.text import Text, Translate

AFTER = (beats.Summary, beats.Article, beats.Closing)
Notes = Callable[[str, str], Mapping[int, str]]  # of a story, in a language


class Desk:
    """The speaker's desk.

    names         the stories of this talk, in their order
    working       the stage is at work; False while it waits at a stop
    is_over       the last beat has been told
    ended         there is no stage any more, and failure says why if it failed
    asks_to_quit  the speaker has been asked, and has not answered
    invitation    the addresses of the page that is a second view of this talk; "" if there is none
    """

    def __init__(self, link: Link, names: Sequence[str], shipped: Shipped, notes: Notes) -> None:
        self._link, self.names, self._shipped, self._notes = link, list(names), shipped, notes
        self._reel = Reel()
        self._at = -1  # the view that is looked at; -1: the last one, whichever that is
        self._instead: list[View] = []  # what is shown in the place of the talk: a card, a recording
        self._page = 0
        self._label = beats.NOTHING
        self._guest: beats.Opening | None = None  # of the recording that is shown: its user may be unknown here
        self.plays_recording = False
        self._began = self._story_began = time.monotonic()
        self._targets: list[int] = []  # the stories to go to that have not begun yet
        self.working, self.is_over, self.ended, self.asks_to_quit = True, False, False, False
        self.began = False
        self.failure: LabError | None = None
        self.invitation = ""
        self.remark = ""  # what went wrong with the shell
        self._quits = False
        self.exit_code = 0

    def start(self) -> None:
        self._link.start()

    # -- what the stage tells

    async def hear(self) -> bool:
        """Take the next thing that the stage tells; False if it has ended."""
        try:
            word, value = await self._link.receive()
        except EOFError:
            self.ended, self.working = True, False
            self.failure = self.failure or (CannotStart("it was killed", "lab restore") if not self._quits else None)
            return False
        match word:
            case "moment":
                self._take(from_json(value))
            case "waiting":
                self.working = bool(self._targets)
            case "finished":
                self.working, self.is_over, self.exit_code = False, True, value
            case "page":
                self.invitation = value
            case "shell":
                self.remark = value or ""
            case "failed":
                self.failure = from_dict(value)
        return True

    def _take(self, moment: Moment) -> None:
        self.began, self.working, self.is_over = True, True, False
        if isinstance(moment.beat, (beats.Heading, beats.Summary)):
            del self._targets[:1]
            self._story_began = time.monotonic()
        self._reel.take(moment)

    # -- what is looked at

    @property
    def view(self) -> View:
        return self._instead[self._page] if self._instead else self._reel.views[self._at]

    @property
    def behind(self) -> bool:
        """Whether something else than the latest is looked at."""
        return bool(self._instead) or self._at != -1

    @property
    def label(self) -> Text:
        """What tells that this is not the latest of the talk, or what the stage remarks; NOTHING if neither."""
        if self.remark:
            return Text("{remark}", {"remark": self.remark})
        return self._label if self._instead else Text("seen before") if self._at != -1 else beats.NOTHING

    @property
    def index(self) -> int:
        """The place in names of the story that is looked at or gone to; -1 before the first, their number after all."""
        if self._targets:
            return self._targets[-1]
        view = self._reel.views[self._at]
        if view.story:
            return self.names.index(view.story.name)
        return len(self.names) if any(isinstance(beat, AFTER) for beat in view.beats) else -1

    @property
    def is_last_step(self) -> bool:
        """Whether this is the last step of a story, as far as the recordings tell; a story ends on a card."""
        view = self.view
        return not view.pending and bool(view.beats) and isinstance(view.beats[-1], beats.Contrast)

    def place(self, look: Look) -> str:
        view = self.view
        return talk_screen.place(view, self.names, self._steps(view), look)

    def _steps(self, view: View) -> int:
        return self._shipped.steps(view.story.name) if view.story else 0

    @property
    def busy(self) -> Text:
        """What the stage is at."""
        last = self._reel.views[-1].beats[-1:]
        if not self.began:
            return Text("the stage is being set")
        if last and isinstance(last[0], beats.Busy):
            return last[0].text
        return Text("on the way to that story, after this command" if self._targets else "at work")

    def note(self, language: str) -> str:
        """What the speaker says here, in the language of that code; while the stage is set, where the page is."""
        view = self.view
        if not view.story:
            return self.invitation if self.index < 0 else ""
        return self._notes(view.story.name, language).get(view.step, "").strip()

    @property
    def coming(self) -> View | None:
        """The next step, as far as a recording tells."""
        view, following = self._reel.views[self._at], self.index + 1
        if view.story:
            steps = self._shipped.views(view.story.name)
            if view.step < len(steps):
                return steps[view.step]
        first = self._shipped.views(self.names[following])[:1] if following < len(self.names) else []
        return first[0] if first else None

    def lead(self, translate: Translate) -> str:
        """What the next step begins with, told of this talk's user and file and not of the recording's."""
        coming = self.coming
        if not coming or not coming.story:
            return ""
        told = "\n".join(leads_in(coming, translate))
        recorded, here = self._shipped.opening(coming.story.name), self._reel.opening
        if recorded and here:
            new = {recorded.target: here.target, recorded.user: here.user}
            old = "|".join(map(re.escape, new))
            told = re.sub(rf"(?<!\w)({old})(?!\w)", lambda found: new[found[0]], told)
        return told

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    @property
    def elapsed_here(self) -> float:
        """Seconds since this story began."""
        return time.monotonic() - self._story_began

    @property
    def done(self) -> float:
        """Which part of the talk has been told, 0 to 1: by steps, where a story's number of steps is known.

        The set stage counts as a step, for what is said before the first story. In the summary, all has been told.
        """
        weights = [1, *(self._shipped.steps(name) or 6 for name in self.names)]
        if any(isinstance(beat, AFTER) for beat in self._reel.views[-1].beats):
            return 1.0
        told = next((view for view in reversed(self._reel.views) if view.story), None)
        if not told or not told.story or told.story.name not in self.names:
            return weights[0] / sum(weights)
        place = self.names.index(told.story.name) + 1
        return (sum(weights[:place]) + min(told.step, weights[place])) / sum(weights)

    # -- what the keys do

    def on(self) -> None:
        """To what was seen after this; from the latest on, the stage goes on."""
        self.remark = ""
        if self._instead:
            self._page += 1
            if self._page >= len(self._instead):
                self._close()
        elif self._at != -1:
            self._at += 1
            if self._at >= len(self._reel.views) - 1:
                self._at = -1
        elif not self.working and not self.is_over and not self.ended:
            self.working = True
            self._link.send("on")

    def back(self) -> None:
        if self.asks_to_quit:
            self.asks_to_quit = False
        elif self._instead:
            self._page -= 1
            if self._page < 0:
                self._close()
        else:
            last = len(self._reel.views) - 1
            self._at = max(0, (last if self._at == -1 else self._at) - 1) if last else -1

    def go(self, index: int) -> None:
        """To a story, or behind the last one to the summary; on a new stage, if there is none any more."""
        self._close()
        self._at, self.asks_to_quit = -1, False
        if self.ended:
            self._link.start()
            self.ended, self.failure, self._targets = False, None, []
        self.working = True
        self._targets.append(max(0, min(index, len(self.names))))
        self._link.send("go", self._targets[-1])

    def show_card(self) -> None:
        """The card of this story: of this talk if it was shown already, else a recorded one."""
        self.asks_to_quit = False
        view = self._reel.views[self._at]
        shown = bool(self._instead) and not self.plays_recording
        self._close()
        if shown or not view.story:
            return
        name = view.story.name
        seen = card([one for one in self._reel.views if one.story and one.story.name == name])
        recorded = card(self._shipped.views(name))
        if seen:
            self._open([seen], Text("the card of this story"))
        elif recorded:
            self._open([recorded], self._shipped.label(name), self._shipped.opening(name))

    @property
    def recorded(self) -> list[View]:
        """The recorded run of the step that is looked at, and of those after it."""
        view = self._reel.views[self._at]
        return self._shipped.views(view.story.name)[view.step - 1 :] if view.story else []

    def play_recording(self) -> None:
        """Show `recorded`, or no longer."""
        self.asks_to_quit = False
        shown, steps = self.plays_recording, self.recorded
        self._close()
        if steps and steps[0].story and not shown:
            name = steps[0].story.name
            self._open(steps, self._shipped.label(name), self._shipped.opening(name))
            self.plays_recording = True

    def _open(self, views: Sequence[View], label: Text, guest: beats.Opening | None = None) -> None:
        self._instead, self._page, self._label, self._guest = list(views), 0, label, guest
        if guest:
            guest.introduce()

    def _close(self) -> None:
        if self._guest:
            self._guest.dismiss()
        self._instead, self._page, self._label, self._guest = [], 0, beats.NOTHING, None
        self.plays_recording = False

    @property
    def may_open_shell(self) -> bool:
        return not self.working and not self.ended

    def open_shell(self, terminal: int) -> None:
        """A shell in the login's session on that terminal."""
        self._link.send("shell", descriptor=terminal)

    def quit(self) -> None:
        """End the stage; it takes back what it did, and then hear() returns False."""
        self._quits = True
        if self.working:
            self._link.interrupt()
        else:
            self._link.send("quit")
