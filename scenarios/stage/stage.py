"""What a story may do: say, ask, run a command in the user's session, or a workload in an engine, look, expect.

Nothing is drawn here: each thing is a beat of the performance, and a text is a message with its arguments. Verdicts
come from evidence read after the fact: what the workload printed, the host's /proc, the kernel's records. Red means
that the kernel contradicted the claim. Where a command came to nothing, the story ends there, inconclusive; and before
a verdict is red, the stage looks whether anything else explains what was seen.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lab.audit.records import Event
from lab.audit.rules import Rule
from lab.audit.watch import Watch
from lab.errors import AuditUnavailable, EvidenceLost, LabError, MissingFeature, NotAllowed
from lab.identity import name_of
from scenarios import needs
from scenarios.needs import CannotTell
from scenarios.performance import beats
from scenarios.performance.beats import FAILED, HELD, UNKNOWN
from scenarios.performance.performance import Performance
from scenarios.performance.text import AS_IT_IS, Argument, Text
from scenarios.props.auditd import Auditd
from scenarios.props.labd import Daemon
from scenarios.safety.journal import Journal
from scenarios.stage.commands import Commands
from scenarios.stage.engines import DAEMON, Engine, Model, paste, sudo
from scenarios.stage.login import Login
from scenarios.stage.report import Outcome, Report, Verdict, whom


@dataclass(frozen=True)
class Basis:
    """How a verdict follows from the beats of this run: scenarios.performance.checks; check "" if no other can tell."""

    check: str = ""
    wanted: int = 0
    beat: int = -1

    @property
    def beats(self) -> tuple[int, ...]:
        return (self.beat,) if self.beat >= 0 else ()


FROM_THIS_RUN = Basis()


class Story(Protocol):
    """A module under scenarios.stories."""

    NAME: str
    TITLE: str

    def play(self, stage: Stage) -> None: ...


class Stage(Commands):
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
        performance: Performance,
        journal: Journal,
        login: Login,
        daemon: Daemon,
        engines: Mapping[Model, Engine],
        target: str,
        chosen: Sequence[Engine] = (),
    ) -> None:
        super().__init__(performance, login, daemon)
        self.journal = journal
        self.engines, self.target, self.chosen = engines, target, list(chosen or engines.values())
        self.user_id = login.loginuid
        self.user = name_of(login.loginuid)
        self.sudo = sudo()
        self.auditd = Auditd.find()
        self.keys: set[str] = set()
        self._watches: list[Watch] = []
        self._shown: dict[int, int] = {}  # the beat that shows an event, by the event's serial

    def tell(self, number: int, story: Story) -> Report:
        """Play one story. Whatever goes wrong makes the story inconclusive, with the reason and the remedy."""
        self.report = Report(story.NAME, story.TITLE)
        self.performance.perform(beats.Heading(number, story.NAME, Text(story.TITLE)))
        try:
            self.daemon.renew()
            story.play(self)
        except LabError as error:
            self._give_up(error)
        except OSError as error:  # for example a process that has ended before it was looked at
            self._give_up(CannotTell(str(error), "run this again"))
        except Exception as error:  # a bug of the lab is no verdict on the kernel, and must not end the other stories
            self.report.evidence.append({"traceback": traceback.format_exc()})
            said = f"{type(error).__name__}: {error}"
            self._give_up(LabError(said, "report it, with what `lab doctor` and `lab run --json` print"))
        return self.report

    def _give_up(self, error: LabError) -> None:
        """The verdict for a story that could not be told to its end."""
        lacking = isinstance(error, (MissingFeature, NotAllowed)) and not isinstance(error, AuditUnavailable)
        claim = "this can be shown here" if lacking else "the evidence is complete"
        remedy = error.hint or "see what `lab doctor` prints"
        self.unknown(claim, error.message, remedy, lacking=lacking)

    def say(self, text: str | Text, /, **arguments: Argument) -> None:
        """Narration; a step begins with it where the step before has its verdict."""
        self.performance.perform(beats.Say(Text.of(text, **arguments)))

    def ask(self, question: str, /, *choices: str | Text, **arguments: Argument) -> None:
        """A question that the next command answers, with answers that one may think of."""
        answers = tuple(Text.of(choice, **arguments) for choice in choices)
        self.performance.perform(beats.Predict(Text.of(question, **arguments), answers))

    def contrast(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str | Text]], telling: Sequence[str] = ()
    ) -> None:
        """The card of the story: what differs between the columns; the rows named in telling carry the point.

        The name of a row is a message, any other cell is data, unless it is a Text.
        """
        cells = tuple((Text.of(name), *map(_data, rest)) for name, *rest in rows)
        self.performance.perform(beats.Contrast(Text(title), tuple(map(Text, columns)), cells, tuple(telling)))

    def show(self, text: str) -> None:
        """What a program left in a file, as if it had been printed."""
        self.performance.perform(beats.Output(text))

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
        path = Path(program).absolute()  # by a relative path, only the way from here would be tested
        if self.quiet(*self.as_user(), "test", "-x", str(path)).exit_code:
            closed = needs.closed_on_the_way(path) or needs.closed_to_others()
            reason = f"{self.user} may not execute {path}" + (f": {closed} is closed" if closed else "")
            raise MissingFeature(reason, needs.opened(closed or str(path.parent)))

    @contextmanager
    def watch(self, rules: Sequence[Rule] | None = None) -> Iterator[Watch]:
        """The kernel's records about the target, from marker to marker; rules replace the usual rules, if given."""
        with Watch(self.target, journal=self.journal, rules=rules) as watch:
            self.keys.add(watch.key)
            self.performance.perform(beats.Rules(tuple(rule.to_auditctl() for rule in watch.rules)))
            self._watches.append(watch)
            try:
                yield watch
                self._ask_auditd(watch)
            finally:
                self._watches.remove(watch)

    def witness(self, watch: Watch, *, successful: bool | None = True, comm: str = "") -> Event | None:
        """Show and return the first event that the last command left about the target; None if there is none.

        successful: True for a call that succeeded, False for one that was refused, None for either. comm: only of the
        program of that name: under a rule that records reads, sudo's own look at /etc/shadow comes first. Raises
        CannotTell or EvidenceLost if it is no evidence that there is none: the command failed, or the watch was
        disturbed.
        """
        events = [event for event in watch.collect() if successful in (None, event.success)]
        events = [event for event in events if comm in ("", event.comm)]
        for event in events[:1]:
            self.show_records(event)
        if not events:
            watch.check()
            self.did_its_work()
        return events[0] if events else None

    def show_records(self, event: Event) -> None:
        """Show an event, and keep it as evidence, as `ausearch -i` prints it."""
        lines = tuple(record.to_line() for record in event.records)
        self._shown[event.serial] = self.performance.perform(beats.Evidence(lines))
        self.report.evidence.append({"records": event.render()})

    def expect(
        self,
        condition: bool,
        claim: str | Text,
        seen: object = "",
        /,
        *,
        basis: Basis = FROM_THIS_RUN,
        **arguments: Argument,
    ) -> bool:
        """Where a verdict is made: the claim held or failed, and what was seen of it. Returns whether it held.

        Where nothing was seen (None), or where the world was disturbed meanwhile, a claim does not fail: it is unknown.
        basis says how the verdict can be judged again from a recording; prints(), carries(), names() and in_session()
        give one.
        """
        told = Text.of(claim, **arguments)
        if seen is None:
            return self.unknown(told, "the workload printed no number", "run the command above by hand")
        doubt = None if condition else self._doubt()
        if doubt:
            return self.unknown(told, doubt.message, doubt.hint)
        shown = _data(seen)
        verdict = HELD if condition else FAILED
        rest = basis.beats or tuple(self.performance.evidence)
        return self._judge(beats.Verdict(told, verdict, shown, check=basis.check, wanted=basis.wanted, evidence=rest))

    def prints(self, outcome: Outcome, number: int, claim: str | Text, /, **arguments: Argument) -> bool:
        """Expect that this is the number that the command printed first."""
        basis = Basis("printed", number, outcome.beat)
        return self.expect(outcome.printed == number, claim, outcome.printed, basis=basis, **arguments)

    def carries(self, outcome: Outcome, uid: int, claim: str | Text, /, **arguments: Argument) -> bool:
        """Expect that the host's /proc showed this loginuid for the container's first process."""
        basis = Basis("loginuid", uid, outcome.lineage)
        return self.expect(outcome.loginuid == uid, claim, outcome.loginuid, basis=basis, **arguments)

    def _doubt(self) -> LabError | None:
        """What else may explain that a claim did not hold: labd has ended meanwhile, or a watch was disturbed."""
        for check in (self.daemon.check, *(watch.check for watch in self._watches)):
            try:
                check()
            except LabError as error:
                return error
        return None

    def names(self, event: Event | None, uid: int, claim: str | Text, /, **arguments: Argument) -> bool:
        """Expect that the event's record names this user by auid, or nobody with UNSET; without a record it failed."""
        seen = f"auid={whom(event)[0]}" if event else Text("no record")
        return self.expect(
            event is not None and event.auid == uid, claim, seen, basis=self.basis("auid", uid, event), **arguments
        )

    def in_session(self, event: Event | None, session: int, claim: str | Text, /, **arguments: Argument) -> bool:
        """Expect that the event's record has this session, or none with UNSET; without a record it failed."""
        seen = f"ses={whom(event)[1]}" if event else Text("no record")
        held = event is not None and event.ses == session
        return self.expect(held, claim, seen, basis=self.basis("ses", session, event), **arguments)

    def basis(self, check: str, wanted: int, event: Event | None) -> Basis:
        """That a verdict follows from the records of this event, if they were shown."""
        shown = self._shown.get(event.serial, -1) if event else -1
        return Basis(check, wanted, shown) if shown >= 0 else FROM_THIS_RUN

    def unknown(
        self, claim: str | Text, reason: str, remedy: str, /, *, lacking: bool = False, **arguments: Argument
    ) -> bool:
        """A verdict for a claim that could not be tested, with the reason and the remedy; returns False."""
        told = Text.of(claim, **arguments)
        return self._judge(beats.Verdict(told, UNKNOWN, _data(reason), remedy, lacking))

    def _ready(self, engine: Engine) -> Engine:
        """That engine, once labd answers if it is the lab's own client."""
        if engine == self.engines[DAEMON]:
            self.performance.perform(beats.Busy(Text("waiting for labd")))
            self.daemon.wait_ready()
        return engine

    def overlook(self) -> None:
        """Take what the watches have recorded since the last command for no part of the story. Raises EvidenceLost."""
        for watch in self._watches:
            watch.collect()

    def _ask_auditd(self, watch: Watch) -> None:
        """Where auditd runs: its log must have the same auid, ses and uid in each event of this watch with its key."""
        if not self.auditd:
            return
        claim = "auditd's log agrees"
        watch.collect()
        counted = len([event for event in watch.events if watch.key in event.keys])
        try:
            differences = self.auditd.differences(watch.key, watch.events)
        except (EvidenceLost, CannotTell) as error:  # what the story saw itself stands
            self.unknown(claim, error.message, error.hint)
            return
        self.performance.perform(beats.Command(paste([*self.sudo, *self.auditd.command(watch.key), "-i"])))
        said = "; ".join(differences) or f"{counted} events, the same auid, ses and uid in each"
        self.expect(not differences, claim, said)

    def _judge(self, beat: beats.Verdict) -> bool:
        told = Verdict(str(beat.claim), beat.verdict, str(beat.seen), beat.remedy, beat.lacking)
        self.report.claims.append(told)
        self.performance.perform(beat)
        return beat.verdict == HELD


def _data(seen: object) -> Text:
    """Something seen as a text; a Text stays as it is."""
    if isinstance(seen, Text):
        return seen
    return Text(AS_IT_IS, {"seen": str(seen)}) if str(seen) else beats.NOTHING
