"""Ways past a rule that looks right: a filter, a class of calls that leaves some out, a watch on a socket."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from lab.audit.records import SYSCALL, URINGOP, Event
from lab.audit.rules import TOUCH_CALLS, Field, Rule, syscalls, watch
from lab.audit.watch import Watch
from lab.errors import MissingFeature
from lab.identity import UNSET
from scenarios import needs
from scenarios.performance.text import Text
from scenarios.props import shipped, writes
from scenarios.stage.engines import DAEMON, FORK, script
from scenarios.stage.report import Outcome
from scenarios.stage.stage import Stage

NAME = "blindspot"
TITLE = "Ways past a good-looking rule"
LOGGED_IN = "-a always,exit -F path={} -F perm=wa -F auid>=1000 -F auid!=unset"  # 30-ospp-v42.rules, on /etc/shadow
SHORT, LONG = "-w {}", "-w {} -p wa"  # the article's rule, and the same with -p
DOOR = "-w {}"  # the CIS Docker Benchmark, 1.1.9, on the daemon's socket
CONNECT = ("connect",)
CLONE3 = ("clone3",)
WRITES = ("-m", "scenarios.props.writes")
SERVED = "open, by a daemon"  # the way to write that is no fork's

# Each rule, for a path; and the ways that leave no record under it, of those in scenarios.props.writes and SERVED.
RULES: Mapping[str, Callable[[str], list[Rule]]] = {
    "-w": lambda path: [Rule.parse(SHORT.format(path))],
    "perm=wa": lambda path: [watch(path)],
    "OSPP": lambda path: shipped.rules(shipped.OSPP, path),
    "STIG": lambda path: shipped.rules(shipped.STIG, path),
    "no perm": lambda path: [Rule.parse(f"-a always,exit -F path={path}")],
}
NO_PERM = {"io_uring", "utimensat", "bind mount over it", "older descriptor", "connect to a socket"}
MISSED: Mapping[str, set[str]] = {
    "-w": {*NO_PERM, "open_by_handle_at"},
    "perm=wa": {*NO_PERM, "open_by_handle_at", "O_RDONLY|O_TRUNC"},
    "OSPP": {*NO_PERM, "O_RDONLY|O_TRUNC", SERVED},
    "STIG": {*NO_PERM, "open_by_handle_at", "O_RDONLY|O_TRUNC"},
    "no perm": {"older descriptor"},
}


def play(stage: Stage) -> None:
    filtered(stage)
    letter_by_letter(stage)
    untouched(stage)
    at_the_door(stage)
    unseen_containers(stage)
    every_way(stage)


def filtered(stage: Stage) -> None:
    if stage.user_id < 1000:
        raise MissingFeature(f"{stage.user} has a uid below 1000, which the OSPP's rule leaves out", needs.AS_USER)
    write = ("touch", f"/host{stage.target}")
    rule = [Rule.parse(LOGGED_IN.format(stage.target))]
    stage.say("audit's sample rule for /etc/shadow, 30-ospp-v42.rules, records only users who logged in.")
    stage.ask("Does it see a forked container's write, and a daemon's?", "both", "the fork's", "the daemon's")
    seen(stage, rule, in_container(stage, FORK, *write), True, "it sees the forked container's write")
    claim = "it does NOT see the daemon's: its auid is unset"
    seen(stage, rule, in_container(stage, DAEMON, *write), False, claim)
    stage.say("Without the two filters:")
    seen(stage, [watch(stage.target)], in_container(stage, DAEMON, *write), True, "now it sees the daemon's write")


def letter_by_letter(stage: Stage) -> None:
    """The article's own rule, and the same with -p wa."""
    short, long = SHORT.format(stage.target), LONG.format(stage.target)
    read = (*stage.sudo, "wc", "-c", stage.target)
    stage.say("The article's rule is `auditctl -w FILE`. Without -p, auditctl makes it perm=rwxa.")
    stage.ask("Does it record a mere read?", "yes", "no")
    seen(stage, [Rule.parse(short)], lambda: stage.shell(*read), True, "-w FILE records a mere read, too")
    stage.say("With -p, `auditctl -w FILE -p wa`:")
    seen(stage, [Rule.parse(long)], lambda: stage.shell(*read), False, "-w FILE -p wa does not record a read")
    write = (*stage.sudo, "touch", stage.target)
    seen(stage, [Rule.parse(long)], lambda: stage.shell(*write), True, "-w FILE -p wa records the write")


def untouched(stage: Stage) -> None:
    """utimensat(2) is in no class of calls, so that no perm= matches it."""
    stamp = (*stage.sudo, "touch", "-c", stage.target)
    plain = [watch(stage.target)]
    stage.say("Now change the file's times without opening it, as busybox's touch and `touch -c` do.")
    stage.ask("Does perm=wa see it?", "yes", "no")
    seen(stage, plain, lambda: stage.shell(*stamp), False, "perm=wa does NOT see utimensat(2)")
    both = [*plain, syscalls(TOUCH_CALLS, filters=[f"path={stage.target}"])]
    stage.say("With a rule for those calls beside it:")
    seen(stage, both, lambda: stage.shell(*stamp), True, "now utimensat(2) is seen")


