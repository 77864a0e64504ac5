"""CONTRIBUTING.md: what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent.parent
TEXT = (CHECKOUT / "CONTRIBUTING.md").read_text()
TABLE = [line for line in TEXT.splitlines() if line.startswith("| ")][1:]
PATH = re.compile(r"`((?:\.?[\w\-]+/)+[\w.\-]*|[\w.\-]+\.(?:md|yml|yaml|toml|txt))`")
TARGETS = {line.split(":")[0] for line in (CHECKOUT / "Makefile").read_text().splitlines() if ":" in line}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.split("|")[1].strip())
def test_each_path_of_the_table_exists(row: str) -> None:
    """A file that was moved must be moved in the table, too; each row names files, and a test."""
    paths = PATH.findall(row)
    for path in paths:
        assert (CHECKOUT / path).exists(), path
    assert any(path.startswith("tests/") for path in paths)


def test_each_make_target_exists() -> None:
    """Each `make` line of CONTRIBUTING.md can be pasted."""
    named = set(re.findall(r"\bmake ([a-z][a-z\-]*)", TEXT))
    assert {"lint", "test", "bench"} <= named <= TARGETS


def test_ci_does_what_is_said_of_it() -> None:
    """.ci/run makes lint, docs, the demos, README's commands in new roots, and all tests, but not the bench."""
    ci = (CHECKOUT / ".ci/run").read_text()
    assert "bench" not in ci
    for target in ("lint", "docs", "demo", "engines-up"):
        assert f"make {target}" in ci
    assert "tools.fresh bookworm\n" in ci
    assert "tools.fresh trixie coverage\n" in ci
    absent = r"\$\(\S+ -m tools.fresh --absent\)"  # what the tests in the new Debian leave out
    assert re.search(f'make test .*LAB_ONLY="{absent}"', ci)
