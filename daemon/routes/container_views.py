"""A container, and an exec, as Docker's JSON shows them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.containers import Container
from daemon.engine import Engine
from daemon.execs import Exec
from daemon.routes import layers
from lab import mounting
from lab.errors import LabError
from lab.images import normalize
from lab.resources import FIELDS, number
from lab.shown import rfc3339

COPIED = ("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce")


def inspect(engine: Engine, container: Container) -> dict[str, Any]:
    """GET /containers/ID/json."""
    spec, record = container.spec, container.record
    return {
        "Id": container.id,
        "Created": rfc3339(record.config["created"]),
        "Path": spec.args[0],
        "Args": spec.args[1:],
        "State": state(container),
        "Image": record.config["image_id"],
        "Name": f"/{container.name}",
        "RestartCount": record.state.get("restart_count", 0),
        "Driver": "overlay" if spec.layer else "host",
        "Platform": "linux",
        "MountLabel": "", "ProcessLabel": "", "AppArmorProfile": "",
        **files(container),
        "LogPath": record.log_path,
        "ExecIDs": engine.running_execs(container) or None,
        "HostConfig": host_config(container),
        "GraphDriver": {"Name": "overlay" if spec.layer else "host", "Data": None},
        "Mounts": mounts(container),
        "Config": config(container),
        "NetworkSettings": network_settings(container),
    }  # fmt: skip


def state(container: Container) -> dict[str, Any]:
    """Its State part."""
    known = container.record.state
    return {
        "Status": container.status, "Running": container.running or container.restarting, "Paused": container.paused,
        "Restarting": container.restarting,
        "OOMKilled": known.get("oom_killed", False), "Dead": container.status == "dead",
        "Pid": container.pid, "ExitCode": container.exit_code,
        "Error": known.get("error", ""),
        "StartedAt": rfc3339(known.get("started", 0)), "FinishedAt": rfc3339(known.get("finished", 0)),
        **({"Health": container.health.to_dict()} if container.health.status else {}),
    }  # fmt: skip


def config(container: Container) -> dict[str, Any]:
    """Its Config part: the command and its surroundings, with the image's defaults filled in."""
    spec, body = container.spec, container.body
    return {
        "Hostname": spec.hostname, "Domainname": spec.domainname, "User": spec.user,
        **{name: body[name] for name in COPIED},
        "Env": environment(container),
        "Cmd": body["Cmd"] or None, "Image": container.record.config["image"], "Volumes": body["Volumes"] or None,
        "WorkingDir": body["WorkingDir"], "Entrypoint": body["Entrypoint"], "OnBuild": None,
        "Labels": body["Labels"],
        "NetworkDisabled": body["NetworkDisabled"],
        **({"Healthcheck": healthcheck(body)} if body["Healthcheck"]["Test"] else {}),
        **({"StopSignal": body["StopSignal"]} if body["StopSignal"] else {}),
        **({"StopTimeout": body["StopTimeout"]} if body["StopTimeout"] is not None else {}),
    }  # fmt: skip


def environment(container: Container) -> list[str]:
    """The variables of the image and of the request, which may name one that is to be unset; not what labd adds."""
    spec, asked = container.spec, container.body["Env"]
    names = [item.partition("=")[0] for item in asked]
    added = {"HOSTNAME": spec.hostname, **({"TERM": "xterm"} if spec.tty else {})}
    shown = [f"{name}={value}" for name, value in spec.env.items() if name in names or added.get(name) != value]
    return shown + [item for item in asked if "=" not in item]


def healthcheck(body: dict[str, Any]) -> dict[str, Any]:
    """What was asked, without docker's defaults."""
    return {name: value for name, value in body["Healthcheck"].items() if value}


def host_config(container: Container) -> dict[str, Any]:
    """Its HostConfig part."""
    given, spec = container.body["HostConfig"], container.spec
    return {
        "Binds": given["Binds"] or None, "Mounts": given["Mounts"], "NetworkMode": spec.network,
        "AutoRemove": given["AutoRemove"], "Privileged": given["Privileged"], "CapAdd": given["CapAdd"] or None,
        "CapDrop": given["CapDrop"] or None, "SecurityOpt": given["SecurityOpt"] or None, "Init": given["Init"],
        "RestartPolicy": {**given["RestartPolicy"], "Name": given["RestartPolicy"]["Name"] or "no"},
        "LogConfig": {"Type": "json-file", "Config": {}},
        "VolumesFrom": given["VolumesFrom"] or None, "ExtraHosts": given["ExtraHosts"] or None,
        "Dns": given["Dns"], "DnsSearch": given["DnsSearch"], "DnsOptions": given["DnsOptions"],
        "PortBindings": {}, "IpcMode": spec.ipc, "CgroupnsMode": spec.cgroupns,
        **{name: given[name] for name in ("PidMode", "UTSMode", "UsernsMode", "CgroupParent")},
        "Runtime": "lab", "ReadonlyRootfs": spec.readonly or not spec.layer, "ShmSize": spec.shm_size,
        "ConsoleSize": given["ConsoleSize"] or [0, 0],
        "ContainerIDFile": given["ContainerIDFile"],
        **limits(container),
        "Devices": given["Devices"], "Isolation": "",
        "Ulimits": [{"Name": name, "Soft": soft, "Hard": hard} for name, soft, hard in spec.rlimits] or None,
        "OomScoreAdj": spec.oom_score_adj or 0, "GroupAdd": spec.groups or None, "Sysctls": spec.sysctl or None,
        "Tmpfs": spec.tmpfs or None,
        "MaskedPaths": spec.masked_paths, "ReadonlyPaths": spec.readonly_paths,
    }  # fmt: skip


