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
from pathlib import Path
from typing import IO, Protocol

from lab.audit.records import Event
from lab.audit.rules import Rule
from lab.audit.watch import Watch
from lab.errors import EvidenceLost, MissingFeature, NotAllowed
from lab.identity import ancestry, loginuid, name_of
from scenarios.audiences.terminal import FAILED, HELD, UNKNOWN, Screen
from scenarios.props.auditd import Auditd
from scenarios.props.labd import Daemon
from scenarios.safety.journal import Journal
from scenarios.stage.engines import DAEMON, Engine, Model, paste, sudo
from scenarios.stage.login import Login
from scenarios.stage.pipes import Pipes
from scenarios.stage.report import Outcome, Report, Verdict, whom

Look = Callable[[int], Mapping[str, str]]


class Story(Protocol):
    """A module under scenarios.stories."""

    NAME: str
    TITLE: str

    def play(self, stage: Stage) -> None: ...


class Stage:
    """The stage of one run.

    engines     the lab's own, by model
    target      the file to watch
    chosen      the engines to compare, the lab's own or real ones; if none is given, all of engines
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
        chosen: Sequence[Engine] = (),
    ) -> None:
        self.screen, self.journal, self.login, self.daemon = screen, journal, login, daemon
        self.engines, self.target, self.chosen = engines, target, list(chosen or engines.values())
        self.user_id = login.loginuid
        self.user = name_of(login.loginuid)
        self.sudo = sudo()
        self.auditd = Auditd.find()
        self.keys: set[str] = set()

    def tell(self, number: int, story: Story) -> Report:
        """Play one story. A missing feature or lost evidence makes the story inconclusive, with the reason."""
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

    def then(self, text: str) -> None:
        """Narration that begins the next part of the story, after an empty line."""
        self.say(f"\n{text}")

    def shell(self, *argv: str) -> Outcome:
        """A command in the user's session, as it would be typed."""
        return self._show(self._perform(argv))

    def each(self, model: Model) -> list[Engine]:
        """The chosen engines of that model, ready to be used."""
        return [self._ready(engine) for engine in self.chosen if engine.model == model]

    def engine(self, model: Model) -> Engine:
        """The lab's own engine of that model, ready to be used."""
        return self._ready(self.engines[model])

    def as_user(self, *groups: int) -> list[str]:
        """The words that run a command as the user, in these supplementary groups and no others; setpriv(1)."""
        membership = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
        return ["setpriv", f"--reuid={self.user_id}", f"--regid={self.user_id}", membership]

    def require_for_user(self, program: str) -> None:
        """Raises MissingFeature if the user may not execute it: the checkout may lie in another's closed home."""
        if self.quiet(*self.as_user(), "test", "-x", program).exit_code:
            raise MissingFeature(
                f"{self.user} may not execute {Path(program).resolve()}",
                "move the checkout to a place that every user can read, such as /opt",
            )

    def run(self, engine: Engine, workload: Sequence[str], *options: str) -> Outcome:
        """The workload in a new container of that engine."""
        return self._show(self._perform(engine.run(workload, *options)))

    def run_watched(
        self,
        engine: Engine,
        workload: Sequence[str],
        *options: str,
        wrapper: Sequence[str] = (),
        look: Look | None = None,
    ) -> Outcome:
        """As run(), and look at the container's first process from the host's /proc meanwhile.

        The workload must print a line and then wait for its standard input to end. wrapper stands before the engine's
        command instead of sudo.
        """
        name = f"lab-{os.urandom(4).hex()}"
        command = engine.run(workload, "-i", "--name", name, *options)
        if wrapper:
            command = [*wrapper, *command[len(engine.sudo) :]]
        return self._watched(command, lambda started: _container_pid(engine, name), look)

    def shell_watched(self, *argv: str, look: Look | None = None) -> Outcome:
        """As shell(), and look at the process meanwhile; it must print and wait as in run_watched()."""
        return self._watched(argv, lambda started: started, look)

    def quiet(self, *argv: str) -> Outcome:
        """A command in the user's session that the audience need not see."""
        return self._perform(argv)

    @contextmanager
    def watch(self, rules: Sequence[Rule] | None = None) -> Iterator[Watch]:
        """The kernel's records about the target, from marker to marker; rules replace the usual rules, if given."""
        with Watch(self.target, journal=self.journal, rules=rules) as watch:
            self.keys.add(watch.key)
            for rule in watch.rules:
                self.screen.command(f"sudo auditctl {rule.to_auditctl()}")
            yield watch
            self._ask_auditd(watch)

    def witness(self, watch: Watch, *, successful: bool | None = True) -> Event | None:
        """Show and return the event that the last command left about the target; None if there is none.

        successful: True for a call that succeeded, False for one that was refused, None for either.
        """
        events = [event for event in watch.collect() if successful in (None, event.success)]
        for event in events[:1]:
            self.show_records(event)
        return events[0] if events else None

    def show_records(self, event: Event) -> None:
        """Show an event as `ausearch -i` prints it, and keep it as evidence."""
        self.screen.records(event)
        self.report.evidence.append({"records": event.render()})

    def expect(self, condition: bool, claim: str, seen: object = "") -> bool:
        """Where a verdict is made: the claim held or failed, and what was seen of it. Returns whether it held."""
        return self._judge(HELD if condition else FAILED, claim, str(seen))

    def names(self, event: Event | None, uid: int, claim: str) -> bool:
        """Expect that the event's record names this user by auid, or nobody with UNSET; without a record it failed."""
        seen = f"auid={whom(event)[0]}" if event else "no record"
        return self.expect(event is not None and event.auid == uid, claim, seen)

    def in_session(self, event: Event | None, session: int, claim: str) -> bool:
        """Expect that the event's record has this session, or none with UNSET; without a record it failed."""
        seen = f"ses={whom(event)[1]}" if event else "no record"
        return self.expect(event is not None and event.ses == session, claim, seen)

    def unknown(self, claim: str, reason: str) -> None:
        """A verdict for a claim that could not be tested, with the reason."""
        self._judge(UNKNOWN, claim, reason)

    def pause(self) -> None:
        """Wait for Enter here, if this run waits at each step."""
        self.screen.step("step")

    def _ready(self, engine: Engine) -> Engine:
        """That engine, once labd answers if it is the lab's own client."""
        if engine == self.engines[DAEMON]:
            with self.screen.busy("waiting for labd"):
                self.daemon.wait_ready()
        return engine

    def _ask_auditd(self, watch: Watch) -> None:
        """Where auditd runs: its log must have every event of this watch with its key, and no other."""
        if not self.auditd:
            return
        watch.collect()
        counted = len([event for event in watch.events if watch.key in event.keys])
        differences = self.auditd.differences(watch.key, watch.events)
        self.screen.command(paste([*self.sudo, *self.auditd.command(watch.key), "-i"]))
        said = "; ".join(differences) or f"{counted} events, the same auid, ses and uid in each"
        self.expect(not differences, "auditd's log agrees", said)

    def _judge(self, verdict: str, claim: str, seen: str) -> bool:
        self.report.claims.append(Verdict(claim, verdict, seen))
        self.screen.verdict(verdict, claim, seen)
        return verdict == HELD

    def _watched(self, command: Sequence[str], find: Callable[[int], int], look: Look | None) -> Outcome:
        self.screen.command(paste(command))
        self.screen.step("step")
        with tempfile.TemporaryFile() as error, Pipes() as pipes:
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


def _container_pid(engine: Engine, name: str) -> int:
    """The pid that the engine's own `inspect` tells, asked outside the session; 0 if there is no such container."""
    answer = subprocess.run(engine.inspect(name), capture_output=True, check=False).stdout
    found = json.loads(answer) if answer.startswith(b"[") else []
    return int(found[0]["State"]["Pid"]) if found else 0


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
