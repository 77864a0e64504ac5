"""The real dockerd and auditd where the machine runs none: python -m scenarios.props.real_daemons up|down.

For CI and for developers without systemd. `up` starts each daemon that is missing, as a child of init without a
loginuid, with all its files below /run/lab-engines; `down` ends exactly these daemons and removes the files. A daemon
that runs already is used as it is. On a machine with restrictions (no CAP_SYS_RESOURCE, no unified cgroups) podman also
gets a containers.conf.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from lab.audit.netlink import AuditControl
from lab.audit.watch import ENABLED
from lab.errors import InvalidArgument, LabError, MissingFeature, NotAllowed
from lab.paths import STATE
from lab.pidfd import ended
from scenarios import needs
from scenarios.props.capabilities import capabilities
from scenarios.props.labd import start
from scenarios.safety.journal import Journal
from scenarios.safety.undo import ENGINES

DIRECTORY = ENGINES
SETTINGS = DIRECTORY / "data" / "settings"
READY_SECONDS = 30
AUDITD = """\
log_file = {directory}/audit.log
log_format = ENRICHED
log_group = root
flush = INCREMENTAL_ASYNC
freq = 50
max_log_file = 50
max_log_file_action = ROTATE
num_logs = 2
space_left = 2
space_left_action = IGNORE
admin_space_left = 1
admin_space_left_action = IGNORE
disk_full_action = SUSPEND
disk_error_action = SUSPEND
plugin_dir = {directory}/plugins
q_depth = 20000
"""
PODMAN = """\
# For a machine that lacks CAP_SYS_RESOURCE (limits may not be raised) or has cgroups of version 1; containers.conf(5).
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
netns = "host"
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
"""


def settings() -> dict[str, str]:
    """The environment variables by which docker and podman find what `up` made; empty if `up` made nothing."""
    if not SETTINGS.exists():
        return {}
    lines = SETTINGS.read_text(encoding="utf-8").splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def up() -> int:
    """End what an earlier `up` started, then start what is missing."""
    with Journal(DIRECTORY) as journal:
        journal.make_directory(SETTINGS.parent, mode=0o755)
        found = {**_auditd(journal), **_docker(journal), **_podman()}
        SETTINGS.write_text("".join(f"{name}={value}\n" for name, value in found.items()), encoding="utf-8")
        journal.keep()
    print(f"{SETTINGS}: `lab` reads these settings; for a shell: export {' '.join(SETTINGS.read_text().split())}")
    return 0


def down() -> int:
    """End what `up` started; safe to run twice."""
    with Journal(DIRECTORY) as journal:
        for line in journal.restored:
            print(f"ended: {line}")
    shutil.rmtree(DIRECTORY)
    return 0


def dockerd(home: Path, data: Path) -> list[str]:
    """The words of a dockerd with its sockets below home, its images below data, and a private network.

    It gets a private network namespace, since `--bridge=none` would delete the docker0 of a dockerd that runs.
    """
    places = [f"--host=unix://{home}/docker.sock", f"--data-root={data}", f"--exec-root={home}/exec"]
    network = ["--bridge=none", "--iptables=false", "--ip6tables=false"]
    own = ["unshare", "--net", "dockerd"]
    return [*own, *places, f"--pidfile={home}/docker.pid", "--storage-driver=vfs", *network]


def start_dockerd(journal: Journal, home: Path) -> int:
    """Start a dockerd and wait until it answers; returns its pid. Raises MissingFeature if it does not answer.

    Its images are not below home, which is in /run: systemd mounts /run noexec, so no container could execute there.
    """
    needs.require("docker", "dockerd", "unshare")
    log, data = home / "dockerd.log", Path(STATE) / f"dockerd-{home.name}"
    data.parent.mkdir(mode=0o700, exist_ok=True)
    journal.note("directory", path=str(data))  # dockerd makes it
    pid = start(journal, dockerd(home, data), log=str(log))
    await_ready(pid, lambda: _answers("docker", "--host", f"unix://{home}/docker.sock"), log)
    return pid


def _docker(journal: Journal) -> Mapping[str, str]:
    if _answers("docker"):
        print("docker: a daemon answers already")
        return {}
    print(f"dockerd: pid {start_dockerd(journal, SETTINGS.parent)}")
    return {"DOCKER_HOST": f"unix://{SETTINGS.parent}/docker.sock"}


def _auditd(journal: Journal) -> Mapping[str, str]:
    with AuditControl() as control:
        status = control.status()
        if status.pid:
            print(f"auditd: pid {status.pid} runs already")
            return {}
        needs.require("auditd")
        home = SETTINGS.parent / "audit"
        (home / "plugins").mkdir(mode=0o750, parents=True)
        (home / "auditd.conf").write_text(AUDITD.format(directory=home), encoding="utf-8")
        (home / "auditd.conf").chmod(0o640)
        journal.note(ENABLED, was=status.enabled, auditd=0)
        pid = start(journal, ["auditd", "-n", "-c", str(home)], log=str(home / "log"))
        await_ready(pid, lambda: control.status().pid == pid, home / "log")
    print(f"auditd: pid {pid}, {home}/audit.log")
    return {}


def _podman() -> Mapping[str, str]:
    if "CAP_SYS_RESOURCE" in capabilities(which="CapBnd") and Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return {}
    path = SETTINGS.parent / "containers.conf"
    path.write_text(PODMAN, encoding="utf-8")
    print(f"podman: {path}")
    return {"CONTAINERS_CONF": str(path)}


def _answers(*argv: str) -> bool:
    return needs.installed(argv[0]) and needs.run([*argv, "version"]).returncode == 0


def await_ready(pid: int, ready: Callable[[], bool], log: Path) -> None:
    """Return when the daemon is ready. Raises MissingFeature if it ends or takes too long."""
    pidfd = os.pidfd_open(pid)
    try:
        for _ in range(READY_SECONDS * 20):
            if ready():
                return
            if ended(pidfd, 0.05):
                break
    finally:
        os.close(pidfd)
    said = log.read_text(errors="replace").splitlines()[-3:]
    raise MissingFeature(f"process {pid} did not become ready: {' '.join(said)}", f"read all its messages in {log}")


def main() -> int:
    verbs = {"up": up, "down": down}
    try:
        if os.geteuid() != 0:
            raise NotAllowed(
                "only root can start and end these daemons", "run `sudo make engines-up` or `sudo make engines-down`"
            )
        if len(sys.argv) != 2 or sys.argv[1] not in verbs:
            raise InvalidArgument("one word is expected: `up` or `down`")
        return verbs[sys.argv[1]]()
    except LabError as error:
        print(f"{error.message}; {error.hint}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
