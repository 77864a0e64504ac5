"""What a story may do: say, run a command in the user's session, run a workload through an engine, look, expect.

Verdicts come from evidence read after the fact: what the workload printed, the host's /proc, the kernel's records.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol, Self

from lab.audit.records import Event
from lab.audit.rules import Rule
from lab.audit.watch import Watch
from lab.errors import EvidenceLost, MissingFeature, NotAllowed
from lab.identity import Ancestor, ancestry, loginuid, name_of
from scenarios.audiences.terminal import FAILED, HELD, UNKNOWN, Screen
from scenarios.props.auditd import Auditd
from scenarios.props.labd import Daemon
from scenarios.safety.journal import Journal
from scenarios.stage.engines import DAEMON, FORK, Engine, Model, paste, sudo
from scenarios.stage.login import Login

Look = Callable[[int], Mapping[str, str]]


class Story(Protocol):
    """A module under scenarios.stories."""

    NAME: str
    TITLE: str

    def play(self, stage: Stage) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """What came of a command.

    pid, ancestry, loginuid and facts are of the container's first process, as the host's /proc showed it while it
    ran; 0, empty and None if nobody looked.
    """

    command: str
    stdout: str
    stderr: str
    exit_code: int
    pid: int = 0
    ancestry: Sequence[Ancestor] = ()
    loginuid: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def printed(self) -> int | None:
        """The number that the workload printed first; None if it printed none."""
        words = self.stdout.split()
        return int(words[0]) if words and words[0].isdecimal() else None


@dataclass
class Report:
    """The verdicts and the evidence of one story."""

    name: str
    title: str
    claims: list[dict[str, str]] = field(default_factory=list)
    evidence: list[dict[str, Any]] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        verdicts = {claim["verdict"] for claim in self.claims}
        return FAILED if FAILED in verdicts else HELD if verdicts == {HELD} else UNKNOWN

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {**vars(self), "verdict": self.verdict}


class Stage:
    """The stage of one run.

    engines     the lab's own, by model
    target      the file to watch
    chosen      the engines to compare; one of the lab's own stands as its model
    user_id     who is logged in
    auditd      the audit daemon as a second witness; None if none runs
    keys        those of the audit rules so far
    """

    def __init__(
        self,
        screen: Screen,
        journal: Journal,
        login: Login,
        daemon: Daemon,
        engines: Mapping[Model, Engine],
        target: str,
        chosen: Sequence[Model | Engine] = (FORK, DAEMON),
    ) -> None:
        self.screen, self.journal, self.login, self.daemon = screen, journal, login, daemon
        self.engines, self.target, self.chosen = engines, target, chosen
        self.user_id = login.loginuid
        self.user = name_of(login.loginuid)
        self.sudo = sudo()
        self.auditd = Auditd.find()
        self.keys: set[str] = set()

    def tell(self, number: int, story: Story) -> Report:
        """Play one story; what it cannot show or could not see makes it inconclusive, with the reason."""
        self.report = Report(story.NAME, story.TITLE)
        self.screen.heading(number, story.NAME, story.TITLE)
        try:
            story.play(self)
        except EvidenceLost as error:
            self.unknown("the evidence is complete", error.message)
        except (MissingFeature, NotAllowed) as error:
            self.unknown("this can be shown here", f"cannot be shown here because {error.message}; {error.hint}")
        return self.report

    def say(self, text: str) -> None:
        """Narration."""
        self.screen.say(text)

    def shell(self, *argv: str) -> Outcome:
        """A command in the user's session, as it would be typed."""
        return self._show(self._perform(argv))

    def each(self, model: Model) -> list[Engine]:
        """The chosen engines of that model, ready to be used."""
        found = [choice for choice in self.chosen if model in (choice, getattr(choice, "model", ""))]
        return [self.engine(choice) for choice in found]

    def run(self, by: Model | Engine, workload: Sequence[str], *options: str) -> Outcome:
        """The workload in a new container of that engine, or of the lab's own of that model."""
        return self._show(self._perform(self.engine(by).run(workload, *options)))

    def run_watched(
        self,
        by: Model | Engine,
        workload: Sequence[str],
        *options: str,
        wrapper: Sequence[str] = (),
        look: Look | None = None,
    ) -> Outcome:
        """As run(), and look at the container's first process from the host's /proc meanwhile.

        The workload must print a line and then wait for its standard input to end. wrapper stands before the engine's
        command, in the place of sudo.
        """
        engine, name = self.engine(by), f"lab-{os.urandom(4).hex()}"
        command = engine.run(workload, "-i", "--name", name, *options)
        if wrapper:
            command = [*wrapper, *command[len(engine.sudo) :]]
        return self._watched(command, lambda started: _container_pid(engine, name), look)

    def shell_watched(self, *argv: str, look: Look | None = None) -> Outcome:
        """As shell(), and look at the process meanwhile; the same is asked of it as of a workload."""
        return self._watched(argv, lambda started: started, look)

    def quiet(self, *argv: str) -> Outcome:
        """A command in the user's session that the audience need not see."""
        return self._perform(argv)

    def engine(self, by: Model | Engine) -> Engine:
        """That engine, or the lab's own of that model, ready to be used."""
        engine = self.engines[by] if isinstance(by, str) else by
        if engine == self.engines[DAEMON]:
            with self.screen.busy("waiting for labd"):
                self.daemon.wait_ready()
        return engine

    @contextmanager
    def watch(self, rules: Sequence[Rule] | None = None) -> Iterator[Watch]:
        """The kernel's records about the target, from marker to marker; under these rules instead of the usual ones."""
        with Watch(self.target, journal=self.journal, rules=rules) as watch:
            self.keys.add(watch.key)
            for rule in watch.rules:
                self.screen.command(f"sudo auditctl {rule.to_auditctl()}")
            yield watch
            self._ask_auditd(watch)

    def witness(self, watch: Watch, *, successful: bool | None = True) -> Event | None:
        """The event that the last command left about the target, shown; None if there is none.

        successful=False: one of a refused call; None: of either.
        """
        events = [event for event in watch.collect() if successful in (None, event.success)]
        for event in events[:1]:
            self.show_records(event)
        return events[0] if events else None

    def show_records(self, event: Event) -> None:
        """An event, as `ausearch -i` prints it; it is evidence."""
        self.screen.records(event)
        self.report.evidence.append({"records": event.render()})

    def expect(self, condition: bool, claim: str, seen: object = "") -> bool:
        """A claim, and what was seen of it."""
        return self._judge(HELD if condition else FAILED, claim, str(seen))

    def unknown(self, claim: str, reason: str) -> None:
        """A claim that could not be tested, and why."""
        self._judge(UNKNOWN, claim, reason)

    def pause(self) -> None:
        """Between two thoughts."""
        self.screen.step("step")

    def _ask_auditd(self, watch: Watch) -> None:
        """The second witness, where there is one: every event of this watch must be in its log, too, and no other."""
        if not self.auditd:
            return
        watch.collect()
        counted = len([event for event in watch.events if watch.key in event.keys])
        differences = self.auditd.differences(watch.key, watch.events)
        self.screen.command(paste([*self.sudo, *self.auditd.command(watch.key), "-i"]))
        said = "; ".join(differences) or f"{counted} events, the same auid, ses and uid in each"
        self.expect(not differences, "auditd's log agrees", said)

    def _judge(self, verdict: str, claim: str, seen: str) -> bool:
        self.report.claims.append({"claim": claim, "verdict": verdict, "seen": seen})
        self.screen.verdict(verdict, claim, seen)
        return verdict == HELD

    def _watched(self, command: Sequence[str], find: Callable[[int], int], look: Look | None) -> Outcome:
        self.screen.command(paste(command))
        self.screen.step("step")
        with tempfile.TemporaryFile() as error, _Pipes() as pipes:
            started = self.login.start(command, pipes.child_input, pipes.child_output, error.fileno())
            first_line = pipes.first_line()
            pid = find(started)
            chain, seen = ancestry(pid), loginuid(pid) if pid else None
            facts = look(pid) if look and pid else {}
            output = first_line + pipes.rest()
            outcome = Outcome(paste(command), output, _text(error), self.login.wait(), pid, chain, seen, facts)
        self._keep(outcome)
        self.screen.output(outcome.stdout)
        self.screen.output(outcome.stderr, "red")
        return outcome

    def _perform(self, argv: Sequence[str]) -> Outcome:
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as error, Path(os.devnull).open() as null:
            self.login.start(argv, null.fileno(), output.fileno(), error.fileno())
            code = self.login.wait()
            return Outcome(paste(argv), _text(output), _text(error), code)

    def _show(self, outcome: Outcome) -> Outcome:
        self.screen.command(outcome.command)
        self.screen.output(outcome.stdout)
        self.screen.output(outcome.stderr, "red")
        self._keep(outcome)
        self.screen.step("step")
        return outcome

    def _keep(self, outcome: Outcome) -> None:
        ancestors = [process.to_dict() for process in outcome.ancestry]
        self.report.evidence.append({**vars(outcome), "ancestry": ancestors, "facts": dict(outcome.facts)})


class _Pipes:
    """A command's standard input and output, for a workload that prints a line and then waits for end of input."""

    def __enter__(self) -> Self:
        self.child_input, self._input = os.pipe2(os.O_CLOEXEC)
        output, self.child_output = os.pipe2(os.O_CLOEXEC)
        self._output = os.fdopen(output, encoding="utf-8", errors="replace")
        return self

    def __exit__(self, *error: object) -> None:
        self._output.close()

    def first_line(self) -> str:
        """Returns at the first line, or at the end if the command fails before."""
        os.close(self.child_input)
        os.close(self.child_output)
        return self._output.readline()

    def rest(self) -> str:
        """End the command's input; the remaining output."""
        os.close(self._input)
        return self._output.read()


def _container_pid(engine: Engine, name: str) -> int:
    """By the engine's own `inspect`, from outside the session; 0 if there is no such container."""
    answer = subprocess.run(engine.inspect(name), capture_output=True, check=False).stdout
    found = json.loads(answer) if answer.startswith(b"[") else []
    return int(found[0]["State"]["Pid"]) if found else 0


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
