"""The catalogues: every message is translated, none is left over, and nothing that an audience shows is forgotten."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog

from scenarios.audiences import talk_keys
from scenarios.audiences.cast import cast
from scenarios.audiences.look import Look
from scenarios.audiences.report import report
from scenarios.audiences.talk_reel import RECORDINGS as FOLDER_OF_RECORDINGS
from scenarios.languages.catalogue import Catalogue, read
from scenarios.languages.choice import CHINESE, FOLDER
from scenarios.needs import PROGRAMS
from scenarios.performance import recording
from tools import messages
from tools.extract import WORD, of_python, of_template
from tools.messages import _texts, catalogues, fill, is_name, problems, updated

RECORDINGS = sorted(FOLDER_OF_RECORDINGS.glob("*.jsonl"))


@pytest.mark.parametrize("code", catalogues())
def test_every_message_is_translated_and_none_is_left_over(code: str) -> None:
    """`python -m tools.messages check`: missing, unused and fuzzy messages, and placeholders that differ."""
    assert not list(problems(catalogues()[code], messages.messages()))


def catalog(**translations: str) -> Catalog:
    """A catalogue of these messages."""
    made = Catalog("zh_TW")
    for english, translated in translations.items():
        made.add(english, translated)
    return made


@pytest.mark.parametrize(
    ("made", "wanted", "problem"),
    [
        (catalog(one="一"), {"one": [], "two": ["a.py"]}, "not in the catalogue: 'two' (a.py)"),
        (catalog(one="一", two="二"), {"one": []}, "unused: 'two'"),
        (catalog(one=""), {"one": []}, "not translated: 'one'"),
        (catalog(**{"{user} asks": "{name} 請求"}), {"{user} asks": []}, "other placeholders: '{user} asks'"),
        (catalog(**{"{user} asks": "有人請求"}), {"{user} asks": []}, "other placeholders: '{user} asks'"),
    ],
)
def test_what_is_wrong_is_found(made: Catalog, wanted: Mapping[str, list[str]], problem: str) -> None:
    """One problem each."""
    (found,) = problems(made, wanted)
    assert found.startswith(problem)


def test_a_fuzzy_translation_is_found() -> None:
    """A flag `fuzzy`, as gettext's tools set it, says that somebody has to look, also after an update."""
    made = catalog(one="一")
    made["one"].flags.add("fuzzy")
    assert list(problems(updated(made, {"one": ["a.py"]}), {"one": []})) == ["fuzzy: 'one'"]


def test_an_update_keeps_translations() -> None:
    """New messages come without one; those that nothing says any more go."""
    made = updated(catalog(one="一", old="舊"), {"one": ["a.py"], "two": ["b.py"]})
    assert {str(one.id): one.string for one in made if one.id} == {"one": "一", "two": ""}


def test_a_filled_in_file_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`missing` prints a .po; `fill` takes the translations that were written into it, and nothing else changes."""
    shutil.copy(FOLDER / "zh-TW.po", tmp_path)
    monkeypatch.setattr(messages, "FOLDER", tmp_path)
    given = tmp_path / "given.po"
    given.write_text('msgid "held"\nmsgstr "成立了"\n\nmsgid "nobody says this"\nmsgstr "沒有"\n', encoding="utf-8")
    before = read(tmp_path / "zh-TW.po")
    fill(given)
    after = read(tmp_path / "zh-TW.po")
    assert after == {**before, "held": "成立了"} and list(after) == list(before)


class Spy:
    """Translates, and keeps what it had no translation for."""

    def __init__(self) -> None:
        self.missed: set[str] = set()
        self._known = read(FOLDER / "zh-TW.po")

    def translate(self, text: str) -> str:
        """As CHINESE does."""
        told = CHINESE.translate(text)
        if told == text and text not in self._known and WORD.search(text) and not is_name(text):
            self.missed.add(text)
        return told


def data(path: Path) -> set[str]:
    """What a recording holds that is no message: arguments, what was seen, names."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    texts = [text for line in lines for text in _texts(line)]
    judged = [claim["seen"] for line in lines for claim in line.get("beat", {}).get("claims", ())]
    values = {str(value) for text in texts for value in text["arguments"].values()}
    remedies = {line["beat"]["remedy"] for line in lines if line.get("beat", {}).get("remedy")}
    users = {line["beat"]["user"] for line in lines if line.get("beat", {}).get("kind") == "opening"}
    words = {part for one in (*values, *judged) for part in one.split("; ")}
    return {*values, *remedies, *users, *judged, *words, *PROGRAMS}


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_nothing_that_is_shown_is_untranslated(path: Path) -> None:
    """Every message that a story performs, and every word of the terminal, the page and the report."""
    spy = Spy()
    looks = [Look(80, plain, detail, spy.translate) for plain in (True, False) for detail in ("short", "brief", "full")]
    for look in looks:
        list(cast(recording.read(path), look))
    report(recording.read(path), looks[0])
    assert not spy.missed - data(path)


