"""tools/verdicts: how `make test-vm` tells what `lab demo --json` wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from scenarios.performance.beats import FAILED, HELD, UNKNOWN
from scenarios.stage.report import Report, Verdict

VERDICTS = Path(__file__).parent.parent / "tools/verdicts"


def test_what_did_not_hold_is_told_with_what_was_seen(tmp_path: Path) -> None:
    """Each story has a line; each claim that did not hold has one, too, which ends with what was seen."""
    report = Report("run", "Who is the container's parent?")
    for verdict, seen in ((HELD, "1000"), (HELD, "unset"), (FAILED, "33"), (UNKNOWN, "no user namespaces")):
        report.claims.append(Verdict(f"claim of {seen}", verdict, seen))
    (tmp_path / "demo.json").write_text(json.dumps({"stories": [report.to_dict()]}))
    done = subprocess.run(
        [sys.executable, VERDICTS, tmp_path / "demo.json"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == (
        "         run            2 held, 1 failed, 1 inconclusive\n"
        "             failed: claim of 33: 33\n"
        "             inconclusive: claim of no user namespaces: no user namespaces\n"
    )
