"""What a client may send, from the description of Docker's Engine API 1.44: every field, every query parameter.

Written from that description, not from daemon.fields: the two are compared. For each: its type, the values that change
nothing ("defaults", besides null), one that asks for something, and one that is malformed.
"""

from __future__ import annotations

from typing import Any

TYPES: dict[str, tuple[Any, Any, Any]] = {  # type: (zero value, a wish, malformed)
    "string": ("", "some", 5),
    "boolean": (False, True, "maybe"),
    "integer": (0, 7, "abc"),
    "object": ({}, {"some": {}}, "abc"),
    "[string]": ([], ["some"], [5]),
    "[object]": ([], [{"some": 1}], ["abc"]),
}


def _fields(text: str) -> dict[str, str]:
    return {name: kind for name, _, kind in (part.strip().partition(": ") for part in text.split(", "))}


CONTAINER = _fields(
    "Hostname: string, Domainname: string, User: string, AttachStdin: boolean, AttachStdout: boolean, "
    "AttachStderr: boolean, ExposedPorts: object, Tty: boolean, OpenStdin: boolean, StdinOnce: boolean, "
    "Env: [string], Cmd: [string], Healthcheck: object, ArgsEscaped: boolean, Image: string, Volumes: object, "
    "WorkingDir: string, Entrypoint: [string], NetworkDisabled: boolean, MacAddress: string, OnBuild: [string], "
    "Labels: object, StopSignal: string, StopTimeout: integer, Shell: [string]"
)
RESOURCES = _fields(
    "CpuShares: integer, Memory: integer, CgroupParent: string, BlkioWeight: integer, BlkioWeightDevice: [object], "
    "BlkioDeviceReadBps: [object], BlkioDeviceWriteBps: [object], BlkioDeviceReadIOps: [object], "
    "BlkioDeviceWriteIOps: [object], CpuPeriod: integer, CpuQuota: integer, CpuRealtimePeriod: integer, "
    "CpuRealtimeRuntime: integer, CpusetCpus: string, CpusetMems: string, Devices: [object], "
    "DeviceCgroupRules: [string], DeviceRequests: [object], KernelMemoryTCP: integer, MemoryReservation: integer, "
    "MemorySwap: integer, MemorySwappiness: integer, NanoCpus: integer, OomKillDisable: boolean, Init: boolean, "
    "PidsLimit: integer, Ulimits: [object], CpuCount: integer, CpuPercent: integer, IOMaximumIOps: integer, "
    "IOMaximumBandwidth: integer"
)
HOST_CONFIG = RESOURCES | _fields(
    "Binds: [string], ContainerIDFile: string, LogConfig: object, NetworkMode: string, PortBindings: object, "
    "RestartPolicy: object, AutoRemove: boolean, VolumeDriver: string, VolumesFrom: [string], Mounts: [object], "
    "ConsoleSize: [integer], Annotations: object, CapAdd: [string], CapDrop: [string], CgroupnsMode: string, "
    "Dns: [string], DnsOptions: [string], DnsSearch: [string], ExtraHosts: [string], GroupAdd: [string], "
    "IpcMode: string, Cgroup: string, Links: [string], OomScoreAdj: integer, PidMode: string, Privileged: boolean, "
    "PublishAllPorts: boolean, ReadonlyRootfs: boolean, SecurityOpt: [string], StorageOpt: object, Tmpfs: object, "
    "UTSMode: string, UsernsMode: string, ShmSize: integer, Sysctls: object, Runtime: string, Isolation: string, "
    "MaskedPaths: [string], ReadonlyPaths: [string]"
)
HEALTH = _fields(
    "Test: [string], Interval: integer, Timeout: integer, Retries: integer, StartPeriod: integer, "
    "StartInterval: integer"
)
RESTART_POLICY = _fields("Name: string, MaximumRetryCount: integer")
LOG_CONFIG = _fields("Type: string, Config: object")
MOUNT = _fields(
    "Target: string, Source: string, Type: string, ReadOnly: boolean, Consistency: string, BindOptions: object, "
    "VolumeOptions: object, TmpfsOptions: object"
)
BIND_OPTIONS = _fields(
    "Propagation: string, NonRecursive: boolean, CreateMountpoint: boolean, ReadOnlyNonRecursive: boolean, "
    "ReadOnlyForceRecursive: boolean"
)
VOLUME_OPTIONS = _fields("NoCopy: boolean, Labels: object, DriverConfig: object, Subpath: string")
TMPFS_OPTIONS = _fields("SizeBytes: integer, Mode: integer")
VOLUME_CREATE = _fields("Name: string, Driver: string, DriverOpts: object, Labels: object, ClusterVolumeSpec: object")
DEVICE = _fields("PathOnHost: string, PathInContainer: string, CgroupPermissions: string")
ULIMIT = _fields("Name: string, Soft: integer, Hard: integer")
ENDPOINT = _fields(
    "IPAMConfig: object, Links: [string], MacAddress: string, Aliases: [string], NetworkID: string, "
    "EndpointID: string, Gateway: string, IPAddress: string, IPPrefixLen: integer, IPv6Gateway: string, "
    "GlobalIPv6Address: string, GlobalIPv6PrefixLen: integer, DriverOpts: object, DNSNames: [string]"
)
EXEC_CREATE = _fields(
    "AttachStdin: boolean, AttachStdout: boolean, AttachStderr: boolean, ConsoleSize: [integer], DetachKeys: string, "
    "Tty: boolean, Env: [string], Cmd: [string], Privileged: boolean, User: string, WorkingDir: string"
)
EXEC_START = _fields("Detach: boolean, Tty: boolean, ConsoleSize: [integer]")
UPDATE = RESOURCES | {"RestartPolicy": "object"}

