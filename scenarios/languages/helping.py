"""A command's --help in another language: what the lab has written there, and what argparse says itself."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from scenarios.languages.choice import ENGLISH, Language
from scenarios.performance.text import message

ARGPARSE = (
    message("usage: "),
    message("positional arguments"),
    message("options"),
    message("show this help message and exit"),
    message("%(prog)s: error: %(message)s\n"),
    message("argument %(argument_name)s: %(message)s"),
    message("invalid choice: %(value)r (choose from %(choices)s)"),
    message("invalid %(type)s value: %(value)r"),
    message("the following arguments are required: %s"),
    message("unrecognized arguments: %s"),
    message("expected one argument"),
    message("ambiguous option: %(option)s could match %(matches)s"),
)


def printable(language: Language) -> Language:
    """That language, or English where the output could not take its characters; argparse would end in an error."""
    return language if (sys.stdout.encoding or "").lower().startswith("utf") else ENGLISH


@contextmanager
def argparse_in(language: Language) -> Iterator[None]:
    """Parsers that are made and used in here speak that language.

    argparse takes its sentences from gettext, by the name _ (gettext, "Deferred translations"), and gettext would need
    a catalogue that was compiled. An argparse without that name speaks English.
    """
    names = vars(argparse)
    before = names.get("_")
    names["_"] = language.translate
    try:
        yield
    finally:
        names["_"] = before


def in_language(parser: argparse.ArgumentParser, language: Language) -> None:
    """Translate the descriptions of a parser, its arguments and its verbs."""
    if parser.description:
        parser.description = language.translate(parser.description)
    for action in parser._actions:
        if action.help and not isinstance(action, argparse._HelpAction):  # argparse has translated that one
            action.help = language.translate(action.help)
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                choice.help = choice.help and language.translate(choice.help)
            for verb in {id(verb): verb for verb in action.choices.values()}.values():
                in_language(verb, language)
