"""How exercises, results and predictions are told in a terminal: lines of at most 80 columns, also in ASCII.

Code alone has longer lines.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from typing import Literal

from rich.console import Console, Group
from rich.table import Table

from lab.audit.records import Event
from scenarios.audiences.drawing import draw
from scenarios.audiences.lines import Line
from scenarios.audiences.look import STYLES, Look
from scenarios.classroom.checking import Failure, Result
from scenarios.classroom.desk import Done, Progress
from scenarios.classroom.exercise import Exercise, Question
from scenarios.classroom.typed import lab
from scenarios.languages.choice import ENGLISH, Language
from scenarios.performance.beats import FAILED, HELD, UNKNOWN, Evidence, Word
from scenarios.performance.text import Argument, Text, message

COLUMNS = 80
PAGE = re.compile(r"(docs/[\w/-]+|[A-Z]+)\.md(#[\w-]+)?")
MOST = 3  # failures that are shown at once
SHOUTED = message("FAILED")  # a mark in ASCII, and a word


class Shown:
    """What prints; colours are left out without color, and where NO_COLOR is set (no-color.org).

    plain: for a screen reader, ASCII and no escape codes at all.
    """

    def __init__(self, *, color: bool = True, plain: bool = False, language: Language = ENGLISH) -> None:
        codes: Literal["auto"] | None = None if plain else "auto"
        self.console = Console(no_color=None if color else True, color_system=codes, highlight=False)
        ascii_only = self.console.options.ascii_only
        if ascii_only and isinstance(self.console.file, TextIOWrapper):
            self.console.file.reconfigure(errors="backslashreplace")
        self.console.width = min(self.console.width, COLUMNS)
        self.language = ENGLISH if ascii_only else language
        self.look = Look(self.console.width, plain or ascii_only, translate=self.language.translate)

    def say(self, message: str | Text, /, *, style: str = "", **arguments: Argument) -> None:
        """A sentence."""
        self.console.print(Group(Line(self.look.words(Text.of(message, **arguments)), style=style)))

    def lines(self, text: str, *, style: str = "", indent: str = "") -> None:
        """Text of several lines, whose line ends stay."""
        for line in text.splitlines():
            self.console.print(Group(Line(f"{indent}{line}", style=style)))

    def code(self, text: str) -> None:
        """A file, indented; its lines are never broken, so that what was copied runs."""
        self.console.print(Line(textwrap.indent(text.rstrip(), "    ")), soft_wrap=True)

    def told(self, text: str) -> None:
        """A text of an exercise, in the language of this audience; its line ends stay."""
        self.lines(self.look.words(Text(text)))

    def gap(self) -> None:
        self.console.print()

    def marked(self, word: Word, message: str | Text, /, **arguments: Argument) -> None:
        """A sentence behind the mark of HELD, FAILED or UNKNOWN."""
        mark = self.look.marks[word]
        line = Line(f"{self.look.words(mark) if mark == SHOUTED else mark} ", style=STYLES[word])
        line.append(self.look.words(Text.of(message, **arguments)))
        self.console.print(Group(line))

    def record(self, event: Event) -> None:
        """The telling fields of an event."""
        self.console.print(draw(Evidence(tuple(record.to_line() for record in event.records)), self.look))

    def listed(self, exercises: Sequence[Exercise], progress: Progress) -> None:
        """A line for each exercise."""
        grid = Table.grid(padding=(0, 2))
        for exercise in exercises:
            about, done = exercise.about, progress.exercises.get(exercise.name, Done())
            mark = self.look.marks[HELD] if done.passed else self.look.marks["dot"] if done.started else ""
            needed = ", ".join(about.needs) or "-"
            title, minutes = Text(about.title), Text("{minutes} min", {"minutes": about.minutes})
            grid.add_row(mark, str(exercise.number), *(Line(self.look.words(one)) for one in (title, minutes)), needed)
        self.console.print(grid)
        if any(done.started and not done.passed for done in progress.exercises.values()):
            self.say("{mark} begun, not passed yet", mark=self.look.marks["dot"], style="dim")

    def naming(self) -> None:
        """How this student calls `lab`, where the word alone is not found."""
        if lab() != "lab":
            self.say("Where a text says `lab`, type {command}", command=lab(), style="dim")

    def question(self, question: Question, number: int, questions: int) -> None:
        """A question with its numbered choices, and which one of how many it is."""
        self.say("Question {number} of {questions}", number=number, questions=questions, style="bold")
        self.say(question.ask)
        choices = (f"{number}) {self.look.words(Text(choice))}" for number, choice in enumerate(question.choices, 1))
        self.lines("  ".join(choices), style="dim")

    def hint(self, exercise: Exercise, number: int) -> None:
        """The hint of that number, from 1 on; behind the last one, that there is no other."""
        hints = exercise.about.hints
        if number <= len(hints):
            text = Text(hints[number - 1])
            self.say("Hint {number} of {hints}: {text}", number=number, hints=len(hints), text=text)
        if number >= len(hints) and exercise.has_solution:
            solution = f"{lab()} exercise solution {exercise.number}"
            self.say("There is no other hint. The solution: {solution}", solution=solution, style="dim")
        elif number >= len(hints):
            self.say("There is no other hint. Ask your teacher for the solution.", style="dim")

    def result(self, exercise: Exercise, result: Result, done: Done) -> None:
        """What the check found, and how the predictions compare."""
        if result.good:
            self.marked(HELD, "{name}: passed", name=exercise.name)
        for word, failures in ((FAILED, result.failed), (UNKNOWN, result.unknown)):
            told = list({failure.message: failure for failure in reversed(failures)}.values())[::-1]
            for failure in told[:MOST]:
                self._told(word, failure)
            if len(told) > MOST:
                self.say("and {more} more", more=len(told) - MOST)
        if result.good:
            for sentence in compared(exercise, result, done):
                self.say(sentence)
        elif done.predictions:
            self.say("When the check has passed, your predictions are compared with what the kernel said.", style="dim")

    def _told(self, word: Word, failure: Failure) -> None:
        name, _, which = failure.test.removesuffix("]").partition("[")
        title = Text(name.removeprefix("test_").replace("_", " "))
        colon = self.language.colon
        both = Text("{title}{colon}{which}", {"title": title, "colon": colon, "which": which})
        self.marked(word, both if which else title)
        if failure.parts:
            grid = Table.grid(padding=(0, 1, 0, 0))
            for name, what in failure.parts:
                grid.add_row(
                    Line(f"  {self.look.words(Text(name))}{colon.rstrip()}"), Line(self.look.words(Text(what)))
                )
            self.console.print(grid)
        else:
            self.lines(failure.message, indent="  ")

    def passed(self, exercise: Exercise) -> None:
        """What a student reads after having passed."""
        self.gap()
        self.told(exercise.about.explanation)
        self.gap()
        self.say("To read:")
        for place in exercise.about.reading:
            self.lines(self._page(self.look.words(Text(place))), indent="  ")

    def _page(self, place: str) -> str:
        """A place to read, with a word where it is a page of the lab that is not in this language."""
        found = PAGE.match(place)
        if not found or self.language is ENGLISH or f"/{self.language.code}/" in found[0]:
            return place
        return self.look.words(Text("{page} (in English)", {"page": found[0]})) + place[found.end() :]


def compared(exercise: Exercise, result: Result, done: Done) -> Iterator[Text]:
    """Each prediction beside what the kernel said, where both are known; no prediction is a mistake."""
    for question in exercise.about.predict:
        kernel = result.kernel.get(question.id) or " or ".join(question.accept)
        if (guess := done.predictions.get(question.id)) and kernel:
            right = guess.answer in (question.accept or [kernel])
            measured = question.id in result.kernel
            if right:
                said = "{ask} You predicted {guess}, and so it is."
            elif measured:
                said = "{ask} You predicted {guess}. The kernel said: {kernel}."
            else:
                said = "{ask} You predicted {guess}. It is {kernel}."
            yield Text(said, {"ask": Text(question.ask), "guess": Text(guess.answer), "kernel": Text(kernel)})
