"""The verbs that both commands share, each with its flags, and what `run` and `exec` make of theirs.

The flags are those of docker-run(1) and podman-run(1); lab.commandline has the grammar.
"""

from __future__ import annotations

import os

from lab.commandline import FLAG, LIST, OPTIONAL, VALUE, Command, Option
from lab.errors import PROGRAM, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from lab.spec import Device, Mount

PROCESS_OPTIONS = (
    Option("--interactive -i", FLAG, "keep standard input open"),
    Option("--tty -t", FLAG, "allocate a pseudoterminal"),
    Option("--detach -d", FLAG, "run in the background"),
    Option("--env -e", LIST, "set NAME=VALUE, or pass on the caller's NAME"),
    Option("--workdir -w", VALUE, "working directory inside"),
    Option("--user -u", VALUE, "user[:group] inside, by name or number"),
    Option("--privileged", FLAG, "all capabilities, all devices, nothing masked"),
)
RUN_OPTIONS = (
    *PROCESS_OPTIONS,
    Option("--rm", FLAG, "remove the container when it exits"),
    Option("--name", VALUE, "name of the container"),
    Option("--volume -v", LIST, "bind SOURCE:TARGET[:ro], or a volume: [NAME:]TARGET[:ro,nocopy]"),
    Option("--mount", LIST, "the same in words: type=bind|volume|tmpfs,source=SOURCE,target=TARGET[,readonly]"),
    Option("--volumes-from", LIST, "the volumes and binds of another container: CONTAINER[:ro]"),
    Option("--add-host", LIST, "a line of /etc/hosts: NAME:ADDRESS"),
    Option("--dns", LIST, "a name server in /etc/resolv.conf"),
    Option("--dns-search", LIST, "a domain to search there; . for none"),
    Option("--dns-option", LIST, "an option there, such as ndots:2"),
    Option("--cap-add", LIST, "add a capability, or ALL"),
    Option("--cap-drop", LIST, "drop a capability, or ALL"),
    Option("--network --net", VALUE, "host (default) or none"),
    Option("--hostname -h", VALUE, "host name inside"),
    Option("--entrypoint", OPTIONAL, "command to put before the arguments"),
    Option("--init", FLAG, "run a pid 1 that forwards signals and reaps processes"),
    Option("--read-only", FLAG, "make / read-only; volumes are not affected"),
    Option("--memory -m", VALUE, "memory limit: a number and b, k, m or g"),
    Option("--memory-swap", VALUE, "limit of memory and swap together; -1 is no limit of swap"),
    Option("--memory-reservation", VALUE, "memory that is not taken from the container while others have more"),
    Option("--memory-swappiness", VALUE, "how readily its memory is swapped, 0 to 100; cgroup version 1 only"),
    Option("--cpus", VALUE, "limit of processor time, in processors: 1.5"),
    Option("--cpu-shares -c", VALUE, "weight beside other containers, 2 to 262144 (1024)"),
    Option("--cpu-period", VALUE, "the time in which --cpu-quota counts, in microseconds (100000)"),
    Option("--cpu-quota", VALUE, "limit of processor time in that period, in microseconds"),
    Option("--cpuset-cpus", VALUE, "processors that may be used: 0-2,5"),
    Option("--cpuset-mems", VALUE, "memory nodes that may be used: 0,1"),
    Option("--pids-limit", VALUE, "limit of processes; -1 is no limit"),
    Option("--ulimit", LIST, "a process's limit: NAME=SOFT[:HARD], such as nofile=64:128; getrlimit(2)"),
    Option("--oom-score-adj", VALUE, "how soon the kernel ends it when memory is out, -1000 to 1000"),
    Option("--group-add", LIST, "one more group, by name or number"),
    Option("--tmpfs", LIST, "a tmpfs at TARGET[:OPTIONS], such as /t:size=1m,mode=700"),
    Option("--shm-size", VALUE, "size of /dev/shm: a number and b, k, m or g (64m)"),
    Option("--sysctl", LIST, "a setting of the container's own namespaces: kernel.shmmax=65536"),
    Option("--domainname", VALUE, "NIS domain name inside"),
    Option("--pid", VALUE, "pid namespace: private (default), host, or container:NAME"),
    Option("--ipc", VALUE, "IPC namespace: private (default), shareable, none, host, or container:NAME"),
    Option("--uts", VALUE, "host and domain name: private (default) or host"),
    Option("--userns", VALUE, "user namespace: host"),
    Option("--cgroupns", VALUE, "cgroup namespace: host (default) or private"),
    Option("--cgroup-parent", VALUE, "the cgroup in which the container's is made, such as /students"),
    Option("--device", LIST, "add a device of the host: SOURCE[:TARGET]"),
    Option("--security-opt", LIST, "no-new-privileges, seccomp=unconfined|FILE, systempaths=unconfined"),
    Option("--label -l", LIST, "keep NAME=VALUE with the container"),
)
RUN = Command(
    "run",
    "run [OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Run a command in a new container.",
    *RUN_OPTIONS,
    Option("--restart", VALUE, "start it again when it ends: no (default), on-failure[:N], always, unless-stopped"),
    Option("--health-cmd", VALUE, "a command for the shell that tells whether the container is well: exit code 0"),
    Option("--health-interval", VALUE, "the time between two checks: 500ms, 30s (default), 2m"),
    Option("--health-timeout", VALUE, "the time that one may take (30s)"),
    Option("--health-retries", VALUE, "how many must fail in a row (3)"),
    Option("--health-start-period", VALUE, "the time at the start in which failures do not count (0s)"),
    interspersed=False,
)
RUN_FORKED = Command(
    "run",
    RUN.usage,
    RUN.summary,
    *RUN_OPTIONS,
    Option("--sdnotify", VALUE, "who sends READY=1 to systemd: container (default), conmon or ignore"),
    interspersed=False,
)
CREATE = Command(
    "create",
    "create [OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Make a container without starting it.",
    *RUN.options,
    interspersed=False,
)
EXEC = Command(
    "exec",
    "exec [OPTIONS] CONTAINER COMMAND [ARG...]",
    "Run one more command in a running container.",
    *PROCESS_OPTIONS,
    interspersed=False,
)
PS = Command(
    "ps",
    "ps [OPTIONS]",
    "List containers.",
    Option("--all -a", FLAG, "show stopped containers, too"),
    Option("--quiet -q", FLAG, "show the ids only"),
    Option("--no-trunc", FLAG, "do not shorten ids and commands"),
)
LOGS = Command(
    "logs",
    "logs [OPTIONS] CONTAINER",
    "Show what a container wrote.",
    Option("--follow -f", FLAG, "go on until the container exits"),
    Option("--tail -n", VALUE, "show the last lines only: a number, or all"),
    Option("--since", VALUE, "show later lines only: seconds since 1970, a date, or 10m for ten minutes ago"),
    Option("--timestamps -t", FLAG, "show the time of each line"),
)
STOP = Command(
    "stop",
    "stop [OPTIONS] CONTAINER...",
    "Stop containers: SIGTERM, then SIGKILL.",
    Option("--time -t", VALUE, "seconds to wait before SIGKILL (10)"),
)
KILL = Command(
    "kill",
    "kill [OPTIONS] CONTAINER...",
    "Send a signal to containers.",
    Option("--signal -s", VALUE, "name or number of the signal (KILL)"),
)
RM = Command(
    "rm",
    "rm [OPTIONS] CONTAINER...",
    "Remove containers.",
    Option("--force -f", FLAG, "kill running containers first"),
    Option("--volumes -v", FLAG, "remove their anonymous volumes, too"),
)
WAIT = Command("wait", "wait CONTAINER...", "Wait until containers exit; print their exit codes.")
INSPECT = Command("inspect", "inspect CONTAINER...", "Show everything about containers, as JSON.")

