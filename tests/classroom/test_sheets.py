"""The worksheet and the quiz, as a printer gets them: whole A4 pages, no line cut, and no key on the students' copy."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER = Path(__file__).parent.parent.parent / "docs/class"
SHEETS = [
    "worksheet.html", "worksheet.zh-TW.html", "quiz.html", "quiz.html#key", "quiz.zh-TW.html", "quiz.zh-TW.html#key"
]  # fmt: skip
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


def named(part: str) -> list[str]:
    """The names and the numbers of a part, which are the same in every language."""
    text = re.sub(r"<[^>]*>", " ", html.unescape(part))
    return sorted(re.findall(r"[\w=/|-]*(?:[_\d]|[A-Z]{2})[\w=/-]*", text, re.ASCII))


@pytest.mark.parametrize("sheet", ["worksheet", "quiz"])
def test_a_translation_has_the_parts_of_the_original(sheet: str) -> None:
    """Each question, table, record and command, and in each part of the text the same names and numbers."""
    names = f"{sheet}.html", f"{sheet}.zh-TW.html"
    assert tags(names[0]) == tags(names[1])
    pages = [(FOLDER / name).read_text(encoding="utf-8") for name in names]
    for what in (r"<pre>.*?</pre>", r"<code>.*?</code>"):
        assert len({tuple(re.findall(what, page, re.DOTALL)) for page in pages}) == 1
    for what in (r"<p.*?</p>", r"<h\d>.*?</h", r"<li>.*?</li>", r"<t[dh]>.*?(?=<t[dh]|</tr)"):
        parts = [re.findall(what, page, re.DOTALL) for page in pages]
        assert [*map(named, parts[0])] == [*map(named, parts[1])]


QUIZZES = [name for name in SHEETS if re.fullmatch(r"quiz.*\.html", name)]


def questions(name: str) -> list[tuple[int, list[str], str]]:
    """The points, the choices and the key of each question of a quiz, in their order."""
    text = (FOLDER / name).read_text(encoding="utf-8").replace("&nbsp;", " ")
    found = re.findall(r"[(（](\d) (?:points?|分)[)）]\n(.*?)<p class=\"key\">(.*?)</p></li>\n", text, re.DOTALL)
    return [
        (int(points), re.findall(r"<li>(.*?)</li>", choices.lower()), key.lower()) for points, choices, key in found
    ]


@pytest.mark.parametrize("name", QUIZZES)
def test_each_question_of_the_quiz_has_its_key(name: str) -> None:
    """A question ends with its answer and its reason, and the points are those on top."""
    text, asked = (FOLDER / name).read_text(encoding="utf-8"), questions(name)
    assert len(asked) == text.count('class="key"') == 11 and all(key for *_, key in asked)
    total = re.search(r"(?:Points \(of|得分（滿分) (\d+)", text)
    assert total and sum(points for points, *_ in asked) == int(total[1])


def chosen(choices: list[str], key: str) -> int:
    """The place of the choice that has more of the key's beginning than any other."""
    shared = [
        next((at for at, pair in enumerate(zip(choice, key, strict=False)) if len({*pair}) > 1), len(choice))
        for choice in choices
    ]
    assert shared.count(max(shared)) == 1, (choices, key)
    return shared.index(max(shared))


def test_every_quiz_has_the_same_key() -> None:
    """Of each choice the same answer is right, for the same points."""
    keys = [
        [(points, chosen(choices, key) if choices else None) for points, choices, key in questions(name)]
        for name in QUIZZES
    ]
    assert len(keys) == 2 and keys[0] == keys[1] and sum(right is not None for _, right in keys[0]) == 7
