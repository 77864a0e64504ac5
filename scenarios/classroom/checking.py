"""Run the check of an exercise: its test_*.py, by pytest, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import LabError, MissingFeature
from scenarios.classroom.evidence import Seen
from scenarios.classroom.exercise import EXERCISES, Exercise

SECONDS = 300
GRACE = 30  # between SIGTERM and SIGKILL: the check takes back what it has set up


@dataclass(frozen=True)
class Failure:
    """A test that failed, or that could tell nothing, and what it said; parts: what it teaches, by name, if it does."""

    test: str
    message: str
    parts: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class Result:
    """What became of a check.

    passed    the tests that passed
    failed    what the student can mend
    unknown   what could not be told here: something is missing, or went wrong
    kernel    what was measured, by the id of the question
    seen      the records that were kept, by what was done
    began     when the check was started, seconds since 1970
    """

    passed: Sequence[str]
    failed: Sequence[Failure]
    unknown: Sequence[Failure]
    kernel: dict[str, str]
    seen: dict[str, Seen] = field(default_factory=dict)
    began: float = 0

    @property
    def good(self) -> bool:
        return bool(self.passed) and not self.failed and not self.unknown


def check(exercise: Exercise, folder: Path, *, arrived: Path | None = None, seconds: float = SECONDS) -> Result:
    """Check what is in that folder. Raises LabError where the check itself came to nothing."""
    exercise.require()
    began = time.time()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as told, tempfile.TemporaryFile() as output:
        words = command(exercise, folder, told.fileno())
        if arrived:
            words += ["--arrived", str(arrived)]
        # No bytecode, which root would leave in a user's checkout, and none of the plugins that somebody has installed.
        alone = {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
            env={**os.environ, **alone}, pass_fds=[told.fileno()],
        )  # fmt: skip
        in_time = _await(process, seconds)
        told.seek(0)
        text = told.read()
        output.seek(0)
        said = output.read().decode(errors="replace")
    if not in_time:
        raise LabError(f"the check of {exercise.name} did not end within {seconds:g} s", "see whether your code waits")
    if not text:
        raise LabError(f"the check of {exercise.name} came to nothing: {_last_line(said)}", " ".join(words))
    values = json.loads(text)
    failed, unknown = ([Failure(**row) for row in values[kind]] for kind in ("failed", "unknown"))
    seen = {label: Seen.model_validate_json(json.dumps(row)) for label, row in values["seen"].items()}
    return Result(values["passed"], failed, unknown, values["kernel"], seen, began)


def command(exercise: Exercise, folder: Path, fd: int | None = None) -> list[str]:
    """What runs a check; the same can be typed by hand, without the descriptor."""
    try:
        import pytest  # noqa: F401
    except ImportError:
        raise MissingFeature("the Python package pytest is missing", "run `tools/setup venv`, then again") from None
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(EXERCISES / "pytest.ini")]
    return [*words, str(exercise.folder), "--work", str(folder), *(["--tell-fd", str(fd)] if fd is not None else [])]


def _await(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether it ends in time; if not, or if this process is interrupted, it is ended in an orderly way."""
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it printed nothing")
