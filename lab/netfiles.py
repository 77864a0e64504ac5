"""/etc/hosts, /etc/hostname and /etc/resolv.conf: files in the container's directory that are bound over the image's.

As under Docker, they are written when the container is made, and anew at each start: what the container wrote into
them is lost then. A container of the `host` image sees the machine's own, unless the request changes one of them.
"""

from __future__ import annotations

import os

from lab.errors import InvalidArgument, NotImplementedHere
from lab.spec import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from lab.images import Image
    from lab.runargs import RunOptions
    from lab.spec import Spec

LARGEST = 1 << 20  # bytes that are read of the host's files
LOOPBACK = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def wishes(options: RunOptions) -> dict[str, list[str]]:
    """What the request changes, for the container's config: write() reads it at each start. Raises InvalidArgument."""
    found = {
        "add_host": [_host(text) for text in options.extra_hosts],
        "dns": [_address(text, "--dns") for text in options.dns],
        "dns_search": [_plain(text, "--dns-search") for text in options.dns_search],
        "dns_option": [_plain(text, "--dns-option") for text in options.dns_options],
    }
    return {name: values for name, values in found.items() if values}


def mounts(spec: Spec, image: Image, folder: str, wanted: Mapping[str, Sequence[str]]) -> list[Mount]:
    """The mounts of the files in folder, the container's directory, but where the request mounts its own."""
    names = ["hosts", "hostname", "resolv.conf"]
    if image.is_host:
        changed = {"hosts": "add_host" in wanted, "resolv.conf": any(name != "add_host" for name in wanted)}
        names = [name for name in names if changed.get(name)]
    found = []
    for name in names:
        target = os.path.realpath(f"/etc/{name}") if image.is_host else f"/etc/{name}"
        if not _is_taken(spec, target):
            found.append(Mount(f"{folder}/{name}", target, spec.readonly, kind="file"))
    return found


def _is_taken(spec: Spec, target: str) -> bool:
    """Whether the request mounts something there, or a directory of the host above it, in which we make no file."""
    for mount in spec.mounts:
        if mount.target == target:
            return True
        if mount.kind == "bind" and target.startswith(f"{mount.target}/"):
            return not os.path.exists(mount.source + target[len(mount.target) :])
    return target in spec.tmpfs


def write(folder: str, spec: Spec, wanted: Mapping[str, Sequence[str]]) -> None:
    """Write those of the files that spec mounts. Raises OSError."""
    for mount in spec.mounts:
        if mount.kind == "file":
            name = os.path.basename(mount.source)
            _replace(f"{folder}/{name}", WRITERS[name](spec, wanted))


def _replace(path: str, text: str) -> None:
    """A new file each time: the old one may be mounted in a container that is about to end."""
    fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        data = text.encode(errors="surrogateescape")
        while data:
            data = data[os.write(fd, data) :]
        os.fchmod(fd, 0o644)
    finally:
        os.close(fd)
    os.rename(f"{path}.new", path)


def _hosts(spec: Spec, wanted: Mapping[str, Sequence[str]]) -> str:
    text = LOOPBACK if spec.network == "none" else _host_file("/etc/hosts") or LOOPBACK
    pairs = [text.partition(":") for text in wanted.get("add_host", ())]
    return text + "".join(f"{address}\t{name}\n" for name, _, address in pairs)


def _hostname(spec: Spec, wanted: Mapping[str, Sequence[str]]) -> str:
    return f"{spec.hostname}\n"


def _resolver(spec: Spec, wanted: Mapping[str, Sequence[str]]) -> str:
    """The host's file; if the request changes any of it, only the lines that a resolver reads; resolv.conf(5)."""
    text = _host_file("/etc/resolv.conf")
    if not {"dns", "dns_search", "dns_option"} & set(wanted):
        return text
    rows = [line.split() for line in text.splitlines() if line.strip() and line[0] not in "#;"]
    servers = wanted.get("dns") or [row[1] for row in rows if row[0] == "nameserver" and len(row) > 1]
    search = wanted.get("dns_search") or next((row[1:] for row in rows[::-1] if row[0] in ("search", "domain")), [])
    options = wanted.get("dns_option") or [word for row in rows if row[0] == "options" for word in row[1:]]
    lines = [f"nameserver {server}" for server in servers]
    lines += [f"search {' '.join(search)}"] if [*search] not in ([], ["."]) else []  # --dns-search . is none
    lines += [f"options {' '.join(options)}"] if options else []
    return "".join(f"{line}\n" for line in lines)


WRITERS = {"hosts": _hosts, "hostname": _hostname, "resolv.conf": _resolver}


def _host_file(path: str) -> str:
    """The host's file, "" if there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(LARGEST)
    except OSError:
        return ""
    return text if not text or text.endswith("\n") else f"{text}\n"


def _host(text: str) -> str:
    """NAME:ADDRESS or NAME=ADDRESS becomes NAME:ADDRESS. Raises InvalidArgument, NotImplementedHere."""
    name, given, address = text.partition("=" if "=" in text else ":")
    if not given or not name or len(text) > 1000 or not name.isprintable() or set(name) & set(" #:"):
        raise InvalidArgument(f'bad format for add-host: "{text[:80]}"', "write NAME:ADDRESS")
    if address == "host-gateway":
        raise NotImplementedHere(
            f"host-gateway of ExtraHosts ({name}) is not part of this lab",
            "a container is on the host's network, where the host is 127.0.0.1, or on none",
        )
    if address[:1] == "[" and address[-1:] == "]":
        address = address[1:-1]
    return f"{name}:{_address(address, 'add-host')}"


def _address(text: str, where: str) -> str:
    import ipaddress

    try:
        if text.isprintable() and " " not in text:  # the zone of an IPv6 address may be any text
            return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    raise InvalidArgument(f'invalid IP address in {where}: "{text[:80]}"', "write 192.0.2.1 or 2001:db8::1")


def _plain(text: str, where: str) -> str:
    """One word of a line of resolv.conf(5)."""
    if not text.isprintable() or not text.isascii() or " " in text or not 0 < len(text) < 254:
        raise InvalidArgument(f"invalid value {text[:80]!a} for {where}", "write one word of resolv.conf(5)")
    return text


def config(options: RunOptions) -> dict[str, Any]:
    """wishes(), as the entry of a container's config; {} if the request changes nothing."""
    return {"names": wishes(options)} if options.names_others() else {}
