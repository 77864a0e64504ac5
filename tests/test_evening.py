"""docs/student.md and docs/glossary.md lead to what is there: files, functions, lines of code, words."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
DOCS = CHECKOUT / "docs"
STUDENT = (DOCS / "student.md").read_text()
LINK = r"\[[^\]]+\.py\]\(([^)#]+\.py)\)"
# A linked file, and behind it the names that are to be found in it: "`a`, `b` and `c`".
NAMED = re.compile(LINK + r"((?:(?:,| and|, then|, the docstring,) `[\w.]+`)+)")
PLACE = re.compile(r"^\| [^|]+ \| " + LINK + r", `([\w.]+)` \| `([^`]+)` \|$", re.MULTILINE)
TERM = re.compile(r'^\| <a id="([\w-]+)"></a>([^|]+) \| ([^|]+) \| ([^|]+) \|$', re.MULTILINE)


@cache
def names(path: Path) -> dict[str, str]:
    """What a module defines, with its source: functions, classes, methods as CLASS.METHOD, and constants."""
    text, found = path.read_text(), {}

    def add(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found[prefix + node.name] = ast.get_source_segment(text, node) or ""
            if isinstance(node, ast.ClassDef):
                add(node.body, f"{prefix}{node.name}.")
            for target in getattr(node, "targets", [getattr(node, "target", None)]):
                if isinstance(target, ast.Name):
                    found[prefix + target.id] = ast.get_source_segment(text, node) or ""

    add(ast.parse(text).body, "")
    return found


def test_every_function_that_a_student_is_sent_to_exists() -> None:
    """Behind a link to a file, each name in code is a function, class or constant of that file."""
    pages = STUDENT + (DOCS / "glossary.md").read_text()
    named = [(DOCS / match[1], name) for match in NAMED.finditer(pages) for name in re.findall("`(.+?)`", match[2])]
    assert len(named) >= 15
    for path, name in named:
        assert name in names(path), f"{path.relative_to(DOCS)} has no {name}"


def test_every_step_of_the_reading_names_a_function() -> None:
    """A heading of the reading is a file with a place to begin, never a file alone, and how long it takes."""
    steps = re.findall(r"^### \d\. .*$", STUDENT, re.MULTILINE)
    assert [int(step.split()[1][0]) for step in steps] == list(range(1, 9))
    for step in steps:
        assert NAMED.search(step), step
        assert re.search(r"\(\d+ minutes\)$", step), step


def test_the_five_places() -> None:
    """Each is a line that stands in that function of that file."""
    places = PLACE.findall(STUDENT)
    assert len(places) == 5
    for path, name, line in places:
        assert line in names(DOCS / path)[name], f"{name} has no line {line}"


@pytest.mark.parametrize("page", ["README.md", "docs/student.md", "docs/glossary.md", "docs/why.md"])
def test_links_lead_somewhere(page: str) -> None:
    """A relative link is to a file that exists, and an anchor to a heading or a term in it."""
    path = CHECKOUT / page
    links = re.findall(r"\]\((?!https?:)([^)\s]+)\)", path.read_text())
    assert links
    for link in links:
        target, _, anchor = link.partition("#")
        there = path.parent / target if target else path
        assert there.exists(), link
        assert not anchor or anchor in anchors(there), link


def anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings, and those that are written out."""
    text = path.read_text()
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([\w-]+)">', text))


def test_every_term_has_one_sense_and_a_source() -> None:
    """No term stands twice in the glossary; each has a sentence, and a man page or a link."""
    terms = TERM.findall((DOCS / "glossary.md").read_text())
    anchors_seen, words = [term[0] for term in terms], [w for term in terms for w in term[1].strip().split(", ")]
    assert len(terms) >= 40
    assert len(set(anchors_seen)) == len(anchors_seen)
    assert len(set(words)) == len(words)
    for anchor, _, meaning, source in terms:
        assert meaning.endswith("."), anchor
        assert re.search(r"\w\(\d\)|\]\(", source), anchor


def test_the_diagrams_are_of_kinds_that_a_hosting_site_draws() -> None:
    """Two sequences, one for each engine, and the spawner's descriptors."""
    assert re.findall(r"```mermaid\n(\w+)", STUDENT) == ["sequenceDiagram", "sequenceDiagram", "flowchart"]
    for word in ("**id**", "**key**", "**into**"):
        assert word in STUDENT
