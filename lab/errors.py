"""The errors of the lab: one tree, each with the exit code and the HTTP status that it maps to.

    LabError                        125  500
    +-- InvalidArgument             125  400   a flag, a name or a request body is wrong
    +-- NotAllowed                  125  403   the caller lacks a privilege
    +-- NotFound                    125  404
    |   +-- NoSuchContainer
    |   +-- NoSuchExec
    |   +-- NoSuchImage
    +-- Conflict                    125  409
    |   +-- NameInUse
    |   +-- NotRunning
    |   +-- StillRunning
    +-- NotImplementedHere          125  501   Docker has it, this lab does not
    +-- CannotStart                 125  400   the container's first process could not be made
    |   +-- CommandNotFound         127  400
    |   +-- CommandNotExecutable    126  400
    +-- MissingFeature              125  500   the kernel or a program lacks something
    |   +-- AuditUnavailable
    |   +-- AuditLocked
    +-- NoSpace                     125  507   the disk is full
    +-- EvidenceLost                125  500   audit records were dropped: no verdict can be given
    +-- DaemonUnreachable           125  503

Exit codes are those of docker-run(1) and podman-run(1): 125 the engine itself, 126 the command cannot be
invoked, 127 it cannot be found, 128+n it died of signal n.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


PROGRAM = "{program}"  # in a hint: the name of the command that shows it, podmanish or dockerish


class LabError(Exception):
    """An error that is shown to the user as one sentence, with a hint that says what to do."""

    exit_code = 125
    http_status = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def told_by(self, program: str) -> str:
        """The text for standard error: what happened, and what to do."""
        return f"{program}: {self.message}" + (f"\n  {self.hint.replace(PROGRAM, program)}" if self.hint else "")

    def to_dict(self) -> dict[str, str]:
        """As plain values, for JSON between two programs of the lab; from_dict() is the reverse."""
        return {"kind": type(self).__name__, "message": self.message, "hint": self.hint}

    def to_bytes(self) -> bytes:
        """The same for a pipe; from_bytes() is the reverse."""
        fields = [field.replace("\0", "\\0") for field in self.to_dict().values()]
        return "\0".join(fields).encode(errors="replace")


class InvalidArgument(LabError):
    http_status = 400


class NotAllowed(LabError):
    http_status = 403


class NotFound(LabError):
    http_status = 404


class NoSuchContainer(NotFound):
    pass


class NoSuchExec(NotFound):
    pass


class NoSuchImage(NotFound):
    pass


class Conflict(LabError):
    http_status = 409


class NameInUse(Conflict):
    pass


class NotRunning(Conflict):
    pass


class StillRunning(Conflict):
    pass


class NotImplementedHere(LabError):
    http_status = 501


class CannotStart(LabError):
    http_status = 400


class CommandNotFound(CannotStart):
    exit_code = 127


class CommandNotExecutable(CannotStart):
    exit_code = 126


class MissingFeature(LabError):
    pass


class AuditUnavailable(MissingFeature):
    pass


class AuditLocked(MissingFeature):
    pass


class NoSpace(LabError):
    http_status = 507


class EvidenceLost(LabError):
    pass


class DaemonUnreachable(LabError):
    http_status = 503


def from_dict(fields: Mapping[str, str]) -> LabError:
    """The error that to_dict() described; CannotStart if its kind is no class of this module."""
    kind = fields["kind"]
    found = globals().get(kind)
    if isinstance(found, type) and issubclass(found, LabError):
        return found(fields["message"], fields["hint"])
    return CannotStart(f"cannot start the command: {kind!a:.200}")


def from_bytes(report: bytes) -> LabError:
    """The error that to_bytes() described. Any other text becomes a CannotStart: a container may have written it."""
    kind, _, rest = report.decode(errors="replace").partition("\0")
    message, _, hint = rest.partition("\0")
    return from_dict({"kind": kind, "message": message, "hint": hint})
