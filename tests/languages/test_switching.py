"""The key L: on the speaker's screen and on the page, in the middle of what is shown."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from browsing import STEPS, Open, at_step, show
from performances import moments
from played import Played
from textual.widgets import Static

from scenarios.audiences.page.page import Page
from scenarios.audiences.talk import Talk
from scenarios.audiences.talk_notes import Board
from scenarios.audiences.talk_reel import RECORDINGS
from scenarios.languages.choice import CHINESE, ENGLISH, others_after


def shown(app: Talk, name: str) -> str:
    """What stands in a part of the screen."""
    part = app.stand.query_one(f"#{name}", Static)
    return "\n".join(part.render_line(line).text for line in range(part.size.height)) if part.display else ""


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (200, 60)])
def test_the_speaker_changes_the_language(tmp_path: Path, size: tuple[int, int]) -> None:
    """Title, step, keys and notes follow at once, and no line is wider than the screen."""
    link = Played.of(RECORDINGS / "run.jsonl")
    app = Talk(link, ["run"], board=Board(tmp_path / "talk.sock"), languages=others_after(CHINESE))

    async def driven() -> None:
        async with app.run_test(size=size) as pilot:
            for key in ("space", "p"):
                await pilot.press(key)
                await pilot.pause(0.2)
            assert "誰是容器的父進程？" in shown(app, "title")
            assert "容器帶有誰的登入 UID？" in shown(app, "step")
            assert "空白鍵 執行" in shown(app, "bar")
            assert "兩種引擎，同一個 runtime" in shown(app, "notes")
            for name in ("title", "step", "notes", "bar"):
                part = app.stand.query_one(f"#{name}", Static)
                assert all(part.render_line(line).cell_length <= size[0] for line in range(part.size.height))
            await pilot.press("l")
            await pilot.pause(0.2)
            assert "Whose loginuid does the container have?" in shown(app, "step")
            assert "Space run it" in shown(app, "bar")
            assert "Two engines, one runtime" in shown(app, "notes")

    asyncio.run(driven())


@pytest.fixture
def page() -> Iterator[Page]:
    """A page that never waits, in Chinese."""
    with Page(0, keyboard=False, language=CHINESE) as shown:
        yield shown


def test_a_viewer_chooses_by_the_address(page: Page) -> None:
    """The lang attribute says which it is; an unknown one, whatever is in it, is the page's own."""
    for query, language in (("", CHINESE), ("?lang=en", ENGLISH), ("?lang=zh-TW", CHINESE), ('?lang="><b>', CHINESE)):
        text = httpx.get(page.address + query, timeout=10).text
        assert re.findall(r'<html lang="(.*?)">', text) == [language.tag]
        assert "<b>" not in text


def test_each_viewer_has_a_language(page: Page) -> None:
    """The same steps, at the same time."""
    show(page, moments())
    for code, word in (("en", "held"), ("zh-TW", "成立")):
        with httpx.stream("GET", f"{page.address}events?lang={code}", timeout=10) as answer:
            data = (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))
            told = next(step["told"] for step in data if step.get("told"))
        assert told.startswith(f"{word}: ")


@pytest.mark.needs("chromium")
def test_the_key_changes_the_pages_language(page: Page, open_tab: Open) -> None:
    """And the speaker's place stays: it is the server that knows it."""
    show(page, moments())
    tab = open_tab(page.speaker_address)
    tab.locator("#place", has_text=f"第 {STEPS} 步").wait_for()
    tab.keyboard.press("Home")
    tab.locator("#place", has_text="第 1 步").wait_for()
    assert tab.evaluate("document.documentElement.lang") == CHINESE.tag
    tab.keyboard.press("l")
    at_step(tab, 1, STEPS)
    assert tab.evaluate("document.documentElement.lang") == ENGLISH.tag
    assert tab.locator("footer [data-key=language]").inner_text() == "L 繁體中文"
