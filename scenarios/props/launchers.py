"""How each launcher of the story gallery is started: words for a command that prints a loginuid and a session."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.errors import MissingFeature
from lab.identity import UNSET
from scenarios import needs
from scenarios.props.capabilities import capabilities
from scenarios.props.immutable import is_on
from scenarios.props.real_engines import REAL
from scenarios.props.room import CONTAINERD_SOCKET, POLKIT, Room
from scenarios.safety.undo import IMAGE
from scenarios.stage.engines import Engine
from scenarios.stage.stage import Stage

WORKLOAD = "cd /proc/self; echo $(cat loginuid; echo; cat sessionid)"
OWN_MACHINE = "vagrant up   (systemd is pid 1 in the lab's own machine)"
PAM = (Path("/etc/pam.d"), Path("/usr/lib/pam.d"))
AUTHOR, ANYBODY = 3267, 1000  # the article's uid, and another
SERVICE = "lab.Gallery"
SECONDS = 10  # for what a daemon starts


class Scene:
    """What the launchers share: the stage, a directory that all may enter, with the workload, and a room for daemons.

    other is the uid of somebody else who has logged in.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.home = stage.journal.directory("gallery", mode=0o755)
        self.who = str(self.home / "who")
        Path(self.who).write_text(f"{WORKLOAD}\n", encoding="utf-8")
        Path(self.who).chmod(0o644)
        self.room = Room(stage.journal, self.home)
        self.room.etc("doas.conf", "permit nopass root\n")
        self.room.etc("crontab", f"@reboot root sh {self.who} >{self.home}/{self.later('cron')}\n")
        self.other = AUTHOR if stage.user_id != AUTHOR else ANYBODY

    def later(self, name: str) -> str:
        """A fifo in the directory, through which an answer comes that its launcher does not print."""
        path = self.home / f"{name}.out"
        if not path.exists():
            os.mkfifo(path)
        return path.name

    def at_home(self, script: str) -> list[str]:
        """A shell that runs this script in the directory."""
        return ["sh", "-c", f"cd {self.home} && {script}"]


Words = Callable[[Scene], Sequence[str]]


def you(scene: Scene) -> int:
    return scene.stage.user_id


def another(scene: Scene) -> int:
    return scene.other


def nobody(scene: Scene) -> int:
    return UNSET


def root(scene: Scene) -> int:
    """Whose job and whose login it is, where a daemon opens a login by a stack with pam_loginuid."""
    return 0


def root_by(service: str) -> Callable[[Scene], int]:
    """A login as root that a daemon opens: root's uid, if that service's PAM stack has pam_loginuid, else nobody's."""
    return lambda scene: 0 if "pam_loginuid" in pam_stack(service) else UNSET


def pam_stack(service: str) -> str:
    """A service's PAM configuration with what it includes, without comments; "" if there is none. pam.conf(5)

    A service without a file gets that of `other`.
    """
    names = (service, "other")
    file = next((folder / name for name in names for folder in PAM if (folder / name).exists()), None)
    lines = [line.split() for line in file.read_text().splitlines()] if file else []
    found = ""
    for words in (line for line in lines if line and not line[0].startswith("#")):
        included = words[0] == "@include" or (len(words) > 2 and words[1] in ("include", "substack"))
        found += pam_stack(words[1 if words[0] == "@include" else 2]) if included else " ".join(words) + "\n"
    return found


def plain(*words: str) -> Words:
    """A command that runs the workload itself, if its program is installed."""

    def command(scene: Scene) -> Sequence[str]:
        needs.require(words[0])
        return [*words, "sh", scene.who]

    return command


def su(*options: str) -> Words:
    def command(scene: Scene) -> Sequence[str]:
        needs.require("su")
        return ["su", *options, "-s", "/bin/sh", "-c", f"sh {scene.who}"]

    return command


def in_room(*words: str) -> Words:
    """A command that runs the workload itself, where the room's /etc and /run are."""

    def command(scene: Scene) -> Sequence[str]:
        needs.require(words[0])
        return [*scene.room.enter, *words, "sh", scene.who]

    return command


def pkexec(scene: Scene) -> Sequence[str]:
    needs.require("pkexec")
    if not POLKIT.exists():
        raise MissingFeature("polkit is not installed", needs.install(["pkexec"]))
    bus(scene)
    # pkexec refuses a SHELL that /etc/shells does not have.
    return [*scene.room.enter, "env", "SHELL=/bin/sh", "pkexec", "sh", scene.who]


def tmux(scene: Scene) -> Sequence[str]:
    """In a new server's first session."""
    needs.require("tmux", "timeout")
    out = scene.later("tmux")
    return scene.at_home(f"tmux -S tmux new -d 'sh who >{out}' && timeout {SECONDS} cat {out}")


def tmux_by_another(scene: Scene) -> Sequence[str]:
    """Somebody else attaches to your server and opens a window there; -C: without a terminal, tmux(1)."""
    needs.require("tmux", "timeout")
    out = scene.later("shared")
    types = f"{become(scene)} && echo \"neww 'sh who >{out}'\" | tmux -S shared -C attach >&2"
    read = f"timeout {SECONDS} cat {out}; tmux -S shared kill-server"
    return scene.at_home(f"tmux -S shared new -d cat && {types} && {read}")


def become(scene: Scene) -> str:
    """The command line by which a shell has somebody else's loginuid, as if that user had logged in."""
    if "CAP_AUDIT_CONTROL" not in capabilities(which="CapBnd"):
        raise MissingFeature("this machine gives root no CAP_AUDIT_CONTROL", "run this on the host")
    if is_on():
        raise MissingFeature("no loginuid can be changed here: loginuid_immutable is on", "see `sudo auditctl -s`")
    return f"echo {scene.other} >/proc/self/loginuid"