VOLUME = Command("volume", "volume create|ls|inspect|rm|prune", "Make, list and remove volumes.")


RARE = (
    "memory", "memory_swap", "memory_reservation", "memory_swappiness", "cpus", "cpu_shares", "cpu_period", "cpu_quota",
    "cpuset_cpus", "cpuset_mems", "pids_limit", "ulimit", "oom_score_adj", "group_add", "tmpfs", "shm_size", "sysctl",
    "device", "security_opt", "add_host", "dns", "dns_search", "dns_option", "health_cmd", "health_interval",
    "health_timeout", "health_retries", "health_start_period",
)  # fmt: skip


class RunOptions:
    """What `run` asks for. Both commands make it from their arguments, labd makes it from Docker's JSON.

    resources are as in lab.resources, healthcheck as in docker's API; rlimits, oom_score_adj, sysctl, tmpfs and
    shm_size as in lab.spec. masked_paths and readonly_paths are None for Docker's defaults. entrypoint is None for that
    of the image, and empty for none.
    """

    __slots__ = (
        "cap_add", "cap_drop", "cgroup_parent", "cgroupns", "command", "detach", "devices", "dns", "dns_options",
        "dns_search", "domainname", "entrypoint", "env", "extra_hosts", "groups", "healthcheck", "hostname", "image",
        "init", "interactive", "ipc", "label", "masked_paths", "name", "network", "oom_score_adj", "pid", "privileged",
        "read_only", "readonly_paths", "resources", "restart", "rlimits", "rm", "sdnotify", "security_opt", "shm_size",
        "stop_signal", "sysctl", "tmpfs", "tty", "user", "userns", "uts", "volumes", "volumes_from", "workdir",
    )  # fmt: skip

    def __init__(
        self, image: str, command: Sequence[str], *,
        interactive: bool = False, tty: bool = False, detach: bool = False, rm: bool = False, init: bool = False,
        name: str = "", hostname: str = "", network: str = "", user: str = "", workdir: str = "", sdnotify: str = "",
        entrypoint: Sequence[str] | None = None, env: Sequence[str] = (), label: Sequence[str] = (),
        volumes: Sequence[Mount] = (), volumes_from: Sequence[str] = (), devices: Sequence[Device] = (),
        extra_hosts: Sequence[str] = (), dns: Sequence[str] = (), dns_search: Sequence[str] = (),
        dns_options: Sequence[str] = (),
        privileged: bool = False, read_only: bool = False, cap_add: Sequence[str] = (), cap_drop: Sequence[str] = (),
        security_opt: Sequence[str] = (), masked_paths: Sequence[str] | None = None,
        readonly_paths: Sequence[str] | None = None, resources: Mapping[str, int | str] | None = None,
        rlimits: Sequence[tuple[str, int, int]] = (), oom_score_adj: int | None = None, groups: Sequence[str] = (),
        tmpfs: Mapping[str, str] | None = None, shm_size: int = 0, sysctl: Mapping[str, str] | None = None,
        domainname: str = "", restart: str = "", healthcheck: Mapping[str, Any] | None = None,
        pid: str = "", ipc: str = "", uts: str = "", userns: str = "", cgroupns: str = "", cgroup_parent: str = "",
    ) -> None:  # fmt: skip
        self.image, self.command, self.entrypoint = image, list(command), entrypoint
        self.stop_signal = ""
        self.interactive, self.tty, self.detach = interactive, tty, detach
        self.rm, self.init, self.privileged, self.read_only = rm, init, privileged, read_only
        self.name, self.hostname, self.network = name, hostname, network or "host"
        self.user, self.workdir, self.sdnotify = user, workdir, sdnotify
        self.env, self.label, self.security_opt = list(env), list(label), list(security_opt)
        self.cap_add, self.cap_drop = list(cap_add), list(cap_drop)
        self.volumes, self.volumes_from, self.devices = list(volumes), list(volumes_from), list(devices)
        self.extra_hosts, self.dns = list(extra_hosts), list(dns)
        self.dns_search, self.dns_options = list(dns_search), list(dns_options)
        self.masked_paths, self.readonly_paths = masked_paths, readonly_paths
        self.resources, self.rlimits, self.oom_score_adj = dict(resources or {}), list(rlimits), oom_score_adj
        self.groups, self.domainname, self.shm_size, self.restart = list(groups), domainname, shm_size, restart
        self.pid, self.ipc, self.uts, self.userns, self.cgroupns = pid, ipc, uts, userns, cgroupns
        self.cgroup_parent = cgroup_parent
        self.tmpfs, self.sysctl, self.healthcheck = dict(tmpfs or {}), dict(sysctl or {}), dict(healthcheck or {})

    def names_others(self) -> bool:
        """Whether it changes /etc/hosts or /etc/resolv.conf."""
        return bool(self.extra_hosts or self.dns or self.dns_search or self.dns_options)


