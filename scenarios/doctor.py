"""What this machine can and cannot show, and why: looked up without changing anything."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import interpreter
from lab.audit.netlink import in_initial_namespace
from lab.audit.probe import probe
from lab.identity import UNSET, loginuid, name_of
from lab.paths import SOCKET
from lab.runtime import cgroup
from scenarios.props.labd import peer_pid

KERNEL = (5, 12)  # mount_setattr(2), the youngest call of lab.runtime


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    good     whether this machine has it
    detail   what was found, or what to do
    needed   whether the demo cannot run at all without it
    """

    what: str
    good: bool
    detail: str
    needed: bool = True


def examine() -> list[Finding]:
    """All findings; what the demo needs comes first."""
    return [check() for check in CHECKS]


def show(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print the findings: a line each, or all as JSON."""
    if as_json:
        json.dump([vars(finding) for finding in findings], sys.stdout, indent=2)
        print()
        return
    for finding in findings:
        mark = "ok" if finding.good else "MISSING" if finding.needed else "-"
        print(f"{mark:8}{finding.what:24}{finding.detail}")


def _root() -> Finding:
    good = os.geteuid() == 0
    return Finding("root", good, "" if good else "start it with sudo: audit rules and namespaces need root")


def _kernel() -> Finding:
    release = platform.release()
    version = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdecimal())
    return Finding("kernel", version >= KERNEL, f"{release}; mount_setattr(2) needs 5.12")


def _namespace() -> Finding:
    good = in_initial_namespace("user") is True
    return Finding(
        "initial user namespace",
        good,
        "" if good else "the kernel closes audit to other user namespaces: run the lab on the host or in a VM",
    )


def _audit() -> Finding:
    found = probe()
    return Finding("audit", found.usable, "; ".join(found.reasons) or _audit_state(found.auditd))


def _audit_state(auditd: int) -> str:
    return f"records arrive; auditd is pid {auditd}" if auditd else "records arrive; no auditd runs, and none is needed"


def _setpriv() -> Finding:
    return _program("setpriv", "apt install util-linux", needed=True)


def _login() -> Finding:
    uid = loginuid()
    if uid == UNSET:
        return Finding("a login", False, "loginuid is unset here: the lab opens a session as PAM would", needed=False)
    return Finding("a login", True, f"loginuid is {name_of(uid)} ({uid})", needed=False)


def _sudo() -> Finding:
    return _program("sudo", "not installed: commands are shown without it", needed=False)


def _daemon() -> Finding:
    pid = peer_pid(SOCKET)
    detail = f"pid {pid} on {SOCKET}" if pid else f"none on {SOCKET}: the lab starts one for each run"
    return Finding("labd", bool(pid), detail, needed=False)


def _interpreter() -> Finding:
    guarded = interpreter.place()
    made = Path(guarded).exists()
    detail = f"read-only for containers, on {guarded}" if made else "the first container mounts it read-only"
    return Finding("guarded interpreter", made, detail, needed=False)


def _cgroups() -> Finding:
    found = cgroup.available()
    missing = ", ".join(sorted(set(cgroup.CONTROLLERS) - found))
    detail = f"no controller for {missing}: `run` refuses such a limit" if missing else "--memory, --cpus, --pids-limit"
    return Finding("cgroups", not missing, detail, needed=False)


def _program(name: str, otherwise: str, needed: bool) -> Finding:
    path = shutil.which(name)
    return Finding(name, path is not None, path or otherwise, needed)


CHECKS: tuple[Callable[[], Finding], ...] = (
    _root,
    _kernel,
    _namespace,
    _audit,
    _setpriv,
    _login,
    _sudo,
    _daemon,
    _interpreter,
    _cgroups,
)
