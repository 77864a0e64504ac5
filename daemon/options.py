"""From Docker's JSON to RunOptions and ExecOptions: what dockerish and docker send becomes what podmanish reads."""

from __future__ import annotations

import re

from daemon.models import BindMount, ContainerCreate, ExecCreate
from daemon.signals import signal_number
from lab.errors import InvalidArgument, NotImplementedHere
from lab.runargs import ExecOptions, RunOptions, parse_volume
from lab.spec import Mount

HOST_NETWORK = ("", "default", "host")  # the lab's default, where Docker's would be a bridge


def run_options(body: ContainerCreate) -> RunOptions:
    """Raises InvalidArgument, NotImplementedHere for what the lab has not."""
    host = body.HostConfig
    if not body.Image:
        raise InvalidArgument("no image given", "name one in Image; `host` is built in")
    if host.RestartPolicy.Name not in ("", "no"):
        raise NotImplementedHere("restart policies are not part of this lab", "start it again by hand")
    if body.StopSignal:
        signal_number(body.StopSignal)
    entrypoint, command = body.Entrypoint, body.Cmd
    if entrypoint:
        command = [*entrypoint[1:], *command]
    _check_text(body.Image, body.User, body.WorkingDir, *(entrypoint or ())[:1])
    return RunOptions(
        body.Image, command,
        interactive=body.OpenStdin, tty=body.Tty,
        env=[item for item in body.Env if "=" in item],
        workdir=body.WorkingDir, user=body.User, hostname=body.Hostname,
        entrypoint=None if entrypoint is None or entrypoint == [] else entrypoint[0],
        label=[f"{key}={value}" for key, value in body.Labels.items()],
        volumes=[parse_volume(text) for text in host.Binds] + [_mount(mount) for mount in host.Mounts],
        network="host" if host.NetworkMode in HOST_NETWORK else host.NetworkMode,
        rm=host.AutoRemove, privileged=host.Privileged, init=host.Init,
        cap_add=host.CapAdd, cap_drop=host.CapDrop, security_opt=host.SecurityOpt,
    )  # fmt: skip


def exec_options(body: ExecCreate, container: str) -> ExecOptions:
    """Raises InvalidArgument."""
    if not body.Cmd or not body.Cmd[0]:
        raise InvalidArgument("No exec command specified", "name one in Cmd")
    _check_text(body.User, body.WorkingDir, *body.Cmd, *body.Env)
    return ExecOptions(
        container, body.Cmd,
        interactive=body.AttachStdin, tty=body.Tty, detach=False, env=[item for item in body.Env if "=" in item],
        workdir=body.WorkingDir, user=body.User, privileged=body.Privileged,
    )  # fmt: skip


def _mount(mount: BindMount) -> Mount:
    if mount.Type != "bind":
        raise NotImplementedHere(f'mounts of type "{mount.Type}" are not part of this lab', "use type=bind")
    return parse_volume(f"{mount.Source}:{mount.Target}" + (":ro" if mount.ReadOnly else ""))


def _check_text(*texts: str) -> None:
    for text in texts:
        if re.search(r"[\0\ud800-\udfff]", text):
            raise InvalidArgument(f"{text[:80]!a} holds a NUL or half a character", "give plain UTF-8 text")
