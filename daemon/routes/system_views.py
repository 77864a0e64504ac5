"""The daemon and its machine as Docker's JSON shows them."""

from __future__ import annotations

import os
import platform
import socket
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.wire.front import API_VERSION, OLDEST_API
from lab.images.config import architecture
from lab.runtime import cgroup

if TYPE_CHECKING:
    from daemon.engine import Engine


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
        "Arch": architecture(), "KernelVersion": kernel.release,
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
        "Plugins": {"Volume": ["local"], "Network": ["host", "none"], "Authorization": None, "Log": ["json-file"]},
        "Swarm": {"LocalNodeState": "inactive", "NodeID": "", "NodeAddr": "", "Error": "", "RemoteManagers": None},
        "RegistryConfig": {"InsecureRegistryCIDRs": [], "IndexConfigs": {}, "Mirrors": []}, "IndexServerAddress": "",
        "MemoryLimit": "memory" in limits, "SwapLimit": "memory" in limits, "CpuCfsPeriod": "cpu" in limits,
        "CpuCfsQuota": "cpu" in limits, "CPUShares": "cpu" in limits, "CPUSet": "cpuset" in limits,
        "PidsLimit": "pids" in limits, "OomKillDisable": False, "IPv4Forwarding": True,
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
