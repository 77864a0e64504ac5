"""Who forked me? One command through every launcher that this machine has: predicted first, then measured."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lab.errors import MissingFeature
from lab.identity import UNSET, name_of
from scenarios import needs
from scenarios.performance.text import Text
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.report import Outcome
from scenarios.stage.stage import Basis, Stage

NAME = "gallery"
TITLE = "Who forked me?"
WORKLOAD = ("sh", "-c", "cd /proc/self; echo $(cat loginuid; echo; cat sessionid)")
OWN_MACHINE = "vagrant up   (systemd is pid 1 in the lab's own machine)"
ROWS_A_STEP = 3
T = TypeVar("T")
PAM = (Path("/etc/pam.d"), Path("/usr/lib/pam.d"))


@dataclass(frozen=True)
class Launcher:
    """A way to start a program.

    predicted  the loginuid that should arrive, given the stage
    words      the command, given the stage; none for what takes too long. Raises MissingFeature with what is missing
    because    who is to blame for what the launcher starts, and why
    """

    name: str
    predicted: Callable[[Stage], int]
    words: Callable[[Stage], Sequence[str]]
    because: str


def you(stage: Stage) -> int:
    """A fork of the login, or a new login of the same user."""
    return stage.user_id


def nobody(stage: Stage) -> int:
    return UNSET


def root_by(service: str) -> Callable[[Stage], int]:
    """A login as root that pid 1 opens: root's uid, if that service's PAM stack has pam_loginuid, else nobody's."""
    return lambda stage: 0 if "pam_loginuid" in pam_stack(service) else UNSET


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


def plain(*words: str) -> Callable[[Stage], Sequence[str]]:
    """A command that runs the workload itself, if its program is installed."""

    def command(stage: Stage) -> Sequence[str]:
        needs.require(words[0])
        return [*words, *WORKLOAD]

    return command


def su(stage: Stage) -> Sequence[str]:
    needs.require("su")
    return ["su", "-s", "/bin/sh", "-c", WORKLOAD[2], "nobody"]


def tmux(stage: Stage) -> Sequence[str]:
    """In a new server's first session; its line comes through a fifo, since `tmux wait` may miss a server's end.

    The shell has opened the fifo for both, so that no writer waits for a reader that will not come.
    """
    needs.require("tmux", "mkfifo")
    home = stage.journal.directory("gallery")
    server, inner = f"tmux -S {home}/tmux", f"({WORKLOAD[2]}) >{home}/out"
    fifo = f"mkfifo {home}/out && exec 3<>{home}/out"
    return ["sh", "-c", f"{fifo} && {server} new -d '{inner}' && read answer <&3 && echo $answer"]


def under_systemd(*words: str) -> Callable[[Stage], Sequence[str]]:
    """A command that asks a systemd."""

    def command(stage: Stage) -> Sequence[str]:
        if Path("/proc/1/comm").read_text().strip() != "systemd":
            raise MissingFeature("systemd is not pid 1 here", OWN_MACHINE)
        return plain(*words)(stage)

    return command


def machine_shell(stage: Stage) -> Sequence[str]:
    return under_systemd("machinectl", "-q", "shell", "root@.host", "/usr/bin/env")(stage)


def user_manager(stage: Stage) -> Sequence[str]:
    words = under_systemd("systemd-run", "--user", f"--machine={stage.user}@.host", "-q", "--wait", "--pipe")(stage)
    if not Path(f"/run/user/{stage.user_id}/systemd").exists():
        raise MissingFeature(f"{stage.user} has no user manager running", f"sudo loginctl enable-linger {stage.user}")
    return words


def ssh(stage: Stage) -> Sequence[str]:
    words = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=3", f"{stage.user}@localhost"]
    needs.require("ssh")
    if stage.quiet(*words, "true").exit_code:
        raise MissingFeature(
            f"root cannot ssh to {stage.user}@localhost without a password", f"sudo ssh-copy-id {stage.user}@localhost"
        )
    return [*words, WORKLOAD[2]]


def atd(stage: Stage) -> Sequence[str]:
    """A job of the user's; its output comes through a fifo, since atd would mail it."""
    needs.require("at", "mkfifo", "timeout", "sudo")
    if not _runs("atd"):
        raise MissingFeature("no atd is running", "sudo service atd start")
    if stage.user.isdecimal():
        raise MissingFeature(f"at takes no jobs from {stage.user}, who has no name here", needs.AS_USER)
    home = stage.journal.directory("gallery")
    os.chown(home, stage.user_id, -1)
    job = f"echo '({WORKLOAD[2]}) >{home}/out' | at -M now 2>/dev/null"
    return ["sudo", "-u", f"#{stage.user_id}", "sh", "-c", f"mkfifo {home}/out && {job} && timeout 60 cat {home}/out"]


def cron(stage: Stage) -> Sequence[str]:
    """Nothing to run: cron starts jobs once a minute, which is too slow for a stage."""
    return []