def limits(container: Container) -> dict[str, Any]:
    """The Resources in its HostConfig that are numbers or sets; without a limit of swap, docker's default."""
    resources = container.spec.resources
    shown = {field: resources.get(name, "" if field.startswith("Cpuset") else 0) for field, name in FIELDS.items()}
    memory = number(resources, "memory")
    if shown["MemorySwappiness"]:
        shown["MemorySwappiness"] = int(shown["MemorySwappiness"])
    return {**shown, "MemorySwap": shown["MemorySwap"] or 2 * memory, "PidsLimit": shown["PidsLimit"] or None}


def mounts(container: Container) -> list[dict[str, Any]]:
    """Its Mounts part: directories of the host, volumes, and the tmpfs of --mount."""
    in_memory = [
        {"Type": "tmpfs", "Source": "", "Destination": mount["Target"], "Mode": "", "RW": not mount["ReadOnly"],
         "Propagation": ""}
        for mount in container.body["HostConfig"]["Mounts"]
        if mount["Type"] == "tmpfs"
    ]  # fmt: skip
    return [*mounting.shown(container.spec.mounts), *in_memory]


def files(container: Container) -> dict[str, str]:
    """The paths of the files that the engine has written for it; "" for those of the image."""
    own = {mount.source for mount in container.spec.mounts if mount.kind == "file"}
    paths = {"ResolvConfPath": "resolv.conf", "HostnamePath": "hostname", "HostsPath": "hosts"}
    found = {name: f"{container.record.path}/{file}" for name, file in paths.items()}
    return {name: path if path in own else "" for name, path in found.items()}


def network_settings(container: Container) -> dict[str, Any]:
    """Its NetworkSettings part: a name without addresses, since the lab has the host's network or none."""
    endpoint = {"NetworkID": "", "EndpointID": "", "Gateway": "", "IPAddress": "", "MacAddress": "", "IPPrefixLen": 0}
    return {"Ports": {}, "IPAddress": "", "Networks": {container.spec.network: endpoint}}


def sizes(engine: Engine, container: Container) -> dict[str, int]:
    """SizeRw and SizeRootFs, read from the disk; the latter is unknown for the machine's own root."""
    layer = layers.size(container.spec)
    try:
        image = engine.images.find(container.record.config["image_id"])
    except LabError:  # the image has been removed or cannot be read
        return {"SizeRw": layer}
    return {"SizeRw": layer} if image.is_host else {"SizeRw": layer, "SizeRootFs": image.size + layer}


def _command(words: Sequence[str]) -> str:
    """The command as `docker ps` shows it: an argument with a space in quotation marks (moby, container/view.go)."""
    return " ".join([words[0], *(f"'{word}'" if " " in word else word for word in words[1:])])


def summary(container: Container, names: Mapping[str, str]) -> dict[str, Any]:
    """One row of GET /containers/json. names: the image that each name means now."""
    image, image_id = container.record.config["image"], container.record.config["image_id"]
    if names.get(normalize(image), image_id[7:]) != image_id[7:]:
        image = image_id
    return {
        "Id": container.id, "Names": [f"/{container.name}"], "Image": image,
        "ImageID": image_id, "Command": _command(container.spec.args),
        "Created": container.record.config["created"] // 10**9, "Ports": [], "Labels": container.body["Labels"],
        "State": container.status, "Status": status_text(container),
        "HostConfig": {"NetworkMode": container.spec.network},
        "NetworkSettings": {"Networks": network_settings(container)["Networks"]}, "Mounts": mounts(container),
    }  # fmt: skip


def status_text(container: Container) -> str:
    """Up 3 seconds; Restarting (1) 2 seconds ago; Exited (0) 2 minutes ago; Created."""
    known = container.record.state
    if container.running:
        health = container.health.status.replace("starting", "health: starting")
        note = "Paused" if container.paused else health
        return f"Up {duration(known['started'])}" + (f" ({note})" if note else "")
    if container.status in ("created", "dead"):
        return container.status.capitalize()
    ago = f" {duration(known['finished'])} ago" if known.get("finished") else ""
    return f"{'Restarting' if container.restarting else 'Exited'} ({container.exit_code}){ago}"


def duration(since: int) -> str:
    """How long ago, in the words of docker's units.HumanDuration()."""
    seconds = max(0, time.time_ns() - since) // 10**9
    if seconds < 1:
        return "Less than a second"
    for unit, length, limit in (("second", 1, 60), ("minute", 60, 3600), ("hour", 3600, 48 * 3600)):
        if seconds < limit:
            count = seconds // length
            if count > 1:
                return f"{count} {unit}s"
            return {"second": "1 second", "minute": "About a minute", "hour": "About an hour"}[unit]
    return f"{seconds // 86400} days"


def inspect_exec(found: Exec) -> dict[str, Any]:
    """GET /exec/ID/json."""
    body = found.body
    return {
        "ID": found.id, "Running": found.running, "ExitCode": found.exit_code, "ContainerID": found.container.id,
        "ProcessConfig": {
            "tty": body.Tty, "entrypoint": body.Cmd[0], "arguments": body.Cmd[1:], "privileged": body.Privileged,
            "user": body.User,
        },
        "OpenStdin": body.AttachStdin, "OpenStdout": body.AttachStdout, "OpenStderr": body.AttachStderr,
        "CanRemove": False, "DetachKeys": "", "Pid": found.run.process.pid if found.run.process else 0,
    }  # fmt: skip
