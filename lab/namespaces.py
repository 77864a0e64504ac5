"""What --pid, --ipc, --uts, --userns, --cgroupns and --cgroup-parent may be; imported only if one of them is given.

moby, api/types/container/hostconfig.go and runconfig/hostconfig_unix.go; podman-run(1) has the same words.
"""

from __future__ import annotations

import os

from lab.errors import InvalidArgument, NotAllowed, NotImplementedHere
from lab.runtime import cgroup
from lab.spec import CONTAINER, PRIVATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lab.runargs import RunOptions

# Each option: docker's name of it, and what it may be; "container:" stands for "container:NAME".
MODES = {
    "pid": ("PID", (PRIVATE, "host", CONTAINER)),
    "ipc": ("IPC", (PRIVATE, "shareable", "none", "host", CONTAINER)),
    "uts": ("UTS", (PRIVATE, "host")),
    "userns": ("user namespace", ("host",)),
    "cgroupns": ("cgroup namespace", ("host", PRIVATE)),
}
# What docker or podman has besides, and the lab has not.
ABSENT = {
    "userns": ("private", "keep-id", "auto", "nomap", "container:", "ns:"),
    "uts": ("container:", "ns:"),
    "cgroupns": ("container:", "ns:"),
    "pid": ("ns:", "pod"),
    "ipc": ("ns:", "pod"),
}


def chosen(options: RunOptions) -> dict[str, str]:
    """The fields of lab.spec.Spec for these options. Raises InvalidArgument, NotAllowed, NotImplementedHere."""
    given = {name: mode for name in MODES if (mode := getattr(options, name))}
    for name, mode in given.items():
        _check_mode(name, mode)
    _check_together(options)
    if os.geteuid() != 0:
        _check_rootless(options)
    found = {name: mode for name, mode in given.items() if name != "userns"}
    return {**found, "cgroup_parent": _parent(options.cgroup_parent)}


def _check_mode(name: str, mode: str) -> None:
    word, known = MODES[name]
    if (mode in known and mode != CONTAINER) or (CONTAINER in known and is_joined(mode)):
        return
    option = f"--{name}"
    write = f"write {option} {', '.join(f'{one}NAME' if one == CONTAINER else one for one in known)}"
    if mode.partition(":")[0] in (one.rstrip(":") for one in ABSENT[name]) and mode != CONTAINER:
        raise NotImplementedHere(f'{option} "{mode[:80]}" is not part of this lab', write)
    raise InvalidArgument(f"invalid {word} mode: {mode[:80]}", write)


def is_joined(mode: str) -> bool:
    """Whether a mode is container:NAME."""
    return mode.startswith(CONTAINER) and mode != CONTAINER


def _check_together(options: RunOptions) -> None:
    if options.uts == "host" and (options.hostname or options.domainname):
        raise InvalidArgument(
            "conflicting options: hostname and the UTS mode", "with --uts host the container has the host's names"
        )
    if options.ipc == "host" and any(not name.startswith("net.") for name in options.sysctl):
        raise InvalidArgument(
            "sysctls of IPC are not allowed in the host's IPC namespace", "leave out --ipc or --sysctl"
        )


def _check_rootless(options: RunOptions) -> None:
    """Without root there is no cgroup, and nothing else names all processes of a container in a shared namespace."""
    refused = [
        f"--{name} {mode}"
        for name, mode, plain in (("pid", options.pid, PRIVATE), ("cgroupns", options.cgroupns, "host"))
        if mode not in ("", plain)
    ]
    if is_joined(options.ipc):
        refused.append(f"--ipc {options.ipc}")
    if options.cgroup_parent:
        refused.append("--cgroup-parent")
    if refused:
        raise NotAllowed(
            f"{refused[0]} takes a cgroup or a namespace that an ordinary user may not enter", "run it as root"
        )


def _parent(path: str) -> str:
    """A cgroup's path below the top, such as /students/monday. Raises InvalidArgument for one that leads elsewhere."""
    if not path:
        return ""
    parts = path.strip("/").split("/")
    if any(part in ("", ".", "..") or not part.isprintable() or len(os.fsencode(part)) > 200 for part in parts):
        raise InvalidArgument(f"invalid cgroup parent {path[:80]!a}", "write names and slashes only, such as /students")
    if any(part.startswith(cgroup.NAME) for part in parts):
        raise InvalidArgument(f"the cgroup parent {path[:80]!a} is a container's cgroup", "name another one")
    if path.endswith(".slice"):
        raise NotImplementedHere(
            f"cgroup parent {path[:80]!a}: the slices of systemd are not part of this lab",
            "name a cgroup without .slice, such as /students",
        )
    return "/" + "/".join(parts)
