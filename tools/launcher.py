"""Put faster commands in place of pip's, whose imports of `re` and `site` are a third of podmanish's 25 ms."""

import shlex
import sys
import sysconfig
from pathlib import Path

from lab import interpreter

BODY = """\
# -I: neither PYTHONPATH nor the working directory has a say in a command that runs as root; -S: no `site`, whose work
# is done by the one line with sys.path.
import gc

gc.disable()  # nothing here lives long enough for a collection to pay
import os
import sys

sys.path[:0] = {paths!r}
from {module} import main

code = main()
try:
    sys.stdout.flush()
    sys.stderr.flush()
except BrokenPipeError:  # the reader, `head` for example, has seen enough
    pass
os._exit(code)  # without the interpreter's own end, which takes 1.5 ms, and 10 with httpx
"""
PLAIN = "#!{python} -IS\n" + BODY
# What comes first is a command for the shell, and a string that Python passes over.
GUARDED = (
    """\
#!/bin/sh
''':'
# The interpreter on its read-only mount, where there is one since the first run: lab/interpreter.py
python={guarded}
[ -x "$python" ] || python={python}
exec "$python" -IS "$0" "$@"
'''
"""
    + BODY
)
SHEBANG_MAX = 255  # bytes of "#!", path and option; execve(2)
CHECKOUT = Path(__file__).resolve().parent.parent
# The engine is all standard library; the client needs httpx.
COMMANDS = {
    "podmanish": (GUARDED, "lab.forker.cli", [str(CHECKOUT)]),
    "dockerish": (PLAIN, "client.cli", [str(CHECKOUT), sysconfig.get_path("purelib")]),
}


def main() -> int:
    scripts = CHECKOUT / ".venv" / "bin"
    python = str(scripts / "python")
    if " " in python or len(f"#!{python} -IS") > SHEBANG_MAX:
        print(f"{CHECKOUT}: a path with spaces, or too long, for execve(2)'s #!: pip's slower commands stay")
        return 0
    guarded = interpreter.place(python)
    for name, (text, module, paths) in COMMANDS.items():
        temporary = scripts / f"{name}.new"
        words = {"python": python, "guarded": shlex.quote(guarded)}
        temporary.write_text(text.format(**words, paths=paths, module=module))
        temporary.chmod(0o755)
        temporary.replace(scripts / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
