"""A translated page has the commands of its original, in the same order, and so a reader can do the same with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scenarios.classroom.exercise import Exercise, every
from scenarios.languages.catalogue import read
from scenarios.languages.choice import FOLDER, LANGUAGES

CHECKOUT = Path(__file__).parent.parent
CODES = [code for code in LANGUAGES if code != "en"]
PAGES = [
    (page, CHECKOUT / ("README.md" if page.parent == CHECKOUT else f"docs/{page.name}"))
    for code in CODES
    for page in (CHECKOUT / f"README.{code}.md", *sorted((CHECKOUT / "docs" / code).glob("*.md")))
] + [(one.folder / f"README.{code}.md", one.folder / "README.md") for code in CODES for one in every()]
WIDE = "[\u4e00-\u9fff]"
CROWDED = re.compile(rf"{WIDE}[A-Za-z0-9`]|[A-Za-z0-9`)]{WIDE}|{WIDE}[,;:?!]")
LINK = re.compile(r"\]\(([\w./-]+\.md)(?:#[^)]*)?\)")
THE_REST = "其他的頁面目前是英文"  # README.zh-TW.md says so once, above its long lists
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


@pytest.mark.parametrize("page", [page for page, _ in PAGES], ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_a_page_in_english_alone_is_marked(page: Path) -> None:
    """Where it is linked first, the reader is told."""
    text = page.read_text(encoding="utf-8").partition(THE_REST)[0]
    first = {(page.parent / found[1]).resolve(): found for found in reversed([*LINK.finditer(text)])}
    original = page.with_name("README.md") if page.name.startswith("README.") else CHECKOUT / "docs" / page.name
    for target, found in first.items():
        if target != original and not re.search(WIDE, target.read_text(encoding="utf-8").partition("\n\n")[0]):
            assert re.match("[^。]{0,4}英文）", text[found.end() :]), found[0]


def crowded(text: str) -> list[str]:
    """Where Chinese touches Latin letters, digits or code, or stands before a mark of Latin text."""
    text = re.sub(r"\]\([^)]*\)", "", text)  # where a link leads
    return [text[max(found.start() - 9, 0) : found.end() + 9] for found in CROWDED.finditer(text)]


def test_chinese_and_latin_stand_apart() -> None:
    """One space is between them, in the pages and in the catalogue; a Chinese mark needs none."""
    pages = [page.read_text(encoding="utf-8") for page, _ in PAGES]
    messages = [message for code in CODES for message in read(FOLDER / f"{code}.po").values()]
    assert not [found for text in (*pages, *messages) for found in crowded(text)]
    assert crowded("用sudo") and crowded("這裡:") and not crowded("用 sudo：這裡。")


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
