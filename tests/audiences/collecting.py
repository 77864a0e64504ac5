"""An audience for tests."""

from __future__ import annotations

from scenarios.performance.beats import Moment


class Collector:
    """Keeps what it takes."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    def take(self, moment: Moment) -> None:
        """Keep the moment."""
        self.moments.append(moment)
