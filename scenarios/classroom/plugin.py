"""pytest for exercises: where the student's folder is, what a check may use, and what it tells `lab exercise check`.

    pytest exercises/03-record --work DIR      in any editor; default: the student's own folder of that exercise

A LabError is nobody's mistake in the exercise: the test is skipped, with the reason.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from lab.audit.records import Event, Record, events
from lab.errors import InvalidArgument, LabError
from scenarios.classroom import cases, room
from scenarios.classroom.cases import Case
from scenarios.classroom.desk import Desk
from scenarios.classroom.evidence import MOST_LINES
from scenarios.classroom.exercise import Exercise
from scenarios.classroom.lessons import Taught, Work, teach
from scenarios.classroom.student import Student
from scenarios.languages.choice import LANGUAGES, Language, chosen
from scenarios.stage.stage import Stage

KernelSaid = Callable[[str, object], None]
KeepRecords = Callable[[str, str, Sequence[Event]], None]
load = cache(Exercise.load)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of an exercise's check."""
    group = parser.getgroup("loginuid lab")
    group.addoption("--work", type=Path, help="the student's folder; default: ~/loginuid-exercises/NN-name")
    group.addoption("--arrived", type=Path, help="a file with the records that a `lab shell` has seen meanwhile")
    group.addoption("--tell-fd", type=int, help="a descriptor that the result is written to, as JSON")


class Told:
    """What the check tells: which tests passed, what the others taught, and what the kernel said."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.failed: list[dict[str, object]] = []
        self.unknown: list[dict[str, object]] = []
        self.kernel: dict[str, str] = {}
        self.seen: dict[str, dict[str, object]] = {}


SAID = pytest.StashKey[set[Path]]()  # the folders of exercises of which a failure has said everything
TOLD = pytest.StashKey[Told]()


def pytest_configure(config: pytest.Config) -> None:
    """SIGTERM and SIGHUP end a check like Ctrl-C: what the fixtures have set up is taken back.

    Nothing that a check starts writes bytecode, which would be root's in the student's folder.
    """
    sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = True, "1"
    config.stash[TOLD], config.stash[SAID] = Told(), set()
    config.pluginmanager.register(Listener(config.stash[TOLD]), "lab-listener")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)


def _end(number: int, frame: object) -> None:
    raise KeyboardInterrupt


class Listener:
    """Collects what became of each test."""

    def __init__(self, told: Told) -> None:
        self.told = told

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One for each of set-up, call and tear-down."""
        name = report.nodeid.rpartition("::")[2]
        if report.failed:
            parts = report.taught if hasattr(report, "taught") else ()
            self.told.failed.append({"test": name, "message": report.longreprtext, "parts": parts})
        elif report.skipped and not hasattr(report, "said"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            self.told.unknown.append({"test": name, "message": str(reason).removeprefix("Skipped: ")})
        elif report.when == "call":
            self.told.passed.append(name)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A check that cannot even be read."""
        if report.failed:
            self.told.failed.append({"test": report.nodeid, "message": report.longreprtext})


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell whoever has started the check."""
    fd = session.config.getoption("--tell-fd")
    if fd is not None:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(vars(session.config.stash[TOLD]), file)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Skip what cannot be asked here, and what could only say again what another test of the exercise has said."""
    if item.path.parent in item.config.stash[SAID]:
        pytest.skip("the failure above says everything")
    try:
        load(item.path.parent).require()
        yield
    except LabError as error:
        pytest.skip(error.told_by("lab"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Lost records, a labd that has ended: not the student's mistake."""
    try:
        yield
    except LabError as error:
        pytest.skip(error.told_by("lab"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, object, object]:
    """Hand on what a failure teaches. A student who runs pytest by hand reads it in the language chosen before."""
    report, said = (yield), item.config.stash[SAID]
    if item.path.parent in said:
        vars(report)["said"] = True
    if call.excinfo and isinstance(call.excinfo.value, Taught):
        taught = call.excinfo.value
        vars(report).update(taught=taught.parts, longrepr=taught.told(language().translate))
        if taught.whole:
            said.add(item.path.parent)
    return report


@cache
def language() -> Language:
    """That in which the student has begun; else, and where the progress cannot be read, the environment's."""
    try:
        return LANGUAGES.get(Desk(Student.here()).progress().language) or chosen()
    except LabError:
        return chosen()


@pytest.fixture
def work(request: pytest.FixtureRequest) -> Work:
    """The student's folder."""
    path = request.config.getoption("--work")
    return Work(path or Desk(Student.here()).folder(load(request.path.parent)))


@pytest.fixture
def case(request: pytest.FixtureRequest, work: Work) -> Case:
    """What differs by student, as case.toml in the student's folder says: case.names["colleague"]."""
    seen = ""
    try:
        return Case.parse(load(request.path.parent).about.case, work.read(cases.FILE))
    except InvalidArgument as error:
        seen = error.message
    teach(False, expected=f"{cases.FILE} as `lab exercise start` made it", seen=seen, look="lab exercise reset N")
    raise AssertionError


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A login of the student's, labd, both engines, and a decoy as stage.target; see scenarios/stage/stage.py."""
    with room.stage() as made:
        yield made


@pytest.fixture
def arrived(request: pytest.FixtureRequest) -> list[Event]:
    """What the watch of a `lab shell` has recorded since `lab learn` came to this exercise."""
    path = request.config.getoption("--arrived")
    return list(events(map(Record.from_line, path.read_text(encoding="utf-8").splitlines()))) if path else []


@pytest.fixture
def kernel_said(request: pytest.FixtureRequest) -> KernelSaid:
    """Tell what was measured of a question of `predict`: kernel_said("sudo", "mine")."""
    kernel = request.config.stash[TOLD].kernel

    def say(question: str, answer: object) -> None:
        kernel[question] = str(answer)

    return say


@pytest.fixture
def keep_records(request: pytest.FixtureRequest) -> KeepRecords:
    """Keep the events that a verdict rests upon: keep_records(what was done, the watched file, events).

    What was done is a label of `evidence` in exercise.toml; the events are handed in, and judged again.
    """
    seen = request.config.stash[TOLD].seen

    def keep(label: str, path: str, events: Sequence[Event]) -> None:
        lines = [record.to_line() for event in events for record in event.records]
        seen[label] = {"path": path, "lines": lines[:MOST_LINES]}

    return keep
