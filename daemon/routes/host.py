"""What the daemon says of itself, of its machine and of its images."""

from __future__ import annotations

import os
import platform
import socket
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.wire.front import API_VERSION, OLDEST_API
from lab.images import Image, split_tag
from lab.runtime import cgroup
from lab.shown import rfc3339

if TYPE_CHECKING:
    from daemon.engine import Engine

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def lab_version() -> str:
    """The version of the installed project."""
    try:
        return metadata.version("loginuid-lab")
    except metadata.PackageNotFoundError:
        return "0.0.0+checkout"


def version() -> dict[str, Any]:
    """GET /version."""
    kernel = os.uname()
    common = {
        "Version": lab_version(), "ApiVersion": ".".join(map(str, API_VERSION)),
        "MinAPIVersion": ".".join(map(str, OLDEST_API)), "Os": "linux",
        "Arch": ARCHITECTURES.get(kernel.machine, kernel.machine), "KernelVersion": kernel.release,
        "GitCommit": "", "GoVersion": f"none; Python {platform.python_version()}", "BuildTime": "",
    }  # fmt: skip
    details = {key: value for key, value in common.items() if key != "Version"}
    engine = {"Name": "Engine", "Version": common["Version"], "Details": details}
    return {"Platform": {"Name": "loginuid lab, labd"}, "Components": [engine], **common}


def info(engine: Engine) -> dict[str, Any]:
    """GET /info."""
    kernel = os.uname()
    limits = cgroup.available()
    states = [container.status for container in engine.containers.values()]
    return {
        "ID": "labd", "Name": socket.gethostname(), "ServerVersion": lab_version(),
        "Containers": len(states), "ContainersRunning": states.count("running"),
        "ContainersPaused": states.count("paused"),
        "ContainersStopped": states.count("exited") + states.count("created") + states.count("dead"),
        "Images": len(engine.images.list()), "Driver": "overlay", "DriverStatus": [], "DockerRootDir": str(engine.root),
        "KernelVersion": kernel.release, "OperatingSystem": _operating_system(), "OSType": "linux", "OSVersion": "",
        "Architecture": kernel.machine, "NCPU": os.cpu_count(),
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "CgroupDriver": "cgroupfs" if limits else "none",
        "CgroupVersion": "2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "1",
        "LoggingDriver": "json-file", "Runtimes": {"lab": {"path": "lab.runtime"}}, "DefaultRuntime": "lab",
        "InitBinary": "lab.runtime.init", "SecurityOptions": ["name=seccomp,profile=builtin"],
        "LiveRestoreEnabled": False,
        "Plugins": {"Volume": [], "Network": ["host", "none"], "Authorization": None, "Log": ["json-file"]},
        "Swarm": {"LocalNodeState": "inactive", "NodeID": "", "NodeAddr": "", "Error": "", "RemoteManagers": None},
        "RegistryConfig": {"InsecureRegistryCIDRs": [], "IndexConfigs": {}, "Mirrors": []}, "IndexServerAddress": "",
        "MemoryLimit": "memory" in limits, "SwapLimit": False, "CpuCfsPeriod": False, "CpuCfsQuota": "cpu" in limits,
        "CPUShares": False, "CPUSet": False, "PidsLimit": "pids" in limits, "OomKillDisable": False,
        "IPv4Forwarding": True,
        "BridgeNfIptables": True, "BridgeNfIp6tables": True, "Debug": False, "ExperimentalBuild": False,
        "NFd": len(list(Path("/proc/self/fd").iterdir())), "NGoroutines": 0, "NEventsListener": 0, "SystemTime": "",
        "HttpProxy": "", "HttpsProxy": "", "NoProxy": "", "Labels": [], "Warnings": [], "GenericResources": None,
        "ContainerdCommit": {"ID": ""}, "RuncCommit": {"ID": ""}, "InitCommit": {"ID": ""}, "Isolation": "",
    }  # fmt: skip


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _tag(image: Image) -> str:
    return image.name if split_tag(image.name)[1] else f"{image.name}:latest"


def image_summary(engine: Engine, image: Image) -> dict[str, Any]:
    """One row of GET /images/json."""
    users = sum(container.record.config["image_id"] == image.id for container in engine.containers.values())
    return {
        "Id": image.id, "ParentId": "", "RepoTags": [_tag(image)], "RepoDigests": [], "Created": image.created // 10**9,
        "Size": image.size, "VirtualSize": image.size, "SharedSize": -1, "Labels": None, "Containers": users,
    }  # fmt: skip


def image_inspect(image: Image) -> dict[str, Any]:
    """GET /images/NAME/json."""
    machine = os.uname().machine
    return {
        "Id": image.id, "RepoTags": [_tag(image)], "RepoDigests": [], "Parent": "", "Author": "",
        "Comment": f"damaged: {image.damage}" if image.damage else "",
        "Created": rfc3339(image.created), "Architecture": ARCHITECTURES.get(machine, machine), "Os": "linux",
        "Size": image.size, "VirtualSize": image.size, "DockerVersion": "", "Container": "",
        "GraphDriver": {"Name": "host" if image.is_host else "overlay", "Data": None},
        "RootFS": {"Type": "layers", "Layers": [image.id]}, "Metadata": {"LastTagTime": rfc3339(image.created)},
        "Config": {
            "Env": image.env, "Cmd": image.command or None, "Entrypoint": image.entrypoint or None, "User": image.user,
            "WorkingDir": image.workdir, "Labels": None, "Volumes": None, "ExposedPorts": None, "OnBuild": None,
        },
    }  # fmt: skip
