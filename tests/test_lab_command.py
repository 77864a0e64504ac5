"""The command `lab`, as far as it needs neither root nor the kernel's audit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.errors import InvalidArgument
from scenarios.doctor import Finding, show
from scenarios.playing import ALL
from scenarios.props.target import watchable

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


@pytest.mark.parametrize(
    ("name", "mode", "reason"),
    [
        ("missing", None, "No such file or directory"),
        ("writable", 0o666, "others than root may write"),
        ("two words", 0o600, "a shell would have to quote"),
    ],
)
@pytest.mark.needs("root")
def test_what_cannot_stand_for_shadow_is_refused(tmp_path: Path, name: str, mode: int | None, reason: str) -> None:
    """A run with such a --target would end in the middle, or blame the kernel for a write that the file allows."""
    path = tmp_path / name
    if mode is not None:
        path.touch()
        path.chmod(mode)
    with pytest.raises(InvalidArgument, match=reason):
        watchable(str(path))


@pytest.mark.needs("root")
def test_any_name_of_a_file_may_be_given_as_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path and a symlink lead to the file that the kernel can watch; a directory is refused."""
    (tmp_path / "file").touch(mode=0o600)
    (tmp_path / "link").symlink_to("file")
    monkeypatch.chdir(tmp_path)
    assert watchable("link") == watchable("./file") == str(tmp_path / "file")
    with pytest.raises(InvalidArgument, match="no regular file"):
        watchable(".")


def test_a_tar_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """`lab image import` of a missing file and of a directory is one sentence, and exit status 125."""
    for name, reason in ((tmp_path / "missing.tar", "No such file or directory"), (tmp_path, "Is a directory")):
        command = [LAB, "image", "import", "box", str(name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        expected = f"lab: cannot read {name}: {reason}\n  give a tar, or - for standard input\n"
        assert (done.returncode, done.stderr) == (125, expected)
