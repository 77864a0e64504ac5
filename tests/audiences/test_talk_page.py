"""The page as a second view of a talk: its speaker's keys go on as those of the screen do."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from scenarios.audiences.page.page import Page
from scenarios.audiences.talk_wire import Channel
from scenarios.performance.beats import Moment, Stop
from scenarios.talk_stage import Going, Speaker

STOP = Moment(0, 0, Stop("step"))


class Keys(Page):
    """A page whose server is a pipe."""

    def __init__(self) -> None:
        self._keys, self._pressed = os.pipe()

    def press(self, key: str) -> None:
        """The speaker presses a key on the page; "" ends the server."""
        if key:
            os.write(self._pressed, f"{key}\n".encode())
        else:
            os.close(self._pressed)


class Talk:
    """A speaker who waits at a stop in a thread, the page, and the screen's end of the socket."""

    def __init__(self) -> None:
        here, there = socket.socketpair()
        self.page, self.screen = Keys(), Channel(here)
        self.speaker = Speaker(Channel(there), self.page)
        self._pool = ThreadPoolExecutor(1)

    def stops(self, stop: Moment = STOP) -> Future[None]:
        """Come to a stop; the value of the future is there once the talk has gone on."""
        going = self._pool.submit(self.speaker.take, stop)
        assert [self.screen.receive()[0] for _ in range(2)] == ["moment", "waiting"]
        return going


@pytest.fixture
def talk() -> Iterator[Talk]:
    """A talk whose screen ends with the test."""
    made = Talk()
    yield made
    made.screen.close()


def test_space_on_the_page_goes_on(talk: Talk) -> None:
    """As on the screen; a key that was pressed before the stop was not meant for it."""
    talk.page.press("on")
    going = talk.stops()
    with pytest.raises(TimeoutError):
        going.result(0.3)
    talk.page.press("on")
    assert going.result(30) is None


def test_the_screen_goes_on_beside_the_page(talk: Talk) -> None:
    """Its keys are heard as without a page, also two that came in one piece."""
    talk.screen.connection.sendall(b"on null\non null\n")
    talk.stops().result(30)
    talk.stops().result(30)


def test_next_on_the_page_leaves_the_story(talk: Talk) -> None:
    """N goes to the story behind the one that is told."""
    talk.speaker.index = 3
    going = talk.stops()
    talk.page.press("next")
    with pytest.raises(Going) as left:
        going.result(30)
    assert left.value.index == 4


def test_next_between_two_stories_is_on(talk: Talk) -> None:
    """On a card, N goes to the story that comes, and does not leave it out."""
    going = talk.stops(Moment(0, 0, Stop("story")))
    talk.page.press("next")
    assert going.result(30) is None


def test_a_page_that_ends_does_not_end_the_talk(talk: Talk) -> None:
    """The screen's keys go on as before."""
    going = talk.stops()
    talk.page.press("")
    with pytest.raises(TimeoutError):
        going.result(0.3)
    talk.screen.send("on")
    going.result(30)
    going = talk.stops()
    talk.screen.send("on")
    going.result(30)
