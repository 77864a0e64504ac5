"""Who forked me? One command through every launcher that this machine has: predicted first, then measured."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lab.errors import MissingFeature
from lab.identity import UNSET, name_of
from scenarios.performance.text import Text
from scenarios.props import launchers as start
from scenarios.props.launchers import Scene, another, nobody, root, root_by, you
from scenarios.props.real_engines import REAL
from scenarios.stage.engines import DAEMON, FORK
from scenarios.stage.report import Outcome
from scenarios.stage.stage import Basis, Stage

NAME = "gallery"
TITLE = "Who forked me?"
ROWS_A_STEP, ROWS_A_CARD = 3, 14
T = TypeVar("T")


@dataclass(frozen=True)
class Launcher:
    """A way to start a program.

    predicted  the loginuid that should arrive
    words      the command. Raises MissingFeature with what is missing
    because    who is to blame for what the launcher starts, and why
    joins      the name of a launcher before, whose session this one should share
    """

    name: str
    predicted: Callable[[Scene], int]
    words: start.Words
    because: str
    joins: str = ""


FORKED = (
    Launcher("sh", you, start.plain("env"), "a fork"),
    Launcher("sudo", you, start.plain("sudo"), "no pam_loginuid in its stack"),
    Launcher("su", you, start.su(), "nor in this one"),
    Launcher("su -l", you, start.su("-l"), "a login shell, and no login"),
    Launcher("doas", you, start.in_room("doas"), "no pam_loginuid in its stack"),
    Launcher("pkexec", you, start.pkexec, "polkit only permits; pkexec forks"),
    Launcher("setsid", you, start.plain("setsid", "-w"), "setsid(2) makes no audit session"),
    Launcher("nohup", you, start.plain("nohup"), "a fork"),
    Launcher("screen", you, start.screen, "your command forked the server"),
    Launcher("tmux", you, start.tmux, "your client forked the server"),
    Launcher("tmux, another types", you, start.tmux_by_another, "the server forks, and the server is yours"),
)
LOGINS = (
    Launcher("ssh root@localhost", root, start.ssh, "a login: sshd's stack has pam_loginuid"),
    Launcher("ssh, over its master", root, start.ssh_again, "no second login", joins="ssh root@localhost"),
    Launcher("at, root's job", root, start.at, "atd's stack has pam_loginuid"),
    Launcher("cron, root's job", root, start.cron, "crond's stack has pam_loginuid"),
    Launcher(
        "systemd-run --user", you, start.user_manager, "its manager's account; systemd-user's stack has pam_loginuid"
    ),
    Launcher("run0", root_by("systemd-run0"), start.under_systemd("run0"), "pid 1 forked it; its PAM stack decides"),
    Launcher("machinectl shell", root_by("login"), start.machine_shell, "pid 1 forked it; login's PAM stack decides"),
)
ASKED = (
    Launcher("systemd-run", nobody, start.under_systemd("systemd-run", "-q", "--wait", "--pipe"), "pid 1 forked it"),
    Launcher("D-Bus activation", nobody, start.bus, "the bus forked it"),
    Launcher("ctr run", nobody, start.ctr, "containerd was asked"),
)


def play(stage: Stage) -> None:
    scene = Scene(stage)
    with scene.room:
        stage.say("One command prints its loginuid and its session:")
        stage.shell("cat", scene.who)
        told = Telling(scene)
        told.kind("First what forks. Is it still you?", forked(stage), "yes", "no")
        told.kind("Now daemons that open a login by PAM, here mostly as root. And now?", LOGINS, stage.user, "root")
        told.kind("Last, daemons that open none. And now?", asked(stage), stage.user, "root", "nobody")
        told.what_is_not_here()
        told.cards()


def forked(stage: Stage) -> Sequence[Launcher]:
    found = list(FORKED)
    for engine in stage.each(FORK):
        by_another = start.exec_in(engine, by_another=True)
        found.append(Launcher(engine.name, you, start.run(engine), "a fork"))
        found.append(Launcher(f"{engine.name} exec", another, by_another, "another user's fork, in your container"))
        if engine.name in REAL:
            found.append(Launcher(f"{engine.name} build", you, start.build(engine), "a fork"))
    return found


def asked(stage: Stage) -> Sequence[Launcher]:
    found = list(ASKED)
    for engine in stage.each(DAEMON):
        found.append(Launcher(engine.name, nobody, start.run(engine), "a daemon was asked"))
        found.append(Launcher(f"{engine.name} exec", nobody, start.exec_in(engine), "asked for, not forked"))
        if engine.name in REAL:
            found.append(Launcher(f"{engine.name} build", nobody, start.build(engine), "a daemon was asked"))
    return found


class Telling:
    """The rows of the card, kind by kind, and what cannot be shown here."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.stage = scene, scene.stage
        self.rows: list[list[list[str | Text]]] = []
        self.missing: list[tuple[Launcher, MissingFeature]] = []
        self.sessions: dict[str, int] = {}

    def kind(self, question: str, launchers: Sequence[Launcher], *choices: str) -> None:
        """Start these, a few in a step."""
        self.stage.ask(question, *choices)
        self.rows.append([])
        for some in groups(launchers, ROWS_A_STEP):
            answers = [(launcher, self.started(launcher)) for launcher in some]
            for launcher, outcome in answers:
                self.rows[-1].append(self.judge(launcher, outcome) if outcome else self.row(launcher, "not here", "-"))

    def started(self, launcher: Launcher) -> Outcome | None:
        """What the launcher's workload printed; None if something is missing."""
        try:
            words = launcher.words(self.scene)
        except MissingFeature as error:
            self.missing.append((launcher, error))
            return None
        return self.stage.shell(*words, answers=range(256))

    def judge(self, launcher: Launcher, outcome: Outcome) -> list[str | Text]:
        """The launcher's claim, and its row of the card."""
        printed = outcome.stdout.split()[:2]
        if len(printed) < 2 or not "".join(printed).isdecimal():
            trouble = outcome.trouble()
            self.stage.unknown(self.claim(launcher), trouble.message, trouble.hint)
            return self.row(launcher, "?", "?")
        uid, ses = (int(word) for word in printed)
        expected = launcher.predicted(self.scene)
        because = Text("{uid}: {because}", {"uid": name_of(uid), "because": Text(launcher.because)})
        basis = Basis("printed", expected, outcome.beat)
        self.stage.expect(uid == expected, self.claim(launcher), because, basis=basis)
        if launcher.joins in self.sessions:
            claim = "and its session is that of the first"
            self.stage.expect(ses == self.sessions[launcher.joins], claim, f"ses={ses}")
        self.sessions[launcher.name] = ses
        return self.row(launcher, name_of(uid), "unset" if ses == UNSET else str(ses))

    def what_is_not_here(self) -> None:
        for part in groups(self.missing, ROWS_A_STEP):
            self.stage.say("And these, which cannot be shown here?")
            for launcher, error in part:
                self.stage.unknown(self.claim(launcher), error.message, error.hint, lacking=True)

    def cards(self) -> None:
        for kind in self.rows:
            for part in groups(kind, ROWS_A_CARD):
                self.stage.contrast("", ["who forked me?", "predicted", "loginuid", "ses"], part)

    def claim(self, launcher: Launcher) -> Text:
        expected = name_of(launcher.predicted(self.scene))
        return Text("{launcher}: {uid}", {"launcher": launcher.name, "uid": expected})

    def row(self, launcher: Launcher, seen: str, ses: str) -> list[str | Text]:
        words = Text(seen) if seen == "not here" else seen
        return [launcher.name, name_of(launcher.predicted(self.scene)), words, ses]


def groups(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """As many as one step has place for."""
    for first in range(0, len(items), size):
        yield items[first : first + size]
