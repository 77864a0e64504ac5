"""A stage that tells what it has in recordings, and waits at the stops: for tests of the speaker's screen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scenarios.performance import recording
from scenarios.performance.beats import Heading, Moment, Opening, Stop, Summary, to_json

Told = tuple[str, Any]


class Played:
    """A Link. `sent` holds what the screen has said; `ends` is set by interrupt() and quit."""

    def __init__(self, moments: Sequence[Moment], *, slow: float = 0) -> None:
        self.moments, self.slow = list(moments), slow
        self.sent: list[tuple[str, object]] = []
        self.starts = 0

    @classmethod
    def of(cls, *files: Path) -> Played:
        """The opening of the first recording, the stories of all, the summary of the last."""
        moments: list[Moment] = []
        for number, path in enumerate(files):
            for moment in recording.read(path):
                if number and isinstance(moment.beat, (Opening, Stop)) and isinstance(moments[-1].beat, Stop):
                    continue
                if isinstance(moment.beat, Summary) and path != files[-1]:
                    break
                moments.append(moment)
        return cls(moments)

    def start(self) -> None:
        """Set the stage."""
        self.starts += 1
        self._listens = False
        self._next: asyncio.Queue[Told | None] = asyncio.Queue()
        self._place, self._goes = 0, False
        self._tell()

    def _tell(self) -> None:
        while self._place < len(self.moments):
            moment = self.moments[self._place]
            self._place += 1
            self._next.put_nowait(("moment", to_json(moment)))
            if isinstance(moment.beat, Stop):
                self._next.put_nowait(("waiting", None))
                return
        self._next.put_nowait(("finished", 0))

    async def receive(self) -> Told:
        """The next thing told."""
        self._listens = True
        told = await self._next.get()
        self._listens = told is None
        await asyncio.sleep(self.slow)
        if told is None:
            raise EOFError
        return told

    @property
    def is_heard(self) -> bool:
        """Whether the screen has taken all that was told, and listens for more, or knows of the end."""
        return self._listens and self._next.empty()

    def send(self, word: str, value: object = None, descriptor: int = -1) -> None:
        """Hear the screen."""
        self.sent.append((word, value))
        if word == "on":
            self._tell()
        elif word == "go":
            beats = [moment.beat for moment in self.moments]
            heads = [place for place, beat in enumerate(beats) if isinstance(beat, (Heading, Summary))]
            assert isinstance(value, int)
            self._place = heads[value]
            stop = Stop("summary" if isinstance(beats[self._place], Summary) else "story")
            self._next.put_nowait(("moment", to_json(Moment(0, 0, stop))))
            self._tell()
        elif word == "quit":
            self._next.put_nowait(None)

    def tell(self, word: str, value: object) -> None:
        """Tell something beside the moments."""
        self._next.put_nowait((word, value))

    def interrupt(self) -> None:
        """End at once."""
        self.sent.append(("interrupt", None))
        self._next.put_nowait(None)

    def fail(self, *last: Told) -> None:
        """End with these last words."""
        for told in last:
            self._next.put_nowait(told)
        self._next.put_nowait(None)

    def close(self) -> str:
        """Nothing is left to do."""
        return ""
