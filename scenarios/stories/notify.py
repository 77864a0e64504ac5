"""READY=1: systemd asks which unit the sender's cgroup belongs to. A forked container is in the unit's cgroup."""

import sys
from collections.abc import Sequence
from pathlib import Path

from scenarios.needs import CannotTell
from scenarios.props.systemd import Systemd
from scenarios.stage.commands import ANY
from scenarios.stage.engines import DAEMON, FORK, Engine, paste
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
    with Systemd(stage.journal) as systemd:
        if systemd.booted_here:
            stage.say("Pid 1 is not systemd here: a systemd was booted in a container, over this machine's own root.")
        units = Units(stage, systemd)
        forked(stage, units)
        served(stage, units)
        relayed(stage, units)
        activated(stage, units)


def forked(stage: Stage, units: "Units") -> None:
    stage.then("systemd takes this service for started once its container has sent READY=1:")
    units.notifying("lab-forked", units.fork, READY, seconds=PATIENT)
    units.cat("lab-forked.service")
    units.start("lab-forked")
    seen = f"{units.state('lab-forked')} after {units.seconds('lab-forked'):.2f} s"
    units.judge("lab-forked", "active", "forked, READY=1 arrives", seen)
    stage.then("For a program that knows nothing of sd_notify(3), the engine sends READY=1:")
    units.notifying("lab-conmon", units.fork, SILENT, "--sdnotify=conmon", seconds=PATIENT)
    units.start("lab-conmon")
    units.judge("lab-conmon", "active", "--sdnotify=conmon: the engine sends READY=1")
    stage.pause()


def served(stage: Stage, units: "Units") -> None:
    stage.then("The same service through the daemon: plain, and with the notify socket mounted by hand:")
    impatient = 2 + int(30 * units.seconds("lab-forked"))  # enough on a slow machine, too
    units.notifying("lab-served", units.daemon, READY, seconds=impatient)
    by_hand = ("-v", f"{SOCKET}:/notify", "-e", "NOTIFY_SOCKET=/notify")
    units.notifying("lab-handed", units.daemon, READY, *by_hand, seconds=impatient)
    units.cat("lab-handed.service")
    stage.then("And, to be sure, a forked container that sends nothing:")
    units.notifying("lab-silent", units.fork, SILENT, seconds=impatient)
    units.start("lab-served", "lab-handed", "lab-silent")
    for name, claim in (
        ("lab-served", "through the daemon READY=1 never arrives"),
        ("lab-handed", "not even with the socket passed and mounted"),
        ("lab-silent", "and without READY=1 a forked one is not started either"),
    ):
        units.judge(name, "failed timeout", claim)
    stage.then(
        "Where did READY=1 go, in the second case? systemd received it, and asked to which unit the sender belongs:"
    )
    log = units.log_of("lab-labd.service")
    if not log.stdout.strip():
        raise CannotTell("the journal has no line of labd's unit", AGAIN)
    taken = "notification message" in log.stdout
    stage.expect(taken, "systemd took it for the daemon's message: the container is the daemon's child")
    stage.pause()


def relayed(stage: Stage, units: "Units") -> None:
    """What moby pull request 13750 proposed, and what coreos/sdnotify-proxy does."""
    stage.then("A relay in the unit: it gives the container its own socket, and passes READY=1 on to systemd:")
    python, socket = str(Path(sys.executable).absolute()), units.place / "relay"
    relay = [python, *RELAY, str(socket), *units.daemon]
    by_hand = ("-v", f"{socket}:/notify", "-e", "NOTIFY_SOCKET=/notify")
    units.notifying("lab-relayed", relay, READY, *by_hand, seconds=PATIENT, directory=str(Path.cwd()))
    units.cat("lab-relayed.service")
    units.start("lab-relayed")
    units.judge("lab-relayed", "active", "through the daemon and a relay, READY=1 arrives")
    stage.pause()


def activated(stage: Stage, units: "Units") -> None:
    stage.then("Socket activation: systemd opens the socket, and a service inherits the connection as descriptor 3:")
    for name, engine in (("lab-hello-forked", units.fork), ("lab-hello-served", units.daemon)):
        units.listening(name, engine, HELLO)
    units.cat("lab-hello-forked@.service")
    answer = units.ask("lab-hello-forked")
    if not answer.stdout.strip():
        units.exit_status("lab-hello-forked")
    stage.expect("hello" in answer.stdout, "forked, the container answers on it", answer.stdout.strip())
    silence = units.ask("lab-hello-served")
    if units.state("lab-labd") != "active":
        raise CannotTell("labd's unit has ended meanwhile", AGAIN)
    descriptor = bool(silence.stdout.strip()) or units.exit_status("lab-hello-served") == 0
    stage.expect(not descriptor, "through the daemon it has no descriptor 3: no answer")


class Units:
    """The story's units, labd's among them: installed under a real systemd, and started from the session."""

    def __init__(self, stage: Stage, systemd: Systemd) -> None:
        self.stage, self.systemd = stage, systemd
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

    def exit_status(self, name: str) -> int:
        """How the workload of a socket's last connection ended. Raises CannotTell if the service ended otherwise.

        systemd forgets a service that succeeded: CollectMode= in systemd.unit(5).
        """
        listed = self.systemd.run("systemctl", "list-units", "--all", "--plain", "--no-legend", f"{name}@*.service")
        if not listed:
            return 0
        unit = listed.split()[0]
        shown = self.show(unit.removesuffix(".service"), "Result", "ExecMainStatus")
        if shown["Result"] != "exit-code" or int(shown["ExecMainStatus"]) not in ANY:
            raise CannotTell(f"{unit} ended with {shown['Result']} {shown['ExecMainStatus']}", AGAIN)
        return int(shown["ExecMainStatus"])

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

    def judge(self, name: str, expected: str, claim: str, seen: str = "") -> None:
        """Expect that state. Raises CannotTell unless the start succeeded, or waited in vain for READY=1."""
        state = self.state(name)
        if state not in ("active", "failed timeout"):
            raise CannotTell(f"{name}.service: {state}", AGAIN)
        self.stage.expect(state == expected, claim, seen or state)

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


def absolute(engine: Engine) -> list[str]:
    """The engine's words with an absolute path, since a unit file has no working directory."""
    first = engine.argv[0]
    return [str(Path(first).absolute()) if "/" in first else first, *engine.argv[1:]]


def exec_start(argv: Sequence[str]) -> str:
    """An ExecStart= line: systemd quotes as a shell does, but % and $ must be doubled; systemd.service(5)."""
    return "ExecStart=" + paste(argv).replace("%", "%%").replace("$", "$$")
