"""Change the file sys.argv[1], its bytes or its times, so that a rule with -F perm=wa leaves no record.

It runs as root. This is how not to do it:
"""

import sys
from pathlib import Path

Path(sys.argv[1]).write_text("changed\n")
