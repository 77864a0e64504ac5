"""Run a command on a new terminal: python -m scenarios.props.terminal COMMAND...

The command leads a new session whose controlling terminal is a new pseudoterminal; pty(7). The audit session, which
is another thing, stays. What the command prints is copied to standard output; the exit code is the command's.
"""

from __future__ import annotations

import pty
import sys

from lab.runtime import exit_code

if __name__ == "__main__":
    sys.exit(exit_code(pty.spawn(sys.argv[1:])))
