"""A translated page has the commands of its original, in the same order, and so a reader can do the same with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scenarios.classroom.exercise import Exercise, every
from scenarios.languages.choice import LANGUAGES

CHECKOUT = Path(__file__).parent.parent
CODES = [code for code in LANGUAGES if code != "en"]
PAGES = [
    (page, CHECKOUT / ("README.md" if page.parent == CHECKOUT else f"docs/{page.name}"))
    for code in CODES
    for page in (CHECKOUT / f"README.{code}.md", *sorted((CHECKOUT / "docs" / code).glob("*.md")))
] + [(one.folder / f"README.{code}.md", one.folder / "README.md") for code in CODES for one in every()]
BLOCK = re.compile(r"^(?:<!-- ([^>]+) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


STORY = re.compile(r"stories/\w+\.md")


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """The mark, the language and the text of each fenced block; of a picture or an output, only that it is there."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [
        (re.sub(r"^drawn [\w-]+:", "drawn:", mark), language, "" if language == "mermaid" or "drawn" in mark else text)
        for mark, language, text in found
    ]


@pytest.mark.parametrize(("page", "original"), PAGES, ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_the_commands_are_those_of_the_original(page: Path, original: Path) -> None:
    """Where the original got another command, the translation is out of date."""
    assert blocks(page) == blocks(original)


@pytest.mark.parametrize(("page", "original"), PAGES, ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_the_parts_are_those_of_the_original(page: Path, original: Path) -> None:
    """As many headings of each level, in the same order."""
    levels = [
        re.findall(r"^#+(?= )", BLOCK.sub("", one.read_text(encoding="utf-8")), re.MULTILINE)
        for one in (page, original)
    ]
    assert levels[0] == levels[1]


@pytest.mark.parametrize(("page", "original"), PAGES, ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_the_stories_are_those_of_the_original(page: Path, original: Path) -> None:
    """Each story that the original links, in its order."""
    linked = [STORY.findall(one.read_text(encoding="utf-8")) for one in (page, original)]
    assert linked[0] == linked[1]


@pytest.mark.parametrize("one", every(), ids=lambda one: one.name)
@pytest.mark.parametrize("code", CODES)
def test_the_page_of_an_exercise_asks_for_the_same(one: Exercise, code: str) -> None:
    """Its title is that of `lab exercise list`; commands, files and links are those of the English page."""
    text, english = ((one.folder / name).read_text(encoding="utf-8") for name in (f"README.{code}.md", "README.md"))
    title = LANGUAGES[code].translate(one.about.title)
    assert text.startswith(f"# {one.number}. {title}\n\n[English](README.md) ")
    assert re.search(rf"\b{one.about.minutes} ", text)
    for what in (r"^    .*", r"`[^`]+`", r"\]\((?!README)[^)]+\)"):
        asked = [{one.replace("\n", " ") for one in re.findall(what, page, re.MULTILINE)} for page in (text, english)]
        assert asked[0] == asked[1]