def screen(scene: Scene) -> Sequence[str]:
    """-D -m: it waits until the window is closed, screen(1)."""
    needs.require("screen")
    (scene.home / "screen").mkdir(mode=0o700, exist_ok=True)
    run = "SCREENDIR=$PWD/screen TERM=vt100 screen -D -m sh -c 'sh who >screen.txt'"
    return scene.at_home(f"{run} && cat screen.txt")


def under_systemd(*words: str) -> Words:
    """A command that asks a systemd."""

    def command(scene: Scene) -> Sequence[str]:
        if Path("/proc/1/comm").read_text().strip() != "systemd":
            raise MissingFeature("systemd is not pid 1 here", OWN_MACHINE)
        return plain(*words)(scene)

    return command


def machine_shell(scene: Scene) -> Sequence[str]:
    return under_systemd("machinectl", "-q", "shell", "root@.host", "/usr/bin/env")(scene)


def user_manager(scene: Scene) -> Sequence[str]:
    user = scene.stage.user
    words = under_systemd("systemd-run", "--user", f"--machine={user}@.host", "-q", "--wait", "--pipe")(scene)
    if not Path(f"/run/user/{scene.stage.user_id}/systemd").exists():
        raise MissingFeature(f"{user} has no user manager running", f"sudo loginctl enable-linger {user}")
    return words


def ssh(scene: Scene) -> Sequence[str]:
    scene.room.sshd()
    return scene.room.ssh("localhost", "sh", scene.who)


def ssh_again(scene: Scene) -> Sequence[str]:
    """Over the connection of the first: ControlMaster, ssh_config(5)."""
    words = ssh(scene)
    said = scene.stage.quiet(*scene.room.ssh("-O", "check", "localhost")).stderr  # "Master running (pid=1234)"
    pid = said.partition("pid=")[2].partition(")")[0]
    if not pid.isdecimal():
        raise MissingFeature("the first ssh has left no master", f"see why: ssh -F {scene.home}/ssh.conf -v localhost")
    scene.stage.journal.note_process(int(pid))
    return words


def at(scene: Scene) -> Sequence[str]:
    scene.room.atd()
    out = scene.later("at")
    return [*scene.room.enter, *scene.at_home(f"echo 'sh who >{out}' | at -M now 2>&- && timeout {SECONDS} cat {out}")]


def cron(scene: Scene) -> Sequence[str]:
    scene.room.cron()
    return scene.at_home(f"cat etc/crontab >&2; timeout {SECONDS} cat {scene.later('cron')}")


def bus(scene: Scene) -> Sequence[str]:
    """D-Bus activation; dbus-daemon starts the service, and would wait for it to take its name."""
    needs.require("timeout")
    out = scene.later("bus")
    scene.room.bus(SERVICE, f"/bin/sh -c 'sh {scene.who} >{scene.home}/{out}'")
    address = "--dest=org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus.StartServiceByName"
    send = f"dbus-send --system --type=method_call {address} string:{SERVICE} uint32:0"
    return [*scene.room.enter, *scene.at_home(f"{send} && timeout {SECONDS} cat {out}")]


def ctr(scene: Scene) -> Sequence[str]:
    """containerd alone, without docker; --cgroup "", so that runc makes no cgroup beside those of the machine."""
    scene.room.containerd()
    options = ["--rm", "--cgroup", "", "--env", "PATH=/usr/bin", "--rootfs", "/run/rootfs", "lab"]
    containerd = ["ctr", "--address", str(CONTAINERD_SOCKET)]
    return [*scene.room.enter, *containerd, "run", *options, "/usr/bin/sh", "-c", WORKLOAD]


def run(engine: Engine) -> Words:
    """A new container of that engine."""
    return lambda scene: engine.run(["sh", "-c", WORKLOAD])


def exec_in(engine: Engine, *, by_another: bool = False) -> Words:
    """`exec` in your container that runs already; by_another: asked for by somebody else."""

    def command(scene: Scene) -> Sequence[str]:
        words, name = " ".join(engine.command()), f"lab-{os.urandom(4).hex()}"
        begin = " ".join([words, "run -d --rm --name", name, *engine.run_options, engine.image, "sleep 60 >&2"])
        change = f"{become(scene)} && " if by_another else ""
        run = f"{change}{words} exec {name} sh -c '{WORKLOAD}'"
        return ["sh", "-c", f"{begin} && {run}; {words} rm -f {name} >&2"]

    return command


def build(engine: Engine) -> Words:
    """A RUN of a build; the image is removed again. Only the real engines build."""

    def command(scene: Scene) -> Sequence[str]:
        assert engine.name in REAL
        words, image = " ".join(engine.command()), f"{IMAGE}:{os.urandom(4).hex()}"
        scene.stage.journal.note("image", argv=engine.command(), image=image)
        words_of_run = json.dumps(["/usr/bin/sh", "-c", f"echo who: $({WORKLOAD})"])  # the lab's image has no /bin
        (scene.home / "Dockerfile").write_text(f"FROM {engine.image}\nRUN {words_of_run}\n", encoding="utf-8")
        (scene.home / "context").mkdir(exist_ok=True)
        options = f"--no-cache --network none -t {image} -f {scene.home}/Dockerfile {scene.home}/context"
        found = r"sed -nE 's/.*who: ([0-9]+ [0-9]+)$/\1/p'"
        return ["sh", "-c", f"{words} build {options} 2>&1 | {found}; {words} rmi -f {image} >&2"]

    return command
