"""What the viewers of a page share: the steps as they are drawn now, where the speaker is, and what wakes each viewer.

A viewer has no queue. It remembers the number of the last beat that it was told, and is sent each step that changed
since: one that is slow, or comes back, gets fewer and newer drawings, and costs nothing meanwhile.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from scenarios.audiences.page.board import Board, Step
from scenarios.audiences.page.rendering import Renderer, minutes
from scenarios.performance.beats import HELD, Moment, Stop

Sent = dict[str, str | int]  # one server-sent event: event, data and, for a step, id
RETRY = 1000  # ms after which a browser that was cut off comes back


@dataclass
class Drawn:
    """A step as it was drawn at the beat with this number."""

    number: int
    step: Step
    data: dict[str, str] = field(default_factory=dict)  # by language, as soon as somebody looks on in it


class House:
    """All that is shown, in each renderer's language. place is the step where the speaker is; None: at the newest."""

    def __init__(self, renderers: Mapping[str, Renderer], place: int | None = None) -> None:
        self.board = Board()
        self.number = -1  # of the last beat
        self.waits = False
        self.place = place
        self.ended = False
        self._renderers = renderers
        self._drawn: list[Drawn] = []
        self._changed = asyncio.Event()

    def take(self, moment: Moment) -> None:
        """Have the step that this beat has changed drawn anew, and wake the viewers."""
        step = self.board.take(moment)
        self.number, self.waits = moment.number, isinstance(moment.beat, Stop)
        del self._drawn[step.number :]
        self._drawn.append(Drawn(moment.number, step))
        self._wake()

    def go(self, place: int | None) -> None:
        """The speaker goes to a step, or to the newest."""
        self.place = place if place is not None and 0 <= place < len(self._drawn) - 1 else None
        self._wake()

    def end(self) -> None:
        """No beat comes any more."""
        self.ended = True
        self._wake()

    async def follow(self, since: int, language: str) -> AsyncIterator[Sent]:
        """What changed since the beat of that number, -1 for all, and then each change as it comes."""
        place: int | None = None
        while True:
            changed = self._changed
            for drawn in [drawn for drawn in self._drawn if drawn.number > since]:
                yield {"event": "step", "id": str(drawn.number), "data": self._data(drawn, language), "retry": RETRY}
                since = max(since, drawn.number)
            if self.place != place:
                place = self.place
                yield {"event": "at", "data": json.dumps({"step": place})}
            if self.ended:
                yield {"event": "end", "data": "{}"}
                return
            await changed.wait()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _data(self, drawn: Drawn, language: str) -> str:
        if language not in drawn.data:
            drawn.data[language] = json.dumps(self._as_dict(drawn.step, self._renderers[language]))
        return drawn.data[language]

    def _as_dict(self, step: Step, renderer: Renderer) -> dict[str, object]:
        look, opening = renderer.look, self.board.opening
        story = step.story
        names = list(opening.stories)
        place = ""
        if story:
            at = names.index(story.name) + 1 if story.name in names else story.number
            place = renderer.said("{at} of {count}", at=at, count=max(len(names), at)) + f" · {story.name}"
        last = step.verdicts[-1] if step.verdicts else None
        told = f"{look.words(last.verdict)}: {look.words(last.claim)}" if last else ""
        return {
            "number": step.number,
            "title": look.words(story.title) if story else renderer.said("loginuid lab"),
            "story": story.name if story else "",
            "place": place,
            "clock": minutes(step.at),
            "waits": bool(step.waiting),
            "held": self.board.counts.get(HELD, 0),
            "told": told,
            "html": renderer.step(self.board, step),
        }
