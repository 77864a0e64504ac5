"""The options of `run` that few runs use, in docker's notation; imported only if one of them is given."""

from __future__ import annotations

import os
from collections.abc import Callable

from lab.errors import InvalidArgument, NotImplementedHere
from lab.spec import RLIMITS, Device

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
DURATIONS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
DIGITS = frozenset("0123456789")
# Options of docker-run(1) and podman-run(1) that this lab does not have, by the hint that the user gets.
ABSENT = {
    "leave it out: the container uses the host's network, so its ports are the host's": (
        "--publish -p --publish-all -P --expose"
    ),
    "no process outlives the container to start it again: write a systemd unit with Restart=on-failure": "--restart",
    "no process outlives the command to run it: write a systemd timer that calls `podmanish exec`": (
        "--health-cmd --health-interval --health-timeout --health-retries --health-start-period"
    ),
    "the only driver is local; leave the option out": "--volume-driver",
    "limit memory, processors and processes with --memory, --cpus and --pids-limit": (
        "--blkio-weight --oom-kill-disable --cpu-rt-period --cpu-rt-runtime"
    ),
    "the user namespace cannot be chosen: as root the host's, without root a new one": (
        "--uidmap --gidmap --subuidname --subgidname"
    ),
    "share namespaces with --pid container:NAME and --ipc container:NAME": "--pod",
    "containers have no addresses; for a name, write --add-host NAME:ADDRESS": (
        "--ip --ip6 --link --mac-address --network-alias"
    ),
    "name each device with --device": "--gpus --device-cgroup-rule --device-read-bps --device-write-bps",
    "give each variable with -e and each label with -l": "--env-file --label-file --annotation",
    "images are never pulled; import one from a tar: `lab image import NAME rootfs.tar`": "--pull --platform",
    "the lab has one fixed way for this; leave the option out": (
        "--log-driver --log-opt --runtime --storage-opt --isolation --cidfile --pidfile --conmon-pidfile "
        "--stop-signal --stop-timeout --replace --systemd --attach -a --detach-keys --sig-proxy --timeout --rootfs"
    ),
}


def refuse_absent(flag: str) -> None:
    """Raises NotImplementedHere for an option that Docker or Podman has and the lab does not."""
    for hint, flags in ABSENT.items():
        if flag in flags.split():
            raise NotImplementedHere(f"{flag} is not part of this lab", hint)


def parse(given: Mapping[str, Any]) -> dict[str, Any]:
    """The rare options of `run`, by their spelling, as attributes of RunOptions. Raises InvalidArgument."""
    found: dict[str, Any] = {"resources": {}, "healthcheck": {}}
    for name, value in given.items():
        if name in HEALTH:
            field, read_it = HEALTH[name]
            found["healthcheck"][field] = read_it(value)
        elif name in RESOURCES:
            attribute, read = RESOURCES[name]
            found["resources"][attribute] = read(value, f"--{name.replace('_', '-')}")
        else:
            attribute, read_it = OTHERS[name]
            found[attribute] = read_it(value)
    return found


def parse_size(text: str, flag: str) -> int:
    """docker's units.RAMInBytes(): 20m, 1.5g, 512 KB, 1GiB. Raises InvalidArgument."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    unit = text[len(number) :].lower()
    unit = unit.removesuffix("ib" if len(unit) == 3 else "b") if len(unit) > 1 else unit
    whole, _, part = number.removesuffix(" ").partition(".")
    if not whole or not DIGITS.issuperset(whole + part) or len(whole + part) > 18 or unit not in UNITS:
        raise InvalidArgument(f'invalid argument "{text}" for {flag}', "write a number and b, k, m or g, such as 512m")
    digits, factor = int(whole + part), UNITS[unit]
    return digits * factor // int(f"1{'0' * len(part)}")


def parse_swap(text: str, flag: str) -> int:
    """A size, or -1. Raises InvalidArgument."""
    return -1 if text == "-1" else parse_size(text, flag)


def parse_cpus(text: str, flag: str) -> int:
    """A number of processors in 10**-9 of one: 1.5 gives 1,500,000,000. Raises InvalidArgument."""
    whole, _, part = text.partition(".")
    if not whole + part or not DIGITS.issuperset(whole + part) or len(whole) > 6 or len(part) > 9:
        raise InvalidArgument(f'invalid argument "{text}" for {flag}', "write a number such as 2 or 0.5")
    return int(whole or "0") * 10**9 + int(part.ljust(9, "0"))


def parse_number(text: str, flag: str) -> int:
    """A whole number, which may be negative. Raises InvalidArgument."""
    if not DIGITS.issuperset(text.removeprefix("-")) or not text.strip("-") or len(text) > 18:
        raise InvalidArgument(f'invalid argument "{text}" for {flag}', "write a whole number")
    return int(text)


def parse_duration(text: str) -> int:
    """Go's time.ParseDuration() in nanoseconds: 500ms, 1m30s. Raises InvalidArgument."""
    import re

    parts = re.findall(r"(\d{1,9}(?:\.\d{1,9})?)(ns|us|ms|s|m|h)", text, re.ASCII)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidArgument(f'invalid duration "{text[:40]}"', "write a number and ms, s, m or h, such as 1m30s")
    return sum(int(float(number) * DURATIONS[unit]) for number, unit in parts)


