"""Ways past a rule that looks right: a filter, a class of calls that leaves some out, a watch on a socket."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.audit.rules import TOUCH_CALLS, Rule, syscalls, watch
from lab.errors import MissingFeature
from scenarios import needs
from scenarios.needs import CannotTell
from scenarios.performance.text import Text
from scenarios.stage.engines import DAEMON, FORK, script
from scenarios.stage.report import Outcome
from scenarios.stage.stage import Stage

NAME = "blindspot"
TITLE = "Ways past a good-looking rule"
LOGGED_IN = "-a always,exit -F path={} -F perm=wa -F auid>=1000 -F auid!=unset"  # 30-ospp-v42.rules, on /etc/shadow
SHORT, LONG = "-w {}", "-w {} -p wa"  # the article's rule, and the same with -p
DOOR = "-w {}"  # the CIS Docker Benchmark, 1.1.9, on the daemon's socket
CONNECT = ("connect",)
TRUNCATE = "import os, sys; os.open(sys.argv[1], os.O_RDONLY | os.O_TRUNC)"
HANDLE = ("-m", "scenarios.props.handle")


def play(stage: Stage) -> None:
    card: list[Row] = []
    filtered(stage, card)
    untouched(stage, card)
    unseen_writes(stage, card)
    letter_by_letter(stage, card)
    at_the_door(stage, card)
    compare(stage, card)


@dataclass(frozen=True)
class Row:
    """What was done under which rule, and whether the kernel recorded it."""

    done: str
    rule: str
    recorded: bool


def filtered(stage: Stage, card: list[Row]) -> None:
    if stage.user_id < 1000:
        raise MissingFeature(f"{stage.user} has a uid below 1000, which the OSPP's rule leaves out", needs.AS_USER)
    write = ("touch", f"/host{stage.target}")
    rule = [Rule.parse(LOGGED_IN.format(stage.target))]
    stage.say("audit's sample rule for /etc/shadow, 30-ospp-v42.rules, records only users who logged in.")
    stage.ask("Does it see a forked container's write, and a daemon's?", "both", "the fork's", "the daemon's")
    made = Act(stage, card, "a fork's container writes", "the OSPP's")
    made.seen(rule, in_container(stage, FORK, *write), True, "it sees the forked container's write")
    made = Act(stage, card, "a daemon's container writes", "the OSPP's")
    made.seen(rule, in_container(stage, DAEMON, *write), False, "it does NOT see the daemon's: its auid is unset")
    stage.say("Without the two filters:")
    made = Act(stage, card, "a daemon's container writes", "perm=wa")
    made.seen([watch(stage.target)], in_container(stage, DAEMON, *write), True, "now it sees the daemon's write")


def untouched(stage: Stage, card: list[Row]) -> None:
    """utimensat(2) is in no class of calls, so that no perm= matches it."""
    stamp = in_container(stage, DAEMON, "touch", "-c", f"/host{stage.target}")
    plain = [watch(stage.target)]
    stage.say("Now change the file's times without opening it, as busybox's touch and `touch -c` do.")
    stage.ask("Does perm=wa see it?", "yes", "no")
    made = Act(stage, card, "its times, by utimensat(2)", "perm=wa")
    made.seen(plain, stamp, False, "perm=wa does NOT see utimensat(2)")
    both = [*plain, syscalls(TOUCH_CALLS, filters=[f"path={stage.target}"])]
    stage.say("With a rule for those calls beside it:")
    made = Act(stage, card, "its times, by utimensat(2)", "-S utimensat")
    made.seen(both, stamp, True, "now utimensat(2) is seen")


def unseen_writes(stage: Stage, card: list[Row]) -> None:
    """Not only times: the file's bytes change, unseen. These two ruin a file, so the story makes one."""
    file = stage.journal.directory("blindspot") / "file"
    python = (*stage.sudo, script("python"))
    empty = (*python, "-c", TRUNCATE, str(file))
    handle = (*python, *HANDLE, str(file))
    wa, any_call = [watch(str(file))], [Rule.parse(f"-a always,exit -F path={file}")]
    stage.say("Empty a file, by an open(2) that asks to read.")
    stage.ask("Its bytes are gone. Does perm=wa see that?", "yes", "no")
    made = Act(stage, card, "O_RDONLY|O_TRUNC empties it", "perm=wa")
    made.seen(wa, changing(stage, file, *empty), False, "perm=wa does NOT see O_RDONLY|O_TRUNC empty the file")
    stage.ask("Write to the file, opened by its handle. And that?", "yes", "no")
    made = Act(stage, card, "a write, opened by handle", "perm=wa")
    made.seen(wa, changing(stage, file, *handle), False, "perm=wa does NOT see open_by_handle_at(2) and write(2)")
    stage.say("Without perm=, the rule matches every call that names the file:")
    made = Act(stage, card, "O_RDONLY|O_TRUNC empties it", "no perm=")
    made.seen(any_call, changing(stage, file, *empty), True, "without perm= the emptying is seen")
    made = Act(stage, card, "a write, opened by handle", "no perm=")
    made.seen(any_call, changing(stage, file, *handle), True, "and so is the open by handle")


