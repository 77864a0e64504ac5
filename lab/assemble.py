"""From what was asked for to the Spec: used by both engines, so that equal requests give equal containers."""

from __future__ import annotations

import os

from lab.errors import InvalidArgument, NotImplementedHere
from lab.runtime.credentials import CAPABILITIES, capability_set
from lab.spec import DEFAULT_CAPABILITIES, DEFAULT_PATH, MASKED_PATHS, READONLY_PATHS, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.images import Image
    from lab.runargs import ExecOptions, RunOptions

NETWORKS = ("host", "none")
IGNORED_SECURITY = ("apparmor=unconfined", "label=disable", "seccomp=unconfined")  # the lab has none of the three


def assemble(options: RunOptions, image: Image, container_id: str, layer: str = "") -> Spec:
    """The Spec for a new container; layer is its directory for an overlay, "" for a read-only root.

    Raises InvalidArgument or NotImplementedHere for what cannot be, before anything has been changed.
    """
    for mount in options.volumes:
        if not os.path.lexists(mount.source):
            raise InvalidArgument(
                f"bind source path does not exist: {mount.source}",
                "create it first: the lab, like podman and unlike docker -v, makes no directories on the host",
            )
    if options.network not in NETWORKS:
        raise NotImplementedHere(f'network "{options.network}" is not part of this lab', "use host or none")
    hostname = options.hostname or container_id[:12]
    if len(os.fsencode(hostname)) > 64 or "\0" in hostname:
        raise InvalidArgument(f'invalid hostname "{hostname}"', "at most 64 bytes; sethostname(2)")
    return Spec(
        rootfs=image.rootfs,
        layer=layer,
        args=_arguments(options, image),
        env=_environment(hostname, options.tty, [*image.env, *options.env]),
        cwd=options.workdir or image.workdir or "/",
        user=options.user or image.user,
        hostname=hostname,
        mounts=options.volumes,
        capabilities=capability_set(_base(options.privileged), options.cap_add, options.cap_drop),
        privileged=options.privileged,
        masked_paths=() if options.privileged else MASKED_PATHS,
        readonly_paths=() if options.privileged else READONLY_PATHS,
        no_new_privileges=_no_new_privileges(options.security_opt),
        network=options.network,
        tty=options.tty,
        init=options.init,
    )


def assemble_exec(options: ExecOptions, container: Spec) -> Spec:
    """The Spec for one more process in a container that was made from `container`."""
    spec = Spec.from_dict(container.to_dict())
    spec.args, spec.tty, spec.init = options.command, options.tty, False
    spec.cwd, spec.user = options.workdir or spec.cwd, options.user or spec.user
    spec.env.update(item.partition("=")[::2] for item in options.env)
    if options.tty:
        spec.env.setdefault("TERM", "xterm")
    if options.privileged:
        spec.capabilities = list(CAPABILITIES)
    return spec


def _arguments(options: RunOptions, image: Image) -> list[str]:
    if options.entrypoint is not None:
        entrypoint, command = ([options.entrypoint] if options.entrypoint else []), options.command
    else:
        entrypoint, command = image.entrypoint, options.command or image.command
    if not entrypoint + command:
        raise InvalidArgument("no command specified", f"name one: run {image.name} COMMAND")
    if any("\0" in word for word in command):
        raise InvalidArgument("an argument holds a NUL byte", "execve(2) ends an argument there")
    return entrypoint + command


def _environment(hostname: str, tty: bool, items: Sequence[str]) -> dict[str, str]:
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if tty:
        env["TERM"] = "xterm"
    for item in items:
        name, given, value = item.partition("=")
        if not name or not given or "\0" in item:
            raise InvalidArgument(f'invalid environment variable "{item}"', "write NAME=VALUE")
        env[name] = value
    return env


def _base(privileged: bool) -> Sequence[str]:
    return CAPABILITIES if privileged else DEFAULT_CAPABILITIES


def _no_new_privileges(security: Sequence[str]) -> bool:
    wanted = False
    for item in security:
        name, _, value = item.replace(":", "=").partition("=")
        if name == "no-new-privileges" and value in ("", "true", "false"):
            wanted = value != "false"
        elif item.replace(":", "=") not in IGNORED_SECURITY:
            raise NotImplementedHere(f'security option "{item}" is not part of this lab', "use no-new-privileges")
    return wanted
