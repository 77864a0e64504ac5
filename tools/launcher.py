"""Put a faster `podmanish` in place of pip's: pip's imports `re` and `site`, a third of a command that takes 25 ms."""

import sys
from pathlib import Path

LAUNCHER = """\
#!{python} -IS
# -I: neither PYTHONPATH nor the working directory has a say in a command that runs as root; -S: no site-packages, for
# the engine is all standard library.
import gc

gc.disable()  # nothing here lives long enough for a collection to pay
import os
import sys

sys.path.insert(0, {checkout!r})
from lab.fork import main

code = main()
try:
    sys.stdout.flush()
    sys.stderr.flush()
except BrokenPipeError:  # the reader, `head` for example, has seen enough
    pass
os._exit(code)  # without the interpreter's own end, which takes 1.5 ms
"""
SHEBANG_MAX = 255  # bytes of "#!", path and option; execve(2)


def main() -> int:
    checkout = Path(__file__).resolve().parent.parent
    scripts = checkout / ".venv" / "bin"
    python = str(scripts / "python")
    if " " in python or len(f"#!{python} -IS") > SHEBANG_MAX:
        print(f"{checkout}: a path with spaces, or too long, for execve(2)'s #!: pip's slower podmanish stays")
        return 0
    temporary = scripts / "podmanish.new"
    temporary.write_text(LAUNCHER.format(python=python, checkout=str(checkout)))
    temporary.chmod(0o755)
    temporary.replace(scripts / "podmanish")
    return 0


if __name__ == "__main__":
    sys.exit(main())
