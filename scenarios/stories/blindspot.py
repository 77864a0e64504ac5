"""Ways past a rule that looks right: a filter, a class of calls that leaves some out, a watch on a socket."""

from collections.abc import Callable
from pathlib import Path

from lab.audit.rules import TOUCH_CALLS, Rule, syscalls, watch
from lab.errors import MissingFeature
from scenarios import needs
from scenarios.needs import CannotTell
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
    filtered(stage)
    untouched(stage)
    unseen_writes(stage)
    letter_by_letter(stage)
    at_the_door(stage)


def filtered(stage: Stage) -> None:
    if stage.user_id < 1000:
        raise MissingFeature(f"{stage.user} has a uid below 1000, which the OSPP's rule leaves out", needs.AS_USER)
    write = ("touch", f"/host{stage.target}")
    rule = [Rule.parse(LOGGED_IN.format(stage.target))]
    stage.say("The rule of audit's sample 30-ospp-v42.rules for /etc/shadow: only users who logged in are recorded.")
    seen(stage, rule, in_container(stage, FORK, *write), True, "it sees the forked container's write")
    seen(stage, rule, in_container(stage, DAEMON, *write), False, "it does NOT see the daemon's: its auid is unset")
    stage.then("Without the two filters:")
    seen(stage, [watch(stage.target)], in_container(stage, DAEMON, *write), True, "now it sees the daemon's write")


def untouched(stage: Stage) -> None:
    """utimensat(2) is in no class of calls, so that no perm= matches it."""
    stamp = in_container(stage, DAEMON, "touch", "-c", f"/host{stage.target}")
    plain = [watch(stage.target)]
    stage.then("Now change the file's times without opening it, as busybox's touch and `touch -c` do:")
    seen(stage, plain, stamp, False, "perm=wa does NOT see utimensat(2)")
    both = [*plain, syscalls(TOUCH_CALLS, filters=[f"path={stage.target}"])]
    stage.then("With a rule for those calls beside it:")
    seen(stage, both, stamp, True, "now utimensat(2) is seen")


def unseen_writes(stage: Stage) -> None:
    """Not only times: the file's bytes change, unseen. These two ruin a file, so the story makes one."""
    file = stage.journal.directory("blindspot") / "file"
    python = (*stage.sudo, script("python"))
    empty = (*python, "-c", TRUNCATE, str(file))
    handle = (*python, *HANDLE, str(file))
    wa, any_call = [watch(str(file))], [Rule.parse(f"-a always,exit -F path={file}")]
    stage.then(f"Nor does it see every write. Empty the file {file}, by an open(2) that asks to read:")
    seen(stage, wa, changing(stage, file, *empty), False, "perm=wa does NOT see O_RDONLY|O_TRUNC empty the file")
    stage.then("Write to the file, opened by its handle:")
    seen(stage, wa, changing(stage, file, *handle), False, "perm=wa does NOT see open_by_handle_at(2) and write(2)")
    stage.then("Without perm=, the rule matches every call that names the file:")
    seen(stage, any_call, changing(stage, file, *empty), True, "without perm= the emptying is seen")
    seen(stage, any_call, changing(stage, file, *handle), True, "and so is the open by handle")


def letter_by_letter(stage: Stage) -> None:
    """The article's own rule, and the same with -p wa."""
    short, long = SHORT.format(stage.target), LONG.format(stage.target)
    read = (*stage.sudo, "wc", "-c", stage.target)
    stage.then(f"The article's rule is `auditctl {short}`. Without -p, auditctl makes it perm=rwxa:")
    seen(stage, [Rule.parse(short)], lambda: stage.shell(*read), True, "-w FILE records a mere read, too")
    stage.then(f"With -p, `auditctl {long}`:")
    seen(stage, [Rule.parse(long)], lambda: stage.shell(*read), False, "-w FILE -p wa does not record a read")
    write = (*stage.sudo, "touch", stage.target)
    seen(stage, [Rule.parse(long)], lambda: stage.shell(*write), True, "-w FILE -p wa records the write")


def at_the_door(stage: Stage) -> None:
    """A watch matches calls that open or change a file, and connect(2) is none of them."""
    path = stage.daemon.path
    client = in_container(stage, DAEMON, "true")
    stage.then(f"A hardening guide watches the daemon's socket: `auditctl {DOOR.format(path)}`. A user connects:")
    seen(stage, [Rule.parse(DOOR.format(path))], client, False, "-w on the socket does NOT see connect(2)")
    stage.then("With a rule for the call itself:")
    connect = [syscalls(CONNECT, filters=[f"path={path}"])]
    seen(stage, connect, client, True, f"a rule on connect(2) names {stage.user}", by=stage.user_id)


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


def seen(
    stage: Stage, rules: list[Rule], act: Callable[[], Outcome], expected: bool, claim: str, by: int | None = None
) -> None:
    """Act under just these rules, and expect a record, or expect none; by: whom the record must name."""
    with stage.watch(rules) as watching:
        act()
        event = stage.witness(watching)
        as_expected = (event is not None) == expected and (by is None or (event is not None and event.auid == by))
        stage.expect(as_expected, claim, f"a record of {event.comm}" if event else "no record")
