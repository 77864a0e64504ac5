"""Where a student's code runs for the grader: a container of podmanish's that can reach nothing and is limited in all.

Of the host there is /usr, read-only, and nothing else: no checkout with solutions, no other hand-in, no socket. The
process has a uid that no user has, no capability, no network; its memory, processes, time, files and output have
limits. A hand-in has a container for itself, whose pid 1 runs its trials in turn: scenarios/classroom/trials/judge.py.
If one of them leaves anything there, or breaks its bounds, the rest run in a new container.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.images import Images
from scenarios.classroom.trials.judge import GOOD
from scenarios.performance.text import message

SECONDS = 15  # of a whole trial, which gives the student's code less: inside.SECONDS; several share their seconds
MOST_OUTPUT = 64 << 10  # bytes that all trials of a hand-in may say
STRANGER = 2_000_000_000  # a uid and a gid that no user of this machine has
CHECKOUT = Path(__file__).parent.parent.parent
TRIALS = "scenarios/classroom/trials"
OWN = (*(f"{TRIALS}/{name}.py" for name in ("judge", "inside", "tracing")), "lab/syscall_table.py")  # beside a trial
LIMITS = (
    "--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges",
    f"--user={STRANGER}:{STRANGER}", "--memory=128m", "--memory-swap=128m", "--pids-limit=32", "--cpus=1",
    "--ulimit=cpu=5", "--ulimit=nofile=128", "--ulimit=core=0", "--oom-score-adj=1000", "--shm-size=1m",
    "--env=PYTHONPATH=/trial",
    "--tmpfs=/tmp:size=4m,mode=1777", "--workdir=/tmp", "--env=PATH=/usr/bin:/bin", "--env=PYTHONDONTWRITEBYTECODE=1",
)  # fmt: skip
PYTHON = ("/usr/bin/python3", "-SB", f"/trial/{TRIALS}/judge.py")


@dataclass(frozen=True)
class Trial:
    """What came of one.

    ran      whether the code was run at all
    faults   what is wrong; why it was not run
    """

    ran: bool
    faults: tuple[str, ...] = ()


Task = tuple[Path, Mapping[str, str]]  # trial_*.py, and the student's files by name; the names must be checked


def why_not() -> str:
    """Why no student's code can be run here; "" if it can."""
    if os.geteuid() != 0:
        return message("that needs root")
    if not Path("/usr/bin/python3").exists():
        return message("that needs /usr/bin/python3")
    return ""


class Cell:
    """Containers for trials, with their state in a directory that is removed at the end."""

    def __init__(self) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="lab-grade-")
        self._root = Path(self._place.name)
        self.state = f"{self._root}/state"
        Images(f"{self.state}/images").import_tar("cell", _empty_root())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run([*self._engine(), "ps", "-a"], stdout=subprocess.DEVNULL, check=False)  # sweeps what was killed
        self._place.cleanup()

    def _engine(self) -> list[str]:
        return [str(Path(sys.executable).with_name("podmanish")), "--root", self.state]

    def run(self, tasks: Sequence[Task]) -> list[Trial]:
        """What came of these trials of one hand-in, in their order."""
        done: list[Trial] = []
        while len(done) < len(tasks):
            done += self._container(tasks[len(done) :])
        return done

    def _container(self, tasks: Sequence[Task]) -> list[Trial]:
        """The trials that one container has come to: at least the first."""
        with tempfile.TemporaryDirectory(dir=self._root) as folder:
            Path(folder).chmod(0o755)
            names = [f"{number}-{program.parent.name}" for number, (program, _) in enumerate(tasks)]
            for name, (_, files) in zip(names, tasks, strict=True):
                _write(Path(folder, name), files)
            own = [(folder, "/work"), *((CHECKOUT / path, f"/trial/{path}") for path in OWN)]
            own += [(task[0], f"/trial/{name}/trial.py") for name, task in zip(names, tasks, strict=True)]
            mounts = [f"--volume={source}:{target}:ro" for source, target in own]
            words = [*self._engine(), "run", "--rm", *LIMITS, *mounts, *_system(), "cell", *PYTHON]
            said = _output([*words, *(f"/trial/{name}" for name in names)], SECONDS * len(tasks))
            return _told(*said)[: len(tasks)]


def _write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(mode=0o755)
    for name, text in files.items():
        Path(folder, name).write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        Path(folder, name).chmod(0o644)


def _system() -> list[str]:
    """The mounts that make the host's programs run: /usr, and what is beside it where /bin and /lib are no links."""
    own = [path for path in _beside_usr() if not path.is_symlink()]
    words = [f"--volume={path}:{path}:ro" for path in (Path("/usr"), Path("/etc/alternatives"), *own) if path.is_dir()]
    return [*words, *([f"--tmpfs={CHECKOUT}:size=4k"] if CHECKOUT.is_relative_to("/usr") else [])]


def _beside_usr() -> list[Path]:
    return [path for path in (Path("/bin"), Path("/sbin"), *sorted(Path("/").glob("lib*"))) if path.is_dir()]


def _empty_root() -> io.BytesIO:
    """A tar of the directories and links of a root filesystem that has nothing of its own."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name in ("usr", "etc/alternatives", "tmp", "work", "trial", "proc", "sys", "dev"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path in _beside_usr():
            entry = tarfile.TarInfo(path.name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            if path.is_symlink():
                entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
            tar.addfile(entry)
    data.seek(0)
    return data


def _output(words: list[str], seconds: float) -> tuple[int | None, bytes]:
    """The exit status, None if it was ended for its time or its output, and what was said.

    podmanish's lifeline ends the container when podmanish is killed.
    """
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        late = threading.Timer(seconds, process.kill)
        late.start()
        assert process.stdout
        text = process.stdout.read(MOST_OUTPUT + 1)
        if len(text) > MOST_OUTPUT:
            process.kill()
        code = process.wait()
        late.cancel()
    return (None if code == -signal.SIGKILL else code), text[:MOST_OUTPUT]


def _told(code: int | None, output: bytes) -> list[Trial]:
    """The verdicts that the judge gave, a line each; where it did not come to its end, the next trial is to blame."""
    lines = [line for line in output.decode(errors="replace").splitlines() if line]
    told = [trial for line in lines if (trial := _verdict(line))]
    return told if code == GOOD and told else [*told, _ended(code, lines)]


def _verdict(line: str) -> Trial | None:
    """None for a line that is not the judge's, or is cut off: too much was said."""
    try:
        one = json.loads(line)
    except ValueError:
        return None
    if isinstance(one, str):
        return Trial(False, (one,))
    return Trial(True, tuple(one)) if isinstance(one, list) else None


def _ended(code: int | None, lines: Sequence[str]) -> Trial:
    """Of a trial without a verdict. Whatever is not the judge's own `good` is a fault."""
    if code is None:
        return Trial(True, (f"its trial was ended: it took more than {SECONDS} s, or said too much",))
    if code in (125, 126, 127):
        return Trial(False, (f"the container could not be started: {' '.join(lines)[:200]}",))
    return Trial(True, (f"its trial ended with status {code}: {(lines or ('it said nothing',))[-1][:200]}",))
