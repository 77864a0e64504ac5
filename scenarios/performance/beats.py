"""The beats of a performance. Each is frozen, and becomes JSON and back without loss.

A beat holds facts, never a drawing: raw audit lines, processes, numbers, and texts with their arguments apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from lab.audit.records import Event, Record, RecordError, events
from lab.identity import ELSEWHERE, Ancestor
from scenarios.performance.text import Text

Word = Literal["held", "failed", "inconclusive"]
HELD: Word = "held"
FAILED: Word = "failed"
UNKNOWN: Word = "inconclusive"
NOTHING = Text("")


@dataclass(frozen=True)
class Opening:
    """Who plays where: the first beat of a run.

    began     local time, ISO 8601
    user      who is logged in, with that loginuid and audit session
    target    the file to watch
    engines   the names of those compared
    stories   the names of those to be told, in their order
    remarks   what the audience should know before the first story
    labd      the loginuid of the labd that serves, or None if that is not known
    """

    began: str
    machine: str
    kernel: str
    user: str
    loginuid: int
    session: int
    target: str
    engines: tuple[str, ...]
    stories: tuple[str, ...]
    remarks: tuple[Text, ...]
    labd: int | None = None
    kind: Literal["opening"] = "opening"

    def introduce(self) -> None:
        """Name the user's loginuid so from here on: on the machine that shows a recording, it may be another's."""
        ELSEWHERE[self.loginuid] = self.user

    def dismiss(self) -> None:
        """From here on, that loginuid is again whoever has it on this machine."""
        ELSEWHERE.pop(self.loginuid, None)


@dataclass(frozen=True)
class Heading:
    """A story begins: its number in `lab list`, its name and title."""

    number: int
    name: str
    title: Text
    kind: Literal["heading"] = "heading"


@dataclass(frozen=True)
class Say:
    """Narration."""

    text: Text
    kind: Literal["say"] = "say"


@dataclass(frozen=True)
class Predict:
    """A question that the next command answers, with the answers that one may think of."""

    question: Text
    choices: tuple[Text, ...]
    kind: Literal["predict"] = "predict"


@dataclass(frozen=True)
class Rules:
    """The audit rules that watch from here on, each as the words of auditctl(8)."""

    rules: tuple[str, ...]
    kind: Literal["rules"] = "rules"


@dataclass(frozen=True)
class Command:
    """A command line, before it runs: it can be pasted into a shell."""

    line: str
    kind: Literal["command"] = "command"


@dataclass(frozen=True)
class Busy:
    """The lab is at work until the next beat."""

    text: Text
    kind: Literal["busy"] = "busy"


@dataclass(frozen=True)
class Output:
    """What the last command printed; error is its standard error, code its exit code (None: it was killed)."""

    text: str
    error: str = ""
    code: int | None = 0
    kind: Literal["output"] = "output"


@dataclass(frozen=True)
class Process:
    """One process of a lineage, as the host's /proc or the kernel's records told; 4294967295 is unset."""

    comm: str
    pid: int
    uid: int
    loginuid: int
    sessionid: int


@dataclass(frozen=True)
class Lineage:
    """The ancestors of a container's first process, which is the last.

    engine   what started the container
    login    the pid of the login session, if it is among the processes, else 0
    asked    whether the engine is a daemon that was asked over a socket: its branch does not lead to the login
    """

    engine: str
    processes: tuple[Process, ...]
    login: int = 0
    asked: bool = False
    kind: Literal["lineage"] = "lineage"


@dataclass(frozen=True)
class Evidence:
    """An audit event: its records as lines of an audit log, in their order."""

    lines: tuple[str, ...]
    kind: Literal["evidence"] = "evidence"

    @property
    def event(self) -> Event:
        """The event that these lines are. Raises RecordError."""
        return event_of(self.lines)


@dataclass(frozen=True)
class Contrast:
    """The card that a story ends on: what differs, column by column.

    columns   what stands at the head of each column, the first of them above the names of the rows
    rows      a row's name, then a cell for each column
    telling   the names of the rows that carry the point
    """

    title: Text
    columns: tuple[Text, ...]
    rows: tuple[tuple[Text, ...], ...]
    telling: tuple[str, ...] = ()
    kind: Literal["contrast"] = "contrast"


@dataclass(frozen=True)
class Verdict:
    """A claim and what became of it.

    verdict   HELD, FAILED or UNKNOWN
    seen      what was seen of the claim; for UNKNOWN, why it could not be tested
    remedy    for UNKNOWN, what to do about that
    lacking   for UNKNOWN, whether this machine lacks something, and nothing went wrong
    check     how the verdict follows from `evidence`, the numbers of those beats; "" if only this run could tell
    wanted    the number that the check compares with
    """

    claim: Text
    verdict: Word
    seen: Text
    remedy: str = ""
    lacking: bool = False
    check: str = ""
    wanted: int = 0
    evidence: tuple[int, ...] = ()
    kind: Literal["verdict"] = "verdict"


@dataclass(frozen=True)
class Stop:
    """A moment to wait, if the audience wants to: before a step, a story or the summary begins, or a command runs.

    `command` is also the stop before the answer to a question that is answered without a command.
    """

    before: Literal["command", "step", "story", "summary"]
    kind: Literal["stop"] = "stop"


@dataclass(frozen=True)
class Told:
    """One story in the summary."""

    name: str
    title: Text
    verdict: Word


@dataclass(frozen=True)
class Judged:
    """One claim of the article in the summary: what is true today, and what this run saw of it.

    held   whether this run showed the claim, and its evidence held; recordings made before this field say so of all
    """

    claim: str
    today: str
    seen: str
    held: bool = True


@dataclass(frozen=True)
class Summary:
    """What the kernel said, story by story."""

    stories: tuple[Told, ...]
    kind: Literal["summary"] = "summary"


@dataclass(frozen=True)
class Article:
    """Some of the article's claims, as this run saw them."""

    claims: tuple[Judged, ...]
    kind: Literal["article"] = "article"


