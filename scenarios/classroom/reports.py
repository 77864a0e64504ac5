"""What `lab grade` writes: CSV, JUnit's XML, Gradescope's results.json, and one page of HTML.

Every text that a student may have chosen is cut, shown with nothing invisible in it, and escaped as the form asks.
Gradescope: https://gradescope-autograders.readthedocs.io/en/latest/specs/#output-format
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from xml.etree import ElementTree

from scenarios.classroom.classes import Class, shown
from scenarios.classroom.exercise import Exercise
from scenarios.classroom.grading import STATES, Graded, Mark
from scenarios.performance.text import message

# What a spreadsheet takes for the beginning of a formula; the last four are full-width. OWASP, CSV Injection
FORMULA = ("=", "+", "-", "@", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")
LONGEST = 300  # characters of a text in a report
ASSETS = Path(__file__).parent / "assets"
HONEST = message(
    "A student is root on a machine, and can forge progress, evidence and clock. A signature says which key signed, "
    "and that nobody has changed the file since. A flag is a reason to ask, and no proof."
)
RUN = message(
    "Students' code was run where an exercise has a trial for it, in containers without a network and without rights."
)
NOT_RUN = message("No student's code was run: {why}.")


def plain(text: str) -> str:
    """One line of characters that can be seen."""
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}\u2026"
    return "".join(character if shown(character) else "\ufffd" for character in cut)


def cell(value: str | int) -> str | int:
    """A cell that a spreadsheet shows and does not compute."""
    if isinstance(value, int):
        return value
    text = plain(value)
    return f"'{text}" if text.lstrip(" '").startswith(FORMULA) else text


def every_form(rows: Sequence[Graded], exercises: Sequence[Exercise], klass: Class, code: str) -> dict[str, str]:
    """All reports by file name. Those of Gradescope are numbered as the lines of grades.csv: no name becomes a path."""
    texts = {
        "grades.csv": as_csv(rows, exercises),
        "junit.xml": as_junit(rows),
        "summary.html": as_html(rows, exercises, klass, code),
    }
    if len(rows) == 1:
        return {**texts, "results.json": as_gradescope(rows[0])}
    return texts | {f"results-{number}.json": as_gradescope(row) for number, row in enumerate(rows, 1)}


def as_csv(rows: Sequence[Graded], exercises: Sequence[Exercise]) -> str:
    """A line for each file, in their order."""
    out = io.StringIO()
    write = csv.writer(out).writerow
    names = [one.name for one in exercises]
    write(["file", "student", "key", "points", "of", "counts", *names, "flags", "trouble"])
    for row in rows:
        states = [row.marks[name].state if name in row.marks else "" for name in names]
        counts = "yes" if row.counts else f"no: {row.later}" if row.later else "no"
        flags = "; ".join(row.flags)
        values: list[str | int] = [
            row.file,
            row.student,
            row.key,
            row.points,
            len(names),
            counts,
            *states,
            flags,
            row.trouble,
        ]
        write([cell(value) for value in values])
    return out.getvalue()


def as_junit(rows: Sequence[Graded]) -> str:
    """A suite for each file, a case for each exercise. https://github.com/testmoapp/junitxml"""
    suites = ElementTree.Element("testsuites", name="lab grade")
    for row in rows:
        failed = sum(not mark.points for mark in row.marks.values())
        numbers = {"tests": len(row.marks) or 1, "failures": failed, "errors": int(bool(row.trouble))}
        about = {"name": plain(row.student or row.file), **{name: str(number) for name, number in numbers.items()}}
        suite = ElementTree.SubElement(suites, "testsuite", about)
        if row.trouble:
            case = ElementTree.SubElement(suite, "testcase", name="opens", classname="hand-in")
            ElementTree.SubElement(case, "error", message=plain(row.trouble))
        for name, mark in row.marks.items():
            case = ElementTree.SubElement(suite, "testcase", name=name, classname="exercise")
            if not mark.points:
                ElementTree.SubElement(case, "failure", message=plain(said(mark)))
        if row.flags:
            ElementTree.SubElement(suite, "system-out").text = "\n".join(map(plain, row.flags))
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def said(mark: Mark) -> str:
    """A mark in a line."""
    return STATES[mark.state] + (f": {mark.why}" if mark.why else "")


def as_gradescope(row: Graded) -> str:
    """results.json of one hand-in; flags are the teacher's alone, and are not in it."""
    tests = [
        {
            "name": name, "score": mark.points, "max_score": 1, "output": plain(said(mark)),
            "status": "passed" if mark.points else "failed",
        }
        for name, mark in row.marks.items()
    ]  # fmt: skip
    output = f"This file could not be opened: {row.trouble}." if row.trouble else "Judged by `lab grade`."
    whole = {"score": row.points, "output": plain(output), "output_format": "text", "tests": tests}
    return json.dumps(whole, indent=1) + "\n"


def as_html(rows: Sequence[Graded], exercises: Sequence[Exercise], klass: Class, code: str = "") -> str:
    """The summary: who is stuck where. One file, without scripts, that loads nothing. `code`: whether any was run."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(ASSETS), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"plain": plain, "said": said}
    counting = sorted((row for row in rows if row.counts), key=lambda row: row.student.casefold())
    ways = [way(one, counting) for one in exercises]
    template = environment.get_template("summary.html")
    return template.render(
        klass=klass, rows=rows, counting=counting, ways=ways, states=STATES, honest=HONEST, code=code
    )


def way(one: Exercise, rows: Sequence[Graded]) -> dict[str, object]:
    """How the students came through one exercise: number by state, those who are stuck, and the usual effort.

    minutes     from start to pass, the median
    """
    works = [row.hand_in.exercises[one.name] for row in rows if row.hand_in and one.name in row.hand_in.exercises]
    spent = [(work.passed - work.started) / 60 for work in works if work.passed >= work.started > 0]
    stuck = [row for row in rows if row.marks[one.name].state == "tried"]
    return {
        "exercise": one,
        "numbers": {state: sum(row.marks[one.name].state == state for row in rows) for state in STATES},
        "stuck": stuck,
        "minutes": round(median(spent)) if spent else None,
        "hints": sum(work.hints for work in works),
        "solutions": sum(bool(work.solution_seen) for work in works),
    }
