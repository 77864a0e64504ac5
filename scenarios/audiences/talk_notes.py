"""The speaker's notes: a text for each step, and a second terminal that follows the talk with them.

The screen listens on a UNIX socket that only root may open, and writes a line of JSON whenever something changes.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.rule import Rule

from lab.errors import LabError, NotAllowed
from scenarios.audiences.lines import Line
from scenarios.audiences.talk_reel import View
from scenarios.audiences.talk_wire import NOTES, PIECE
from scenarios.languages.choice import Language
from scenarios.performance.beats import Command, Predict, Say
from scenarios.performance.text import Translate, in_english

FOLDER = Path(__file__).parent.parent / "notes"
SINGLE_LINE_END = re.compile(r"(?<!\n)\n(?!\n)")  # a screen breaks lines where it wants; an empty line stays
RETRY = 0.5  # seconds between two looks for a talk


def notes_of(story: str, language: str = "en", folder: Path = FOLDER) -> Mapping[int, str]:
    """What the speaker says at the steps of a story, by their numbers; empty if nobody has written notes for it.

    Those of another language than English lie in a folder of its code; where there are none, the English ones are told.
    """
    place = folder / language
    file = place / f"{story}.toml" if (place / f"{story}.toml").exists() else folder / f"{story}.toml"
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
        return {int(step): SINGLE_LINE_END.sub(" ", str(text).strip()) for step, text in found.items()}
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise LabError(f"{file} is no file of notes: {error}", '1 = "what you say at step 1"') from None


def leads_in(view: View, translate: Translate = in_english) -> list[str]:
    """What a step begins with: its sentences, its question, its command."""
    found = []
    for beat in view.beats:
        match beat:
            case Say():
                found.append(beat.text.told(translate))
            case Predict():
                found.append(beat.question.told(translate))
            case Command():
                found.append(f"$ {beat.line}")
                break
    return found


class Board:
    """Shows to every follower what the screen pins to it."""

    def __init__(self, path: Path = NOTES) -> None:
        self._path = path
        self._followers: set[asyncio.StreamWriter] = set()
        self._line = b""

    async def open(self) -> None:
        """Raises OSError where the socket cannot be made."""
        self._path.parent.mkdir(mode=0o755, exist_ok=True)
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._welcome, self._path)
        finally:
            os.umask(before)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._followers.add(writer)
        writer.write(self._line)
        with suppress(ConnectionError):
            await reader.read()  # a follower says nothing; its end ends this
        self._followers.discard(writer)
        writer.close()

    def pin(self, state: Mapping[str, object]) -> None:
        line = json.dumps(state).encode() + b"\n"
        if line == self._line:
            return
        self._line = line
        for follower in self._followers:
            if follower.transport.get_write_buffer_size() < PIECE:  # one that does not read misses some
                follower.write(line)

    def close(self) -> None:
        self._path.unlink(missing_ok=True)


def follow(language: Language, path: Path = NOTES) -> None:
    """Show the notes of the talk that is on, and of the next one, until Ctrl-C. Raises NotAllowed."""
    console = Console(highlight=False)
    told = False
    while True:
        for state in _states(path):
            console.clear()
            console.print(sheet(state, language.translate))
            told = False
        if not told:
            said = language.told("No talk is on. These are the notes of the next `lab talk`; Ctrl-C ends this.")
            console.print(Group(Line(said)))
            told = True
        time.sleep(RETRY)


def _states(path: Path) -> Iterator[Mapping[str, str]]:
    """What one talk pins to its board, until it ends."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except PermissionError:
            raise NotAllowed("lab talk --notes needs root, as the talk does", "sudo lab talk --notes") from None
        except (FileNotFoundError, ConnectionError):
            return
        with connection.makefile("rb") as file, suppress(ConnectionError):
            for line in file:
                yield json.loads(line)


def sheet(state: Mapping[str, str], translate: Translate = in_english) -> Group:
    """One state of the board, for a terminal."""
    head = Line.assemble((state["title"], "bold"), f"   {state['place']}   ", (state["clock"], "bold"))
    parts: list[RenderableType] = [
        head,
        Rule(style="dim"),
        Line(state["notes"] or translate("No notes for this step.")),
    ]
    if state["state"]:
        parts += [Line(""), Line(state["state"], "italic")]
    if state["next"]:
        parts += [Rule(Line(translate("next"), "bold"), align="left", style="dim"), Line(state["next"])]
    return Group(*parts)
