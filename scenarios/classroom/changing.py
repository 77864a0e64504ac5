"""Exercise 6: the student's change of one line below lab/, which the process that makes it and its children alone see.

sudo .venv/bin/python -m scenarios.classroom.changing [FOLDER]     play the story `run` with change.toml
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab import interpreter
from lab.errors import LabError, NotAllowed
from lab.syscalls import CLONE_NEWNS, MNT_DETACH, umount2
from scenarios.classroom.desk import Desk
from scenarios.classroom.exercise import find
from scenarios.classroom.lessons import Taught, Work, teach
from scenarios.classroom.student import Student
from scenarios.languages.choice import chosen

CHECKOUT = Path(__file__).parent.parent.parent


def changed(work: Work) -> tuple[Path, str]:
    """The file of the checkout, and its text with the change that change.toml describes."""
    change = work.answers("change.toml")
    path = (CHECKOUT / str(change["file"])).resolve()
    own = path.is_relative_to(CHECKOUT / "lab") and path.is_file()
    teach(own, expected="file is one below lab/", seen=change["file"], look="change.toml")
    text, line = path.read_text(), str(change["line"]).strip()
    number = sum(each.strip() == line for each in text.splitlines())
    look = f"{change['file']}: the whole line, without the blanks before it"
    teach(number == 1, expected="line stands in that file once", seen=f"{number} times: {line}", look=look)
    lines = [each.replace(line, str(change["instead"])) if each.strip() == line else each for each in text.splitlines()]
    wrong = ""
    try:
        compile("\n".join(lines), str(path), "exec")
    except SyntaxError as error:
        wrong = f"line {error.lineno}: {error.msg}"
    teach(not wrong, expected="the file is Python with your line, too", seen=wrong, look="change.toml, instead")
    return path, "\n".join(lines) + "\n"


@contextmanager
def seen_there(text: str, path: Path) -> Iterator[None]:
    """The text stands in that file, for this process and its children alone; mount_namespaces(7)."""
    interpreter.executable()  # makes the one mount that is to stay, so it is made outside
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(text)
        file.flush()
        subprocess.run(["mount", "--bind", file.name, path], check=True)
        try:
            yield
        finally:
            umount2(str(path), MNT_DETACH)  # an editor runs other exercises in this process, too


def main(folders: Sequence[str]) -> int:
    """Play the story; the exit status is that of `lab run`."""
    language = chosen()
    try:
        if os.geteuid() != 0:
            again = "sudo .venv/bin/python -m scenarios.classroom.changing"
            raise NotAllowed("the change is made in a mount namespace, which needs root", again)
        folder = Path(folders[0]) if folders else Desk(Student.here()).folder(find("break"))
        path, text = changed(Work(folder))
        with seen_there(text, path):
            lab = [sys.executable, "-c", "import sys; from scenarios.cli import main; sys.exit(main())"]
            return subprocess.run([*lab, "run", "run", "--auto"], check=False).returncode
    except LabError as error:
        told = LabError(language.translate(error.message), language.translate(error.hint)).told_by("changing")
        print(told, file=sys.stderr)
        return error.exit_code
    except Taught as taught:
        print(taught.told(language.translate), file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