def test_the_keys_of_a_talk_are_translated() -> None:
    """The help, and each bar of keys."""
    spy = Spy()
    look = Look(200, translate=spy.translate)
    talk_keys.help_table(look)
    for pending in (True, False):
        for trouble in (True, False):
            for ends in (True, False):
                entries = talk_keys.entries(
                    pending=pending, behind=False, trouble=trouble, recorded=True, ends=ends, languages=2
                )
                talk_keys.bar([*entries], look)
    assert not spy.missed


def found_in(tmp_path: Path, code: str) -> list[str]:
    """The messages of a module."""
    path = tmp_path / "module.py"
    path.write_text(code)
    return of_python(path)


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ('stage.say("a sentence")', ["a sentence"]),
        ('said = "one way" if a else "another"\nText(said)', ["one way", "another"]),
        ('raise MissingFeature(f"{self.user} runs no {name}", "start it")', ["{user} runs no {name}", "start it"]),
        ('raise ValueError("of no concern")', []),
        ('for _, what in (("a", "this key"), ("b", "that key")):\n    look.words(what)', ["this key", "that key"]),
        ('SHOWN = {"this way": f}\nfor title, show in SHOWN.items():\n    stage.say(title)', ["this way"]),
        ('def judge(claim):\n    stage.expect(True, claim)\n\njudge("it holds")', ["it holds"]),
        ('def said():\n    return "by a function"\n\nText(said())', ["by a function"]),
        ('raise CannotTell("it ended" + (f": {why}" if why else ""), "")', ["it ended: {why}", "it ended"]),
        ('TITLE = "The title"', ["The title"]),
        ('print("no message")', []),
    ],
)
def test_messages_are_found_where_they_are_told(tmp_path: Path, code: str, wanted: list[str]) -> None:
    """Names, conditions, loops and parameters lead back to the strings; an f-string becomes a message with {names}."""
    assert found_in(tmp_path, code) == wanted


def test_messages_of_a_template_are_found(tmp_path: Path) -> None:
    """The strings in words() and said(), also where a condition chooses."""
    path = tmp_path / "template.html"
    path.write_text(
        '{{ words("a word") }}{{ said("{count} more", count=1) }}{{ words("yes" if a else "no") }}{{ b("c") }}'
    )
    assert of_template(path) == ["a word", "{count} more", "yes", "no"]


def translated(*pairs: Iterable[str]) -> Catalogue:
    """A catalogue of these."""
    return Catalogue(dict(pairs))  # type: ignore[arg-type]


def test_a_finished_sentence_is_translated() -> None:
    """An error has gone through a pipe or over HTTP as a sentence; its arguments are found again, and translated."""
    catalogue = translated(
        ("there is no user {user}", "沒有使用者 {user}"),
        ("`{command}` ended with exit code {code}: {said}", "`{command}` 以結束碼 {code} 結束：{said}"),
        ("it printed no error", "它沒有印出錯誤"),
        ("a record of {comm}", "{comm} 的紀錄"),
        ("{a}: {b}", "{b}：{a}"),
        ("{count} found", "找到 {count} 次"),
    )
    told = catalogue.translate
    assert told("2 found") == "找到 2 次"
    assert told("there is no user bob") == "沒有使用者 bob"
    assert told("`a: b` ended with exit code 1: it printed no error") == "`a: b` 以結束碼 1 結束：它沒有印出錯誤"
    assert told("a record of wc; a record of touch") == "wc 的紀錄；touch 的紀錄"
    assert told("auid=alice; a record of wc") == "auid=alice；wc 的紀錄"
    for unknown in ("uid: 5", "there is no", "", "x" * 10_000, "{user}", "sh: 1: cat: not found"):
        assert told(unknown) == unknown
