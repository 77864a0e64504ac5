"""Lines of Chinese: two columns a character, broken where a line may break."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, Group
from rich.measure import Measurement

from scenarios.audiences.lines import Line, units

CLOSING, OPENING = "，。、：；？！」』）", "（「『"
TEXTS = st.text(alphabet="核心容器登入，。：（）「」 abc/-=.()", max_size=60)


def drawn(text: str, width: int) -> list[str]:
    """The lines as a terminal of that width shows them."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(Group(Line(text)))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [22, 33, 60, 80])
def test_words_stay_whole(width: int) -> None:
    """A path and a call are not cut, no line begins with a mark that closes, none ends with one that opens."""
    text = (
        "核心（kernel）把登入 UID 記在「進程」裡：/proc/self/loginuid。fork(2) 複製它，execve(2) 保留它；auid=unset！"
    )
    lines = drawn(text, width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(cell_len(line) <= width for line in lines)
    for word in ("/proc/self/loginuid", "fork(2)", "execve(2)", "auid=unset"):
        assert any(word in line for line in lines), word
    assert not any(line[0] in CLOSING or line[-1] in OPENING for line in lines)


@given(TEXTS)
def test_the_parts_are_the_text(text: str) -> None:
    """Nothing is lost between the places to break."""
    assert "".join(units(text)) == text


@given(TEXTS, st.integers(4, 30))
def test_no_line_is_too_wide(text: str, width: int) -> None:
    """Whatever is in it; and nothing but spaces is lost."""
    lines = drawn(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_english_is_broken_as_rich_does() -> None:
    """A line without a wide character is left to rich."""
    text = "The kernel is to record every write to /etc/shadow."
    assert drawn(text, 20) == ["The kernel is to", "record every write", "to /etc/shadow."]


def test_a_column_may_be_narrow() -> None:
    """In a table, Chinese takes as little as its longest word; rich alone would take the whole sentence for one."""
    console = Console(width=80)
    assert Measurement.get(console, console.options, Line("核心拒絕 fork(2) 嗎？")) == Measurement(7, 21)
