"""The real engines in their other shapes: rootless, remote, through a group, exec. Which keep the user's loginuid?"""

import os
import pwd
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from lab.errors import MissingFeature
from lab.identity import UNSET, name_of, status
from scenarios import needs
from scenarios.performance.text import Text
from scenarios.props.labd import peer_pid, start
from scenarios.props.real_daemons import await_ready
from scenarios.props.real_engines import REAL, docker_socket, with_image
from scenarios.safety.processes import end_process
from scenarios.stage.commands import WORKLOAD
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.report import Outcome
from scenarios.stage.stage import Stage

NAME = "variants"
TITLE = "The other shapes of Podman and Docker"


def play(stage: Stage) -> None:
    real = {engine.name: engine for engine in [*stage.each(FORK), *stage.each(DAEMON)] if engine.name in REAL}
    if not real:
        raise MissingFeature("no real engine was chosen", "choose some with --engines podman,docker")
    if stage.user_id == 0:
        raise MissingFeature("root is logged in, and this story needs an ordinary user", needs.AS_USER)
    rows: list[tuple[Text, str, str | Text]] = []
    for title, show in SHOWN.items():
        stage.ask("{way}: whose loginuid has the container?", stage.user, "nobody", way=title)
        try:
            outcome = show(stage, real)
        except MissingFeature as missing:
            stage.unknown("{way}: this can be shown here", missing.message, missing.hint, lacking=True, way=title)
            rows.append((Text(title), "-", Text("not shown")))
        else:
            seen = "?" if outcome.loginuid is None else name_of(outcome.loginuid)
            rows.append((Text(title), str(outcome.printed), seen))
    stage.contrast("", ["the other shapes", "inside", "the host's /proc"], rows)


def rootless_podman(stage: Stage, real: Mapping[str, Engine]) -> Outcome:
    engine = rootless(stage, chosen(real, "podman"))
    outcome = stage.run_watched(engine, WORKLOAD)
    stage.carries(outcome, stage.user_id, "rootless podman keeps {user}'s loginuid", user=stage.user)
    stage.prints(outcome, 0, "and its user namespace shows that as 0")
    return outcome


def remote_podman(stage: Stage, real: Mapping[str, Engine]) -> Outcome:
    """A service that the first connection to a socket starts, as under systemd: it has no loginuid."""
    podman = chosen(real, "podman")
    needs.require("systemd-socket-activate")
    socket = stage.journal.directory("variants") / "podman.sock"
    words = ["systemd-socket-activate", "-l", str(socket), *podman.argv, "system", "service", "--time=60"]
    pid = start(stage.journal, words, log=str(socket.with_suffix(".log")))
    pidfd = os.pidfd_open(pid)
    try:
        await_ready(pid, lambda: listening(socket), socket.with_suffix(".log"))
        engine = replace(podman, model=DAEMON, argv=["podman", "--remote", "--url", f"unix://{socket}"])
        return unset(stage, "podman --remote", stage.run_watched(engine, WORKLOAD))
    finally:
        end_process(pidfd)
        os.close(pidfd)


def listening(socket: Path) -> bool:
    """Whether a process listens there: flag SO_ACCEPTCON in /proc/net/unix. A connection would start the service."""
    rows = Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()
    return any(row.endswith(f" {socket}") and row.split()[3] == "00010000" for row in rows)


def group_member(stage: Stage, real: Mapping[str, Engine]) -> Outcome:
    engine = chosen(real, "docker")
    group = Path(docker_socket()).stat().st_gid
    if group == 0:
        raise MissingFeature("docker's socket belongs to root's own group", "run `groupadd docker` and restart docker")
    return unset(stage, "docker without sudo", stage.run_watched(engine, WORKLOAD, wrapper=stage.as_user(group)))


def docker_exec(stage: Stage, real: Mapping[str, Engine]) -> Outcome:
    """The user's process asks; the daemon starts a process in a container that runs already."""
    engine, name = chosen(real, "docker"), f"lab-{os.urandom(4).hex()}"
    stage.shell(*engine.command("run", "-d", "--name", name, *engine.run_options, engine.image, "sleep", "600"))
    outcome = stage.shell(*engine.command("exec", name, "cat", "/proc/self/loginuid"))
    stage.quiet(*engine.command("rm", "--force", name))
    stage.prints(outcome, UNSET, "docker exec leaves the loginuid unset")
    return outcome


def rootless_docker(stage: Stage, real: Mapping[str, Engine]) -> Outcome:
    """A dockerd that the user runs already: to start one, systemd's user session and subordinate ids are needed."""
    if not shutil.which("dockerd-rootless.sh"):
        raise MissingFeature("dockerd-rootless.sh is not installed", "see docs.docker.com, Rootless mode")
    socket = Path(f"/run/user/{stage.user_id}/docker.sock")
    if not socket.exists():
        raise MissingFeature(
            f"{stage.user} runs no rootless dockerd", "as that user, run `dockerd-rootless-setuptool.sh install`"
        )
    own = replace(chosen(real, "docker"), sudo=stage.as_user(), argv=["docker", "--host", f"unix://{socket}"])
    outcome = stage.run_watched(with_image(own, stage.journal), WORKLOAD)
    uid = int(status(peer_pid(str(socket)))["Uid"].split()[1])
    seen = Text("it runs as uid {uid}", {"uid": str(uid)})
    stage.expect(uid != 0, "{user}'s dockerd is no root process", seen, user=stage.user)
    stage.carries(outcome, stage.user_id, "{user}'s own dockerd keeps {user}'s loginuid", user=stage.user)
    return outcome


SHOWN: Mapping[str, Callable[[Stage, Mapping[str, Engine]], Outcome]] = {
    "rootless podman": rootless_podman,
    "podman --remote, socket-activated": remote_podman,
    "docker, by its group": group_member,
    "docker exec": docker_exec,
    "rootless dockerd": rootless_docker,
}


def unset(stage: Stage, what: str, outcome: Outcome) -> Outcome:
    """Expect an unset loginuid, both inside the container and in the host's /proc."""
    both = outcome.printed == UNSET and outcome.loginuid == UNSET
    stage.expect(both, "{way} leaves the loginuid unset", outcome.printed, way=what)
    return outcome


def chosen(real: Mapping[str, Engine], name: str) -> Engine:
    if name not in real:
        raise MissingFeature(f"{name} was not chosen", f"add it with --engines {name}")
    return real[name]


def rootless(stage: Stage, podman: Engine) -> Engine:
    """Podman as the user, with a storage for this story alone."""
    try:
        pwd.getpwuid(stage.user_id)
    except KeyError:
        raise MissingFeature(f"uid {stage.user_id} has no name, which rootless podman needs", "use --as NAME") from None
    home = stage.journal.directory("variants", owner=stage.user_id)
    settings = podman.argv[1:-1] if podman.argv[0] == "env" else []
    argv = ["env", f"HOME={home}", f"XDG_RUNTIME_DIR={home}", *settings, "podman", "--root", f"{home}/root"]
    argv += ["--runroot", f"{home}/run", "--storage-driver", "vfs"]
    stage.journal.note("pause", path=f"{home}/libpod/tmp/pause.pid", uid=stage.user_id)
    return with_image(replace(podman, argv=argv, sudo=stage.as_user()), None)