def parse_ulimit(text: str) -> tuple[str, int, int]:
    """NAME=SOFT[:HARD], as docker's units.ParseUlimit(): (name, soft, hard); -1 is no limit. Raises InvalidArgument."""
    name, given, values = text.partition("=")
    soft, _, hard = values.partition(":")
    if not given or not soft:
        raise InvalidArgument(f"invalid ulimit argument: {text[:80]}", "write NAME=SOFT[:HARD], such as nofile=64:128")
    numbers = [parse_number(word, "--ulimit") for word in (soft, hard or soft)]
    return rlimit(name, *numbers)


def rlimit(name: str, soft: int, hard: int) -> tuple[str, int, int]:
    """Docker's Ulimit. Raises InvalidArgument."""
    if name not in RLIMITS:
        raise InvalidArgument(f"invalid ulimit type: {name[:40]}", f"the types are {', '.join(RLIMITS)}")
    if hard != -1 and (soft > hard or soft == -1):
        raise InvalidArgument(
            f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}", "give a higher hard limit"
        )
    return name, max(soft, -1), max(hard, -1)


def parse_tmpfs(items: Sequence[str]) -> dict[str, str]:
    """TARGET[:OPTIONS] becomes {target: options}. Raises InvalidArgument."""
    return {target: options for target, _, options in (item.partition(":") for item in items)}


def parse_sysctl(items: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE becomes {name: value}. Raises InvalidArgument."""
    for item in items:
        if not item.partition("=")[0] or "=" not in item:
            raise InvalidArgument(f'invalid sysctl "{item[:80]}"', "write NAME=VALUE, such as kernel.shmmax=65536")
    return dict(item.split("=", 1) for item in items)


def parse_device(text: str) -> Device:
    """SOURCE[:TARGET[:PERMISSIONS]] or SOURCE:PERMISSIONS. Raises InvalidArgument, NotImplementedHere."""
    source, _, rest = text.partition(":")
    target, _, permissions = rest.partition(":")
    if target and not permissions and set("rwm").issuperset(target):
        target, permissions = "", target
    return device(source, target, permissions)


def device(source: str, target: str = "", permissions: str = "") -> Device:
    """Docker's DeviceMapping; an empty target is the source's path. Raises InvalidArgument, NotImplementedHere."""
    target, permissions = target or source, permissions or "rwm"
    if not all(path.startswith("/") and "\0" not in path and ".." not in path.split("/") for path in (source, target)):
        raise InvalidArgument(f'invalid device "{source}:{target}"', "write /dev/SOURCE[:/dev/TARGET[:rwm]]")
    if not set("rwm").issuperset(permissions):
        raise InvalidArgument(f'invalid device permissions "{permissions}"', "leave them out, or write rwm")
    if set(permissions) != set("rwm"):
        raise NotImplementedHere(
            f'the permissions "{permissions}" of device {source} are not part of this lab',
            "leave the permissions out: a container gets the whole device (CgroupPermissions rwm) or nothing of it",
        )
    return Device(source, os.path.normpath(target))


def read_profile(option: str) -> str:
    """`seccomp=FILE` becomes `seccomp=` and the file's text, as docker's client sends it. Raises InvalidArgument."""
    name, value = split_security(option)
    if name != "seccomp" or value in ("unconfined", "default", "builtin") or value.lstrip().startswith("{"):
        return option
    try:
        with open(value, encoding="utf-8") as file:
            return f"seccomp={file.read(1 << 20)}"
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the file is not text"
        raise InvalidArgument(
            f"opening seccomp profile ({value}) failed: {reason}", "give a file in Docker's format, or unconfined"
        ) from None


def split_security(option: str) -> tuple[str, str]:
    """The name and the value of NAME=VALUE, or of NAME:VALUE, which docker still takes."""
    name, _, value = option.partition("=" if "=" in option else ":")
    return name, value


RESOURCES: dict[str, tuple[str, Callable[[str, str], int | str]]] = {
    "memory": ("memory", parse_size),
    "memory_swap": ("memory_swap", parse_swap),
    "memory_reservation": ("memory_reservation", parse_size),
    "memory_swappiness": ("memory_swappiness", lambda text, flag: str(parse_number(text, flag))),
    "cpus": ("nano_cpus", parse_cpus),
    "cpu_shares": ("cpu_shares", parse_number),
    "cpu_period": ("cpu_period", parse_number),
    "cpu_quota": ("cpu_quota", parse_number),
    "cpuset_cpus": ("cpuset_cpus", lambda text, flag: text),
    "cpuset_mems": ("cpuset_mems", lambda text, flag: text),
    "pids_limit": ("pids_limit", parse_number),
}
HEALTH: dict[str, tuple[str, Callable[[str], Any]]] = {
    "health_cmd": ("Test", lambda text: ["CMD-SHELL", text]),
    "health_interval": ("Interval", parse_duration),
    "health_timeout": ("Timeout", parse_duration),
    "health_retries": ("Retries", lambda text: parse_number(text, "--health-retries")),
    "health_start_period": ("StartPeriod", parse_duration),
}
OTHERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "ulimit": ("rlimits", lambda items: [parse_ulimit(item) for item in items]),
    "oom_score_adj": ("oom_score_adj", lambda text: parse_number(text, "--oom-score-adj")),
    "group_add": ("groups", list),
    "tmpfs": ("tmpfs", parse_tmpfs),
    "shm_size": ("shm_size", lambda text: parse_size(text, "--shm-size")),
    "sysctl": ("sysctl", parse_sysctl),
    "add_host": ("extra_hosts", list),
    "dns": ("dns", list),
    "dns_search": ("dns_search", list),
    "dns_option": ("dns_options", list),
    "device": ("devices", lambda items: [parse_device(item) for item in items]),
    "security_opt": ("security_opt", lambda items: [read_profile(item) for item in items]),
}