@dataclass(frozen=True)
class Closing:
    """The last beat: how many claims held, failed, cannot be shown on this machine, and could not be tested."""

    held: int
    failed: int
    lacking: int
    disturbed: int
    exit_code: int
    kind: Literal["closing"] = "closing"


Beat = (
    Opening | Heading | Say | Predict | Rules | Command | Busy | Output | Lineage | Evidence | Contrast | Verdict | Stop
    | Summary | Article | Closing
)  # fmt: skip


@dataclass(frozen=True)
class Moment:
    """A beat, its number from 0 on, and the seconds since the run began."""

    number: int
    at: float
    beat: Annotated[Beat, Field(discriminator="kind")]


_MOMENT: TypeAdapter[Moment] = TypeAdapter(Moment)


def to_json(moment: Moment) -> str:
    """One line, without its end."""
    return _MOMENT.dump_json(moment).decode()


def from_json(line: str | bytes) -> Moment:
    """The reverse of to_json(). Raises pydantic.ValidationError, a ValueError, for anything else."""
    return _MOMENT.validate_json(line)


def lineage(engine: str, chain: Iterable[Ancestor], login: int) -> Lineage:
    """The Lineage of an ancestry, whose first is the container's process. The pid of the login session is `login`."""
    processes = tuple(Process(one.comm, one.pid, one.uid, one.loginuid, one.sessionid) for one in reversed([*chain]))
    descends = login in {process.pid for process in processes}
    return Lineage(engine, processes, login if descends else 0, asked=not descends)


def event_of(lines: Iterable[str]) -> Event:
    """The one event of these lines of an audit log. Raises RecordError."""
    found = list(events(_records(lines)))
    if len(found) != 1:
        raise RecordError(f"{len(found)} events where one was expected")
    return found[0]


def _records(lines: Iterable[str]) -> Iterator[Record]:
    for line in lines:
        with suppress(RecordError):
            yield Record.from_line(line)


def pages(moments: Iterable[Moment]) -> Iterator[list[Moment]]:
    """The steps: what is on the screen together, until a stop before the next step, a story or the summary."""
    page: list[Moment] = []
    for moment in moments:
        if isinstance(moment.beat, Stop) and moment.beat.before != "command":
            if page:
                yield page
            page = []
        else:
            page.append(moment)
    if page:
        yield page