def _runs(name: str) -> bool:
    """Whether a process of that name runs."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if (folder / "comm").read_text().strip() == name:
                return True
    return False


def inside(stage: Stage) -> Sequence[str]:
    """`exec` in a container that already runs: its first process and a later one may have different loginuids."""
    engine = stage.engine(DAEMON)
    words = " ".join([*engine.sudo, *engine.argv])
    name = f"lab-{os.urandom(4).hex()}"
    start = f"{words} run -d --rm --name {name} {engine.image} sleep 60"
    return ["sh", "-c", f"{start} >&2; {words} exec {name} sh -c '{WORKLOAD[2]}'; {words} rm -f {name} >&2"]


def run(engine: Engine) -> Callable[[Stage], Sequence[str]]:
    """A new container of that engine."""
    return lambda stage: engine.run(WORKLOAD)


LAUNCHERS = (
    Launcher("sh", you, plain("env"), "you: a fork"),
    Launcher("sudo", you, plain("sudo"), "you: no pam_loginuid in its stack"),
    Launcher("su", you, su, "you: nor in this one"),
    Launcher("setsid", you, plain("setsid", "-w"), "you: setsid(2) makes no audit session"),
    Launcher("nohup", you, plain("nohup"), "you"),
    Launcher("tmux", you, tmux, "you: your client forked the server"),
    Launcher("ssh localhost", you, ssh, "you, in a new session: sshd's stack has pam_loginuid"),
    Launcher("at", you, atd, "you: atd's stack has pam_loginuid"),
    Launcher("cron", you, cron, "the crontab's owner: crond's stack has pam_loginuid"),
    Launcher("systemd-run", nobody, under_systemd("systemd-run", "-q", "--wait", "--pipe"), "nobody: pid 1 forked it"),
    Launcher("systemd-run --user", you, user_manager, "you: systemd-user's stack has pam_loginuid"),
    Launcher("run0", root_by("systemd-run0"), under_systemd("run0"), "pid 1 forked it; its PAM stack decides"),
    Launcher("machinectl shell", root_by("login"), machine_shell, "pid 1 forked it, and login's PAM stack decides"),
    Launcher("dockerish exec", nobody, inside, "nobody: asked for, not forked"),
)


def play(stage: Stage) -> None:
    stage.ask("One command prints its loginuid. Started so, is it still you?", "yes", "no")
    rows: list[list[str]] = []
    missing: list[tuple[Launcher, MissingFeature]] = []
    for some in groups(engines(stage)):
        answers = [(launcher, outcome) for launcher in some if (outcome := started(stage, launcher, missing))]
        rows += [row for launcher, outcome in answers if (row := judge(stage, launcher, outcome))]
    for part in groups(missing):
        stage.say("And these, which cannot be shown here?")
        for launcher, error in part:
            stage.unknown(claim(stage, launcher), error.message, error.hint, lacking=True)
    if rows:
        stage.contrast("", ["who forked me?", "predicted", "loginuid", "ses"], rows)


def started(stage: Stage, launcher: Launcher, missing: list[tuple[Launcher, MissingFeature]]) -> Outcome | None:
    """What the launcher's workload printed. None for what takes too long, and for what is `missing` something."""
    try:
        words = launcher.words(stage)
    except MissingFeature as error:
        missing.append((launcher, error))
        return None
    return stage.shell(*words, answers=range(256)) if words else None


def groups(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many as one step has place for."""
    for start in range(0, len(items), ROWS_A_STEP):
        yield items[start : start + ROWS_A_STEP]


def claim(stage: Stage, launcher: Launcher) -> Text:
    return Text("{launcher}: {uid}", {"launcher": launcher.name, "uid": name_of(launcher.predicted(stage))})


def engines(stage: Stage) -> list[Launcher]:
    """The launchers, and the engines of this run."""
    found = [
        Launcher(engine.name, predicted, run(engine), blamed)
        for model, predicted, blamed in (
            (FORK, you, "you: a fork"),
            (DAEMON, nobody, "nobody: a daemon was asked"),
        )
        for engine in stage.each(model)
    ]
    return [*LAUNCHERS, *found]


def judge(stage: Stage, launcher: Launcher, outcome: Outcome) -> list[str]:
    """The launcher's claim, and its row of the card; none if it has printed no two numbers."""
    printed = outcome.stdout.split()[:2]
    if len(printed) < 2 or not "".join(printed).isdecimal():
        trouble = outcome.trouble()
        stage.unknown(claim(stage, launcher), trouble.message, trouble.hint)
        return []
    expected = launcher.predicted(stage)
    uid, ses = (int(word) for word in printed)
    because = Text("{uid}: {because}", {"uid": name_of(uid), "because": Text(launcher.because)})
    basis = Basis("printed", expected, outcome.beat)
    stage.expect(uid == expected, claim(stage, launcher), because, basis=basis)
    return [launcher.name, name_of(expected), name_of(uid), "unset" if ses == UNSET else str(ses)]
