"""The options of `run` that few runs use, in docker's notation; imported only if one of them is given."""

from __future__ import annotations

import os

from lab.errors import InvalidArgument, NotImplementedHere
from lab.spec import Device

UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
DIGITS = frozenset("0123456789")
# Options of docker-run(1) and podman-run(1) that this lab does not have, by the hint that the user gets.
ABSENT = {
    "leave it out: the container uses the host's network, so its ports are the host's": (
        "--publish -p --publish-all -P --expose"
    ),
    "a container ends with its command; run a new one": "--restart --health-cmd --health-interval --health-retries",
    "bind a directory of the host: -v /SRC:/DST": "--mount --tmpfs --volumes-from --volume-driver --shm-size",
    "limit memory, processors and processes with --memory, --cpus and --pids-limit": (
        "--ulimit --cpu-shares -c --cpu-period --cpu-quota --cpuset-cpus --cpuset-mems --blkio-weight --memory-swap "
        "--memory-reservation --memory-swappiness --oom-kill-disable --oom-score-adj --cgroup-parent"
    ),
    "every container gets new namespaces; only the network can be chosen: --network host or none": (
        "--pid --ipc --uts --userns --cgroupns --pod --uidmap --gidmap --subuidname --subgidname"
    ),
    "bind a file over /etc/hosts or /etc/resolv.conf": (
        "--add-host --dns --dns-option --dns-search --domainname --ip --ip6 --link --mac-address --network-alias"
    ),
    "name each device with --device": "--gpus --device-cgroup-rule --device-read-bps --device-write-bps",
    "name one group with --user USER:GROUP": "--group-add",
    "give each variable with -e and each label with -l": "--env-file --label-file --annotation",
    "images are never pulled; import one from a tar: `lab image import NAME rootfs.tar`": "--pull --platform",
    "the lab has one fixed way for this; leave the option out": (
        "--log-driver --log-opt --runtime --sysctl --storage-opt --isolation --cidfile --pidfile --conmon-pidfile "
        "--stop-signal --stop-timeout --replace --systemd --attach -a --detach-keys --sig-proxy --timeout --rootfs"
    ),
}


def refuse_absent(flag: str) -> None:
    """Raises NotImplementedHere for an option that Docker or Podman has and the lab does not."""
    for hint, flags in ABSENT.items():
        if flag in flags.split():
            raise NotImplementedHere(f"{flag} is not part of this lab", hint)


def parse_memory(text: str) -> int:
    """docker's units.RAMInBytes(): 20m, 1.5g, 512 KB, 1GiB. Raises InvalidArgument."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    unit = text[len(number) :].lower()
    unit = unit.removesuffix("ib" if len(unit) == 3 else "b") if len(unit) > 1 else unit
    whole, _, part = number.removesuffix(" ").partition(".")
    if not whole or not DIGITS.issuperset(whole + part) or len(whole + part) > 18 or unit not in UNITS:
        raise InvalidArgument(
            f'invalid argument "{text}" for --memory', "write a number and b, k, m or g, such as 512m"
        )
    digits, factor = int(whole + part), UNITS[unit]
    return digits * factor // int(f"1{'0' * len(part)}")


def parse_cpus(text: str) -> int:
    """A number of processors in 10**-9 of one: 1.5 gives 1,500,000,000. Raises InvalidArgument."""
    whole, _, part = text.partition(".")
    if not whole + part or not DIGITS.issuperset(whole + part) or len(whole) > 6 or len(part) > 9:
        raise InvalidArgument(f'invalid argument "{text}" for --cpus', "write a number such as 2 or 0.5")
    return int(whole or "0") * 10**9 + int(part.ljust(9, "0"))


def parse_pids_limit(text: str) -> int:
    """A number of processes; 0 and -1 are no limit. Raises InvalidArgument."""
    if not DIGITS.issuperset(text.removeprefix("-")) or not text.strip("-") or len(text) > 18:
        raise InvalidArgument(f'invalid argument "{text}" for --pids-limit', "write a whole number; -1 is no limit")
    return int(text)


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
