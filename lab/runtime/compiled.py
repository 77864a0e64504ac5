"""The seccomp filter of a container; that of the default profile is compiled once in a boot, since that is costly.

/run/lab/seccomp/CAPABILITIES-TIME   the filter for these capabilities; TIME is that of the last change of the source
"""

from __future__ import annotations

import os

from lab.errors import NotAllowed
from lab.files import make_private, make_public
from lab.runtime.credentials import mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lab.spec import Spec

DIRECTORY = "/run/lab/seccomp"
SOURCES = ("seccomp.py", "seccomp_default.py")


def policy(spec: Spec) -> bytes:
    """The BPF program of spec's seccomp profile, b"" for none. Raises InvalidArgument, MissingFeature."""
    if not spec.seccomp:
        return b""
    path = _path(spec) if spec.seccomp == "default" and os.geteuid() == 0 else ""
    try:
        with open(path, "rb") as file:
            program = file.read()
    except FileNotFoundError:
        program = b""
    if not program:
        from lab.runtime import seccomp

        program = seccomp.program(spec.seccomp, tuple(spec.capabilities))
        if path:
            _write(path, program)
    return program


def forget() -> None:
    """Remove the compiled filters; for `lab restore`."""
    import shutil

    shutil.rmtree(DIRECTORY, ignore_errors=True)


def _path(spec: Spec) -> str:
    here = os.path.dirname(__file__)
    changed = max(os.stat(f"{here}/{name}").st_mtime_ns for name in SOURCES)
    return f"{DIRECTORY}/{mask(spec.capabilities):x}-{changed}"


def _write(path: str, program: bytes) -> None:
    """Write the file whole or not at all; other processes may be writing it, too."""
    temporary = f"{path}.{os.urandom(8).hex()}"  # not the pid: each labd's spawner is pid 1 of its namespace
    try:
        make_public(os.path.dirname(DIRECTORY))
        make_private(DIRECTORY)
        with open(temporary, "wb") as file:
            file.write(program)
        os.rename(temporary, path)
    except (OSError, NotAllowed):
        pass  # without the file the next run compiles again
