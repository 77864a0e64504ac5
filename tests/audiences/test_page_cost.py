"""What the page costs: how soon a beat is seen, and what viewers cost a run."""

from __future__ import annotations

import os
import re
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import Open, show, viewers
from performances import moments
from waiting import wait_for

from scenarios.audiences.page.page import Page
from scenarios.performance.beats import Moment, Say
from scenarios.performance.text import Text


@pytest.fixture
def page() -> Iterator[Page]:
    """A page that never waits."""
    with Page(0, keyboard=False) as shown:
        yield shown


VIEWERS = 30


@pytest.mark.needs("chromium")
def test_from_beat_to_pixel(page: Page, open_tab: Open) -> None:
    """A beat is on the screen in less than 100 ms (median), while 30 others look on."""
    tab = open_tab(page.address)
    tab.evaluate(
        "() => { window.painted = []; new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => "
        "window.painted.push(performance.timeOrigin + performance.now())))).observe(document.querySelector('#step'), "
        "{childList: true}); }"
    )
    with viewers(page, VIEWERS - 1):
        show(page, moments()[:6])
        tab.locator(".told").wait_for()
        delays = []
        for number in range(20):
            tab.evaluate("window.painted.length = 0")
            before = time.time() * 1000
            page.take(Moment(100 + number, 1, Say(Text(f"number {number}"))))
            tab.locator(".told p", has_text=re.compile(f"number {number}$")).wait_for()
            tab.wait_for_timeout(40)
            delays.append(tab.evaluate("window.painted[0]") - before)
    print(f"from beat to pixel: median {statistics.median(delays):.0f} ms, longest {max(delays):.0f} ms")
    assert statistics.median(delays) < 100


def test_thirty_viewers_cost_a_run_nothing(page: Page) -> None:
    """A beat is handed on in a few milliseconds at most, however many look on; each of 30 viewers sees the end."""
    times = {count: taken(page, count) for count in (0, VIEWERS)}
    used = sum(map(float, Path(f"/proc/{page.pid}/stat").read_text().rpartition(") ")[2].split()[11:13]))
    print(f"handing a beat on: {times} ms; the server used {used / os.sysconf('SC_CLK_TCK'):.2f} s of a CPU")
    assert max(times.values()) < 5


def taken(page: Page, count: int) -> float:
    """The milliseconds that take() lasted (median), with that many viewers, each of whom then has the last beat."""
    taken, number = [], count * 1000
    with viewers(page, count) as seen:
        for moment in moments() * 5:
            number += 1
            began = time.perf_counter()
            page.take(Moment(number, 1, moment.beat))
            taken.append((time.perf_counter() - began) * 1000)
            time.sleep(0.005)
        page.take(Moment(number + 1, 1, Say(Text("the last"))))
        wait_for(lambda: [*seen.values()] == [number + 1] * count)
    return statistics.median(taken)
