"""From what was asked for to the Spec: used by both engines, so that equal requests give equal containers."""

from __future__ import annotations

import os

from lab.errors import InvalidArgument, NotAllowed, NotImplementedHere
from lab.runtime import cgroup
from lab.runtime.credentials import CAPABILITIES, capability_set
from lab.spec import DEFAULT_CAPABILITIES, DEFAULT_PATH, MASKED_PATHS, READONLY_PATHS, Device, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.images import Image
    from lab.runargs import ExecOptions, RunOptions

NETWORKS = ("host", "none")
ABSENT_SECURITY = (("apparmor", "unconfined"), ("label", "disable"))  # to switch off what is not there is no change
LEAST_MEMORY = 6 << 20


def assemble(options: RunOptions, image: Image, container_id: str, layer: str = "", *, state: str) -> Spec:
    """The Spec for a new container; layer is its directory for an overlay, "" for a read-only root.

    state is the engine's own directory, which no container of the `host` image sees, not even a privileged one.
    Raises InvalidArgument, NotAllowed, MissingFeature or NotImplementedHere for what cannot be, before anything has
    been changed.
    """
    for mount in options.volumes:
        if not os.path.lexists(mount.source):
            raise InvalidArgument(
                f"bind source path does not exist: {mount.source}",
                "create it first: the lab, like podman and unlike docker -v, makes no directories on the host",
            )
    if options.network not in NETWORKS:
        raise NotImplementedHere(f'network "{options.network}" is not part of this lab', "use host or none")
    hostname = options.hostname or container_id[:12]
    if len(os.fsencode(hostname)) > 64 or "\0" in hostname:
        raise InvalidArgument(f'invalid hostname "{hostname}"', "at most 64 bytes; sethostname(2)")
    security = _Security(options.security_opt, options.privileged)
    masked, readonly = _system_paths(options, security.paths_open)
    if image.is_host:
        masked = [*masked, os.path.realpath(state)]
    spec = Spec(
        rootfs=image.rootfs,
        layer=layer,
        args=_arguments(options, image),
        env=_environment(hostname, options.tty, [*image.env, *options.env]),
        cwd=options.workdir or image.workdir or "/",
        user=options.user or image.user,
        hostname=hostname,
        mounts=options.volumes,
        capabilities=capability_set(_base(options.privileged), options.cap_add, options.cap_drop),
        privileged=options.privileged,
        devices=[_real_device(device) for device in options.devices],
        masked_paths=masked,
        readonly_paths=readonly,
        readonly=options.read_only,
        seccomp=security.seccomp,
        no_new_privileges=security.no_new_privileges,
        network=options.network,
        tty=options.tty,
        init=options.init,
    )
    spec.memory, spec.nano_cpus, spec.pids_limit = _limits(options)
    cgroup.check(spec)
    return spec


def assemble_exec(options: ExecOptions, container: Spec) -> Spec:
    """The Spec for one more process in a container that was made from `container`."""
    spec = Spec.from_dict(container.to_dict())
    spec.args, spec.tty, spec.init = options.command, options.tty, False
    spec.cwd, spec.user = options.workdir or spec.cwd, options.user or spec.user
    for item in options.env:
        name, given, value = item.partition("=")
        if given:
            spec.env[name] = value
        else:
            spec.env.pop(name, None)
    if options.tty:
        spec.env.setdefault("TERM", "xterm")
    if options.privileged:
        spec.capabilities = list(CAPABILITIES)
    return spec


def _arguments(options: RunOptions, image: Image) -> list[str]:
    if options.entrypoint is not None:
        entrypoint, command = ([options.entrypoint] if options.entrypoint else []), options.command
    else:
        entrypoint, command = image.entrypoint, options.command or image.command
    if not entrypoint + command:
        raise InvalidArgument("no command specified", f"name one: run {image.name} COMMAND")
    if any("\0" in word for word in command):
        raise InvalidArgument("an argument holds a NUL byte", "execve(2) ends an argument there")
    return entrypoint + command


