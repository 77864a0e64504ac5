"""The grammar of the command lines: options, verbs, and how the words of a command are told apart.

Written by hand because each run of the fork/exec engine needs it: importing argparse is costly, see docs/developer.md.
"""

from __future__ import annotations

from lab.errors import PROGRAM, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

FLAG, VALUE, LIST, OPTIONAL = "flag", "value", "list", "optional"  # OPTIONAL: None if the option is not given
DEFAULTS = {FLAG: bool, VALUE: str, LIST: list, OPTIONAL: type(None)}


class Option:
    """One option: its spellings, the attribute it fills, whether it takes a value, and a line of help."""

    __slots__ = ("attribute", "help", "kind", "names")

    def __init__(self, names: str, kind: str, text: str) -> None:
        self.names, self.kind, self.help = names.split(), kind, text
        self.attribute = self.names[0].lstrip("-").replace("-", "_")


class Command:
    """One verb: its usage line, its options, and whether options may follow the first plain argument."""

    __slots__ = ("interspersed", "name", "options", "summary", "usage")

    def __init__(self, name: str, usage: str, summary: str, *options: Option, interspersed: bool = True) -> None:
        self.name, self.usage, self.summary, self.options = name, usage, summary, options
        self.interspersed = interspersed

    def parse(self, argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """The values of the options by attribute, and the plain arguments. Raises InvalidArgument, HelpWanted."""
        values: dict[str, Any] = {o.attribute: DEFAULTS[o.kind]() for o in self.options}
        plain: list[str] = []
        words = list(argv)
        while words:
            word = words.pop(0)
            if word == "--":
                return values, plain + words
            if not word.startswith("-") or word == "-":
                plain.append(word)
                if not self.interspersed:
                    return values, plain + words
            elif word == "--help":
                raise HelpWanted(self)
            elif word.startswith("--"):
                name, given, value = word.partition("=")
                self._take(values, name, value if given else None, words)
            else:
                self._take_short(values, word, words)
        return values, plain

    def _take_short(self, values: dict[str, Any], word: str, words: list[str]) -> None:
        """Short options: -it, -eA=1 and -e A=1."""
        for position in range(1, len(word)):
            name, rest = f"-{word[position]}", word[position + 1 :]
            if self._find(name).kind != FLAG:
                self._take(values, name, rest.removeprefix("=") if rest else None, words)
                return
            self._take(values, name, None, words)

    def _take(self, values: dict[str, Any], name: str, value: str | None, words: list[str]) -> None:
        option = self._find(name)
        if option.kind == FLAG:
            if value not in (None, "true", "false"):
                raise InvalidArgument(
                    f'invalid value "{value}" for {name}', f"write {name}, {name}=true or {name}=false"
                )
            values[option.attribute] = value != "false"
            return
        if value is None:
            if not words:
                raise InvalidArgument(f"flag needs an argument: {name}", f"usage: {PROGRAM} {self.usage}")
            value = words.pop(0)
        if option.kind == LIST:
            values[option.attribute].append(value)
        else:
            values[option.attribute] = value

    def _find(self, name: str) -> Option:
        for option in self.options:
            if name in option.names:
                return option
        if self.name in ("run", "create", "exec"):
            from lab.limits import refuse_absent

            refuse_absent(name)
        raise InvalidArgument(f"unknown flag: {name}", f"see '{PROGRAM} {self.name} --help'")

    def help(self, program: str) -> str:
        """The text of --help."""
        rows = [
            (", ".join(sorted(o.names, key=len)) + ("" if o.kind == FLAG else " VALUE"), o.help) for o in self.options
        ]
        width = max((len(names) for names, _ in rows), default=0)
        lines = [f"Usage: {program} {self.usage}", "", self.summary, ""]
        return "\n".join(lines + [f"  {names:{width}}  {text}" for names, text in rows])


class HelpWanted(Exception):
    """The words contain --help: the caller prints command.help() instead."""

    def __init__(self, command: Command) -> None:
        super().__init__(command.name)
        self.command = command
