"""How labd starts one of its programs."""

from __future__ import annotations

import sys
from pathlib import Path

CHECKOUT = str(Path(__file__).resolve().parent.parent.parent)


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs daemon.programs.MODULE.main(), isolated from environment and site-packages."""
    code = f"import sys; sys.path.append(sys.argv[1]); from daemon.programs.{module} import main; main()"
    return [sys.executable, "-I", "-S", "-c", code, CHECKOUT, *arguments]
