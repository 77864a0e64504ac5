"""From Docker's JSON to RunOptions and ExecOptions: what dockerish and docker send becomes what podmanish reads."""

from __future__ import annotations

import re

from daemon.models import BindMount, ContainerCreate, DeviceMapping, ExecCreate, Restart
from lab.errors import InvalidArgument, NotImplementedHere
from lab.limits import device
from lab.runargs import ExecOptions, RunOptions, parse_volume
from lab.signals import signal_number
from lab.spec import Device, Mount

HOST_NETWORK = ("", "default", "host")  # the lab's default, where Docker's would be a bridge
RESTART_POLICIES = ("always", "on-failure", "unless-stopped")


def run_options(body: ContainerCreate) -> RunOptions:
    """Raises InvalidArgument, NotImplementedHere for what the lab has not."""
    host = body.HostConfig
    if not body.Image:
        raise InvalidArgument("no image given", "name one in Image; `host` is built in")
    check_restart(host.RestartPolicy)
    if body.Healthcheck.Test not in ([], ["NONE"]):
        raise NotImplementedHere("Healthcheck.Test is not part of this lab", "ask from outside, with docker exec")
    if body.StopSignal:
        signal_number(body.StopSignal)
    entrypoint, command = body.Entrypoint, body.Cmd
    if entrypoint:
        command = [*entrypoint[1:], *command]
    _check_text(body.Image, body.User, body.WorkingDir, *(entrypoint or ())[:1])
    return RunOptions(
        body.Image, command,
        interactive=body.OpenStdin, tty=body.Tty,
        env=body.Env, workdir=body.WorkingDir, user=body.User, hostname=body.Hostname,
        entrypoint=None if entrypoint is None or entrypoint == [] else entrypoint[0],
        label=[f"{key}={value}" for key, value in body.Labels.items()],
        volumes=[_bind(text) for text in host.Binds] + [_mount(mount) for mount in host.Mounts],
        network=_network(body),
        rm=host.AutoRemove, privileged=host.Privileged, init=host.Init, read_only=host.ReadonlyRootfs,
        cap_add=host.CapAdd, cap_drop=host.CapDrop, security_opt=host.SecurityOpt,
        devices=[_device(mapping) for mapping in host.Devices],
        memory=host.Memory, nano_cpus=host.NanoCpus, pids_limit=host.PidsLimit,
        masked_paths=host.MaskedPaths, readonly_paths=host.ReadonlyPaths,
    )  # fmt: skip


def check_restart(policy: Restart) -> None:
    """Raises NotImplementedHere for all of Docker's policies but "no", InvalidArgument for others."""
    if policy.Name in RESTART_POLICIES:
        raise NotImplementedHere(
            f'HostConfig.RestartPolicy "{policy.Name}" is not part of this lab', "start it again by hand"
        )
    if policy.Name not in ("", "no"):
        raise InvalidArgument(f"invalid HostConfig.RestartPolicy: {policy.Name[:40]!a}", "no is what the lab has")


def _network(body: ContainerCreate) -> str:
    """The one network that is meant. Raises InvalidArgument if NetworkDisabled and NetworkMode contradict."""
    named = body.HostConfig.NetworkMode
    chosen = "host" if named in HOST_NETWORK else named
    for name in body.NetworkingConfig.EndpointsConfig:
        if ("host" if name in HOST_NETWORK else name) != chosen:
            raise NotImplementedHere(
                f'NetworkingConfig.EndpointsConfig "{name[:80]}" is not part of this lab', "use one of host and none"
            )
    if not body.NetworkDisabled:
        return chosen
    if named not in ("", "default", "none"):
        raise InvalidArgument(
            f"conflicting options: NetworkDisabled and the network {named[:80]!a}", "choose --network none"
        )
    return "none"


def exec_options(body: ExecCreate, container: str) -> ExecOptions:
    """Raises InvalidArgument."""
    if not body.Cmd or not body.Cmd[0]:
        raise InvalidArgument("No exec command specified", "name one in Cmd")
    _check_text(body.User, body.WorkingDir, *body.Cmd, *body.Env)
    return ExecOptions(
        container, body.Cmd,
        interactive=body.AttachStdin, tty=body.Tty, detach=False, env=body.Env,
        workdir=body.WorkingDir, user=body.User, privileged=body.Privileged,
    )  # fmt: skip


def _mount(mount: BindMount) -> Mount:
    if mount.Type in ("volume", "tmpfs", "image", "npipe", "cluster"):
        raise NotImplementedHere(f'mounts of type "{mount.Type}" are not part of this lab', "use type=bind")
    if mount.Type != "bind":
        raise InvalidArgument(f"invalid HostConfig.Mounts.Type: {mount.Type[:40]!a}", "use type=bind")
    if ":" in mount.Source + mount.Target:
        raise NotImplementedHere("a colon in a mount's path is not part of this lab", "use another name")
    return _bind(f"{mount.Source}:{mount.Target}" + (":ro" if mount.ReadOnly else ""))


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
            raise InvalidArgument(f"{text[:80]!a} holds a NUL or half a character", "give plain UTF-8 text")
