"""What the tests of the fork/exec engine share."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parent.parent.parent


class Podmanish:
    """The command, with a directory of the test's own; `prefix` goes before it, to run it as somebody else."""

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
        """In the background; standard output is a pipe."""
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
    """One member, byte for byte as given: tarfile would clean up hostile names."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode, member.size, member.uid = kind, link, mode, len(data), uid
    tar.addfile(member, io.BytesIO(data))


def in_child(work: Callable[[], object]) -> int:
    """Do it in a throw-away child; its pid. A failure there fails the test.

    For what audit is to record: a process that was forked before audit was first enabled since the boot has no audit
    context, and leaves no records ever (kernel/auditsc.c, audit_alloc(): audit_ever_enabled). The pytest process may be
    one; a child that is forked after the watch has begun is none.
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


def own_mounts(path: Path) -> list[str]:
    """The lines of mountinfo, in this mount namespace, that name the path."""
    rows = Path("/proc/self/mountinfo").read_text().splitlines()
    return [row for row in rows if str(path) in row]


def processes_with(text: str) -> list[int]:
    """Pids whose command line holds the text, other than this process and its parents."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) not in (os.getpid(), os.getppid()):
            try:
                words = (folder / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if text.encode() in words and b"pytest" not in words:
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
