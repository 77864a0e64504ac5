"""An asciicast of a recording: what the terminal shows, at a pace to read in."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from rich.text import Text

from scenarios.audiences.cast import HEIGHT, PAUSES, WIDTH, cast
from scenarios.performance import recording
from scenarios.performance.beats import Stop
from tools.drawn import RECORDINGS, steps

LAB = Path(sys.executable).parent / "lab"
SHADOW = RECORDINGS / "shadow.jsonl"


def test_the_cast_shows_what_the_terminal_shows() -> None:
    """The events are in order and pause at each stop; their text is that of the story's transcript."""
    moments = list(recording.read(SHADOW))
    header, *events = [json.loads(line) for line in cast(moments)]
    assert (header["version"], header["width"], header["height"]) == (2, WIDTH, HEIGHT)
    times = [at for at, _, _ in events]
    assert times == sorted(times)
    assert times[-1] >= sum(PAUSES[moment.beat.before] for moment in moments if isinstance(moment.beat, Stop))
    said = Text.from_ansi("".join(data for _, code, data in events if code == "o").replace("\r\n", "\n")).plain
    transcript = (RECORDINGS.parent.parent / "docs/stories/shadow.txt").read_text()
    assert re.sub(r"\s+", " ", said).strip() == re.sub(r"\s+", " ", transcript).strip()
    markers = [data for _, code, data in events if code == "m"]
    assert "Who touched the shadow file?" in markers and len(markers) >= len(steps("shadow"))


def test_play_writes_a_new_file(tmp_path: Path) -> None:
    """`lab play FILE --cast OUT`; a file that is there already is not overwritten."""
    target = tmp_path / "shadow.cast"
    command = [str(LAB), "play", str(SHADOW), "--cast", str(target)]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
    assert json.loads(target.read_text().splitlines()[0])["version"] == 2
    again = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (again.returncode, again.stderr) == (
        125,
        f"lab: --cast {target}: File exists\n  give the name of a new file\n",
    )
