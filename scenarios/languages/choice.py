"""Which language: what --lang says, else the environment, as gettext looks at it; English where there is no other."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scenarios.languages.catalogue import Catalogue, read
from scenarios.performance.text import Argument, Text

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Language:
    """A language that the lab speaks.

    code      as --lang has it, and the name of the catalogue
    name      what it calls itself
    tag       for the lang attribute of HTML; BCP 47
    locales   the beginnings of the locales of those who read it
    colon     what stands between a name and what is said of it, with the blank behind it if there is one
    """

    code: str
    name: str
    tag: str
    locales: tuple[str, ...] = ()
    colon: str = ": "

    @cached_property
    def translate(self) -> Callable[[str], str]:
        """Gives a message, or a finished English sentence, in this language."""
        return Catalogue(read(FOLDER / f"{self.code}.po")).translate

    def told(self, message: str, **arguments: Argument) -> str:
        """The sentence in this language."""
        return Text(message, arguments).told(self.translate)

    def tell(self, message: str, **arguments: Argument) -> None:
        """Print it."""
        print(self.told(message, **arguments), flush=True)


class English(Language):
    """The language that the messages are written in."""

    @cached_property
    def translate(self) -> Callable[[str], str]:
        return str


ENGLISH = English("en", "English", "en")
CHINESE = Language("zh-TW", "繁體中文", "zh-Hant-TW", ("zh_TW", "zh_HK", "zh_MO", "zh_Hant"), "：")
LANGUAGES = {language.code: language for language in (ENGLISH, CHINESE)}


def in_arguments(argv: Sequence[str]) -> str:
    """The code after --lang, before the arguments are parsed, since their help is to be in that language; or ""."""
    given = " ".join(argv).replace("--lang=", "--lang ").split("--lang ")[1:]
    code = given[-1].split(" ")[0] if given else ""
    return code if code in LANGUAGES else ""


def chosen(code: str = "", environment: Mapping[str, str] = os.environ) -> Language:
    """The language of that code; without one, that of the environment's first setting; locale(7)."""
    if code:
        return LANGUAGES[code]
    settings = (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    setting = next(filter(None, settings), "")
    return next((one for one in LANGUAGES.values() if one.locales and setting.startswith(one.locales)), ENGLISH)


def others_after(first: Language) -> list[Language]:
    """All languages, from this one on: those that a key goes through."""
    return [first, *(language for language in LANGUAGES.values() if language is not first)]
