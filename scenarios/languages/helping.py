"""A command's --help in another language: what the lab has written there, not what argparse says itself."""

from __future__ import annotations

import argparse

from scenarios.languages.choice import Language


def in_language(parser: argparse.ArgumentParser, language: Language) -> None:
    """Translate the descriptions of a parser, its arguments and its verbs."""
    if parser.description:
        parser.description = language.translate(parser.description)
    for action in parser._actions:
        action.help = action.help and language.translate(action.help)
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                choice.help = choice.help and language.translate(choice.help)
            for verb in {id(verb): verb for verb in action.choices.values()}.values():
                in_language(verb, language)
