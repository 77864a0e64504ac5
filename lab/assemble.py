"""Make the Spec of a request. Both engines use this, so equal requests give equal containers."""

from __future__ import annotations

import os

from lab.errors import InvalidArgument, NotAllowed, NotImplementedHere
from lab.runtime import cgroup
from lab.runtime.credentials import CAPABILITIES, capability_set
from lab.spec import DEFAULT_CAPABILITIES, DEFAULT_PATH, MASKED_PATHS, READONLY_PATHS, SHM_SIZE, Device, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.images import Image
    from lab.runargs import ExecOptions, RunOptions

NETWORKS = ("host", "none")
ABSENT_SECURITY = (
    ("apparmor", "unconfined"),
    ("label", "disable"),
)  # the lab has neither, so switching them off is no change
LONGEST_NAME = 64  # bytes; sethostname(2), setdomainname(2)
# moby, daemon/daemon_unix.go and opts/opts.go: what belongs to the container's own namespaces.
OWN_SYSCTLS = ("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
    "kernel.shmmni", "kernel.shm_rmid_forced")  # fmt: skip
TMPFS_FLAGS = ("rw", "ro", "exec", "noexec", "suid", "nosuid", "dev", "nodev")
TMPFS_VALUES = ("size", "mode", "uid", "gid", "nr_inodes")


def assemble(options: RunOptions, image: Image, container_id: str, layer: str = "", *, state: str) -> Spec:
    """The Spec for a new container; layer is its directory for an overlay, "" for a read-only root.

    The options are completed with what the image's config says (complete()). state is the engine's directory; it is
    hidden from all containers of the `host` image, privileged ones included.
    Raises InvalidArgument, NotAllowed, MissingFeature or NotImplementedHere; nothing has been changed then.
    """
    complete(options, image)
    hostname = options.hostname or (os.uname().nodename if options.uts == "host" else container_id[:12])
    _check(options, hostname)
    security = _Security(options.security_opt, options.privileged)
    masked, readonly = _system_paths(options, security.paths_open)
    if image.is_host:
        masked = [*masked, os.path.realpath(state)]
    spec = Spec(
        rootfs=image.rootfs,
        layer=layer,
        args=_arguments(options),
        env=_environment(hostname, options.tty, options.env),
        cwd=options.workdir or "/",
        user=options.user,
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
        resources=_resources(options),
        rlimits=options.rlimits,
        oom_score_adj=options.oom_score_adj,
        groups=options.groups,
        domainname=options.domainname,
        sysctl=options.sysctl,
        tmpfs=options.tmpfs,
        shm_size=options.shm_size or SHM_SIZE,
    )
    _set_namespaces(spec, options)
    cgroup.check(spec)
    return spec


def complete(options: RunOptions, image: Image) -> None:
    """Give the options what the image's config says and the request leaves open; moby, daemon/commit.go, merge().

    A request that names an entrypoint drops the image's command, too. Of a health check only labd makes use.
    """
    if options.entrypoint is None:
        options.command = options.command or list(image.command)
        options.entrypoint = list(image.entrypoint)
    options.env = [*image.env, *options.env]
    options.workdir = options.workdir or image.workdir
    options.user = options.user or image.user
    options.label = [*(f"{name}={value}" for name, value in image.labels.items()), *options.label]
    options.stop_signal = options.stop_signal or image.stop_signal
    options.healthcheck = options.healthcheck or image.healthcheck


def _check_workdir(path: str) -> None:
    if path and not path.startswith("/"):
        raise InvalidArgument(
            f"the working directory {path[:80]!a} is invalid, it needs to be an absolute path", "begin it with /"
        )


def _check(options: RunOptions, hostname: str) -> None:
    _check_workdir(options.workdir)
    for mount in options.volumes:
        if mount.kind == "bind" and not os.path.lexists(mount.source):
            raise InvalidArgument(
                f"bind source path does not exist: {mount.source}",
                "create it first: like podman, and unlike docker -v, the lab makes no directories on the host",
            )
    if options.network not in NETWORKS:
        raise NotImplementedHere(f'network "{options.network}" is not part of this lab', "use host or none")
    for kind, name in (("hostname", hostname), ("domainname", options.domainname)):
        if len(os.fsencode(name)) > LONGEST_NAME or "\0" in name:
            raise InvalidArgument(f'invalid {kind} "{name}"', f"use at most {LONGEST_NAME} bytes; set{kind}(2)")
    if options.oom_score_adj is not None and not -1000 <= options.oom_score_adj <= 1000:
        raise InvalidArgument(
            f"Invalid value {options.oom_score_adj}, range for oom score adj is [-1000, 1000]",
            "give a number in that range",
        )
    for name in options.sysctl:
        _check_sysctl(name, options.network)
    for target, words in options.tmpfs.items():
        _check_tmpfs(target, words)


