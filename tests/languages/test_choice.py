"""Which language is told: --lang, the environment, a key; and what stays English whatever it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path

import pytest

from scenarios.audiences.talk_notes import notes_of
from scenarios.audiences.terminal import Terminal
from scenarios.languages import choice
from scenarios.languages.choice import CHINESE, ENGLISH, chosen, in_arguments, others_after
from scenarios.languages.helping import argparse_in
from scenarios.performance.text import Text

CHECKOUT = Path(__file__).parent.parent.parent
LAB = str(Path(sys.executable).parent / "lab")
RUN = "scenarios/recordings/run.jsonl"


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({}, "en"),
        ({"LANG": "zh_TW.UTF-8"}, "zh-TW"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW"}, "zh-TW"),
        ({"LANG": "zh_TW.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "zh_TW.UTF-8", "LC_ALL": ""}, "zh-TW"),
        ({"LANG": "zh_HK.UTF-8"}, "zh-TW"),
        ({"LANG": "zh_CN.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
    ],
)
def test_the_environment_chooses(environment: Mapping[str, str], code: str) -> None:
    """LC_ALL before LC_MESSAGES before LANG, the first that is set; English for a language without a catalogue."""
    assert chosen("", environment).code == code


def test_lang_comes_first() -> None:
    """--lang overrides the environment, in both directions."""
    assert chosen("en", {"LANG": "zh_TW.UTF-8"}) is ENGLISH
    assert chosen("zh-TW", {"LANG": "C"}) is CHINESE


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["demo", "--lang", "zh-TW"], "zh-TW"),
        (["--lang=zh-TW"], "zh-TW"),
        (["--lang", "xx"], ""),
        (["--lang"], ""),
        ([], ""),
    ],
)
def test_lang_is_seen_before_the_arguments_are_parsed(argv: list[str], code: str) -> None:
    """Their help is to be in that language."""
    assert in_arguments(argv) == code


def test_a_key_goes_through_all_languages() -> None:
    """The chosen one first."""
    assert others_after(CHINESE) == [CHINESE, ENGLISH]


def test_english_reads_no_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs a start nothing."""

    def read(path: Path) -> dict[str, str]:
        raise AssertionError(path)

    monkeypatch.setattr(choice, "read", read)
    assert ENGLISH.told("{count} more", count=2) == "2 more"


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of the lab's, with its output as UTF-8."""
    settings = {name: value for name, value in os.environ.items() if name not in ("LC_ALL", "LC_MESSAGES", "LANG")}
    return subprocess.run(
        [LAB, *words], env={**settings, "PYTHONIOENCODING": "utf-8", **environment}, cwd=CHECKOUT, timeout=60,
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip


def test_the_verbs_speak_it() -> None:
    """A list, a recording, an error with its hint, a help; from LANG or from --lang."""
    chinese = {"LANG": "zh_TW.UTF-8"}
    assert "登入留下的印記" in run("list", **chinese).stdout
    assert "誰是容器的父進程？" in run("play", "--auto", "--lang", "zh-TW", RUN).stdout
    assert run("run", "nothing", **chinese).stderr.startswith("lab: 沒有故事「nothing」\n  現有：")
    assert "講所有的故事" in run("--help", **chinese).stdout
    assert "講所有的故事" not in run("--help", "--lang", "en", **chinese).stdout


def test_argparse_speaks_it_too() -> None:
    """What it says itself, in a help and of a wrong verb; an output that cannot have the characters gets English."""
    chinese = {"LANG": "zh_TW.UTF-8"}
    told = run("exercise", "start", "--help", **chinese).stdout
    assert told.startswith("用法：lab exercise start") and "顯示這段說明" in told and "options" not in told
    wrong = run("exercise", "strt", **chinese).stderr
    assert "lab exercise：錯誤：引數 VERB：無效的選擇 'strt'（可選：" in wrong and "usage" not in wrong
    told = run("exercise", "start", "--help", **{**chinese, "PYTHONIOENCODING": "ascii"}).stdout
    assert told.startswith("usage: lab exercise start") and "number or name" in told


def test_argparse_speaks_it_for_the_lab_alone() -> None:
    """Parsers that are made later have their own words."""
    with argparse_in(CHINESE):
        assert ArgumentParser("one").format_usage().startswith("用法：one")
    assert ArgumentParser("two").format_usage().startswith("usage: two")


def test_an_unknown_language_is_refused() -> None:
    """With those that there are."""
    done = run("play", "--lang", "tlh", RUN)
    assert done.returncode == 2
    assert "zh-TW" in done.stderr


def test_json_stays_english() -> None:
    """Programs read it."""
    english, chinese = (json.loads(run("doctor", "--json", LANG=lang).stdout) for lang in ("C.UTF-8", "zh_TW.UTF-8"))
    assert [finding["what"] for finding in english] == [finding["what"] for finding in chinese]


def test_an_output_that_cannot_hold_it_gets_english() -> None:
    """English in ASCII, and no error."""
    for encoding in ("ascii", "latin-1"):
        done = run("play", "--auto", "--lang", "zh-TW", RUN, PYTHONIOENCODING=encoding)
        assert "Who is the container's parent?" in done.stdout
        assert done.stdout.isascii() and not done.stderr


def test_a_report_tells_its_language(tmp_path: Path) -> None:
    """The lang attribute, which chooses fonts and the voice of a screen reader."""
    done = run("report", RUN, "-o", str(tmp_path / "report.html"), "--lang", "zh-TW")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert done.returncode == 0
    assert (
        '<html lang="zh-Hant-TW">' in text
        and "誰是容器的父進程？" in text
        and "auid=alice" not in text.split("<main>")[0]
    )


def test_names_are_not_translated() -> None:
    """A user may be called as a message reads; a sentence that stands for a {name} is told in the language."""
    assert Text("the record names {user}", {"user": "nobody"}).told(CHINESE.translate) == "紀錄指名 nobody"
    assert Text("{x}", {"x": "the lab's own sender"}).told(CHINESE.translate) == "lab 自己的傳送程式"


def test_notes_fall_back_to_english(tmp_path: Path) -> None:
    """Those of a language lie in its folder; where there are none, the English ones are told."""
    (tmp_path / "zh-TW").mkdir()
    (tmp_path / "run.toml").write_text('1 = "Say this."')
    assert notes_of("run", "zh-TW", tmp_path) == {1: "Say this."}
    (tmp_path / "zh-TW" / "run.toml").write_text('1 = "這樣說。"', encoding="utf-8")
    assert notes_of("run", "zh-TW", tmp_path) == {1: "這樣說。"}
    assert notes_of("run", "en", tmp_path) == {1: "Say this."}


def test_a_terminal_speaks_it() -> None:
    """What it says beside the performance goes through the same catalogue."""
    terminal = Terminal(translate=CHINESE.translate)
    terminal.look = type(terminal.look)(80, translate=CHINESE.translate)
    assert terminal.look.words("Enter to go on") == "按 Enter 繼續"
