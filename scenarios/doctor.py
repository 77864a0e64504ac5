"""What this machine can and cannot show, and why: looked up without changing anything."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rich.cells import cell_len

from lab import interpreter
from lab.audit.netlink import in_initial_namespace
from lab.audit.probe import probe
from lab.errors import InvalidArgument
from lab.identity import UNSET, loginuid, name_of
from lab.paths import SOCKET
from lab.runtime import cgroup
from scenarios import needs
from scenarios.performance.text import Translate, in_english
from scenarios.props.labd import listener, peer_pid
from scenarios.props.real_engines import docker_socket
from scenarios.props.target import SHADOW, watchable

ROOTLESS = ("rootless", "trace", "mirror", "blindspot", "variants")  # their user is no root
KERNEL = (5, 12)  # mount_setattr(2), the youngest call of lab.runtime


audit = cache(probe)  # asked once: with a rate limit, the answer may take seconds


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    good     whether this machine has it
    detail   what was found, or what is so without it
    needed   whether the demo cannot run at all without it
    users    the stories, targets of make and engines that lack it
    remedy   the command that mends it; "" where there is none, or where `apt-get install` at the end does
    """

    what: str
    good: bool
    detail: str
    needed: bool = True
    users: str = ""
    remedy: str = ""


def examine() -> list[Finding]:
    """All findings; what the demo needs comes first, the programs come last."""
    return [*(check() for check in CHECKS), *_programs()]


def show(findings: Sequence[Finding], *, as_json: bool, translate: Translate = in_english) -> None:
    """Print the findings: a line each and the remedies, or all as JSON, which is always English."""
    if as_json:
        json.dump([vars(finding) for finding in findings], sys.stdout, indent=2)
        print()
        return
    for finding in findings:
        mark = translate("ok" if finding.good else "MISSING" if finding.needed else "-")
        lacking = f"[{translate(finding.users)}] " if finding.users and not finding.good else ""
        columns = _padded(mark, 8) + _padded(translate(finding.what), 24)
        print(f"{columns}{lacking}{translate(finding.detail)}".rstrip())
        if finding.remedy and not finding.good:
            print(f"{'':32}{translate('to mend it:')} {finding.remedy}")
    absent = [finding.what for finding in findings if not finding.good and finding.what in needs.PROGRAMS]
    if needs.packages(absent):
        print(f"\n{translate('All that Debian has of the programs above:')} {needs.install(absent)}")


def _padded(text: str, columns: int) -> str:
    return text + " " * (columns - cell_len(text))


def _programs() -> list[Finding]:
    """One finding for all programs that are here, and one for each that is not."""
    absent = [program for program in needs.PROGRAMS.values() if not needs.installed(program.name)]
    here = len(needs.PROGRAMS) - len(absent)
    found = [Finding("programs", not absent, f"{here} of {len(needs.PROGRAMS)} are here", needed=False)]
    for program in absent:
        detail = program.without or "they cannot do without it"
        found.append(Finding(program.name, False, detail, needed=False, users=", ".join(program.users)))
    return found


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
    found = audit()
    return Finding("audit", found.usable, "; ".join(found.reasons) or _audit_state(found.auditd))


def _audit_state(auditd: int) -> str:
    return f"records arrive; auditd is pid {auditd}" if auditd else "records arrive; no auditd runs, and none is needed"


def _rate_limit() -> Finding:
    limit = audit().limited
    detail = f"the kernel drops records above {limit} a second" if limit else "none"
    users = "every story with records"
    return Finding("audit rate limit", not limit, detail, needed=False, users=users, remedy="sudo auditctl -r 0")


def _login() -> Finding:
    uid = loginuid()
    if uid == UNSET:
        return Finding("a login", False, "loginuid is unset here: the lab opens a session as PAM would", needed=False)
    detail = f"loginuid is {name_of(uid)} ({uid})"
    ordinary = ", ".join(ROOTLESS)
    return Finding(
        "a login", uid != 0, detail, needed=False, users=ordinary, remedy="sudo .venv/bin/lab demo --as NAME"
    )


def _checkout() -> Finding:
    closed = needs.closed_to_others()
    detail = f"other users may not enter {closed}" if closed else "every user may execute the lab's commands"
    return Finding(
        "checkout", not closed, detail, needed=False, users="rootless, trace, variants",
        remedy=closed and needs.opened(closed),
    )  # fmt: skip


def _shadow() -> Finding:
    """Whether it can be watched: the default in the lab's own machine, --target elsewhere."""
    try:
        watchable(SHADOW)
    except InvalidArgument as error:
        mend = f"sudo chown root {SHADOW} && sudo chmod go-w {SHADOW}" if Path(SHADOW).is_file() else "sudo pwconv"
        users = f"--target {SHADOW}"
        return Finding(SHADOW, False, error.message, needed=False, users=users, remedy=mend)
    return Finding(SHADOW, True, "a regular file that is root's alone", needed=False)


def _venv() -> Finding:
    good = importlib.util.find_spec("ensurepip") is not None
    detail = "Python can make a venv" if good else "Python cannot make a venv"
    remedy = f"{needs.INSTALL} python3-venv"
    return Finding("python3-venv", good, detail, needed=False, users="make venv", remedy=remedy)


def _systemd() -> Finding:
    good = Path("/run/systemd/system").is_dir()
    detail = "it is pid 1" if good else "it is not pid 1: notify boots one in a container, gallery leaves launchers out"
    return Finding("systemd", good, detail, needed=False, users="gallery")


def _user_namespaces() -> Finding:
    good = needs.user_namespaces()
    error = needs.no_user_namespaces("an ordinary user")
    detail = "every user may make one" if good else error.message
    users = "mirror, rootless, variants"
    return Finding("user namespaces", good, detail, needed=False, users=users, remedy=error.hint)


def _processors() -> Finding:
    count = len(os.sched_getaffinity(0))
    return Finding("processors", count > 1, f"{count}; inherit's CPU affinity needs two", needed=False, users="inherit")


def _docker() -> Finding:
    pid = peer_pid(docker_socket())
    detail = f"pid {pid}" if pid else f"no daemon listens on {docker_socket()}"
    return Finding(
        "docker's daemon", bool(pid), detail, needed=False, users="--engines docker", remedy="sudo make engines-up"
    )


def _daemon() -> Finding:
    pid = listener(SOCKET)
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


CHECKS: tuple[Callable[[], Finding], ...] = (
    _root,
    _kernel,
    _namespace,
    _audit,
    _rate_limit,
    _login,
    _checkout,
    _shadow,
    _systemd,
    _user_namespaces,
    _processors,
    _daemon,
    _docker,
    _interpreter,
    _cgroups,
    _venv,
)