def _check_sysctl(name: str, network: str) -> None:
    """Only what the container's own IPC or network namespace holds, as in Docker: all else is the whole machine's."""
    if "\0" in name or "/" in name or not name.replace(".", "").replace("_", "").replace("-", "").isalnum():
        raise InvalidArgument(f"invalid sysctl {name[:80]!a}", "write its name with dots, such as kernel.shmmax")
    if name.startswith("net.") and network == "host":
        raise InvalidArgument(
            f"sysctl '{name}' is not allowed in the host network namespace", "leave it out, or use --network none"
        )
    if not name.startswith(("net.", "fs.mqueue.")) and name not in OWN_SYSCTLS:
        raise InvalidArgument(
            f"sysctl '{name}' is not separated by a namespace: it would change the host", "set it on the host"
        )


def _check_tmpfs(target: str, words: str) -> None:
    if not target.startswith("/") or ".." in target.split("/") or "\0" in target or target.strip("/") == "":
        raise InvalidArgument(f"invalid tmpfs {target[:80]!a}", "write an absolute path, such as /t or /t:size=1m")
    for word in filter(None, words.split(",")):
        name, given, _ = word.partition("=")
        if (name not in TMPFS_VALUES) if given else (name not in TMPFS_FLAGS):
            known = ", ".join((*TMPFS_FLAGS, *(f"{value}=" for value in TMPFS_VALUES)))
            raise InvalidArgument(f"Invalid tmpfs option {word[:80]!a}", f"the options are {known}")


def assemble_exec(options: ExecOptions, container: Spec) -> Spec:
    """The Spec for one more process in a container that was made from `container`."""
    _check_workdir(options.workdir)
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


def _arguments(options: RunOptions) -> list[str]:
    arguments = [*(options.entrypoint or ()), *options.command]
    if not arguments:
        raise InvalidArgument("no command specified", f"write the command after the image: run {options.image} COMMAND")
    if any("\0" in word for word in arguments):
        raise InvalidArgument("an argument holds a NUL byte", "take the NUL byte out: execve(2) ends an argument there")
    return arguments


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
        else:  # NAME without = removes a variable of the image or the engine, as in Docker
            env.pop(name, None)
    return env


def _base(privileged: bool) -> Sequence[str]:
    return CAPABILITIES if privileged else DEFAULT_CAPABILITIES


class _Security:
    """The meaning of all `--security-opt`s together. Raises NotImplementedHere, InvalidArgument."""

    __slots__ = ("no_new_privileges", "paths_open", "seccomp")

    def __init__(self, options: Sequence[str], privileged: bool) -> None:
        self.no_new_privileges = self.paths_open = False
        self.seccomp = "" if privileged else "default"  # a profile that is named replaces either, as in Docker
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
    if value in ("default", "builtin"):  # docker says builtin
        return "default"
    from lab.runtime import seccomp

    seccomp.check(value)
    return value


def _system_paths(options: RunOptions, paths_open: bool) -> tuple[Sequence[str], Sequence[str]]:
    """masked_paths and readonly_paths. Paths that the request names win over --privileged, as in Docker."""
    masked: Sequence[str] = MASKED_PATHS
    readonly: Sequence[str] = READONLY_PATHS
    if options.privileged or paths_open:
        masked = readonly = ()
    if options.masked_paths is not None:
        masked = options.masked_paths
    if options.readonly_paths is not None:
        readonly = options.readonly_paths
    for path in (*masked, *readonly):
        if not path.startswith("/") or "\0" in path:
            raise InvalidArgument(
                f"invalid path {path[:80]!a} in MaskedPaths or ReadonlyPaths", "write an absolute path"
            )
    return masked, readonly


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
            "name a device node of this machine, such as /dev/fuse",
        )
    return Device(os.path.realpath(device.source), device.target)


def _set_namespaces(spec: Spec, options: RunOptions) -> None:
    if options.pid or options.ipc or options.uts or options.userns or options.cgroupns or options.cgroup_parent:
        from lab import namespaces

        for name, value in namespaces.chosen(options).items():
            setattr(spec, name, value)


def _resources(options: RunOptions) -> dict[str, int | str]:
    if not options.resources:
        return {}
    from lab import resources

    wanted = resources.checked(options.resources)
    if os.geteuid() != 0 and wanted:
        raise NotAllowed(
            "limits need a cgroup, which an ordinary user may not make here",
            "run it as root, or leave --memory, --cpus, --pids-limit and the like out",
        )
    return wanted
