"""The sample rules that audit ships, as the story blindspot reads them."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from lab.audit.rules import Field, Rule
from scenarios.props import shipped

FILES = (shipped.OSPP, shipped.STIG, shipped.CONTAINERS)
SHIPPED = (
    "# Comment\n-a always,exit -F arch=b32 -S open -F path=/etc/shadow\n-w /etc/shadow -p wa -k mine\n-w /etc/passwd\n"
)


@pytest.mark.parametrize("name", FILES)
def test_what_stands_in_for_the_files_are_their_lines(name: str) -> None:
    """Where the files of audit 3.0.9 are installed, the lines that the lab has of them are those in the files."""
    file = Path("/usr/share/doc/auditd/examples/rules", name)
    if not file.exists() or "a2&03" not in file.with_name(shipped.OSPP).read_text():
        pytest.skip("audit 3.0.9, Debian 12's, is not installed")
    assert shipped.lines(name) == list(shipped.AS_IN_3_0_9[name])


def test_only_64_bit_lines_about_the_file_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments, 32-bit calls and other files are left out, and so is the key: a watch adds another."""
    (tmp_path / shipped.STIG).write_text(SHIPPED)
    monkeypatch.setattr(shipped, "PLACES", (tmp_path,))
    assert shipped.rules(shipped.STIG, "/x") == [Rule.parse("-w /x -p wa")]


def test_a_call_that_this_machine_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """arm64 has no open(2), so the OSPP has one rule less there."""
    monkeypatch.setattr(shipped, "PLACES", ())
    for machine, rules in (("x86_64", 3), ("aarch64", 2)):
        monkeypatch.setattr(platform, "machine", lambda: machine)  # noqa: B023
        assert len(shipped.rules(shipped.OSPP)) == rules


def test_a_hexadecimal_value_is_a_number() -> None:
    """41-containers.rules writes clone(2)'s flags so."""
    assert Field.parse("a0&0x7C020000") == Field("a0", "&", 0x7C020000)
