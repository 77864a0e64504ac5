"""Draw from the recordings what the pages quote of a run: .venv/bin/python -m tools.drawn [PAGE...]

In a page stands, before a fenced block,

    <!-- drawn: STORY STEP... -->    or, in another language,    <!-- drawn zh-TW: STORY STEP... -->

and the block is replaced by these steps of scenarios/recordings/STORY.jsonl, as a terminal of 80 columns shows them. A
STEP is a number from 1 on, `card` for the story's cards, or `verdicts` for all verdicts of the story, a line each.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console, Group

from scenarios.audiences.drawing import draw
from scenarios.audiences.look import Look
from scenarios.languages.choice import LANGUAGES
from scenarios.performance import recording
from scenarios.performance.beats import Contrast, Heading, Moment, Opening, Verdict, pages

CHECKOUT = Path(__file__).resolve().parent.parent
RECORDINGS = CHECKOUT / "scenarios/recordings"
BLOCK = re.compile(r"(<!-- drawn ?([\w-]*): (\w+) ([\w ]+) -->\n```\n)(.*?)(```\n)", re.DOTALL)
WIDTH = 80


def steps(story: str) -> list[list[Moment]]:
    """The steps of a story's recording, from its heading on."""
    moments = list(recording.read(RECORDINGS / f"{story}.jsonl"))
    if isinstance(moments[0].beat, Opening):
        moments[0].beat.introduce()
    told = list(pages(moments))
    first = next(number for number, page in enumerate(told) if any(isinstance(one.beat, Heading) for one in page))
    last = next(number for number, page in enumerate(told) if any(one.beat.kind == "summary" for one in page))
    return told[first:last]


def drawn(moments: Sequence[Moment], language: str = "en") -> Iterator[str]:
    """The lines that a terminal shows of these moments, without the story's heading."""
    output = StringIO()
    console = Console(file=output, width=WIDTH, color_system=None, highlight=False)
    look = Look(WIDTH, translate=LANGUAGES[language].translate)
    for moment in moments:
        picture = None if isinstance(moment.beat, Heading) else draw(moment.beat, look)
        if picture is not None:
            console.print(Group(picture), soft_wrap=moment.beat.kind == "command")
    return (line.rstrip() for line in output.getvalue().splitlines())


def block(story: str, words: Sequence[str], language: str = "en") -> str:
    """What such a block shows; an empty line between its parts."""
    told = steps(story)
    parts: list[list[str]] = []
    for word in words:
        if word == "card":
            parts += [[*drawn(page, language)] for page in told if any(isinstance(one.beat, Contrast) for one in page)]
        elif word == "verdicts":
            parts.append([*drawn([one for page in told for one in page if isinstance(one.beat, Verdict)], language)])
        else:
            parts.append([*drawn(told[int(word) - 1], language)])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def redrawn(text: str) -> str:
    """The page with its blocks drawn anew."""
    return BLOCK.sub(lambda found: found[1] + block(found[3], found[4].split(), found[2] or "en") + found[6], text)


def main(names: Sequence[str]) -> None:
    """Draw the blocks of these pages, else of all."""
    found = [Path(name) for name in names] or [
        *sorted(CHECKOUT.glob("README*.md")),
        *sorted((CHECKOUT / "docs").rglob("*.md")),
    ]
    for page in found:
        page.write_text(redrawn(page.read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
