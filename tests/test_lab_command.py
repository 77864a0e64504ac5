"""The command `lab`, as far as it needs neither root nor the kernel's audit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios.demo import ALL
from scenarios.doctor import Finding, show

LAB = str(Path(sys.executable).parent / "lab")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """`lab list` into a pipe that is closed ends like a program that SIGPIPE has ended, without a traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run([LAB, "list"], stdout=closed, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_stories_are_listed_in_their_order() -> None:
    """Number, name and title, a story a line."""
    done = subprocess.run([LAB, "list"], capture_output=True, text=True, check=True, timeout=60)
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        [str(number), story.NAME] for number, story in enumerate(ALL, 1)
    ]


def test_doctor_says_the_same_in_both_forms(capsys: pytest.CaptureFixture[str]) -> None:
    """A finding is a line with its mark, or an object with its fields."""
    findings = [Finding("root", True, ""), Finding("audit", False, "off"), Finding("labd", False, "none", needed=False)]
    show(findings, as_json=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["ok", "root"], ["MISSING", "audit", "off"], ["-", "labd", "none"]]
    show(findings, as_json=True)
    assert [Finding(**fields) for fields in json.loads(capsys.readouterr().out)] == findings
