"""What the tests of the fork/exec engine share."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lab.identity import UNSET, ancestry

CHECKOUT = Path(__file__).parent.parent.parent
SLOW = float(os.environ.get("LAB_SLOW") or 1)  # how many times slower this machine is; tests/conftest.py
# Before a command with files below pytest's directories: in a login, root's `lab` works with the rights of the
# user who logged in, and that user may not enter them.
AS_ROOT = ("sh", "-c", f'echo {UNSET} >/proc/self/loginuid; exec "$@"', "sh") if os.geteuid() == 0 else ()


class Podmanish:
    """The command, with a state directory for one test; `prefix` goes before it, to run it as another user."""

    def __init__(self, program: Path, root: Path, prefix: Sequence[str] = ()) -> None:
        self.command = [*prefix, str(program), "--root", str(root)]
        self.root = root

    def __call__(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run the command to its end, whatever its exit code."""
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([*self.command, *arguments], capture_output=True, timeout=60, check=False, **options)

    def output(self, *arguments: str, **options: Any) -> str:
        """Standard output of a command that must succeed."""
        done = self(*arguments, **options)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start the command in the background; its standard output is a pipe."""
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen([*self.command, *arguments], stdout=subprocess.PIPE, **options)


def add(
    tar: tarfile.TarFile,
    name: str,
    data: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
    mode: int = 0o644,
    uid: int = 0,
) -> None:
    """Add one member, byte for byte as given: TarFile.add() would clean up a hostile name."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode, member.size, member.uid = kind, link, mode, len(data), uid
    tar.addfile(member, io.BytesIO(data))


def in_child(work: Callable[[], object]) -> int:
    """Do the work in a throw-away child; the child's pid. A failure there fails the test.

    What audit is to record must happen in such a child. A process that was forked before audit was first enabled since
    the boot has no audit context, and never leaves a record (kernel/auditsc.c, audit_alloc(): audit_ever_enabled).
    That may be true of the pytest process, but not of a child that is forked after the watch has begun.
    """
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return pid


def stored(images: Path) -> list[str]:
    """What is in a directory of images, but for the directories of layers and names themselves."""
    found = [path for path in images.iterdir() if path.name not in ("_layers", "_tags")]
    found += [path for folder in ("_layers", "_tags") for path in images.glob(f"{folder}/*")]
    return sorted(path.name for path in found)


def own_mounts(path: Path) -> list[str]:
    """The lines of mountinfo, in this mount namespace, that name the path."""
    rows = Path("/proc/self/mountinfo").read_text().splitlines()
    return [row for row in rows if str(path) in row]


def soon(condition: Callable[[], bool], seconds: float = 5) -> bool:
    """Whether it holds within that time, or LAB_SLOW times that."""
    end = time.monotonic() + seconds * SLOW
    while not (held := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return held


def processes_with(text: str) -> list[int]:
    """Pids whose command line holds the text, other than this process and those above it."""
    found, own = [], {above.pid for above in ancestry(os.getpid())}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) not in own:
            try:
                words = (folder / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if text.encode() in words:
                found.append(int(folder.name))
    return found


def lab_python(code: str, *arguments: str, **options: Any) -> str:
    """Run code that imports lab in a process of one thread, as lab.runtime wants it; returns what it printed."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [sys.executable, "-ISc", f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n{code}", *arguments],
        capture_output=True, text=True, timeout=60, check=False, **options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