# Where zero is not the default that Docker documents, or where other values mean the same.
DEFAULTS: dict[str, tuple[Any, ...]] = {
    "HostConfig.MemorySwappiness": (-1,),
    "HostConfig.CgroupnsMode": ("", "host"),
    "HostConfig.IpcMode": ("", "private"),
    "HostConfig.UsernsMode": ("", "host"),
    "HostConfig.ShmSize": (0, 67108864),
    "HostConfig.VolumeDriver": ("", "local"),
    "HostConfig.Isolation": ("", "default"),
    "HostConfig.Runtime": ("", "lab"),
    "HostConfig.LogConfig.Type": ("", "json-file"),
    "HostConfig.Mounts.Consistency": ("", "default", "consistent"),
    "HostConfig.Mounts.BindOptions.Propagation": ("", "private", "rprivate"),
    "HostConfig.Mounts.BindOptions.ReadOnlyForceRecursive": (False, True),
    "MemorySwappiness": (-1,),
    "PidsLimit": (),
    "Init": (),
    "OomKillDisable": (False,),
}
# Values that Docker understands, where it does not take every string.
WISHES: dict[str, tuple[Any, ...]] = {
    "HostConfig.Isolation": ("process", "hyperv"),
    "HostConfig.LogConfig.Type": ("none", "syslog"),
    "MemorySwappiness": (0,),
    "Init": (True, False),
}

# method, path, its query parameters
QUERIES: dict[str, dict[str, str]] = {
    "GET /containers/json": _fields("all: boolean, limit: integer, size: boolean, filters: string"),
    "POST /containers/create": _fields("name: string, platform: string"),
    "GET /containers/{id}/json": _fields("size: boolean"),
    "GET /containers/{id}/top": _fields("ps_args: string"),
    "GET /containers/{id}/logs": _fields(
        "follow: boolean, stdout: boolean, stderr: boolean, since: integer, until: integer, timestamps: boolean, "
        "tail: string"
    ),
    "GET /containers/{id}/stats": _fields("stream: boolean, one-shot: boolean"),
    "POST /containers/{id}/resize": _fields("h: integer, w: integer"),
    "POST /containers/{id}/start": _fields("detachKeys: string"),
    "POST /containers/{id}/stop": _fields("signal: string, t: integer"),
    "POST /containers/{id}/restart": _fields("signal: string, t: integer"),
    "POST /containers/{id}/kill": _fields("signal: string"),
    "POST /containers/{id}/rename": _fields("name: string"),
    "POST /containers/{id}/attach": _fields(
        "detachKeys: string, logs: boolean, stream: boolean, stdin: boolean, stdout: boolean, stderr: boolean"
    ),
    "GET /containers/{id}/attach/ws": _fields(
        "detachKeys: string, logs: boolean, stream: boolean, stdin: boolean, stdout: boolean, stderr: boolean"
    ),
    "POST /containers/{id}/wait": _fields("condition: string"),
    "DELETE /containers/{id}": _fields("v: boolean, force: boolean, link: boolean"),
    "HEAD /containers/{id}/archive": _fields("path: string"),
    "GET /containers/{id}/archive": _fields("path: string"),
    "PUT /containers/{id}/archive": _fields("path: string, noOverwriteDirNonDir: string, copyUIDGID: string"),
    "POST /containers/prune": _fields("filters: string"),
    "GET /images/json": _fields("all: boolean, filters: string, shared-size: boolean, digests: boolean"),
    "POST /build": _fields("dockerfile: string, t: string, remote: string, q: boolean, memory: integer"),
    "POST /build/prune": _fields("keep-storage: integer, all: boolean, filters: string"),
    "POST /images/create": _fields(
        "fromImage: string, fromSrc: string, repo: string, tag: string, message: string, changes: string, "
        "platform: string"
    ),
    "POST /images/{name}/push": _fields("tag: string"),
    "POST /images/{name}/tag": _fields("repo: string, tag: string"),
    "DELETE /images/{name}": _fields("force: boolean, noprune: boolean"),
    "GET /images/search": _fields("term: string, limit: integer, filters: string"),
    "POST /images/prune": _fields("filters: string"),
    "POST /commit": _fields(
        "container: string, repo: string, tag: string, comment: string, author: string, pause: boolean, changes: string"
    ),
    "GET /containers/{id}/export": {},
    "GET /volumes": _fields("filters: string"),
    "DELETE /volumes/{name}": _fields("force: boolean"),
    "POST /volumes/prune": _fields("filters: string"),
    "GET /events": _fields("since: string, until: string, filters: string"),
    "GET /system/df": _fields("type: string"),
    "GET /images/get": _fields("names: string"),
    "POST /images/load": _fields("quiet: boolean"),
    "POST /exec/{id}/resize": _fields("h: integer, w: integer"),
}
