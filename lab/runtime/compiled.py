"""The seccomp filter of a container, compiled once a boot for the default profile: it takes 1.5 ms and seldom changes.

/run/lab/seccomp/CAPABILITIES-TIME   the program for these capabilities; TIME: when the profile's source changed
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
    kept = _kept(spec) if spec.seccomp == "default" and os.geteuid() == 0 else ""
    try:
        with open(kept, "rb") as file:
            program = file.read()
    except FileNotFoundError:
        program = b""
    if not program:
        from lab.runtime import seccomp

        program = seccomp.program(spec.seccomp, tuple(spec.capabilities))
        if kept:
            _keep(kept, program)
    return program


def forget() -> None:
    """Remove what was compiled; for `lab restore`."""
    import shutil

    shutil.rmtree(DIRECTORY, ignore_errors=True)


def _kept(spec: Spec) -> str:
    here = os.path.dirname(__file__)
    changed = max(os.stat(f"{here}/{name}").st_mtime_ns for name in SOURCES)
    return f"{DIRECTORY}/{mask(spec.capabilities):x}-{changed}"


def _keep(path: str, program: bytes) -> None:
    """Write it whole or not at all; others may be doing the same."""
    temporary = f"{path}.{os.urandom(8).hex()}"  # not the pid: each labd's spawner is the 1 of its namespace
    try:
        make_public(os.path.dirname(DIRECTORY))
        make_private(DIRECTORY)
        with open(temporary, "wb") as file:
            file.write(program)
        os.rename(temporary, path)
    except (OSError, NotAllowed):
        pass  # a full or read-only /run costs time, not safety