def _environment(hostname: str, tty: bool, items: Sequence[str]) -> dict[str, str]:
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if tty:
        env["TERM"] = "xterm"
    for item in items:
        name, given, value = item.partition("=")
        if not name or "\0" in item:
            raise InvalidArgument(f'invalid environment variable "{item}"', "write NAME=VALUE")
        if given:
            env[name] = value
        else:  # Docker's way to be without one that the image or the engine sets
            env.pop(name, None)
    return env


def _base(privileged: bool) -> Sequence[str]:
    return CAPABILITIES if privileged else DEFAULT_CAPABILITIES


class _Security:
    """What the `--security-opt`s come to. Raises NotImplementedHere, InvalidArgument."""

    __slots__ = ("no_new_privileges", "paths_open", "seccomp")

    def __init__(self, options: Sequence[str], privileged: bool) -> None:
        self.no_new_privileges = self.paths_open = False
        self.seccomp = "" if privileged else "default"  # a profile that is named holds for both, as in Docker
        for option in options:
            self._take(option)

    def _take(self, option: str) -> None:
        from lab.limits import split_security

        name, value = split_security(option)
        if name == "no-new-privileges" and value in ("", "true", "false"):
            self.no_new_privileges = value != "false"
        elif name == "seccomp":
            self.seccomp = _profile(value)
        elif (name, value) == ("systempaths", "unconfined"):
            self.paths_open = True
        elif (name, value) not in ABSENT_SECURITY:
            raise NotImplementedHere(
                f'security option "{option[:80]}" is not part of this lab',
                "use no-new-privileges, seccomp=unconfined or a profile, systempaths=unconfined",
            )


def _profile(value: str) -> str:
    if value == "unconfined":
        return ""
    if value in ("default", "builtin"):  # docker's word for it is the latter
        return "default"
    from lab.runtime import seccomp

    seccomp.check(value)
    return value


def _system_paths(options: RunOptions, paths_open: bool) -> tuple[Sequence[str], Sequence[str]]:
    """masked_paths and readonly_paths: those named win over --privileged, as in Docker."""
    nothing = options.privileged or paths_open
    found = []
    for given, usual in ((options.masked_paths, MASKED_PATHS), (options.readonly_paths, READONLY_PATHS)):
        paths = given if given is not None else () if nothing else usual
        for path in paths:
            if not path.startswith("/") or "\0" in path:
                raise InvalidArgument(f"invalid path {path[:80]!a} in MaskedPaths or ReadonlyPaths", "it is absolute")
        found.append(paths)
    return found[0], found[1]


def _real_device(device: Device) -> Device:
    import stat

    try:
        mode = os.stat(device.source).st_mode
        wrong = "" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "not a device node"
    except OSError as error:
        wrong = str(error.strerror).lower()
    if wrong:
        raise InvalidArgument(
            f'error gathering device information while adding custom device "{device.source}": {wrong}',
            "name a device of this machine, such as /dev/fuse",
        )
    return Device(os.path.realpath(device.source), device.target)


def _limits(options: RunOptions) -> tuple[int, int, int]:
    """What the container may use at most: memory, nano_cpus, pids_limit."""
    memory, cpus, pids = options.memory, options.nano_cpus, max(options.pids_limit, 0)
    if os.geteuid() != 0 and (memory or cpus or pids):
        raise NotAllowed(
            "limits need a cgroup, and an ordinary user may not make one here",
            "run it as root, or leave --memory, --cpus and --pids-limit out",
        )
    if memory and memory < LEAST_MEMORY:
        raise InvalidArgument("Minimum memory limit allowed is 6MB", "give --memory 6m or more")
    most = len(os.sched_getaffinity(0))
    if cpus and not 10**7 <= cpus <= most * 10**9:
        raise InvalidArgument(
            f"range of CPUs is from 0.01 to {most}.00, as there are only {most} CPUs available", "see --cpus"
        )
    return memory, cpus, pids
