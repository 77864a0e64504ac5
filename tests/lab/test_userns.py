"""What lab/userns.py says where the ids of a user namespace cannot be mapped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.errors import CannotStart
from lab.userns import write_id_mappings


def test_the_program_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """newuidmap(1) begins what it says with its own name."""
    program = tmp_path / "newuidmap"
    program.write_text("#!/bin/sh\necho 'newuidmap: write to uid_map failed: Operation not permitted' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    rows = [(0, 1000, 1), (1, 100000, 65536)]
    with pytest.raises(CannotStart) as raised:
        write_id_mappings(os.getpid(), rows, rows)
    assert raised.value.message == "newuidmap: write to uid_map failed: Operation not permitted"
