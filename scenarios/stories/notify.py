"""READY=1: systemd asks which unit the sender's cgroup belongs to. A forked container is in the unit's cgroup."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from scenarios.needs import CannotTell
from scenarios.performance.text import Text
from scenarios.props.systemd import Systemd, exec_start
from scenarios.stage.commands import ANY
from scenarios.stage.engines import DAEMON, FORK, absolute, paste
from scenarios.stage.report import Outcome
from scenarios.stage.stage import Stage

NAME = "notify"
TITLE = "A service that says when it is ready"
SOCKET = "/run/systemd/notify"  # systemd's own, where READY=1 is to arrive
READY = ("sh", "-c", "systemd-notify --ready; exec sleep infinity")
SILENT = ("sleep", "infinity")
HELLO = ("sh", "-c", "echo hello from the container >&3")
ASK = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('{}'); print(s.makefile().read())"
AGAIN = "run this again, and read meanwhile: sudo journalctl -f"
RELAY = ("-m", "scenarios.props.relay")
PATIENT = 60  # seconds until systemd gives up a start that must succeed


def play(stage: Stage) -> None:
    card: list[tuple[Text, Text]] = []
    with Systemd(stage.journal) as systemd:
        if systemd.booted_here:
            stage.say("Pid 1 is not systemd here: a systemd was booted in a container, over this machine's own root.")
        units = Units(stage, systemd, card)
        forked(stage, units)
        served(stage, units)
        relayed(stage, units)
        activated(stage, units)
    stage.contrast("", ["the service's container is made by", "READY=1, or the connection"], card)


def forked(stage: Stage, units: "Units") -> None:
    stage.say("systemd takes this service for started once its container has sent READY=1.")
    stage.ask("A fork makes the container. Does READY=1 arrive?", "yes", "no")
    units.notifying("lab-forked", units.fork, READY, seconds=PATIENT)
    units.cat("lab-forked.service")
    units.start("lab-forked")
    seen = f"{units.state('lab-forked')} after {units.seconds('lab-forked'):.2f} s"
    units.judge("lab-forked", "active", "forked, READY=1 arrives", "a fork", seen)
    stage.say("For a program that knows nothing of sd_notify(3), the engine sends READY=1:")
    units.notifying("lab-conmon", units.fork, SILENT, "--sdnotify=conmon", seconds=PATIENT)
    units.start("lab-conmon")
    claim = "--sdnotify=conmon: the engine sends READY=1"
    units.judge("lab-conmon", "active", claim, "a fork, --sdnotify=conmon")


def served(stage: Stage, units: "Units") -> None:
    stage.say("The same through the daemon: plain, and with the notify socket mounted by hand.")
    stage.ask("Does READY=1 arrive?", "in both", "in one", "in none")
    impatient = 2 + int(30 * units.seconds("lab-forked"))  # enough on a slow machine, too
    units.notifying("lab-served", units.daemon, READY, seconds=impatient)
    by_hand = ("-v", f"{SOCKET}:/notify", "-e", "NOTIFY_SOCKET=/notify")
    units.notifying("lab-handed", units.daemon, READY, *by_hand, seconds=impatient)
    units.cat("lab-handed.service")
    units.notifying("lab-silent", units.fork, SILENT, seconds=impatient)  # to be sure: this one sends nothing
    units.start("lab-served", "lab-handed", "lab-silent")
    for name, claim, maker in (
        ("lab-served", "through the daemon READY=1 never arrives", "a daemon"),
        ("lab-handed", "not even with the socket passed and mounted", "a daemon, with the socket mounted"),
        ("lab-silent", "and without READY=1 a forked one is not started either", "a fork that sends nothing"),
    ):
        units.judge(name, "failed timeout", claim, maker)
    stage.ask("Where did READY=1 go, in the second case?", "nowhere", "to systemd, as the daemon's message")
    log = units.log_of("lab-labd.service")
    if not log.stdout.strip():
        raise CannotTell("the journal has no line of labd's unit", AGAIN)
    taken = "notification message" in log.stdout
    stage.expect(taken, "systemd took it for the daemon's message: the container is the daemon's child")


def relayed(stage: Stage, units: "Units") -> None:
    """What moby pull request 13750 proposed, and what coreos/sdnotify-proxy does."""
    stage.say("A relay in the unit gives the container its own socket, and passes READY=1 on to systemd.")
    stage.ask("Does READY=1 arrive now?", "yes", "no")
    python, socket = str(Path(sys.executable).absolute()), units.place / "relay"
    relay = [python, *RELAY, str(socket), *units.daemon]
    by_hand = ("-v", f"{socket}:/notify", "-e", "NOTIFY_SOCKET=/notify")
    units.notifying("lab-relayed", relay, READY, *by_hand, seconds=PATIENT, directory=str(Path.cwd()))
    units.start("lab-relayed")
    units.judge("lab-relayed", "active", "through the daemon and a relay, READY=1 arrives", "a daemon, with a relay")


def activated(stage: Stage, units: "Units") -> None:
    stage.say("Socket activation: systemd opens the socket, and a service inherits the connection as descriptor 3.")
    stage.ask("Who answers on it, the forked container or the daemon's?", "both", "the forked one", "the daemon's")
    for name, engine in (("lab-hello-forked", units.fork), ("lab-hello-served", units.daemon)):
        units.listening(name, engine, HELLO)
    answer = units.ask("lab-hello-forked")
    if not answer.stdout.strip():
        units.complaint("lab-hello-forked")
    silence = units.ask("lab-hello-served")
    if units.state("lab-labd") != "active":
        raise CannotTell("labd's unit has ended meanwhile", AGAIN)
    answered = stage.expect("hello" in answer.stdout, "forked, the container answers on it", answer.stdout.strip())
    complaint = "" if silence.stdout.strip() else units.complaint("lab-hello-served")
    claim = "through the daemon it has no descriptor 3: no answer"
    silent = stage.expect(bool(complaint), claim, complaint or silence.stdout.strip())
    units.card.append((Text("a fork, by socket activation"), arrival(answered)))
    units.card.append((Text("a daemon, by socket activation"), arrival(not silent)))


def arrival(good: bool) -> Text:
    return Text("arrives" if good else "does not arrive")


class Units:
    """The story's units, labd's among them: installed under a real systemd, and started from the session."""

    def __init__(self, stage: Stage, systemd: Systemd, card: list[tuple[Text, Text]]) -> None:
        self.stage, self.systemd, self.card = stage, systemd, card
        self.place = stage.journal.directory("notify")
        socket = self.place / "labd.sock"
        labd = [str(Path(sys.executable).parent / "labd"), "--state", str(self.place / "state")]
        daemon = {
            "lab-labd.socket": f"[Socket]\nListenStream={socket}\n",
            "lab-labd.service": f"[Service]\nExecStart={paste(labd)}\n",
        }
        systemd.install(daemon)
        systemd.run("systemctl", "start", "lab-labd.socket", "lab-labd.service")
        self.fork = absolute(stage.engines[FORK])
        self.daemon = [*absolute(stage.engines[DAEMON]), "--host", f"unix://{socket}"]

    def notifying(
        self,
        name: str,
        engine: Sequence[str],
        workload: Sequence[str],
        *options: str,
        seconds: int,
        directory: str = "/",
    ) -> None:
        """Install a Type=notify service that runs the workload; directory is where it starts."""
        start = exec_start([*engine, "run", "--rm", "--init", *options, "host", *workload])
        start += f"\nWorkingDirectory={directory}" if directory != "/" else ""
        service = f"[Service]\nType=notify\nNotifyAccess=all\nTimeoutStartSec={seconds}\n{start}\n"
        self.systemd.install({f"{name}.service": service})

    def listening(self, name: str, engine: Sequence[str], workload: Sequence[str]) -> None:
        """Install and start a socket that has a service for each connection."""
        socket = f"[Socket]\nListenStream={self.place / name}.sock\nAccept=yes\n"
        service = f"[Service]\n{exec_start([*engine, 'run', '--rm', 'host', *workload])}\n"
        self.systemd.install({f"{name}.socket": socket, f"{name}@.service": service})
        self.systemd.run("systemctl", "start", f"{name}.socket")

    def start(self, *names: str) -> Outcome:
        return self.stage.shell(*self.systemd.enter, "systemctl", "start", *names)

    def cat(self, name: str) -> Outcome:
        return self.stage.shell(*self.systemd.enter, "systemctl", "cat", name)

    def ask(self, name: str) -> Outcome:
        """Connect to a unit's socket, and print all that is answered."""
        python = str(Path(sys.executable).resolve())
        return self.stage.shell(*self.systemd.enter, python, "-c", ASK.format(f"{self.place / name}.sock"), answers=[0])

    def complaint(self, name: str) -> str:
        """What the workload of a socket's last connection said of descriptor 3; "" if it said nothing.

        systemd forgets such a service as soon as it has ended, but its journal stays. Raises CannotTell if the journal
        says that the engine failed, or nothing.
        """
        self.systemd.run("journalctl", "--sync")
        log = self.systemd.run("journalctl", "-o", "cat", "-u", f"{name}@*")
        failed = re.search(r"status=(\d+)", log)
        if not log or (failed and int(failed[1]) not in ANY):
            said = f"ended with exit code {failed[1]}" if failed else "has no line in the journal"
            raise CannotTell(f"{name}@.service {said}", AGAIN)
        return next((line for line in log.splitlines() if "Bad file descriptor" in line), "")

    def log_of(self, name: str) -> Outcome:
        """What systemd has logged about this invocation of a unit."""
        invocation = self.systemd.run("systemctl", "show", "--value", "-p", "InvocationID", name)
        return self.stage.shell(
            *self.systemd.enter, "journalctl", "-o", "cat", f"INVOCATION_ID={invocation}", answers=[0]
        )

    def seconds(self, name: str) -> float:
        """How long the unit's start took, by systemd's own clock; 0 if it has not started."""
        shown = self.show(name, "InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic")
        began, ended = (int(microseconds) for microseconds in shown.values())
        return max(ended - began, 0) / 1e6

    def judge(self, name: str, expected: str, claim: str, maker: str, seen: str = "") -> None:
        """Expect that state, as a row of the card. Raises CannotTell unless it is active, or waited in vain."""
        state = self.state(name)
        if state not in ("active", "failed timeout"):
            raise CannotTell(f"{name}.service: {state}", AGAIN)
        self.stage.expect(state == expected, claim, seen or state)
        self.card.append((Text(maker), arrival(state == "active")))

    def state(self, name: str) -> str:
        """ "active", or "failed" and why."""
        shown = self.show(name, "ActiveState", "Result")
        return shown["ActiveState"] + ("" if shown["Result"] == "success" else f" {shown['Result']}")

    def show(self, name: str, *properties: str) -> dict[str, str]:
        """systemctl show, in the order asked for."""
        lines = self.systemd.run("systemctl", "show", "-p", ",".join(properties), f"{name}.service").splitlines()
        found = dict(line.split("=", 1) for line in lines if "=" in line)
        if not found.keys() >= set(properties):
            raise CannotTell(f"systemd does not answer about {name}", "run this again")
        return {wanted: found[wanted] for wanted in properties}
