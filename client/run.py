"""`dockerish run` and `exec`, the verbs whose speed counts; `start` and `attach` reuse carry()."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from client.api import Api
from client.attach import Attachment, window_size
from lab import runargs
from lab.errors import LabError
from lab.resources import FIELDS
from lab.runargs import ExecOptions, RunOptions, parse_number
from lab.signals import SIGWINCH
from lab.spec import Device, Mount
from lab.terminal import RawTerminal


def run(api: Api, argv: Sequence[str]) -> int:
    """`dockerish run`; returns the container's exit code."""
    options = runargs.parse_run(argv)
    query = {"name": options.name} if options.name else {}
    container: str = api.post("containers", "create", body=create_body(options), **query)["Id"]
    if options.detach:
        api.post("containers", container, "start")
        print(container)
        return 0
    streams = {"stream": 1, "stdout": 1, "stderr": 1, "stdin": int(options.interactive)}
    condition = "removed" if options.rm else "next-exit"
    with (
        api.hijack("containers", container, "attach", **streams) as connection,
        api.stream("POST", "containers", container, "wait", condition=condition) as ended,
    ):
        api.post("containers", container, "start")
        carry(api, connection, ("containers", container), options)
        code: int = ended.json()["StatusCode"]
    return code


def exec_(api: Api, argv: Sequence[str]) -> int:
    """`dockerish exec`; returns the command's exit code."""
    options = runargs.parse_exec(argv)
    exec_id = api.post("containers", options.container, "exec", body=exec_body(options))["Id"]
    if options.detach:
        api.post("exec", exec_id, "start", body={"Detach": True})
        return 0
    with api.hijack("exec", exec_id, "start", body={"Tty": options.tty}) as connection:
        carry(api, connection, ("exec", exec_id), options)
    code: int = api.get("exec", exec_id, "json")["ExitCode"]
    return code


def carry(api: Api, connection: Any, path: tuple[str, str], options: RunOptions | ExecOptions) -> None:
    """Connect our descriptors and signals to the process at /PATH/PATH until it ends."""

    def resize() -> None:
        height, width = window_size()
        if options.tty and height:
            ignoring(lambda: api.post(*path, "resize", h=height, w=width))

    def on_signal(number: int) -> None:
        if number == SIGWINCH:
            resize()
        elif path[0] == "containers":  # Docker's API cannot signal an exec
            ignoring(lambda: api.post(*path, "kill", signal=number))

    if options.tty and path[0] == "exec":
        resize()
    with RawTerminal(options.tty and options.interactive):
        Attachment(*connection, framed=not options.tty, stdin=options.interactive, on_signal=on_signal).run()


def ignoring(act: Callable[[], object]) -> None:
    """Ignore errors: the process may have ended, and an ended process needs no signal and no resize."""
    with contextlib.suppress(LabError):
        act()


def create_body(options: RunOptions) -> dict[str, Any]:
    """The body of Docker's POST /containers/create for these options."""
    attached = not options.detach
    plain = [mount for mount in options.volumes if _is_plain(mount)]
    body: dict[str, Any] = {
        "Image": options.image, "Cmd": options.command, "Env": options.env, "WorkingDir": options.workdir,
        "User": options.user, "Hostname": options.hostname, "Domainname": options.domainname, "Tty": options.tty,
        "OpenStdin": options.interactive, "StdinOnce": options.interactive and attached,
        "AttachStdin": options.interactive and attached, "AttachStdout": attached, "AttachStderr": attached,
        **({"Healthcheck": options.healthcheck} if options.healthcheck else {}),
        "Labels": dict(item.partition("=")[::2] for item in options.label),
        "Volumes": {mount.target: {} for mount in plain if not mount.name + mount.source},
        "HostConfig": {
            "Binds": [str(mount) for mount in plain if mount.name + mount.source],
            "Mounts": [mount_object(mount) for mount in options.volumes if mount not in plain],
            "VolumesFrom": options.volumes_from, "ExtraHosts": options.extra_hosts, "Dns": options.dns,
            "DnsSearch": options.dns_search, "DnsOptions": options.dns_options, "NetworkMode": options.network,
            "AutoRemove": options.rm, "Privileged": options.privileged, "CapAdd": options.cap_add,
            "CapDrop": options.cap_drop, "SecurityOpt": options.security_opt, "Init": options.init,
            "ReadonlyRootfs": options.read_only, "Devices": [device_mapping(device) for device in options.devices],
            **limits(options.resources),
            "Ulimits": [{"Name": name, "Soft": soft, "Hard": hard} for name, soft, hard in options.rlimits],
            "OomScoreAdj": options.oom_score_adj or 0, "GroupAdd": options.groups, "Sysctls": options.sysctl,
            "PidMode": options.pid, "IpcMode": options.ipc, "UTSMode": options.uts, "UsernsMode": options.userns,
            "CgroupnsMode": options.cgroupns, "CgroupParent": options.cgroup_parent,
            "Tmpfs": options.tmpfs, "ShmSize": options.shm_size, "RestartPolicy": restart_policy(options.restart),
            **({"ConsoleSize": list(window_size())} if options.tty else {}),
        },
    }  # fmt: skip
    if options.entrypoint is not None:
        body["Entrypoint"] = options.entrypoint or [""]
    return body


def limits(resources: Mapping[str, int | str]) -> dict[str, Any]:
    """Docker's fields for what lab.resources holds; a swappiness is a number there."""
    found: dict[str, Any] = {field: resources[name] for field, name in FIELDS.items() if name in resources}
    return {**found, **({"MemorySwappiness": int(found["MemorySwappiness"])} if "MemorySwappiness" in found else {})}


def restart_policy(text: str) -> dict[str, Any]:
    """Docker's RestartPolicy for NAME[:COUNT]. Raises InvalidArgument."""
    name, given, count = text.partition(":")
    return {"Name": name, "MaximumRetryCount": parse_number(count, "--restart NAME:COUNT") if given else 0}


def _is_plain(mount: Mount) -> bool:
    """Whether docker's Binds can say it, or its Volumes for an anonymous volume without further wishes."""
    if mount.kind == "volume" and not mount.name:
        return mount.copy and not mount.readonly
    return mount.recursive and ":" not in mount.source + mount.target


def mount_object(mount: Mount) -> dict[str, Any]:
    """Docker's Mount."""
    common = {"Type": mount.kind, "Target": mount.target, "ReadOnly": mount.readonly}
    if mount.kind == "volume":
        return {**common, "Source": mount.name, "VolumeOptions": {"NoCopy": not mount.copy}}
    bind = {"Propagation": mount.propagation, "NonRecursive": not mount.recursive}
    return {**common, "Source": mount.source, "BindOptions": bind}


def device_mapping(device: Device) -> dict[str, str]:
    """Docker's DeviceMapping."""
    return {"PathOnHost": device.source, "PathInContainer": device.target, "CgroupPermissions": "rwm"}


def exec_body(options: ExecOptions) -> dict[str, Any]:
    """The body of Docker's POST /containers/ID/exec for these options."""
    attached = not options.detach
    return {
        "Cmd": options.command, "Env": options.env, "WorkingDir": options.workdir, "User": options.user,
        "Tty": options.tty, "Privileged": options.privileged,
        "AttachStdin": options.interactive and attached, "AttachStdout": attached, "AttachStderr": attached,
    }  # fmt: skip
