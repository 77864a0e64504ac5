"""Commands on the stage: run in the user's session, shown, kept as evidence; and looked at meanwhile, if wanted."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from lab.errors import MissingFeature
from lab.identity import Ancestor, ancestry, loginuid
from scenarios import needs
from scenarios.needs import CannotTell
from scenarios.performance.beats import Command, Output, lineage
from scenarios.performance.performance import Performance
from scenarios.props.labd import Daemon
from scenarios.stage.engines import Engine, inspected, paste
from scenarios.stage.login import GRACE, Login
from scenarios.stage.pipes import Pipes
from scenarios.stage.report import Outcome, Report

# A shell reports what its command said; from 125 on an engine, setpriv or the shell itself has failed; docker-run(1).
ANY = range(125)
# It prints its loginuid, then stays until its input ends: long enough for run_watched() to look at it.
WORKLOAD = ("sh", "-c", "echo $(cat /proc/self/loginuid); exec cat")
NOTHING_YET = Outcome("", "", "", 0)
ON_A_TERMINAL = (sys.executable, "-m", "scenarios.props.terminal")
Look = Callable[[int], Mapping[str, str]]


class Commands:
    """What runs commands; report collects their outcomes. Each command is a beat before it runs, its output another."""

    def __init__(self, performance: Performance, login: Login, daemon: Daemon) -> None:
        self.performance, self.login, self.daemon = performance, login, daemon
        self.report = Report("", "")
        self._last = NOTHING_YET
        self._answers: Sequence[int] = ANY

    def shell(self, *argv: str, answers: Sequence[int] = ANY) -> Outcome:
        """A command in the user's session, as it would be typed.

        answers: the exit codes that are an answer. With any other, the command is evidence of nothing: CannotTell.
        """
        self.performance.perform(Command(paste(argv)))
        return self._finish(self._perform(argv), answers)

    def shell_on_terminal(self, *argv: str) -> Outcome:
        """As shell(), with a terminal for input and output, as a person's command has; what it printed is in stdout.

        The other commands of a run have none, and their records say tty=(none).
        """
        self.performance.perform(Command(paste(argv)))
        outcome = self._perform((*ON_A_TERMINAL, *argv))
        return self._finish(replace(outcome, command=paste(argv), stdout=outcome.stdout.replace("\r\n", "\n")), ANY)

    def run(self, engine: Engine, workload: Sequence[str], *options: str) -> Outcome:
        """The workload in a new container of that engine."""
        return self.shell(*engine.run(workload, *options))

    def run_watched(
        self,
        engine: Engine,
        workload: Sequence[str],
        *options: str,
        wrapper: Sequence[str] = (),
        look: Look | None = None,
        show: bool = True,
    ) -> Outcome:
        """As run(), and look at the container's first process from the host's /proc meanwhile.

        The workload must print a line and then wait for its standard input to end. wrapper stands before the engine's
        command instead of sudo. With show, its ancestors are shown.
        """
        name = f"lab-{os.urandom(4).hex()}"
        command = engine.run(workload, "-i", "--name", name, *options)
        if wrapper:
            command = [*wrapper, *command[len(engine.sudo) :]]
        outcome = self._watched(command, lambda started: _container_pid(engine, name), look)
        if not show:
            return outcome
        shown = lineage(engine.name, outcome.ancestry, self.login.pid)
        return replace(outcome, lineage=self.performance.perform(shown))

    def shell_watched(self, *argv: str, look: Look | None = None) -> Outcome:
        """As shell(), and look at the process meanwhile; it must print and wait as in run_watched()."""
        return self._watched(argv, lambda started: started, look)

    def quiet(self, *argv: str) -> Outcome:
        """A command in the user's session that the audience need not see."""
        return self._perform(argv)

    def did_its_work(self) -> None:
        """Raise CannotTell unless the last command succeeded, or was refused as the story expects."""
        if self._last.exit_code not in ([0] if self._answers is ANY else self._answers):
            raise self._last.trouble()

    def _watched(self, command: Sequence[str], find: Callable[[int], int], look: Look | None) -> Outcome:
        self.performance.perform(Command(paste(command)))
        with tempfile.TemporaryFile() as error, Pipes(self.login.seconds + 3 * GRACE) as pipes:
            started = self._start(command, pipes.child_input, pipes.child_output, error.fileno())
            first_line = pipes.first_line()
            pid = find(started)
            chain, seen, facts = _looked_at(pid, look)
            output = first_line + pipes.rest()
            code = self.login.wait()
            outcome = Outcome(paste(command), output, _text(error), code, pid, chain, seen, facts)
        outcome = self._finish(outcome, ANY)
        if not chain or chain[-1].ppid:
            raise CannotTell(f"no process of `{outcome.command}` was seen while it ran", "run this again")
        return outcome

    def _start(self, argv: Sequence[str], stdin: int, stdout: int, stderr: int) -> int:
        """Start a command in the session; its pid. Raises MissingFeature for a program that is not installed."""
        needs.require_words(argv)
        try:
            return self.login.start(argv, stdin, stdout, stderr)
        except OSError as error:
            raise MissingFeature(f"`{argv[0]}` cannot be started: {error.strerror}", f"which {argv[0]}") from None

    def _perform(self, argv: Sequence[str]) -> Outcome:
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as error, Path(os.devnull).open() as null:
            self._start(argv, null.fileno(), output.fileno(), error.fileno())
            code = self.login.wait()
            return Outcome(paste(argv), _text(output), _text(error), code)

    def _finish(self, outcome: Outcome, answers: Sequence[int]) -> Outcome:
        """Show and keep an outcome. Raises CannotTell if it is evidence of nothing, as in shell()."""
        number = self.performance.perform(Output(outcome.stdout, outcome.stderr, outcome.exit_code))
        outcome = replace(outcome, beat=number)
        self._last, self._answers = outcome, answers
        ancestors = [process.to_dict() for process in outcome.ancestry]
        self.report.evidence.append({**vars(outcome), "ancestry": ancestors, "facts": dict(outcome.facts)})
        if outcome.exit_code not in answers:
            self.daemon.check()  # if labd has ended, that is the reason
            raise outcome.trouble()
        return outcome


def _looked_at(pid: int, look: Look | None) -> tuple[Sequence[Ancestor], int | None, Mapping[str, str]]:
    """Ancestry, loginuid and facts of a process; empty if there is none, or if it has ended meanwhile.

    A zombie is still in /proc, with fewer fields: LookupError.
    """
    try:
        return ancestry(pid), loginuid(pid) if pid else None, look(pid) if look and pid else {}
    except (FileNotFoundError, ProcessLookupError, LookupError):
        return (), None, {}


def _container_pid(engine: Engine, name: str) -> int:
    """The pid that the engine's own `inspect` tells, asked outside the session; 0 if there is no such container."""
    return int(inspected(engine, name).get("Pid", 0))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
