"""A catalogue: what each English message is in another language, read from a .po file of GNU gettext as it lies there.

A .po needs no build step, and reading this one takes a few ms; English reads none. The format:
https://www.gnu.org/software/gettext/manual/html_node/PO-Files.html. docs/translating.md is for translators.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

_ENTRY = re.compile(r'^msgid ((?:".*"\n)+)msgstr ((?:".*"(?:\n|$))+)', re.MULTILINE)
_NAME = re.compile(r"\{(\w+)\}")
_COUNTED = re.compile(r"\{\w+\} \w+")  # a count and a word: "{count} found" would match "sh: 1: cat: not found"
LONGEST = 2000  # characters of a finished sentence; what is longer is no message of the lab's
FEWEST_LETTERS = 4  # of a template: "{a}: {b}" would match anything


def read(path: Path) -> dict[str, str]:
    """English message to translation, for those that have one. The escapes of a .po are those of JSON."""
    entries = _ENTRY.findall(path.read_text(encoding="utf-8"))
    found = {_joined(english): _joined(translated) for english, translated in entries}
    return {english: translated for english, translated in found.items() if english and translated}


def _joined(quoted: str) -> str:
    return "".join(json.loads(line) for line in quoted.splitlines())


class Template:
    """A message with {names}, to find what stands for them in a sentence that was put together in English already."""

    def __init__(self, message: str, translated: str) -> None:
        pieces = _NAME.split(message)
        self._literals, self._names, self._translated = pieces[::2], pieces[1::2], translated
        self.letters = sum(map(str.isalpha, "".join(self._literals)))
        self._counted = bool(_COUNTED.fullmatch(message))

    def match(self, sentence: str) -> Mapping[str, str] | None:
        """What stands for each name, taken as short as possible from the left; None for another sentence.

        Before a single word, such as "{count} found", stands one word, too.
        """
        first, *middle, last = self._literals
        if not sentence.startswith(first) or not sentence.endswith(last):
            return None
        found, at, end = [], len(first), len(sentence) - len(last)
        for literal in middle:
            place = sentence.find(literal, at, end)
            if place < 0:
                return None
            found.append(sentence[at:place])
            at = place + len(literal)
        words = [*found, sentence[at:end]]
        if at > end or (self._counted and " " in words[0]):
            return None
        return dict(zip(self._names, words, strict=True))

    def told(self, words: Mapping[str, str]) -> str:
        return _NAME.sub(lambda name: words[name[1]], self._translated)


class Catalogue:
    """Translates messages, and sentences that were finished in English: errors, what was seen, what labd answered.

    An error goes through pipes and over HTTP as a sentence, so its message and its arguments are apart no more.
    """

    def __init__(self, messages: Mapping[str, str]) -> None:
        self._messages = messages
        templates = (Template(*both) for both in messages.items() if _NAME.search(both[0]))
        known = (template for template in templates if template.letters >= FEWEST_LETTERS)
        self._templates = sorted(known, key=lambda template: -template.letters)
        self._sentence = lru_cache(maxsize=4096)(self._finished)

    def translate(self, text: str) -> str:
        """A message, or a finished sentence, or several with "; " between; what is none of these stays as it is."""
        return self._messages.get(text) or self._sentence(text)

    def _finished(self, sentence: str) -> str:
        if not sentence or len(sentence) > LONGEST:
            return sentence
        several = [(one, self.translate(one)) for one in sentence.split("; ")] if "; " in sentence else []
        if several and all(english != told or " " not in english for english, told in several):
            return "；".join(told for _, told in several)
        for template in self._templates:
            if (words := template.match(sentence)) is not None:
                told = {name: self.translate(word) if " " in word else word for name, word in words.items()}
                return template.told(told)  # a single word is a name
        return "; ".join(told for _, told in several) or sentence