def parse_run(argv: Sequence[str], command: Command = RUN) -> RunOptions:
    """The arguments of `run` or `create`. Raises InvalidArgument, NotImplementedHere, HelpWanted."""
    values, plain = command.parse(argv)
    if not plain:
        raise InvalidArgument(f'"{command.name}" requires at least 1 argument', f"usage: {PROGRAM} {command.usage}")
    values["env"] = resolve_env(values["env"])
    if values["entrypoint"] is not None:
        values["entrypoint"] = [values["entrypoint"]] if values["entrypoint"] else []
    _parse_rare(values)
    _parse_mounts(values)
    return RunOptions(plain[0], plain[1:], **values)


def _parse_rare(values: dict[str, Any]) -> None:
    """Parse the options that most runs do not use, and whose module they need not import."""
    given = {name: value for name in RARE if (value := values.pop(name, None))}
    if given:
        from lab import limits

        values.update(limits.parse(given))


def _parse_mounts(values: dict[str, Any]) -> None:
    binds, mounts = values.pop("volume"), values.pop("mount")
    if binds or mounts:
        from lab import mountargs

        found, values["tmpfs"] = mountargs.parse_mounts(mounts, values.get("tmpfs", {}))
        values["volumes"] = [*map(mountargs.parse_volume, binds), *found]


