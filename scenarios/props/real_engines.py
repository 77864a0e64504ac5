"""The real podman and docker of this machine, behind the same protocol as the lab's engines.

They run the same programs as the lab's `host` image: the few that the stories use are packed into a tar with the
libraries they need, imported under a random name, and removed at the end. Nothing is pulled, and nothing else in those
engines is touched.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from lab.errors import InvalidArgument, MissingFeature
from lab.runtime.credentials import CAPABILITIES
from scenarios import needs
from scenarios.props.capabilities import capabilities
from scenarios.props.labd import peer_pid
from scenarios.props.real_daemons import settings
from scenarios.safety.journal import Journal
from scenarios.safety.undo import IMAGE
from scenarios.stage.engines import DAEMON, FORK, Engine, Model

LABS: Mapping[str, Model] = {"podmanish": FORK, "dockerish": DAEMON}
REAL: Mapping[str, Model] = {"podman": FORK, "docker": DAEMON}
# These variables choose podman's settings. They go onto the command line, since sudo(8) clears the environment.
PODMAN_SETTINGS = ("CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF")
DOCKER_SOCKET = "unix:///var/run/docker.sock"
PROGRAMS = ("sh", "cat", "chmod", "chroot", "env", "id", "ln", "logger", "mv", "rm", "sleep", "touch", "true")


@dataclass(frozen=True)
class Choice:
    """The engines that the user chose, and by engine further words before the verb and after `run`."""

    names: Sequence[str] = tuple(LABS)
    before: Mapping[str, Sequence[str]] = field(default_factory=dict)
    after: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises InvalidArgument for a name that no engine has."""
        for name in (*self.names, *self.before, *self.after):
            if name not in LABS and name not in REAL:
                raise InvalidArgument(f'there is no engine "{name}"', f"there are: {', '.join((*LABS, *REAL))}")

    def find(self, labs: Mapping[Model, Engine]) -> list[Engine]:
        """The engines in this order, each once; labs are the lab's own, by model.

        Raises MissingFeature if a real engine is not here or does not answer.
        """
        return [labs[LABS[name]] if name in LABS else self._real(name) for name in dict.fromkeys(self.names)]

    def _real(self, name: str) -> Engine:
        engine = ADAPTERS[name](self.before.get(name, ()), self.after.get(name, ()))
        said = needs.run(engine.command("version"))
        if said.returncode:
            raise MissingFeature(
                f"{name} does not answer: {_last_line(said.stderr)}", "start its daemon, or run `sudo make engines-up`"
            )
        return engine


def podman(before: Sequence[str] = (), after: Sequence[str] = ()) -> Engine:
    """Podman in its own process; before and after are further words before the verb and after `run`."""
    _installed("podman")
    values = {**settings(), **os.environ}
    words = [f"{name}={values[name]}" for name in PODMAN_SETTINGS if name in values]
    argv = [*(["env", *words] if words else []), "podman", *before]
    return Engine("podman", FORK, argv, run_options=after, adopted=True)


def docker(before: Sequence[str] = (), after: Sequence[str] = ()) -> Engine:
    """Docker, through $DOCKER_HOST or the usual socket."""
    _installed("docker")
    host = {**settings(), **os.environ}.get("DOCKER_HOST", "")
    missing = _dropped(peer_pid(docker_socket()))
    argv = ["docker", *(["--host", host] if host else []), *before]
    return Engine("docker", DAEMON, argv, run_options=after, privileged=missing or ["--privileged"])


def docker_socket() -> str:
    """The path of the socket that docker() asks."""
    host = {**settings(), **os.environ}.get("DOCKER_HOST", DOCKER_SOCKET)
    return host.removeprefix("unix://")


ADAPTERS = {"podman": podman, "docker": docker}


def with_image(engine: Engine, journal: Journal | None) -> Engine:
    """The engine with the lab's image in it, until the journal is closed. Raises MissingFeature if that fails.

    Without a journal the image stays: for a storage that is removed as a whole.
    """
    engine = replace(engine, image=f"{IMAGE}:{os.urandom(4).hex()}")
    if journal:
        journal.note("image", argv=engine.command(), image=engine.image)
    with tempfile.TemporaryFile() as tar:
        pack(tar)
        tar.seek(0)
        words = engine.command("import", "-", engine.image)
        said = needs.run(words, stdin=tar)
    if said.returncode:
        raise MissingFeature(
            f"{engine.name} imports no image: {_last_line(said.stderr)}", f"try `{engine.name} import` by hand"
        )
    tried = needs.run(engine.run(["true"]))
    if tried.returncode:
        raise MissingFeature(
            f"{engine.name} cannot run a container here: {_last_line(tried.stderr)}",
            f"see --engine-option and --run-option; by hand: {engine.name} run --rm IMAGE true",
        )
    return _privileged(engine)


def _privileged(engine: Engine) -> Engine:
    """The engine with the plain `--privileged`, if that works: Docker 26 asks for no more than it has, 20.10 does."""
    plain = replace(engine, privileged=("--privileged",))
    if list(engine.privileged) == list(plain.privileged):
        return engine
    tried = needs.run(plain.run(["true"], "--privileged"))
    return engine if tried.returncode else plain


def pack(file: IO[bytes]) -> None:
    """A root filesystem's tar: PROGRAMS of this machine, the libraries that they load, and /tmp."""
    paths = {path for program in PROGRAMS if (path := shutil.which(program, path="/usr/bin:/bin:/usr/sbin"))}
    loaded = needs.run(["ldd", *sorted(paths)]).stdout
    with tarfile.open(fileobj=file, mode="w", dereference=True) as tar:
        for path in sorted(paths | set(re.findall(r"(/\S+) \(0x", loaded))):
            tar.add(path)
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
        if not any(path.startswith("/bin/") for path in paths):  # docker's health checks are run by /bin/sh
            link = tarfile.TarInfo("bin")
            link.type, link.linkname = tarfile.SYMTYPE, "usr/bin"
            tar.addfile(link)


def _installed(name: str) -> None:
    needs.require(name)
    said = needs.run([name, "--version"]).stdout.lower()
    if not said.startswith(f"{name} version"):  # Debian's podman-docker installs a `docker` that is podman
        raise MissingFeature(f"{name} is another program's name here", needs.install([name]))


def _dropped(pid: int) -> list[str]:
    """What --privileged must become for an engine that lacks capabilities: all of them but these; [] if it lacks none.

    A real engine asks for every capability that the kernel knows, and fails if it lacks one; capabilities(7).
    """
    if not pid:
        return []
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="utf-8"))
    bounding = capabilities(pid, "CapBnd")
    drops = [f"--cap-drop={name.removeprefix('CAP_')}" for name in CAPABILITIES[: last + 1] if name not in bounding]
    return ["--cap-add=ALL", *drops] if drops else []


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it printed no error")
