"""A sentence for an audience: the English message and its arguments apart, so that it can be told in any language."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

Translate = Callable[[str], str]
# A recording from elsewhere may hold any message, and str.format() would follow {a.b} and fill up {a:>999999999}.
_NAME = re.compile(r"\{(\w+)\}")
AS_IT_IS = "{seen}"  # the message of what was seen: data, an error, or a sentence that was put together already


def in_english(message: str) -> str:
    """The message as it is."""
    return message


def message(english: str) -> str:
    """Marks a message for the catalogues, where tools/messages.py does not see that it is told to an audience."""
    return english


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
        if self.message == AS_IT_IS:
            return translate(str(self.arguments.get("seen", AS_IT_IS)))
        words = {name: _told(value, translate) for name, value in self.arguments.items()}
        message = translate(self.message) if self.message else ""
        return _NAME.sub(lambda found: str(words.get(found[1], found[0])), message)

    def __str__(self) -> str:
        return self.told()


def _told(value: str | int | Text, translate: Translate) -> str | int:
    """An argument in that language. A single word is a name: a user may be called `nobody`."""
    if isinstance(value, Text):
        return value.told(translate)
    return translate(value) if isinstance(value, str) and " " in value else value


Argument = str | int | Text  # what may stand for a {name}