def at_the_door(stage: Stage) -> None:
    """A watch matches calls that open or change a file, and connect(2) is none of them."""
    path = stage.daemon.path
    client = in_container(stage, DAEMON, "true")
    stage.say("A hardening guide watches the daemon's socket: `auditctl {rule}`.", rule=DOOR.format(path))
    stage.ask("A user connects. Does the rule see it?", "yes", "no")
    seen(stage, [Rule.parse(DOOR.format(path))], client, False, "-w on the socket does NOT see connect(2)")
    stage.say("With a rule for the call itself:")
    claim = Text("a rule on connect(2) names {user}", {"user": stage.user})
    seen(stage, [syscalls(CONNECT, filters=[f"path={path}"])], client, True, claim, by=stage.user_id)


def unseen_containers(stage: Stage) -> None:
    """Of clone(2) a rule can compare the flags, an argument; those of clone3(2) lie in the caller's memory."""
    only_ours = Field("sessionid", "=", stage.login.sessionid)  # the machine's other programs clone, too
    rules = [replace(rule, fields=(*rule.fields, only_ours)) for rule in shipped.rules(shipped.CONTAINERS)]
    container = in_container(stage, FORK, "true")
    stage.say("audit's sample 41-containers.rules is to record new containers: clone(2) with a namespace's flag.")
    stage.ask("This engine calls clone3(2). Does the rule see its container?", "yes", "no")
    seen(stage, rules, container, False, "the rule on clone(2) does NOT see clone3(2)")
    stage.say("With a rule on clone3(2), which cannot ask for flags, and so records every new process and thread:")
    rules = [syscalls(CLONE3, filters=[str(only_ours)])]
    seen(stage, rules, container, True, "a rule on clone3(2) sees the container's start")


def every_way(stage: Stage) -> None:
    """Each way to change a file, and connect(2) to a socket, under each rule. They ruin a file: the story makes one."""
    file = stage.journal.directory("blindspot") / "file"
    stage.say("Now the rules side by side. A program changes a file in every way, and each way is a process by itself.")
    table = {name: under(stage, name, file) for name in RULES}
    if any(found[writes.URING] is None for found in table.values()):
        claim, remedy = "a write by io_uring can be shown here", "sudo sysctl kernel.io_uring_disabled=0"
        stage.unknown(claim, "this kernel refuses io_uring_setup(2)", remedy, lacking=True)
    words = {True: Text("yes"), False: Text("-"), None: Text("?")}
    ways = next(iter(table.values()))
    rows = [(Text(way), *(words[found[way]] for found in table.values())) for way in ways]
    stage.contrast("Which rule records it?", ["what was done", *RULES], rows, [SERVED])


def under(stage: Stage, name: str, file: Path) -> dict[str, bool | None]:
    """Whether each way left a record under that rule; None for what this kernel does not let anybody do."""
    watches: list[Watch] = []
    with ExitStack() as stack:
        stack.enter_context(writes.prepared(file))

        def load(pid: int) -> Mapping[str, str]:
            """The program holds its descriptor by now."""
            rules = [*RULES[name](str(file)), *RULES[name](f"{file}.socket")]
            watches.append(stack.enter_context(stage.watch(rules)))
            return {}

        stage.ask("How much of it does `{rule}` record?", "all", "most", "half or less", rule=name)
        done = stage.shell_watched(*stage.sudo, script("python"), *WRITES, str(file), look=load)
        pids = {event.pid for event in calls(watches[0].collect())}
        found = {way: pid in pids if pid else None for way, pid in writes.done(done.stdout).items()}
        stage.run(stage.engine(DAEMON), ("touch", f"/host{file}"), "-v", "/:/host")
        stage.did_its_work()
        found[SERVED] = any(event.auid == UNSET for event in calls(watches[0].collect()))
        watches[0].check()
        missed = [way for way, yes in found.items() if yes is False]
        claim = Text("{rule}: no record of {some} of {all}", {"rule": name, "some": len(missed), "all": len(found)})
        refused = {way for way, yes in found.items() if yes is None}
        stage.expect(set(missed) == MISSED[name] - refused, claim, ", ".join(missed))
    return found


def calls(events: Sequence[Event]) -> list[Event]:
    """The events of system calls and of operations of a ring, and not those of rules that follow a renamed file."""
    return [event for event in events if event.of_type(SYSCALL) or event.of_type(URINGOP)]


def in_container(stage: Stage, model: str, *words: str) -> Callable[[], Outcome]:
    """These words in a privileged container of the lab's engine of that model."""
    engine = stage.engine(FORK if model == FORK else DAEMON)
    return lambda: stage.run(engine, words, "--privileged", "-v", "/:/host")


def seen(
    stage: Stage,
    rules: Sequence[Rule],
    act: Callable[[], Outcome],
    expected: bool,
    claim: str | Text,
    by: int | None = None,
) -> None:
    """Act under just these rules, and expect a record, or expect none; by: whom the record must name."""
    with stage.watch(rules) as watching:
        act()
        event = stage.witness(watching)
        as_expected = (event is not None) == expected and (by is None or (event is not None and event.auid == by))
        found = Text("a record of {comm}", {"comm": event.comm}) if event else Text("no record")
        stage.expect(as_expected, claim, found)
