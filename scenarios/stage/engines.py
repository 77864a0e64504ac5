"""The engines on the stage: all take the verbs and flags of docker and podman."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from scenarios import needs

Model = Literal["fork", "daemon"]
FORK: Model = "fork"
DAEMON: Model = "daemon"


@dataclass(frozen=True)
class Engine:
    """A command that runs containers.

    name         as the audience knows it
    model        "fork": the command forks the container; "daemon": it asks a daemon to
    argv         the words before `run`; sudo is not among them
    image        the image that stands for this machine's own root
    run_options  words that every `run` gets here
    privileged   what `--privileged` becomes here
    adopted      whether the container's monitor leaves the command, so that init adopts the monitor
    """

    name: str
    model: Model
    argv: Sequence[str]
    image: str = "host"
    sudo: Sequence[str] = field(default_factory=lambda: sudo())
    run_options: Sequence[str] = ()
    privileged: Sequence[str] = ("--privileged",)
    adopted: bool = False

    def run(self, workload: Sequence[str], *options: str) -> list[str]:
        """The words of `run`, ready for a shell."""
        own = [word for option in options for word in (self.privileged if option == "--privileged" else [option])]
        return [*self.command("run", "--rm"), *self.run_options, *own, self.image, *workload]

    def inspect(self, name: str) -> list[str]:
        """The words of `inspect`; it prints JSON with [0].State.Pid."""
        return self.command("inspect", name)

    def command(self, *words: str) -> list[str]:
        """Any other verb, ready for a shell."""
        return [*self.sudo, *self.argv, *words]


def inspected(engine: Engine, name: str) -> dict[str, Any]:
    """State in the answer of `inspect`, asked outside the session: Pid, Status, ExitCode; {} if there is none."""
    answer = needs.run(engine.inspect(name)).stdout
    found: list[dict[str, dict[str, Any]]] = json.loads(answer) if answer.startswith("[") else []
    return found[0]["State"] if found else {}


def absolute(engine: Engine) -> list[str]:
    """The engine's words, without sudo, for another working directory: a path among them is absolute."""
    first = engine.argv[0]
    return [str(Path(first).absolute()) if "/" in first else first, *engine.argv[1:]]


def paste(argv: Sequence[str]) -> str:
    """The words as one line for a POSIX shell, in double quotes where that reads better than shlex's."""
    return " ".join(
        f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word) for word in argv
    )


def sudo() -> list[str]:
    """["sudo"] where sudo is installed: root may always use it, and the article's commands begin with it."""
    return ["sudo"] if shutil.which("sudo") else []


def killing(pid: int) -> list[str]:
    """The words of `kill -9`; where kill(1) is not installed, of a shell's own."""
    words = ["kill", "-9", str(pid)]
    return words if needs.installed("kill") else ["sh", "-c", paste(words)]


def script(name: str) -> str:
    """What to type for a command of the lab."""
    return from_here(Path(sys.executable).parent / name)


def from_here(path: Path) -> str:
    """A path to type: relative if it lies below a working directory other than /, as a check has."""
    here = Path.cwd()
    return str(path.relative_to(here) if here != Path("/") and path.is_relative_to(here) else path)


def lab_engines(host: str = "") -> dict[Model, Engine]:
    """Both of the lab's engines, by model; host as in `dockerish --host`."""
    return {
        FORK: Engine("podmanish", FORK, [script("podmanish")]),
        DAEMON: Engine("dockerish", DAEMON, [script("dockerish"), *(["--host", host] if host else [])]),
    }
