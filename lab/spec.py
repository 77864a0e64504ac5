"""What to run: the one description that both engines hand to the one runtime.

These are plain classes, since importing `dataclasses` and `typing` is costly for a short-lived command; see
docs/developer.md. Field names are those of the OCI runtime specification where it has one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

# Docker's default set (moby, oci/caps/defaults.go); CAP_AUDIT_WRITE is in it, CAP_AUDIT_CONTROL is not.
DEFAULT_CAPABILITIES = (
    "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID",
    "CAP_SYS_CHROOT",
)  # fmt: skip
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# moby, oci/defaults.go: what an unprivileged container may not see, and what it may not write.
MASKED_PATHS = (
    "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
    "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
# include/uapi/asm-generic/resource.h: RLIMIT_CPU is 0, and so on.
RLIMITS = (
    "cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as", "locks", "sigpending",
    "msgqueue", "nice", "rtprio", "rttime",
)  # fmt: skip
SHM_SIZE = 64 << 20  # bytes of /dev/shm
PRIVATE, CONTAINER = "private", "container:"  # what --pid, --ipc and the like may be, and how a third one begins


class Mount:
    """One mount, as `-v` and `--mount` ask for it. source and target are absolute paths.

    kind         "bind", "volume", or "file": one of the engine's own, which inspect does not list (lab.netfiles)
    name         of the volume; "": an anonymous volume that has not been made yet
    anonymous    whether the volume goes with its container: `rm -v`, `run --rm`
    copy         whether a new volume gets what the image has at target
    recursive    whether the mounts below source come, too
    propagation  "", or "rslave": later mounts below source come, too; mount_namespaces(7)
    """

    __slots__ = ("anonymous", "copy", "kind", "name", "propagation", "readonly", "recursive", "source", "target")

    def __init__(
        self, source: str, target: str, readonly: bool = False, *, kind: str = "bind", name: str = "",
        anonymous: bool = False, copy: bool = True, recursive: bool = True, propagation: str = "",
    ) -> None:  # fmt: skip
        self.source, self.target, self.readonly, self.kind = source, target, readonly, kind
        self.name, self.anonymous, self.copy = name, anonymous, copy
        self.recursive, self.propagation = recursive, propagation

    def __str__(self) -> str:
        """As `-v` writes it."""
        source = self.name if self.kind == "volume" else self.source
        words = [word for word, given in (("ro", self.readonly), ("nocopy", not self.copy)) if given]
        options = ",".join([*words, self.propagation] if self.propagation else words)
        return ":".join(part for part in (source, self.target, options) if part)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


class Device:
    """A device node of the host, as `--device SOURCE[:TARGET]` asks for it. Both paths are absolute."""

    __slots__ = ("source", "target")

    def __init__(self, source: str, target: str) -> None:
        self.source, self.target = source, target


class Spec:
    """A container's first process (or one more process for a running container) and the world around it.

    rootfs            directory that becomes `/`; "/" itself is the `host` image: the machine's own root, read-only
    layer             directory with `upper/` and `work/` for an overlay over rootfs; "" leaves the root read-only
    args              the command, at least one word
    env               the whole environment; nothing of the engine's environment is added
    user              "", "UID", "NAME", or either with ":GROUP"
    capabilities      the names that stay in the bounding set
    privileged        unmasked /proc and /sys, all devices (the capabilities are listed apart)
    network           "host" or "none"
    devices           device nodes of the host that the container gets besides the usual six
    masked_paths      paths hidden behind an empty file or directory; readonly_paths: paths that cannot be written
    readonly          the root cannot be written, even if the container has a layer
    seccomp           "" for no filter, "default" for Docker's policy, or the JSON text of a profile in Docker's format
    pid               pid namespace: "private", "host", or "container:ID" for that container's
    ipc               IPC namespace: the same, "shareable" for one that others may join, "none" for no /dev/shm
    uts               "private", or "host" for the host's names
    cgroupns          "host", or "private": the container sees its cgroup as the top
    cgroup            path of the container's cgroup; "" leaves the container in the engine's cgroup
    cgroup_parent     path of the cgroup in which that one is made; "" lets the engine choose
    resources         limits, by the names of lab.resources; they need a cgroup
    rlimits           (name without RLIMIT_ in lower case, soft, hard) of the process; -1: no limit; getrlimit(2)
    oom_score_adj     -1000 to 1000, or None for the engine's own; proc_pid_oom_score_adj(5)
    groups            more supplementary groups, by name or number
    sysctl            settings of the container's own namespaces, by their names with dots
    tmpfs             mount point: options of mount(8)
    shm_size          bytes of /dev/shm
    console_size      height and width of the terminal at its start; empty: those of the engine's own terminal
    uid_mappings      (inside, outside, count) triples of a user namespace; empty: no user namespace
    """

    __slots__ = (
        "args", "capabilities", "cgroup", "cgroup_parent", "cgroupns", "console_size", "cwd", "devices", "domainname",
        "env", "gid_mappings", "groups", "hostname", "init", "ipc", "layer", "masked_paths", "mounts", "network",
        "no_new_privileges", "oom_score_adj", "pid", "privileged", "readonly", "readonly_paths", "resources", "rlimits",
        "rootfs", "seccomp", "shm_size", "sysctl", "tmpfs", "tty", "uid_mappings", "user", "uts",
    )  # fmt: skip

    def __init__(
        self,
        *,
        rootfs: str = "/",
        layer: str = "",
        args: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        user: str = "",
        groups: Sequence[str] = (),
        hostname: str = "",
        domainname: str = "",
        mounts: Sequence[Mount] = (),
        capabilities: Sequence[str] = DEFAULT_CAPABILITIES,
        privileged: bool = False,
        no_new_privileges: bool = False,
        network: str = "host",
        pid: str = PRIVATE,
        ipc: str = PRIVATE,
        uts: str = PRIVATE,
        cgroupns: str = "host",
        devices: Sequence[Device] = (),
        masked_paths: Sequence[str] = MASKED_PATHS,
        readonly_paths: Sequence[str] = READONLY_PATHS,
        readonly: bool = False,
        seccomp: str = "",
        cgroup: str = "",
        cgroup_parent: str = "",
        resources: Mapping[str, int | str] | None = None,
        rlimits: Sequence[tuple[str, int, int]] = (),
        oom_score_adj: int | None = None,
        sysctl: Mapping[str, str] | None = None,
        tmpfs: Mapping[str, str] | None = None,
        shm_size: int = SHM_SIZE,
        tty: bool = False,
        console_size: Sequence[int] = (),
        init: bool = False,
        uid_mappings: Sequence[tuple[int, int, int]] = (),
        gid_mappings: Sequence[tuple[int, int, int]] = (),
    ) -> None:
        self.rootfs, self.layer, self.args, self.cwd, self.user = rootfs, layer, list(args), cwd, user
        self.env = {"PATH": DEFAULT_PATH} if env is None else dict(env)
        self.hostname, self.network, self.tty, self.init = hostname, network, tty, init
        self.console_size = list(console_size)
        self.pid, self.ipc, self.uts, self.cgroupns, self.cgroup_parent = pid, ipc, uts, cgroupns, cgroup_parent
        self.mounts, self.capabilities = list(mounts), list(capabilities)
        self.privileged, self.no_new_privileges = privileged, no_new_privileges
        self.devices, self.readonly, self.seccomp = list(devices), readonly, seccomp
        self.masked_paths, self.readonly_paths = list(masked_paths), list(readonly_paths)
        self.cgroup, self.resources, self.rlimits = cgroup, dict(resources or {}), list(rlimits)
        self.oom_score_adj, self.sysctl, self.tmpfs = oom_score_adj, dict(sysctl or {}), dict(tmpfs or {})
        self.groups, self.domainname, self.shm_size = list(groups), domainname, shm_size
        self.uid_mappings, self.gid_mappings = list(uid_mappings), list(gid_mappings)

    @property
    def joins(self) -> bool:
        """Whether it takes a namespace of another container."""
        return self.pid.startswith(CONTAINER) or self.ipc.startswith(CONTAINER)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON or a state file."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in sorted(self.__slots__)}
        fields["mounts"] = [mount.to_dict() for mount in self.mounts]
        fields["devices"] = [{"source": device.source, "target": device.target} for device in self.devices]
        return fields

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Spec:
        """The reverse of to_dict(); raises TypeError for an unknown or missing field."""
        rows = ("uid_mappings", "gid_mappings", "rlimits")
        mappings = {name: [tuple(row) for row in fields[name]] for name in rows}
        objects = {
            "mounts": [Mount(**mount) for mount in fields["mounts"]],
            "devices": [Device(**device) for device in fields.get("devices", ())],
        }
        return cls(**{**fields, **mappings, **objects})
