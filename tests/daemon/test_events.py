"""The daemon's events: what is kept of them, and for whom."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from daemon.events import KEPT, QUEUED, Events


def test_history_is_bounded_in_bytes() -> None:
    """Labels and command lines of megabytes cost the history some kilobytes; the attributes' own names come first."""

    async def scenario() -> list[dict[str, Any]]:
        events = Events()
        for number in range(KEPT + 10):
            labels = {"name": "label", "long": "x" * 7_000_000, **{f"l{n}": "y" * 100 for n in range(1000)}}
            events.add("container", "exec_create: " + "z" * 1_000_000, "id", {"name": str(number)}, labels)
        return list(events._history)

    kept = asyncio.run(scenario())
    assert len(kept) == KEPT
    assert len(json.dumps(kept)) < KEPT * 32_000
    assert kept[-1]["Actor"]["Attributes"]["name"] == str(KEPT + 9)


def test_any_label_can_be_told() -> None:
    """Labels named as the parameters of a function are labels like others."""
    events = Events()
    labels = {"kind": "a", "action": "b", "actor": "c", "self": "d"}
    events.add("container", "start", "id", {"name": "n"}, labels)
    assert events._history[0]["Actor"]["Attributes"] == {"name": "n", **labels}


def test_a_listener_that_does_not_read_is_dropped() -> None:
    """It gets what has been queued for it, then its stream ends; others hear all."""

    async def scenario() -> tuple[int, int]:
        events = Events()
        slow, quick = (events.follow(None, None, lambda _: True) for _ in range(2))
        heard = 1
        first = asyncio.gather(anext(slow), anext(quick))
        await asyncio.sleep(0)
        for number in range(QUEUED * 3):
            events.add("container", "start", str(number), {}, {})
            await asyncio.sleep(0)
            if number == 0:
                await first
            else:
                await anext(quick)
                heard += 1
        rest = len([event async for event in slow])
        assert len(events._queues) == 1
        await quick.aclose()
        return heard, rest

    assert asyncio.run(scenario()) == (QUEUED * 3, QUEUED)
