"""Looking on: what the tests of the page share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import httpx

from scenarios.audiences.page.page import Page
from scenarios.performance.beats import Moment
from scenarios.performance.performance import Audience

if TYPE_CHECKING:
    from playwright.sync_api import Page as Tab

Open = Callable[..., "Tab"]
STEPS = 7  # of performances.story()


def show(audience: Audience, played: Sequence[Moment]) -> None:
    """Hand all these moments on."""
    for moment in played:
        audience.take(moment)


def at_step(tab: Tab, number: int, count: int) -> None:
    """Wait until that step is shown."""
    tab.locator("#place", has_text=f"step {number} of {count}").wait_for()


def go_to(tab: Tab, number: int, count: int) -> None:
    """Show that step by the keys."""
    tab.keyboard.press("Home")
    for _ in range(number - 1):
        tab.keyboard.press("ArrowRight")
    at_step(tab, number, count)


class viewers:
    """That many streams, read by a program of its own; the value tells the last event's number by viewer."""

    def __init__(self, page: Page, count: int) -> None:
        self._address, self._count = f"{page.address}events", count
        self._stop = threading.Event()
        self.seen: dict[int, int] = {}

    def __enter__(self) -> dict[int, int]:
        self._threads = [threading.Thread(target=self._look, args=(who,)) for who in range(self._count)]
        for thread in self._threads:
            thread.start()
        return self.seen

    def __exit__(self, *error: object) -> None:
        self._stop.set()

    def _look(self, who: int) -> None:
        with httpx.stream("GET", self._address, timeout=60) as answer:
            for line in answer.iter_lines():
                if line.startswith("id: "):
                    self.seen[who] = int(line[4:])
                if self._stop.is_set():
                    return
