"""Docker's JSON becomes RunOptions and ExecOptions, the same objects that podmanish makes of its command line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from daemon import restarting
from daemon.models import BindMount, ContainerCreate, DeviceMapping, ExecCreate, Host
from lab.errors import InvalidArgument, NotImplementedHere
from lab.limits import device, rlimit
from lab.mountargs import bind, invalid, parse_volume, tmpfs, volume
from lab.runargs import ExecOptions, RunOptions
from lab.spec import Device, Mount

HOST_NETWORK = ("", "default", "host")  # the host's network is the lab's default, a bridge is Docker's


def run_options(body: ContainerCreate) -> RunOptions:
    """Raises InvalidArgument; NotImplementedHere for what the lab does not have."""
    host = body.HostConfig
    if not body.Image:
        raise InvalidArgument("no image given", "write its name in Image; `host` is built in")
    restarting.check(host.RestartPolicy, auto_remove=host.AutoRemove)
    _check_text(body.Image, body.User, body.WorkingDir, *(body.Entrypoint or ())[:1])
    mounts, in_memory = _mounts(host)
    options = RunOptions(
        body.Image, body.Cmd,
        interactive=body.OpenStdin, tty=body.Tty,
        env=body.Env, workdir=body.WorkingDir, user=body.User, hostname=body.Hostname,
        entrypoint=None if not body.Entrypoint else [] if body.Entrypoint == [""] else body.Entrypoint,
        label=[f"{key}={value}" for key, value in body.Labels.items()],
        volumes=[*map(_bind, host.Binds), *mounts, *(volume("", target) for target in body.Volumes)],
        volumes_from=host.VolumesFrom, extra_hosts=host.ExtraHosts,
        dns=host.Dns, dns_search=host.DnsSearch, dns_options=host.DnsOptions,
        network=_network(body),
        rm=host.AutoRemove, privileged=host.Privileged, init=host.Init, read_only=host.ReadonlyRootfs,
        cap_add=host.CapAdd, cap_drop=host.CapDrop, security_opt=host.SecurityOpt,
        devices=[_device(mapping) for mapping in host.Devices],
        resources=host.resources(), rlimits=[rlimit(one.Name, one.Soft, one.Hard) for one in host.Ulimits],
        oom_score_adj=host.OomScoreAdj or None, groups=host.GroupAdd, sysctl=host.Sysctls,
        tmpfs=in_memory,
        shm_size=_shm_size(host.ShmSize), domainname=body.Domainname,
        pid=host.PidMode, ipc=host.IpcMode, uts=host.UTSMode, userns=host.UsernsMode, cgroupns=host.CgroupnsMode,
        cgroup_parent=host.CgroupParent,
        masked_paths=host.MaskedPaths, readonly_paths=host.ReadonlyPaths,
        healthcheck=body.Healthcheck.model_dump() if body.Healthcheck.Test else None,
    )  # fmt: skip
    options.stop_signal = body.StopSignal
    return options


def _shm_size(size: int) -> int:
    if size < 0:
        raise InvalidArgument("SHM size can not be less than 0", "give --shm-size a number of bytes")
    return size


def _network(body: ContainerCreate) -> str:
    """host or none. Raises InvalidArgument if NetworkDisabled contradicts NetworkMode, NotImplementedHere."""
    named = body.HostConfig.NetworkMode
    chosen = "host" if named in HOST_NETWORK else named
    for name in body.NetworkingConfig.EndpointsConfig:
        if ("host" if name in HOST_NETWORK else name) != chosen:
            raise NotImplementedHere(
                f'NetworkingConfig.EndpointsConfig "{name[:80]}" is not part of this lab', "use host or none"
            )
    if not body.NetworkDisabled:
        return chosen
    if named not in ("", "default", "none"):
        raise InvalidArgument(
            f"conflicting options: NetworkDisabled and the network {named[:80]!a}", "use --network none"
        )
    return "none"


def exec_options(body: ExecCreate, container: str) -> ExecOptions:
    """Raises InvalidArgument."""
    if not body.Cmd or not body.Cmd[0]:
        raise InvalidArgument("No exec command specified", "write the command in Cmd")
    _check_text(body.User, body.WorkingDir, *body.Cmd, *body.Env)
    return ExecOptions(
        container, body.Cmd,
        interactive=body.AttachStdin, tty=body.Tty, detach=False, env=body.Env,
        workdir=body.WorkingDir, user=body.User, privileged=body.Privileged,
    )  # fmt: skip


def first_size(size: Sequence[int]) -> list[int]:
    """The [height, width] of a terminal as a client sends it; zeros mean nothing, as does []."""
    return list(size) if len(size) == 2 and all(size) else []


def _mounts(host: Host) -> tuple[list[Mount], dict[str, str]]:
    """HostConfig.Mounts: directories and volumes; and the tmpfs, with those of HostConfig.Tmpfs."""
    found: list[Mount] = []
    in_memory = dict(host.Tmpfs)
    for mount in host.Mounts:
        if mount.Type == "tmpfs":
            target, options = _tmpfs(mount)
            if target in in_memory:
                raise InvalidArgument(f"Duplicate mount point: {target}", "name each target once")
            in_memory[target] = options
        else:
            found.append(_mount(mount))
    return found, in_memory


def _mount(mount: BindMount) -> Mount:
    """Raises InvalidArgument, NotImplementedHere."""
    if mount.Type in ("image", "npipe", "cluster"):
        raise NotImplementedHere(f'mounts of type "{mount.Type}" are not part of this lab', "use bind, volume or tmpfs")
    if mount.Type not in ("bind", "volume"):
        raise InvalidArgument(f"invalid HostConfig.Mounts.Type: {mount.Type[:40]!a}", "use bind, volume or tmpfs")
    _check_extras(mount)
    if mount.Type == "volume":
        return volume(mount.Source, mount.Target, readonly=mount.ReadOnly, copy=not mount.VolumeOptions.NoCopy)
    extras = mount.BindOptions
    return bind(
        mount.Source, mount.Target, readonly=mount.ReadOnly,
        propagation=extras.Propagation, recursive=not extras.NonRecursive,
    )  # fmt: skip


def _tmpfs(mount: BindMount) -> tuple[str, str]:
    _check_extras(mount)
    if mount.Source:
        raise invalid("tmpfs", "field Source must not be specified")
    extras = mount.TmpfsOptions
    return tmpfs(mount.Target, readonly=mount.ReadOnly, size=extras.SizeBytes, mode=extras.Mode)


def _check_extras(mount: BindMount) -> None:
    """Raises InvalidArgument for options of another kind of mount."""
    given = {"bind": mount.BindOptions, "volume": mount.VolumeOptions, "tmpfs": mount.TmpfsOptions}
    for kind, extras in given.items():
        if kind != mount.Type and any(extras.model_dump().values()):
            raise invalid(mount.Type, f"field {kind.capitalize()}Options must not be specified")


def _bind(text: str) -> Mount:
    if text.startswith("."):  # relative to the client's working directory, which the daemon does not know
        raise InvalidArgument(
            f"invalid volume {text[:80]!a}: the source must be an absolute path", "write /SOURCE:/TARGET"
        )
    return parse_volume(text)


def _device(mapping: DeviceMapping) -> Device:
    return device(mapping.PathOnHost, mapping.PathInContainer, mapping.CgroupPermissions)


def _check_text(*texts: str) -> None:
    for text in texts:
        if re.search(r"[\0\ud800-\udfff]", text):
            raise InvalidArgument(f"{text[:80]!a} has a NUL byte or half a character in it", "write plain UTF-8 text")