def letter_by_letter(stage: Stage, card: list[Row]) -> None:
    """The article's own rule, and the same with -p wa."""
    short, long = SHORT.format(stage.target), LONG.format(stage.target)
    read = (*stage.sudo, "wc", "-c", stage.target)
    stage.say("The article's rule is `auditctl -w FILE`. Without -p, auditctl makes it perm=rwxa.")
    stage.ask("Does it record a mere read?", "yes", "no")
    made = Act(stage, card, "a mere read", "-w FILE")
    made.seen([Rule.parse(short)], lambda: stage.shell(*read), True, "-w FILE records a mere read, too")
    stage.say("With -p, `auditctl -w FILE -p wa`:")
    made = Act(stage, card, "a mere read", "-w FILE -p wa")
    made.seen([Rule.parse(long)], lambda: stage.shell(*read), False, "-w FILE -p wa does not record a read")
    write = (*stage.sudo, "touch", stage.target)
    made = Act(stage, card, "a write", "-w FILE -p wa")
    made.seen([Rule.parse(long)], lambda: stage.shell(*write), True, "-w FILE -p wa records the write")


def at_the_door(stage: Stage, card: list[Row]) -> None:
    """A watch matches calls that open or change a file, and connect(2) is none of them."""
    path = stage.daemon.path
    client = in_container(stage, DAEMON, "true")
    stage.say("A hardening guide watches the daemon's socket: `auditctl {rule}`.", rule=DOOR.format(path))
    stage.ask("A user connects. Does the rule see it?", "yes", "no")
    made = Act(stage, card, "connect(2)", "-w SOCKET")
    made.seen([Rule.parse(DOOR.format(path))], client, False, "-w on the socket does NOT see connect(2)")
    stage.say("With a rule for the call itself:")
    connect = [syscalls(CONNECT, filters=[f"path={path}"])]
    made = Act(stage, card, "connect(2)", "-S connect")
    claim = Text("a rule on connect(2) names {user}", {"user": stage.user})
    made.seen(connect, client, True, claim, by=stage.user_id)


def compare(stage: Stage, card: Sequence[Row]) -> None:
    rows = [(Text(row.done), row.rule, Text("recorded" if row.recorded else "no record")) for row in card]
    stage.contrast("What each rule sees", ["what was done", "the rule", "the kernel"], rows)


def in_container(stage: Stage, model: str, *words: str) -> Callable[[], Outcome]:
    """These words in a privileged container of the lab's engine of that model."""
    engine = stage.engine(FORK if model == FORK else DAEMON)
    return lambda: stage.run(engine, words, "--privileged", "-v", "/:/host")


def changing(stage: Stage, file: Path, *words: str) -> Callable[[], Outcome]:
    """A command that must change the file's bytes: if it does not, a missing record proves nothing."""

    def act() -> Outcome:
        outcome = stage.shell(*words, answers=[0])
        if file.read_text() == "before\n":
            raise CannotTell(f"`{outcome.command}` did not change {file}", "run the command by hand")
        return outcome

    file.write_text("before\n")
    return act


@dataclass(frozen=True)
class Act:
    """Something done under a rule: it becomes a row of the card."""

    stage: Stage
    card: list[Row]
    done: str
    rule: str

    def seen(
        self, rules: list[Rule], act: Callable[[], Outcome], expected: bool, claim: str | Text, by: int | None = None
    ) -> None:
        """Act under just these rules, and expect a record, or expect none; by: whom the record must name."""
        with self.stage.watch(rules) as watching:
            act()
            event = self.stage.witness(watching)
            as_expected = (event is not None) == expected and (by is None or (event is not None and event.auid == by))
            found = Text("a record of {comm}", {"comm": event.comm}) if event else Text("no record")
            self.stage.expect(as_expected, claim, found)
            self.card.append(Row(self.done, self.rule, event is not None))
