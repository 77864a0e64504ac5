"""The worksheet and the quiz, as a printer gets them: whole A4 pages, no line cut, and no key on the students' copy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER = Path(__file__).parent.parent.parent / "docs/class"
SHEETS = ["worksheet.html", "worksheet.zh-TW.html", "quiz.html", "quiz.html#key"]
# Of each sheet, in pixels: how far its lines are below the foot's first line, and beyond its right edge.
BEYOND = """[...document.querySelectorAll('.sheet')].map(sheet => {
  const own = [...sheet.querySelectorAll('*:not(.foot)')].map(one => one.getBoundingClientRect());
  const foot = sheet.querySelector('.foot').getBoundingClientRect(), edge = sheet.getBoundingClientRect();
  return [Math.max(...own.map(box => box.bottom)) - foot.top, Math.max(...own.map(box => box.right)) - edge.right];
})"""


@pytest.mark.needs("chromium")
def test_each_sheet_is_one_page(browser: Browser) -> None:
    """All lines stand above the foot and within the edges, and the printer makes an A4 page of each sheet."""
    for name in SHEETS:
        tab = browser.new_page()
        tab.emulate_media(media="print")
        tab.goto(f"{FOLDER.as_uri()}/{name}")
        beyond = tab.evaluate(BEYOND)
        assert len(beyond) == 2 and all(below <= 0 and aside <= 0 for below, aside in beyond), (name, beyond)
        printed = tab.pdf(prefer_css_page_size=True, print_background=True)
        assert len(re.findall(rb"/Type ?/Page\b", printed)) == 2, name
        boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox ?\[([^\]]*)\]", printed)}
        assert {(round(box[2] / 72 * 25.4), round(box[3] / 72 * 25.4)) for box in boxes} == {(210, 297)}
        seen = tab.locator(".key").first.is_visible() if name.startswith("quiz") else False
        assert seen == name.endswith("#key")
        tab.close()


def tags(name: str) -> list[str]:
    """The tags of a page in their order, without those that only mark a word."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    return [tag for tag in re.findall(r"</?\w+", text) if tag.strip("</") not in ("code", "i", "b")]


def test_the_worksheets_have_the_same_parts() -> None:
    """The translation has each question, table, record and command of the English one."""
    assert tags("worksheet.html") == tags("worksheet.zh-TW.html")
    blocks = [re.findall(r"<pre>.*?</pre>", (FOLDER / name).read_text(), re.DOTALL) for name in SHEETS[:2]]
    assert blocks[0] == blocks[1] and len(blocks[0]) == 2


def test_each_question_of_the_quiz_has_its_key() -> None:
    """A question ends with its answer and its reason, and the points are those on top."""
    text = (FOLDER / "quiz.html").read_text()
    questions = re.findall(
        r"<li>[^<].*?\((\d) points?\)(.*?)(?=<li>[^<]*(?:<code>|\(|\?)[^\n]*points?\)|</ol>)", text, re.DOTALL
    )
    assert len(questions) == 11 and all(rest.count('class="key"') == 1 for _, rest in questions)
    total = re.search(r"Points \(of (\d+)\)", text)
    assert total and sum(int(points) for points, _ in questions) == int(total[1])
