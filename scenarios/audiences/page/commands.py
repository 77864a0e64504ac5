"""What a command line starts, as far as the line itself tells: which engine, and whether that makes a container."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# The daemon that an engine's client asks; "" for an engine that forks by itself.
DAEMONS: Mapping[str, str] = {"podmanish": "", "dockerish": "labd", "podman": "", "docker": "dockerd"}
STARTING = ("run", "exec", "start")
WITH_VALUE = ("--host", "--root", "-H")
_ENGINE = re.compile(rf"(?:^|(?<=[\s|;&('\"]))(?:\S*/bin/)?({'|'.join(DAEMONS)})(?=\s)")


@dataclass(frozen=True)
class Started:
    """A command line, taken apart.

    before, word, after   the line in three parts; word is the engine's, and "" where there is no engine
    engine                its name, or ""
    sudo                  whether sudo stands before the engine, or before the program
    container             whether the engine is to make a process in a container
    elsewhere             whether another daemon than the usual one is asked
    program               without an engine: the program that starts first, behind sudo
    """

    before: str
    word: str = ""
    after: str = ""
    engine: str = ""
    sudo: bool = False
    container: bool = False
    elsewhere: bool = False
    program: str = ""

    @property
    def daemon(self) -> str:
        """The daemon that is asked; "" if there is none."""
        return DAEMONS.get(self.engine, "")


def started(line: str) -> Started:
    """What this line of a shell starts; it need not be well-formed."""
    found = _ENGINE.search(line)
    if not found:
        words = line.split()
        sudo = words[:1] == ["sudo"]
        program = words[sudo].rpartition("/")[2] if len(words) > sudo else ""
        return Started(line, sudo=sudo, program=program)
    before, after = line[: found.start()], line[found.end() :]
    options, verb = _options(after.split())
    return Started(
        before,
        found[0],
        after,
        found[1],
        sudo="sudo" in before.split()[-1:],
        container=verb in STARTING,
        elsewhere=any(option.startswith(("--host", "-H")) for option in options),
    )


def _options(words: Sequence[str]) -> tuple[list[str], str]:
    """The words before an engine's verb, and the verb."""
    options: list[str] = []
    for word in words:
        if not word.startswith("-") and not (options and options[-1] in WITH_VALUE):
            return options, word
        options.append(word)
    return options, ""