class ExecOptions:
    """What `exec` asks for."""

    __slots__ = ("command", "container", "detach", "env", "interactive", "privileged", "tty", "user", "workdir")

    def __init__(
        self, container: str, command: Sequence[str], *,
        interactive: bool = False, tty: bool = False, detach: bool = False, env: Sequence[str] = (),
        workdir: str = "", user: str = "", privileged: bool = False,
    ) -> None:  # fmt: skip
        self.container, self.command, self.env = container, list(command), list(env)
        self.interactive, self.tty, self.detach = interactive, tty, detach
        self.workdir, self.user, self.privileged = workdir, user, privileged


def parse_exec(argv: Sequence[str]) -> ExecOptions:
    """The arguments of `exec`. Raises InvalidArgument, HelpWanted."""
    values, plain = EXEC.parse(argv)
    if len(plain) < 2:
        raise InvalidArgument('"exec" requires a container and a command', f"usage: {PROGRAM} {EXEC.usage}")
    values["env"] = resolve_env(values["env"])
    return ExecOptions(plain[0], plain[1:], **values)


def parse_containers(command: Command, argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The arguments of a verb that takes at least one container. Raises InvalidArgument, HelpWanted."""
    values, plain = command.parse(argv)
    if not plain:
        raise InvalidArgument(f'"{command.name}" requires at least 1 argument', f"usage: {PROGRAM} {command.usage}")
    return values, plain


def parse_number(text: str, flag: str) -> int:
    """A number that is not negative. Raises InvalidArgument."""
    if not (text.isascii() and text.isdigit()):
        raise InvalidArgument(f'invalid value "{text[:40]}" for {flag}', "write a whole number, such as 10")
    return int(text)


def parse_tail(text: str) -> int | None:
    """The lines that `logs --tail` asks for; None for all. Raises InvalidArgument."""
    return None if text in ("", "all") else parse_number(text, "--tail (which also takes all)")


def unknown_verb(verb: str) -> InvalidArgument:
    """The error for a verb that the command does not have."""
    hint = f"see '{PROGRAM} --help'"
    if verb in ("pull", "push", "build", "login", "search"):
        hint = "this lab has no registry and builds no images: `load` and `import` add one from a tar"
    return InvalidArgument(f'there is no verb "{verb[:40]}"', hint)


def resolve_env(items: Sequence[str]) -> list[str]:
    """Fill in the value of each `-e NAME` from the caller's environment; docker, too, leaves out a NAME that is unset.

    Raises InvalidArgument for a word without a name.
    """
    resolved = []
    for item in items:
        name, given, _ = item.partition("=")
        if not name:
            raise InvalidArgument(f'invalid environment variable "{item}"', "write NAME=VALUE or NAME")
        if given:
            resolved.append(item)
        elif name in os.environ:
            resolved.append(f"{name}={os.environ[name]}")
    return resolved
