"""A recording as an asciicast: what the terminal shows, with a pause at each stop and a marker at each step.

Format: asciicast v2, https://docs.asciinema.org/manual/asciicast/v2/: a header, then [seconds, code, data] a line; code
"o" is output, "m" a marker.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from io import StringIO

from rich.console import Console, Group

from scenarios.audiences.drawing import draw
from scenarios.audiences.look import Look
from scenarios.performance.beats import Beat, Heading, Moment, Opening, Stop

WIDTH, HEIGHT = 80, 24
PAUSES = {"command": 2.0, "step": 4.0, "story": 4.0, "summary": 4.0}  # seconds to read in, at a stop
LONGEST = 1.0  # seconds of waiting for the lab itself


def cast(moments: Iterable[Moment], look: Look | None = None) -> Iterator[str]:
    """The lines of the asciicast, without their ends."""
    look = look or Look(WIDTH)
    yield json.dumps({"version": 2, "width": look.width, "height": HEIGHT, "title": "loginuid lab"})
    now = before = 0.0
    for moment in moments:
        now += min(moment.at - before, LONGEST)
        before = moment.at
        if isinstance(moment.beat, Opening):
            moment.beat.introduce()
        if isinstance(moment.beat, Stop):
            now += PAUSES[moment.beat.before]
            if moment.beat.before != "command":
                yield _event(now, "o", "\n")
                yield _event(now, "m", moment.beat.before)
        elif text := _drawn(moment.beat, look):
            if isinstance(moment.beat, Heading):
                yield _event(now, "m", look.words(moment.beat.title))
            yield _event(now, "o", text)


def _event(at: float, code: str, data: str) -> str:
    return json.dumps([round(at, 3), code, data.replace("\n", "\r\n")], ensure_ascii=False)


def _drawn(beat: Beat, look: Look) -> str:
    """What a terminal with colours gets, "" for a beat that shows nothing."""
    output = StringIO()
    picture = draw(beat, look)
    if picture is not None:
        console = Console(file=output, width=look.width, force_terminal=True, color_system="standard", highlight=False)
        console.print(Group(picture))
    return output.getvalue()
