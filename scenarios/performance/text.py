"""A sentence for an audience: the English message and its arguments apart, so that it can be told in any language."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

Translate = Callable[[str], str]
# A recording from elsewhere may hold any message, and str.format() would follow {a.b} and fill up {a:>999999999}.
_NAME = re.compile(r"\{(\w+)\}")


def in_english(message: str) -> str:
    """The message as it is."""
    return message


@dataclass(frozen=True)
class Text:
    """A message with {names}, and what stands for each name: a word, a number, or another text."""

    message: str
    arguments: Mapping[str, str | int | Text] = field(default_factory=dict)

    @classmethod
    def of(cls, message: str | Text, **arguments: str | int | Text) -> Self | Text:
        """This message with these arguments; a Text stays as it is."""
        return message if isinstance(message, Text) else cls(message, arguments)

    def told(self, translate: Translate = in_english) -> str:
        """The sentence, in the language that translate knows; a {name} that nothing stands for is left as it is."""
        words = {
            name: value.told(translate) if isinstance(value, Text) else value for name, value in self.arguments.items()
        }
        message = translate(self.message) if self.message else ""
        return _NAME.sub(lambda found: str(words.get(found[1], found[0])), message)

    def __str__(self) -> str:
        return self.told()


Argument = str | int | Text  # what may stand for a {name}
