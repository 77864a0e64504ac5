"""What is measured: commands that each run `true` in a new container and remove the container.

Containers of the lab's engines use the host's network. docker and podman are measured as people run them, with a
network for the container, and a second time with the host's.

Machines differ. LAB_BENCH_PODMAN and LAB_BENCH_DOCKER are options for `podman run` and `docker run`, LAB_BENCH_DOCKERD
is options for the private dockerd, LAB_BENCH_RUNC goes before `run`; CONTAINERS_CONF is podman's own.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import syscalls
from lab.runtime.rootfs import PRIVATE
from lab.spec import DEFAULT_CAPABILITIES, DEFAULT_PATH, MASKED_PATHS, READONLY_PATHS

CHECKOUT = Path(__file__).parent.parent
SCRIPTS = CHECKOUT / ".venv/bin"
IMAGE = "loginuid-lab-bench"
BRIDGE = "lab-bench0"
RUN = ("run", "--rm", "host", "true")
BWRAP = (
    "bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --tmpfs /run "
    "--unshare-pid --unshare-ipc --unshare-uts --die-with-parent true"
)
BWRAP_MASKS = ("/proc/sysrq-trigger",)  # its --proc covers it already
ACTIVATED = """
import os, sys
if int(sys.argv[1]) != 3:
    os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execvp(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class Contender:
    """A command to be timed, or the reason why it cannot be timed here."""

    name: str
    command: Sequence[str] = ()
    reason: str = ""


def contenders(place: Path, stack: ExitStack) -> list[Contender]:
    """All of them, set up below place; the stack takes them down again."""
    rootfs = _rootfs(place)
    stack.callback(_unmount_below, place)
    labd = place / "labd.sock"
    stack.enter_context(
        daemon([str(SCRIPTS / "labd"), "--state", str(place / "labd"), "--allow-loginuid"], labd, place)
    )
    found = [
        Contender("true", ["true"]),
        Contender("python -IS", [str(SCRIPTS / "python"), "-ISc", "pass"]),
        Contender("podmanish", [str(SCRIPTS / "podmanish"), "--root", str(place / "fork"), *RUN]),
        Contender("dockerish", [str(SCRIPTS / "dockerish"), "--host", f"unix://{labd}", *RUN]),
        _installed("bwrap", BWRAP.split()),
        _installed("bwrap, same container", same_container()),
        _installed("unshare", ["unshare", "-fpm", "--mount-proc", "true"]),
        _runc(place, rootfs),
        *_podman(place, rootfs, stack),
        *_docker(place, rootfs, stack, labd),
    ]
    return [_tried(contender) for contender in found]


def same_container() -> list[str]:
    """bwrap(1) told to make what lab.runtime makes: its root, mounts, masks, capabilities, hostname, environment."""
    words = ["bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--new-session"]
    words += ["--hostname", "lab", "--clearenv", "--setenv", "PATH", DEFAULT_PATH]
    for entry in sorted(Path("/").iterdir()):
        if entry.is_symlink():
            words += ["--symlink", str(entry.readlink()), str(entry)]
        elif entry.is_dir() and entry.name not in PRIVATE:
            words += ["--ro-bind", str(entry), str(entry)]
    words += ["--proc", "/proc", "--ro-bind", "/sys", "/sys", "--dev", "/dev", "--mqueue", "/dev/mqueue"]
    words += [word for path in ("/run", "/tmp", "/var/tmp") for word in ("--tmpfs", path)]
    words += [word for path in READONLY_PATHS if path not in BWRAP_MASKS for word in ("--ro-bind", path, path)]
    for path in filter(os.path.exists, MASKED_PATHS):
        words += ["--tmpfs", path] if Path(path).is_dir() else ["--ro-bind", "/dev/null", path]
    capabilities = [word for name in DEFAULT_CAPABILITIES for word in ("--cap-add", name)]
    return [*words, "--cap-drop", "ALL", *capabilities, "true"]


def _unmount_below(place: Path) -> None:
    """Unmount what the engines left mounted; the youngest mount first."""
    for row in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        target = row.split()[4]
        if target.startswith(f"{place}/"):
            syscalls.umount2(target, syscalls.MNT_DETACH)


def _installed(name: str, command: Sequence[str]) -> Contender:
    return Contender(name, command) if shutil.which(command[0]) else Contender(name, reason="not installed")


def _tried(contender: Contender) -> Contender:
    """Run the command once; if that fails, the contender has a reason and is not measured."""
    if contender.reason:
        return contender
    done = subprocess.run(contender.command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        return contender
    reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return Contender(contender.name, reason=reason[:200])


def _options(variable: str, default: str = "") -> list[str]:
    return shlex.split(os.environ.get(variable, default))


def _rootfs(place: Path) -> Path:
    """A root filesystem with busybox as `true`; without busybox it is empty."""
    rootfs = place / "rootfs"
    for folder in ("bin", "dev", "proc", "sys", "etc", "tmp"):
        (rootfs / folder).mkdir(parents=True)
    busybox = shutil.which("busybox")
    if busybox:
        shutil.copy(busybox, rootfs / "bin/busybox")
        (rootfs / "bin/true").symlink_to("busybox")
    return rootfs


def _tar(rootfs: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(rootfs, arcname=".")
    return buffer.getvalue()


def _runc(place: Path, rootfs: Path) -> Contender:
    if not shutil.which("runc"):
        return Contender("runc", reason="not installed")
    subprocess.run(["runc", "spec", "--bundle", str(place)], check=True)
    config = json.loads((place / "config.json").read_text())
    config["process"].update(args=["true"], terminal=False)
    config["root"] = {"path": str(rootfs), "readonly": True}
    config["linux"]["namespaces"] = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
    config["linux"].pop("resources", None)
    (place / "config.json").write_text(json.dumps(config))
    command = ["runc", "--root", str(place / "runc"), *_options("LAB_BENCH_RUNC"), "run", "--bundle", str(place), IMAGE]
    return Contender("runc", command)


def _podman(place: Path, rootfs: Path, stack: ExitStack) -> list[Contender]:
    if not shutil.which("podman"):
        return [Contender("podman, own network", reason="not installed")]
    podman = ["podman", "--root", str(place / "podman"), "--runroot", str(place / "podman-run")]
    imported = subprocess.run(
        [*podman, "import", "--quiet", "-", IMAGE], input=_tar(rootfs), capture_output=True, check=False
    )
    stack.callback(subprocess.run, [*podman, "system", "reset", "--force"], capture_output=True, check=False)
    if imported.returncode:
        return [Contender("podman, own network", reason=imported.stderr.decode().strip().splitlines()[-1])]
    run = [*podman, "run", "--rm", *_options("LAB_BENCH_PODMAN")]
    return [
        Contender("podman, own network", [*_network_namespace(stack), *run, IMAGE, "true"]),
        Contender("podman, host network", [*run, "--network", "host", IMAGE, "true"]),
    ]


def _network_namespace(stack: ExitStack) -> list[str]:
    """The words before podman that keep its bridge and its rules in a network namespace of this run."""
    add = ["ip", "netns", "add", BRIDGE]
    if not shutil.which("ip") or subprocess.run(add, capture_output=True, check=False).returncode:
        return []
    stack.callback(subprocess.run, ["ip", "netns", "delete", BRIDGE], check=False)
    return ["nsenter", f"--net=/run/netns/{BRIDGE}"]


def _docker(place: Path, rootfs: Path, stack: ExitStack, labd: Path) -> list[Contender]:
    """The real command, once on a private dockerd and once on labd."""
    if not shutil.which("docker"):
        return [Contender(name, reason="docker is not installed") for name in ("docker, own network", "docker on labd")]
    on_labd = Contender("docker on labd", ["docker", "-H", f"unix://{labd}", *RUN])
    if not shutil.which("dockerd"):
        return [Contender("docker, own network", reason="dockerd is not installed"), on_labd]
    path = place / "docker.sock"
    folders = {"--data-root": "docker", "--exec-root": "docker-exec", "--pidfile": "docker.pid"}
    words = [word for option, name in folders.items() for word in (option, str(place / name))]
    bridge = _bridge(stack)
    words += ["--iptables=false", "--ip-forward=false", "--ip-masq=false", f"--bridge={bridge}"]
    own_network = ["unshare", "--net"] if bridge == "none" else []  # "none" deletes docker0, another dockerd's too
    command = [*own_network, "dockerd", "-H", "fd://", *words, *_options("LAB_BENCH_DOCKERD")]
    stack.enter_context(daemon(command, path, place))
    docker = ["docker", "-H", f"unix://{path}"]
    done = subprocess.run([*docker, "import", "-", IMAGE], input=_tar(rootfs), capture_output=True, check=False)
    if done.returncode:
        return [Contender("docker, own network", reason=done.stderr.decode().strip().splitlines()[-1]), on_labd]
    run = [*docker, "run", "--rm", *_options("LAB_BENCH_DOCKER")]
    return [
        Contender("docker, own network", [*run, IMAGE, "true"]),
        Contender("docker, host network", [*run, "--network", "host", IMAGE, "true"]),
        on_labd,
    ]


def _bridge(stack: ExitStack) -> str:
    """A bridge for dockerd's default network, so that docker0 stays untouched; "none" if none can be made."""
    add = ["ip", "link", "add", BRIDGE, "type", "bridge"]
    if not shutil.which("ip") or subprocess.run(add, capture_output=True, check=False).returncode:
        return "none"
    stack.callback(subprocess.run, ["ip", "link", "delete", BRIDGE], check=False)
    subprocess.run(["ip", "address", "add", "10.231.177.1/24", "dev", BRIDGE], check=True)
    subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
    return BRIDGE


@contextmanager
def daemon(command: Sequence[str], path: Path, place: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon by socket activation, sd_listen_fds(3): early connections wait, so that no client has to poll."""
    with socket.socket(socket.AF_UNIX) as listening, (place / f"{path.name}.log").open("wb") as log:
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen(128)
        process = subprocess.Popen(
            [sys.executable, "-ISc", ACTIVATED, str(listening.fileno()), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[listening.fileno()],
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
