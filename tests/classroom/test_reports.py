"""The reports: nothing that a student wrote becomes a formula, a tag, a path, or a control sequence."""

from __future__ import annotations

import csv
import html.parser
import json
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree

import pytest
from handed import EVERY, NOW, TEACHER, graded, honest, sealed
from hypothesis import given
from hypothesis import strategies as st

from scenarios.classroom import reports
from scenarios.classroom.grading import STATES, Graded

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TAG = "<script>alert(1)</script><img src=x onerror=alert(1)>"
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", " =1+1", "'=1+1", "|calc", "%0A", "\uff1d1+1"]


class Page(html.parser.HTMLParser):
    """The tags, the attributes and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.text = set[str](), set[str](), ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Of each element."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        """Between the tags."""
        self.text += data


def rows(place: Path, name: str) -> list[Graded]:
    """Somebody of that name, who is stuck, beside a file that cannot be opened."""
    body = honest(name)
    body["exercises"]["03-record"]["files"]["answers.toml"] = ""
    return graded(place, sealed(body), b"no hand-in")


@pytest.mark.parametrize("name", [TAG, *FORMULAS, "\"'&;--><!--", "]]>", "{{ 7 * 7 }}", "../../x", "a,b;c", "林淑芬"])
def test_a_name_is_shown_as_it_is(tmp_path: Path, name: str) -> None:
    """In all four forms, as text and nothing else."""
    both = rows(tmp_path, " ".join(name.split()))
    name = both[0].student
    table = [*csv.reader(reports.as_csv(both, EVERY).splitlines())]
    assert [len(line) for line in table] == [len(table[0])] * 3
    assert table[1][1] in (name, f"'{name}") and not table[1][1].lstrip().startswith(("=", "+", "-", "@"))
    page = Page(reports.as_html(both, EVERY, TEACHER.klass))
    assert name in page.text and not {"script", "img", "a", "link", "iframe"} & page.tags
    assert (
        not {attribute for attribute in page.attributes if attribute.startswith("on")}
        | {"src", "href"} & page.attributes
    )
    suites = ElementTree.fromstring(reports.as_junit(both))
    assert suites[0].get("name") == name
    assert json.loads(reports.as_gradescope(both[0]))["score"] == 2


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_is_text(formula: str) -> None:
    """An apostrophe before it: OWASP's advice. A number of the grader's stays one."""
    assert reports.cell(formula) == f"'{formula}"
    assert reports.cell(-1) == -1
    assert reports.cell("a=1") == "a=1"


@given(st.text(max_size=400))
def test_any_text_is_one_line_that_can_be_seen(text: str) -> None:
    """No control character, no line end, no surrogate, nothing that XML refuses; a cut is marked."""
    shown = reports.plain(text)
    assert len(shown) <= reports.LONGEST + 1
    assert all(character.isprintable() or character in "\u200c\u200d" for character in shown)
    element = ElementTree.fromstring(ElementTree.tostring(ElementTree.Element("a", b=shown)))
    assert element.get("b") == shown
    assert str(reports.cell(text))[:1] not in ("=", "+", "-", "@")


def test_a_hostile_name_of_a_file(tmp_path: Path) -> None:
    """An upload's name is a student's, too."""
    row = Graded(f"=x\x1b[2J{TAG}\r\n\udcff", trouble="this is no hand-in")
    table = [*csv.reader(reports.as_csv([row], EVERY).splitlines())]
    assert len(table) == 2 and table[1][0].startswith("'=x\ufffd[2J<script>")
    page = Page(reports.as_html([row], EVERY, TEACHER.klass))
    assert "script" not in page.tags and TAG in page.text and "\x1b" not in page.text
    reports.as_junit([row]).encode()
    json.loads(reports.as_gradescope(row))


def test_the_summary_says_who_is_stuck_where(tmp_path: Path) -> None:
    """In the line of the exercise: the name, and what is wrong; only what counts is counted."""
    key = secrets.token_bytes(32)
    stuck, later = honest("Bob", 500), honest("Bob", 500)
    stuck["made"] = NOW - 600
    later["exercises"]["04-rule"].update(passed=0, checks=9)
    page = reports.as_html(
        graded(tmp_path, sealed(honest()), sealed(stuck, key), sealed(later, key)), EVERY, TEACHER.klass
    )
    lines = dict(re.findall(r'<th scope="row">(\d+)\. .*?</th>(.*?)</tr>', page, re.DOTALL))
    assert "Bob (9 checks, 1 of 3 hints)" in lines["4"] and "Ada" not in lines["4"]
    passed = {number: re.findall(r'class="number">(\d*)<', line) for number, line in lines.items()}
    assert passed["4"][0] == "1" and passed["3"][0] == "2" and passed["3"][1] == "5"
    assert "3 files, 2 of them count" in page and "can forge" in page
    for meaning in STATES.values():
        assert meaning in page.replace("&#39;", "'")


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_summary_in_a_browser(tmp_path: Path, browser: Browser, scheme: Literal["light", "dark"]) -> None:
    """From file:// nothing is asked for and nothing runs, the page is no wider than it is, and axe-core is content."""
    from axe_playwright_python.sync_playwright import Axe

    path = tmp_path / "summary.html"
    path.write_text(reports.as_html(rows(tmp_path, TAG), EVERY, TEACHER.klass))
    tab = browser.new_page(color_scheme=scheme, bypass_csp=True)
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("dialog", lambda dialog: asked.append(dialog.message))
    tab.goto(path.as_uri())
    assert asked == [path.as_uri()]
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    results = Axe().run(tab, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]})
    assert results.violations_count == 0, results.generate_report()
    tab.close()


def test_the_summary_loads_nothing() -> None:
    """One file, without scripts and addresses; a browser is told to load none."""
    page = reports.as_html([], EVERY, TEACHER.klass)
    assert "default-src 'none'" in page and "http" not in re.sub("http-equiv", "", page)


def test_a_flag_is_the_teachers_alone(tmp_path: Path) -> None:
    """It is in the CSV, in JUnit's output and on the page; Gradescope shows results.json to the student."""
    body = honest()
    body["seed"] = "0" * 32
    both = graded(tmp_path, sealed(body))
    flag = "the seed is not the one of this name"
    for text in (reports.as_csv(both, EVERY), reports.as_junit(both), reports.as_html(both, EVERY, TEACHER.klass)):
        assert flag in text
    assert flag not in reports.as_gradescope(both[0])


def test_junit_counts(tmp_path: Path) -> None:
    """A case for each exercise, a failure for each without a point, an error for a file that cannot be opened."""
    suites = ElementTree.fromstring(reports.as_junit(rows(tmp_path, "Ada")))
    counts = [[suite.get(name) for name in ("tests", "failures", "errors")] for suite in suites]
    assert counts == [[str(len(EVERY)), str(len(EVERY) - 2), "0"], ["1", "0", "1"]]
    assert [len(suite.findall(".//failure")) for suite in suites] == [len(EVERY) - 2, 0]
    assert len(suites[1].findall(".//error")) == 1
