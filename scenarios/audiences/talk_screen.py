"""What stands on the speaker's screen: a view that fits, the title, the clock. Pure drawing, no terminal needed."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType

from scenarios.audiences.drawing import draw
from scenarios.audiences.lines import Line
from scenarios.audiences.look import Detail, Look
from scenarios.audiences.talk_reel import View
from scenarios.performance import beats
from scenarios.performance.beats import FAILED, Beat
from scenarios.performance.text import Text, message

BLANK = Line("")
DETAILS: tuple[Detail, ...] = ("short", "full")


def fitting(view: View, look: Look, height: int) -> RenderableType:
    """The view with as much air as the lines allow; where they do not do, without what was shown at the stop before.

    A step that is still too long is to be scrolled.
    """
    drawn: RenderableType = BLANK
    for drawn in _tries(view, look):
        if lines(drawn, look.width) <= height:
            break
    return drawn


def _tries(view: View, look: Look) -> Iterator[Group]:
    yield Group(*_airy(view.beats, look))
    yield Group(*_drawn(view.beats, look))
    if look.detail == "full":
        return
    yield Group(*_drawn(_without(view.beats, beats.Rules), look))
    if view.asked:
        rest = [*_without(view.beats, beats.Rules, beats.Say)]
        yield Group(*_drawn(rest, look))
        yield Group(*_drawn(rest, look, brief=True))
        if any(isinstance(beat, beats.Lineage) for beat in rest):
            yield Group(*_drawn(_without(rest, beats.Output), look, brief=True))


def _without(shown: Iterable[Beat], *kinds: type[Beat]) -> Iterator[Beat]:
    return (beat for beat in shown if not isinstance(beat, kinds))


def _drawn(shown: Iterable[Beat], look: Look, *, brief: bool = False) -> Iterator[RenderableType]:
    """brief: a command in one line."""
    for beat in shown:
        if brief and isinstance(beat, beats.Command):
            yield Line(f"  $ {beat.line}", style="bold cyan", no_wrap=True, overflow="ellipsis")
        elif not isinstance(beat, beats.Heading) and (drawn := draw(beat, look)) is not None:
            yield drawn


def _airy(shown: Sequence[Beat], look: Look) -> Iterator[RenderableType]:
    """With a blank line before a command, before the first verdict, and before what follows on verdicts."""
    before: Beat | None = None
    judged = False
    for beat in shown:
        drawn = [*_drawn([beat], look)]
        verdict = isinstance(beat, beats.Verdict)
        follows = isinstance(before, beats.Verdict) and isinstance(beat, (beats.Say, beats.Predict))
        if drawn and before and (isinstance(beat, beats.Command) or follows or (verdict and not judged)):
            yield BLANK
        yield from drawn
        judged = judged or verdict
        before = beat if drawn else before


def folds(view: View, look: Look, height: int) -> bool:
    """Whether Tab shows anything else: whether short and whole differ in more than blank lines."""
    short, whole = (fitting(view, replace(look, detail=detail), height) for detail in DETAILS)
    return _words(short, look.width) != _words(whole, look.width)


def _words(drawn: RenderableType, width: int) -> list[str]:
    console = Console(width=max(width, 1), file=io.StringIO(), highlight=False)
    lines = ("".join(piece.text for piece in line).rstrip() for line in console.render_lines(drawn))
    return [line for line in lines if line]


def lines(drawn: RenderableType, width: int) -> int:
    """How many lines it takes."""
    console = Console(width=max(width, 1), file=io.StringIO(), highlight=False)
    return len(console.render_lines(drawn))


def title(view: View, look: Look, place: str, clock: str) -> Line:
    """The story's title at the left; where in the talk this is and the clock at the right."""
    left = look.words(view.story.title) if view.story else look.words(_between(view))
    right = "  ".join(part for part in (place, clock) if part)
    room = look.width - cell_len(right) - 4
    shown = Line(left, style="bold")
    shown.truncate(max(0, room), overflow="ellipsis", pad=True)
    return Line.assemble(" ", shown, "  ", right)


def _between(view: View) -> str:
    if not view.beats:
        return "lab talk"
    if isinstance(view.beats[-1], beats.Closing):
        return message("The claims of this talk")
    opens = any(isinstance(beat, beats.Opening) for beat in view.beats)
    return message("The stage is set") if opens else message("What the kernel said")


def place(view: View, names: Sequence[str], steps: int, look: Look) -> str:
    """The story's place among those of this talk, its name, and the step, where known: 3/14 shadow · 5/7."""
    if not view.story:
        return ""
    name = view.story.name
    number = f"{names.index(name) + 1}/{len(names)} " if name in names else ""
    return f"{number}{name} {look.marks['dot']} {view.step}" + (f"/{max(steps, view.step)}" if steps else "")


def trouble(verdict: beats.Verdict, look: Look) -> Line:
    """Why a step is not as expected, in one sentence."""
    if verdict.verdict == FAILED:
        said, style = "The kernel contradicted this claim: {claim} ({seen}).", "bold red"
    elif verdict.lacking:
        said, style = "This machine cannot show it: {seen}.", "magenta"
    else:
        said, style = "This could not be tested: {seen}.", "magenta"
    told = look.words(Text(said, {"claim": verdict.claim, "seen": verdict.seen}))
    return Line(f" {look.marks[verdict.verdict]} {told}", style=style)


def minutes(seconds: float) -> str:
    """As 04:12."""
    whole = int(abs(seconds))
    return f"{whole // 60:02}:{whole % 60:02}"


def pace(elapsed: float, planned: float, done: float, look: Look) -> str:
    """The time, the planned time, and how far ahead of it or behind it one is; done is the part told, 0 to 1."""
    if not planned:
        return minutes(elapsed)
    ahead = planned * done - elapsed
    said = "{time} of {planned}, {difference} ahead" if ahead >= 0 else "{time} of {planned}, {difference} behind"
    times = {"time": minutes(elapsed), "planned": minutes(planned), "difference": minutes(ahead)}
    return look.words(Text(said, times))
