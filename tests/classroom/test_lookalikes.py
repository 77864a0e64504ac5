"""Names that look alike are flagged on both hand-ins, and no name that people have in one script, or in Chinese, is."""

from __future__ import annotations

from pathlib import Path

import pytest
from handed import graded, honest, sealed

from scenarios.classroom.lookalikes import look, mixed

CYRILLIC_A, FULL_WIDTH = "\u0410", str.maketrans({chr(one): chr(one + 0xFEE0) for one in range(0x21, 0x7F)})
ADA = "Ada Lovelace"


@pytest.mark.parametrize(
    ("name", "scripts"),
    [
        (f"{CYRILLIC_A}da Lovelace", ["CYRILLIC", "LATIN"]),
        ("Ada L\u03bfvelace", ["GREEK", "LATIN"]),
        ("\uff21da", ["FULLWIDTH", "LATIN"]),
        ("王\u0421", ["CJK", "CYRILLIC"]),
    ],
)
def test_two_scripts_in_one_word(name: str, scripts: list[str]) -> None:
    """The scripts are named."""
    assert mixed(name) == scripts


@pytest.mark.parametrize(
    "name",
    [
        "王小明 Ming", "王小明Ming", "王小明\uff2d\uff49\uff4e\uff47", "佐々木 りんゴー", "김철수", "金哲秀 김철수",
        "Нина Петрова", "Nina Петрова", "Anna-Мария", "Γιώργος", "Nguyễn Thị Ánh", "Zoe\u0308", "O\u02bcNeill",
        "Mª José", "Ana 2", "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "Ada".translate(FULL_WIDTH),
    ],
)  # fmt: skip
def test_a_name_of_one_script_a_word(name: str) -> None:
    """Two words may have two scripts, and Chinese, Japanese and Korean names have Latin letters beside their own."""
    assert mixed(name) == []


@pytest.mark.parametrize(
    "other",
    [
        f"{CYRILLIC_A}da Lovelace", ADA.translate(FULL_WIDTH), "Ada L0velace", "Ada Love1ace", "\u0391da Lovelace",
        "ADA LOVEL\u0410CE", "\U0001d400da Lovelace",
    ],
)  # fmt: skip
def test_two_names_that_look_the_same(other: str) -> None:
    """Look-alike letters, compatibility forms and capitals do not tell two names apart."""
    assert look(other) == look(ADA) and other.casefold() != ADA.casefold()


@pytest.mark.parametrize("other", ["Eda Lovelace", "Ada Lovelace 2", "Ad\u00e1 Lovelace", "王小明"])
def test_two_names_that_do_not(other: str) -> None:
    """An accent is seen."""
    assert look(other) != look(ADA)


def test_both_hand_ins_are_flagged(tmp_path: Path) -> None:
    """Each names the other; the one with two scripts in a word is flagged for itself, too. Nobody is refused."""
    names = [ADA, f"{CYRILLIC_A}da Lovelace", ADA.translate(FULL_WIDTH), "王小明 Ming"]
    rows = graded(tmp_path, *(sealed(honest(name, 100 * number)) for number, name in enumerate(names, 1)))
    alike = "a name that looks like that of"
    assert [row.flags for row in rows] == [
        [f"{alike} {rows[1].label}"],
        ["a word of its name has letters of several scripts: CYRILLIC, LATIN", f"{alike} {rows[0].label}"],
        [f"{alike} {rows[0].label}"],
        [],
    ]
    assert all(row.counts for row in rows)


def test_the_same_name_in_capitals_is_the_same_students(tmp_path: Path) -> None:
    """As the seed has it: that is told by the seed's flag alone."""
    rows = graded(tmp_path, sealed(honest()), sealed(honest(ADA.upper(), 500)))
    assert [len(row.flags) for row in rows] == [1, 1] and "the same seed" in rows[0].flags[0]
