"""Every field and query parameter that a request of Docker's API 1.44 may hold: honoured, or refused by name.

HONOURED  daemon.models or the handler reads it, and it has an effect
Refused   any value but Docker's default is a 501 that names the field: no option is accepted and then ignored

A name that is in no table does not belong to the API, and is ignored, as in dockerd.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lab import resources
from lab.errors import InvalidArgument, NotImplementedHere

HONOURED = None
WORDS, OBJECTS, LISTS = "a list of strings", "a list of objects", "a list of lists"
TEXT, NUMBER, FLAG, OBJECT = "a string", "a whole number", "true or false", "an object"


class Refused:
    """A field that the lab does not honour.

    kind    the type that Docker expects: any other is a 400
    same    accepted values besides null and the kind's empty value: they ask for what happens anyway
    known   Docker's other values, if they are few (`x:` stands for all that begin with it): any other is a 400
    exact   the empty value is not the default and is refused too: in Go the field is a pointer
    hint    what to do instead
    """

    def __init__(
        self, kind: str, *same: Any, known: Sequence[str] = (), exact: bool = False, hint: str = "leave it out"
    ) -> None:
        self.kind, self.same, self.known, self.exact, self.hint = kind, same, known, exact, hint

    def check(self, name: str, value: Any) -> None:
        """Raises InvalidArgument for a value that Docker refuses, NotImplementedHere for one that Docker accepts."""
        if value is None:
            return
        if not is_kind(self.kind, value):
            raise InvalidArgument(f"invalid {name}: {self.kind} is expected, not {str(value)[:40]!a}")
        if value in self.same or (not value and not self.exact):
            return
        if self.known and not any(value == word or (word[-1] == ":" and value.startswith(word)) for word in self.known):
            raise InvalidArgument(f"invalid {name}: {value[:40]!a}", f"Docker knows {', '.join(self.known)}")
        raise NotImplementedHere(f"{name} is not part of this lab", self.hint)


Table = Mapping[str, Refused | None]
INT64 = range(-(2**63), 2**63)


def is_kind(kind: str, value: Any) -> bool:
    """Whether a value from JSON has this type."""
    if kind in (WORDS, OBJECTS, LISTS):
        inner = {WORDS: str, OBJECTS: dict, LISTS: list}[kind]
        return isinstance(value, list) and all(isinstance(item, inner) for item in value)
    if kind == NUMBER:
        return type(value) is int and value in INT64
    return isinstance(value, {TEXT: str, FLAG: bool, OBJECT: dict}[kind])


NO_PORTS = "the container shares the host's ports with --network host"
NO_NAMES = "give it a line of /etc/hosts: --add-host NAME:ADDRESS"
NO_CPUS = "limit its processor time with --cpus"

CONTAINER: Table = {
    "Hostname": HONOURED,
    "Domainname": HONOURED,
    "User": HONOURED,
    "AttachStdin": HONOURED,
    "AttachStdout": HONOURED,
    "AttachStderr": HONOURED,
    "ExposedPorts": Refused(OBJECT, hint=NO_PORTS),
    "Tty": HONOURED,
    "OpenStdin": HONOURED,
    "StdinOnce": HONOURED,
    "Env": HONOURED,
    "Cmd": HONOURED,
    "Healthcheck": HONOURED,
    "ArgsEscaped": Refused(FLAG),
    "Image": HONOURED,
    "Volumes": HONOURED,
    "WorkingDir": HONOURED,
    "Entrypoint": HONOURED,
    "NetworkDisabled": HONOURED,
    "MacAddress": Refused(TEXT),
    "OnBuild": Refused(WORDS),
    "Labels": HONOURED,
    "StopSignal": HONOURED,
    "StopTimeout": HONOURED,
    "Shell": Refused(WORDS),
    "HostConfig": HONOURED,
    "NetworkingConfig": HONOURED,
}
NOT_COMMITTED = "a commit takes Cmd, Entrypoint, Env, ExposedPorts, Labels, StopSignal, User and WorkingDir"
COMMIT: Table = {
    **dict.fromkeys(("User", "Env", "Cmd", "WorkingDir", "Entrypoint", "Labels", "StopSignal"), HONOURED),
    "ExposedPorts": HONOURED,
    "Hostname": Refused(TEXT, hint=NOT_COMMITTED),
    "Domainname": Refused(TEXT, hint=NOT_COMMITTED),
    **dict.fromkeys(
        ("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce", "ArgsEscaped",
         "NetworkDisabled"), Refused(FLAG, hint=NOT_COMMITTED),
    ),
    "Healthcheck": Refused(OBJECT, hint=NOT_COMMITTED),
    "Image": Refused(TEXT, hint=NOT_COMMITTED),
    "Volumes": Refused(OBJECT, hint=NOT_COMMITTED),
    "MacAddress": Refused(TEXT, hint=NOT_COMMITTED),
    "OnBuild": Refused(WORDS, hint=NOT_COMMITTED),
    "StopTimeout": Refused(NUMBER, exact=True, hint=NOT_COMMITTED),
    "Shell": Refused(WORDS, hint=NOT_COMMITTED),
}  # fmt: skip
LIMITS: Table = {name: HONOURED for name in resources.FIELDS if name != "MemorySwappiness"}
RESOURCES: Table = {
    **LIMITS,
    "MemorySwappiness": HONOURED,
    "CgroupParent": HONOURED,
    "BlkioWeight": Refused(NUMBER),
    "BlkioWeightDevice": Refused(OBJECTS),
    "BlkioDeviceReadBps": Refused(OBJECTS),
    "BlkioDeviceWriteBps": Refused(OBJECTS),
    "BlkioDeviceReadIOps": Refused(OBJECTS),
    "BlkioDeviceWriteIOps": Refused(OBJECTS),
    "CpuRealtimePeriod": Refused(NUMBER, hint=NO_CPUS),
    "CpuRealtimeRuntime": Refused(NUMBER, hint=NO_CPUS),
    "Devices": HONOURED,
    "DeviceCgroupRules": Refused(WORDS, hint="name each device with --device"),
    "DeviceRequests": Refused(OBJECTS, hint="name each device with --device"),
    "KernelMemory": Refused(NUMBER),  # clients of API 1.41 and older
    "KernelMemoryTCP": Refused(NUMBER),
    "OomKillDisable": Refused(FLAG),
    "Init": HONOURED,
    "Ulimits": HONOURED,
    "CpuCount": Refused(NUMBER, hint=NO_CPUS),
    "CpuPercent": Refused(NUMBER, hint=NO_CPUS),
    "IOMaximumIOps": Refused(NUMBER),
    "IOMaximumBandwidth": Refused(NUMBER),
}
HOST: Table = {
    **RESOURCES,
    "Binds": HONOURED,
    "ContainerIDFile": HONOURED,  # a file on the client's side: only shown again, as in Docker
    "LogConfig": HONOURED,  # only json-file without options
    "NetworkMode": HONOURED,
    "PortBindings": Refused(OBJECT, hint=NO_PORTS),
    "RestartPolicy": HONOURED,
    "AutoRemove": HONOURED,
    "VolumeDriver": Refused(TEXT, "local"),
    "VolumesFrom": HONOURED,
    "Mounts": HONOURED,
    "ConsoleSize": HONOURED,
    "Annotations": Refused(OBJECT, hint="use --label"),
    "CapAdd": HONOURED,
    "CapDrop": HONOURED,
    "CgroupnsMode": HONOURED,
    "Dns": HONOURED,
    "DnsOptions": HONOURED,
    "DnsSearch": HONOURED,
    "ExtraHosts": HONOURED,
    "GroupAdd": HONOURED,
    "IpcMode": HONOURED,
    "Cgroup": Refused(TEXT),
    "Links": Refused(WORDS, hint=NO_NAMES),
    "OomScoreAdj": HONOURED,
    "PidMode": HONOURED,
    "Privileged": HONOURED,
    "PublishAllPorts": Refused(FLAG, hint=NO_PORTS),
    "ReadonlyRootfs": HONOURED,
    "SecurityOpt": HONOURED,
    "StorageOpt": Refused(OBJECT),
    "Tmpfs": HONOURED,
    "UTSMode": HONOURED,
    "UsernsMode": HONOURED,  # host, which is what happens anyway
    "ShmSize": HONOURED,
    "Sysctls": HONOURED,
    "Runtime": Refused(TEXT, "lab", hint="the only runtime is `lab`"),
    "Isolation": Refused(TEXT, "default", known=("process", "hyperv")),
    "MaskedPaths": HONOURED,
    "ReadonlyPaths": HONOURED,
}
ULIMIT: Table = dict.fromkeys(("Name", "Soft", "Hard"), HONOURED)
HEALTHCHECK: Table = dict.fromkeys(("Test", "Interval", "Timeout", "Retries", "StartPeriod", "StartInterval"), HONOURED)
RESTART_POLICY: Table = {"Name": HONOURED, "MaximumRetryCount": HONOURED}
LOG_CONFIG: Table = {
    "Type": Refused(TEXT, "json-file", hint="logs are kept as with json-file"),
    "Config": Refused(OBJECT, hint="logs are kept as with json-file, without limits"),
}
MOUNT: Table = {
    "Target": HONOURED,
    "Source": HONOURED,
    "Type": HONOURED,
    "ReadOnly": HONOURED,
    "Consistency": Refused(TEXT, "default", "consistent"),
    "BindOptions": HONOURED,
    "VolumeOptions": HONOURED,
    "TmpfsOptions": HONOURED,
    "ImageOptions": Refused(OBJECT),  # of API 1.48
}
BIND_OPTIONS: Table = {
    "Propagation": HONOURED,
    "NonRecursive": HONOURED,
    "CreateMountpoint": Refused(FLAG, hint="make the source first"),
    "ReadOnlyNonRecursive": Refused(FLAG, hint="mounts below the source become read-only too"),
    "ReadOnlyForceRecursive": Refused(FLAG, True),  # what happens anyway
}
VOLUME_OPTIONS: Table = {
    "NoCopy": HONOURED,
    "Labels": Refused(OBJECT, hint="make the volume first: volume create --label"),
    "DriverConfig": Refused(OBJECT, hint="the only driver is local, and it has no options here"),
    "Subpath": Refused(TEXT, hint="bind a directory instead"),  # of API 1.45
}
TMPFS_OPTIONS: Table = {
    "SizeBytes": HONOURED,
    "Mode": HONOURED,
    "Options": Refused(LISTS, hint="use --tmpfs TARGET:OPTIONS"),  # of API 1.46
}
VOLUME_CREATE: Table = {
    "Name": HONOURED,
    "Labels": HONOURED,
    "Driver": Refused(TEXT, "local", hint="the only driver is local"),
    "DriverOpts": Refused(OBJECT, hint="the local driver has no options here"),
    "ClusterVolumeSpec": Refused(OBJECT, hint="the lab has no swarm"),
}
DEVICE: Table = dict.fromkeys(("PathOnHost", "PathInContainer", "CgroupPermissions"), HONOURED)
NETWORKING: Table = {"EndpointsConfig": HONOURED}
ENDPOINT: Table = {
    "IPAMConfig": Refused(OBJECT),
    "Links": Refused(WORDS),
    "MacAddress": Refused(TEXT),
    "Aliases": Refused(WORDS),
    "NetworkID": Refused(TEXT),
    "EndpointID": Refused(TEXT),
    "Gateway": Refused(TEXT),
    "IPAddress": Refused(TEXT),
    "IPPrefixLen": Refused(NUMBER),
    "IPv6Gateway": Refused(TEXT),
    "GlobalIPv6Address": Refused(TEXT),
    "GlobalIPv6PrefixLen": Refused(NUMBER),
    "DriverOpts": Refused(OBJECT),
    "DNSNames": Refused(WORDS),
    "GwPriority": Refused(NUMBER),  # of API 1.48; docker 28 sends it unasked
}
NO_UPDATE = "it is set when the container is made"
UPDATE: Table = {
    **RESOURCES,
    "CgroupParent": Refused(TEXT, hint=NO_UPDATE),
    "MemorySwappiness": Refused(NUMBER, -1, exact=True, hint=NO_UPDATE),
    "Devices": Refused(OBJECTS, hint=NO_UPDATE),
    "Ulimits": Refused(OBJECTS, hint=NO_UPDATE),
    "Init": Refused(FLAG, exact=True, hint=NO_UPDATE),
    "RestartPolicy": HONOURED,
}
EXEC_CREATE: Table = dict.fromkeys(
    ("AttachStdin", "AttachStdout", "AttachStderr", "ConsoleSize", "DetachKeys", "Tty", "Env", "Cmd", "Privileged",
     "User", "WorkingDir"), HONOURED,
)  # fmt: skip
EXEC_START: Table = dict.fromkeys(("Detach", "Tty", "ConsoleSize"), HONOURED)

# Query parameters that are refused, by route. Those that a handler has as parameters are honoured.
QUERIES: Mapping[str, Table] = {
    "POST /containers/{reference}/start": {
        "detachKeys": Refused(TEXT, hint="give it to attach"),
        "checkpoint": Refused(TEXT),
        "checkpoint-dir": Refused(TEXT),
    },
    "DELETE /containers/{reference}": {"link": Refused(FLAG, hint="there are no links between containers")},
}


def refuse(table: Table, values: Mapping[str, Any], where: str = "") -> None:
    """Check the refused fields; errors put `where` before a name. Raises InvalidArgument, NotImplementedHere."""
    for name, value in values.items():
        if rule := table.get(name):
            rule.check(where + name, value)


def refuse_query(route: str, items: Sequence[tuple[str, str]]) -> None:
    """The same for a query's parameters; route is "METHOD /PATH"."""
    table = QUERIES.get(route, {})
    for name, text in items:
        if rule := table.get(name):
            rule.check(name, _from_query(rule.kind, text))


def _from_query(kind: str, text: str) -> Any:
    if kind == FLAG:
        return go_bool(text)
    if kind == NUMBER and re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        return int(text)
    return text


def go_bool(text: str) -> bool:
    """moby's httputils.BoolValue(): everything but these words is true."""
    return text.strip().lower() not in ("", "0", "no", "false", "none")
