"""The family tree from records alone: of logs that the kernel has written, and of worlds where the truth is known."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.audit.family import CLONE_PARENT, CLONE_THREAD, Family, call_of
from lab.audit.records import Event, Record, events
from lab.identity import UNSET
from lab.syscall_table import NUMBERS

WORKLOAD = ("sh", "-c", "echo $(cat /proc/self/loginuid); exec cat")
USER = 3267
FIRST, CROWD = 101, 12  # a made-up world: its first number, and how many processes live at once


def recorded(engine: str) -> list[Event]:
    """What Linux 6.18 recorded of one container of that engine, without most of its threads."""
    text = (Path(__file__).parent / "families" / f"{engine}.log").read_text()
    return list(events(map(Record.from_line, text.splitlines())))


def call(  # one argument for each field that the tree is made from
    name: str,
    serial: int,
    pid: int,
    ppid: int,
    result: int = 0,
    *,
    at: float | None = None,
    comm: str = "a",
    flags: int = 17,
    auid: int = USER,
    argv: tuple[str, ...] = (),
    success: str = "yes",
) -> Event:
    """An event as the kernel writes it; `at` is in seconds, and the serial's milliseconds if it is not given."""
    stamp = f"audit({serial / 1000 if at is None else at:.3f}:{serial}): "
    number = NUMBERS["x86_64"][name]
    records = [
        f"type=SYSCALL msg={stamp}arch=c000003e syscall={number} success={success} exit={result} a0={flags:x} items=0 "
        f'ppid={ppid} pid={pid} auid={auid} uid=0 tty=(none) ses={auid} comm="{comm}" exe="/bin/{comm}" key="k"'
    ]
    if argv:
        words = " ".join(f'a{place}="{word}"' for place, word in enumerate(argv))
        records.append(f"type=EXECVE msg={stamp}argc={len(argv)} {words}")
    return Event(tuple(map(Record.from_line, records)))


def pids(family: Family, pid: int, seconds: float = 1000.0) -> list[int]:
    """The line of the process that had this pid then."""
    return [one.pid for one in family.line(family.at(pid, (int(seconds), round(seconds % 1 * 1000))))]


@pytest.mark.parametrize(
    ("engine", "line"),
    [
        ("podmanish", ["cat", "podmanish", "podmanish", "sudo", "login-session", "python", ""]),
        ("dockerish", ["cat", "labd-spawner", "labd", ""]),
        (
            "podman",
            [
                "cat",
                "runc:[1:CHILD]",
                "runc:[0:PARENT]",
                "runc",
                "conmon",
                "conmon",
                "podman",
                "sudo",
                "login-session",
                "python",
                "",
            ],
        ),
        (
            "docker",
            [
                "cat",
                "runc:[1:CHILD]",
                "runc:[0:PARENT]",
                "runc",
                "containerd-shim",
                "containerd-shim",
                "containerd",
                "",
            ],
        ),
    ],
)
def test_a_containers_line(engine: str, line: list[str]) -> None:
    """From the container's command up to the login or the daemon; above that, the records know a number only."""
    family = Family(recorded(engine))
    (workload,) = family.executing(WORKLOAD)
    found = family.line(workload)
    assert [one.comm for one in found] == line
    assert found[-1].told is None
    # The lab is the parent of the session that it opened, and no login itself.
    whose = {one.told.auid for one in found if one.told and one.comm != "python"}
    assert whose == ({USER} if engine.startswith("podman") else {UNSET})


def test_podmans_monitor_is_led_back_to_podman() -> None:
    """conmon forks itself and its first half ends: its own records have ppid=1, but the fork's exit names it."""
    family = Family(recorded("podman"))
    (workload,) = family.executing(WORKLOAD)
    monitor = next(one for one in family.line(workload) if one.comm == "conmon")
    assert {made.ppid for made in monitor.calls} == {1}
    parent = family.parent(monitor)
    assert parent and parent.comm == "conmon" and parent.pid != 1


@pytest.mark.parametrize("engine", ["podmanish", "dockerish", "podman", "docker"])
@settings(deadline=None)
@given(seed=st.integers())
def test_the_order_of_events_does_not_matter(engine: str, seed: int) -> None:
    """After vfork(2) the child's exec comes first, and processors deliver mixed: times and serials put it right."""
    mixed = recorded(engine)
    random.Random(seed).shuffle(mixed)
    trees = [Family(mixed), Family(recorded(engine))]
    lines = [[(one.pid, one.comm) for one in tree.line(tree.executing(WORKLOAD)[0])] for tree in trees]
    assert lines[0] == lines[1]


@pytest.mark.parametrize(
    ("lost", "line"),
    [
        # podmanish forks the lifeline, whose own record still names its parent; that name came after the exec.
        (1208286, ["cat", "podmanish", "python3.11", "sudo", "login-session", "python", ""]),
        # The lifeline forks cat: of the lifeline itself there is still the fork that made it. But one that has not
        # forked is nobody's parent, so that its number is all that is left.
        (1208287, ["cat", ""]),
        # sudo forks podmanish, which is known by its exec, too.
        (1208283, ["cat", "podmanish", "podmanish", "sudo", "login-session", "python", ""]),
        # The login forks sudo.
        (1208278, ["cat", "podmanish", "podmanish", "sudo", ""]),
    ],
)
def test_where_a_record_is_lost_the_line_ends_with_an_unknown_parent(lost: int, line: list[str]) -> None:
    """No other process is put in its place: the last of the line is a number without a record."""
    family = Family(event for event in recorded("podmanish") if event.serial != lost)
    (workload,) = family.executing(WORKLOAD)
    found = family.line(workload)
    assert [one.comm for one in found] == line
    assert found[-1].told is None


def test_a_number_that_is_used_again_is_another_process() -> None:
    """70 is first made by 10 and later by 20; each time, its child has the parent that forked it then."""
    family = Family([
        call("fork", 1, 10, 1, 70), call("fork", 2, 70, 10, 71), call("execve", 3, 71, 70, argv=("first",)),
        call("fork", 5, 20, 1, 70), call("fork", 6, 70, 20, 72), call("execve", 7, 72, 70, argv=("second",)),
    ])  # fmt: skip
    (first,), (second,) = family.executing(("first",)), family.executing(("second",))
    assert [one.pid for one in family.line(first)] == [71, 70, 10, 1]
    assert [one.pid for one in family.line(second)] == [72, 70, 20, 1]
    assert [pids(family, 70, at)[1] for at in (0.004, 0.008)] == [10, 20]


@pytest.mark.parametrize("again", ["clone3", "vfork"])
def test_a_number_may_be_used_again_within_one_tick(again: str) -> None:
    """All stamps are the same: 10 forks 70, whose child is 71; then 20 makes 70, by vfork(2) after its exec."""
    made = call(again, 5 if again == "clone3" else 7, 20, 10, 70, at=1.0)
    family = Family([
        call("fork", 1, 10, 1, 70, at=1.0), call("fork", 2, 70, 10, 71, at=1.0),
        call("execve", 3, 71, 70, at=1.0, argv=("first",)), call("fork", 4, 10, 1, 20, at=1.0),
        made, call("execve", 6, 70, 20, at=1.0, argv=("second",)),
    ])  # fmt: skip
    lines = [[one.pid for one in family.line(family.executing((word,))[0])] for word in ("first", "second")]
    assert lines == [[71, 70, 10, 1], [70, 20, 10, 1]]


def test_a_number_from_before_the_records_is_another_process_than_one_that_was_forked() -> None:
    """70 was there already, ended, and was made again."""
    family = Family([call("fork", 1, 70, 30, 71), call("fork", 2, 10, 1, 70), call("fork", 3, 70, 10, 72)])
    assert pids(family, 71) == [71, 70, 30]
    assert pids(family, 72) == [72, 70, 10, 1]


def test_vfork_is_written_after_the_childs_exec() -> None:
    """The kernel counts the serial when the parent goes on; both have the parent's time of entry, or a later one."""
    family = Family([call("execve", 1, 71, 70, at=1.0, argv=("x",)), call("vfork", 2, 70, 9, 71, at=1.0)])
    assert pids(family, 71) == [71, 70, 9]


def test_vfork_may_use_a_number_again() -> None:
    """70 was a child of 10; the 70 that 20 makes executes before the record of its vfork is written."""
    family = Family([
        call("fork", 1, 10, 1, 70, at=1.0), call("execve", 2, 70, 10, at=1.1, argv=("first",)),
        call("execve", 3, 70, 20, at=2.0, argv=("second",)), call("vfork", 4, 20, 1, 70, at=2.0),
    ])  # fmt: skip
    lines = [[one.pid for one in family.line(family.executing((word,))[0])] for word in ("first", "second")]
    assert lines == [[70, 10, 1], [70, 20, 1]]


def test_an_orphan_has_the_parent_that_forked_it() -> None:
    """A daemon forks twice: the record of its exec has ppid=1, and /proc says the same."""
    family = Family([call("fork", 1, 10, 5, 11), call("fork", 2, 11, 10, 12), call("execve", 3, 12, 1, argv=("d",))])
    assert pids(family, 12) == [12, 11, 10, 5]


def test_an_ancestor_is_the_one_that_had_its_number_then() -> None:
    """11 ends below 10, and 31 makes another 11. So 30, which made 31, is above no 13 that the first 11 descends to."""
    family = Family([
        call("fork", 1, 10, 1, 11), call("fork", 2, 11, 10, 12), call("fork", 3, 12, 11, 13),
        call("fork", 4, 30, 1, 31), call("fork", 5, 31, 30, 11), call("execve", 6, 11, 31, argv=("again",)),
        call("fork", 7, 13, 12, 30), call("execve", 8, 30, 1, argv=("orphan",)),
    ])  # fmt: skip
    (orphan,) = family.executing(("orphan",))
    assert [one.pid for one in family.line(orphan)] == [30, 13, 12, 11, 10, 1]


def test_a_subreaper_adopts_like_init() -> None:
    """containerd-shim (10) adopts what runc (11) forked: prctl(2), PR_SET_CHILD_SUBREAPER."""
    family = Family([call("fork", 1, 10, 1, 11), call("fork", 2, 11, 10, 12), call("execve", 3, 12, 10, argv=("c",))])
    assert pids(family, 12) == [12, 11, 10, 1]


@pytest.mark.parametrize("seen", [{2}, {1, 2}], ids=["before its first call", "between two calls"])
def test_a_subreaper_above_those_that_left_no_record(seen: set[int]) -> None:
    """A terminal (8) and `systemd --user` (7) only live on, above the login's shell (9): 7 adopts the orphan 12."""
    made = [call("fork", 1, 10, 9, 11), call("fork", 2, 11, 10, 12)]
    execs = [call("execve", 3, 12, 11, argv=("1",)), call("execve", 4, 12, 7, argv=("2",))]
    records = [*made, *(execs[number - 1] for number in sorted(seen))]
    (known,) = Family(records, {9: 8, 8: 7, 7: 1}).executing(("2",))
    assert [one.pid for one in Family(records, {9: 8, 8: 7, 7: 1}).line(known)] == [12, 11, 10, 9]
    unknown = [12, 11, 10, 9] if 1 in seen else [12, 7]  # without that knowledge, the fork looks contradicted
    assert pids(Family(records), 12) == unknown


def test_clone_parent_makes_a_sibling() -> None:
    """With CLONE_PARENT, /proc shows the forker's parent as the parent; the loginuid comes from the forker."""
    family = Family([
        call("fork", 1, 10, 1, 11),
        call("clone", 2, 11, 10, 12, flags=CLONE_PARENT | 17),
        call("execve", 3, 12, 10, argv=("c",)),
    ])  # fmt: skip
    assert pids(family, 12) == [12, 11, 10, 1]


def test_a_sibling_may_be_faster_than_the_record_of_its_clone() -> None:
    """The caller is preempted on its way out of clone(2): within one tick, the sibling's exec is written first."""
    family = Family([
        call("fork", 1, 10, 1, 11, at=1.0),
        call("execve", 2, 12, 10, at=1.0, argv=("c",)),
        call("clone", 3, 11, 10, 12, at=1.0, flags=CLONE_PARENT | 17),
    ])  # fmt: skip
    (sibling,) = family.executing(("c",))
    assert [one.pid for one in family.line(sibling)] == [12, 11, 10, 1]


def test_the_first_process_of_a_pid_namespace_adopts_what_another_forked_there() -> None:
    """`exec` (45) puts 60 beside a container's first process (50); 60 forks 61 and ends, and 61 is still 60's child."""
    family = Family([
        call("fork", 1, 40, 1, 50), call("execve", 2, 50, 40, argv=("first",)), call("fork", 3, 45, 1, 60),
        call("execve", 4, 60, 45, argv=("sh",)), call("fork", 5, 60, 45, 7), call("fork", 6, 61, 60, 8),
        call("execve", 7, 61, 50, argv=("late",)),
    ])  # fmt: skip
    (late,) = family.executing(("late",))
    assert [one.pid for one in family.line(late)] == [61, 60, 45, 1]


def test_a_thread_is_no_child() -> None:
    """clone(2) with CLONE_THREAD makes none; a thread of clone3(2) is a process that never calls anything."""
    assert call_of(call("clone", 1, 10, 1, 11, flags=CLONE_THREAD)) is None
    family = Family([
        call("clone", 1, 10, 1, 11, flags=CLONE_THREAD),
        call("clone3", 2, 10, 1, 12, flags=0x7FFC0B541E70),
        call("fork", 3, 10, 1, 13),
        call("execve", 4, 13, 10, argv=("x",)),
    ])  # fmt: skip
    assert pids(family, 13) == [13, 10, 1]
    assert {one.pid for one in family if one.calls} == {10, 13}


def test_inside_a_pid_namespace_a_number_may_be_used_again() -> None:
    """No fork tells that 51 is another process now; that its parent is no ancestor of the first one's does."""
    family = Family([
        call("execve", 1, 51, 50, argv=("first",)), call("fork", 2, 52, 40, 3),
        call("execve", 3, 51, 52, argv=("second",)),
    ])  # fmt: skip
    lines = [[one.pid for one in family.line(family.executing((word,))[0])] for word in ("first", "second")]
    assert lines == [[51, 50], [51, 52, 40]]


def test_inside_a_pid_namespace_the_childs_ppid_tells() -> None:
    """The first process of a namespace (50) forks 2, as the namespace counts: outside, that is 51, and 2 is another."""
    family = Family([
        call("fork", 1, 2, 1, 40), call("fork", 2, 50, 9, 2), call("execve", 3, 51, 50, argv=("inside",)),
        call("fork", 4, 2, 1, 41), call("execve", 5, 41, 2, argv=("outside",)),
    ])  # fmt: skip
    assert pids(family, 51) == [51, 50, 9]
    # ppid=1 does not contradict the fork that returned 2: this is the doubt that the module names.
    assert pids(family, 41) == [41, 2, 50, 9]


@pytest.mark.parametrize(("parent", "auid"), [(8, USER), (1, 1000)])
def test_a_fork_that_the_childs_own_records_contradict_made_another(parent: int, auid: int) -> None:
    """The parent is no ancestor of the forker, or the auid is another: a number of another pid namespace."""
    family = Family([
        call("fork", 1, 50, 9, 2),
        call("fork", 2, 2, parent, 41, auid=auid),
        call("execve", 3, 41, 2, argv=("x",), auid=auid),
    ])  # fmt: skip
    assert pids(family, 41) == [41, 2, parent]


def test_a_container_cannot_become_the_parent_of_a_daemon_by_its_number() -> None:
    """Inside, 47 forks until a fork returns 6, its daemon's pid outside: the daemon does not descend from 47."""
    family = Family([
        call("clone3", 1, 6, 1, 2, auid=UNSET),
        call("execve", 2, 47, 6, argv=("sh",), auid=UNSET),
        call("fork", 3, 47, 6, 6, auid=UNSET),
        call("execve", 5, 48, 6, argv=("next",), auid=UNSET),
        call("fork", 6, 6, 1, 3, auid=UNSET),
    ])  # fmt: skip
    assert pids(family, 48) == [48, 6, 1]


def test_a_step_back_of_the_clock_makes_no_loop() -> None:
    """10 and 11 fork each other within a millisecond, as the stamps have it; the line still ends."""
    family = Family([call("fork", 1, 10, 11, 11, at=1.0), call("fork", 2, 11, 10, 10, at=1.0)])
    assert len(pids(family, 10)) <= 3


def test_what_failed_or_is_no_fork_is_passed_over() -> None:
    """A refused fork, another call, a user's message, a line without numbers."""
    stray = [
        call("fork", 1, 10, 1, -11, success="no"),
        call("openat", 2, 10, 1, 3),
        Event((Record.from_line("type=USER_CMD msg=audit(0.003:3): pid=10 uid=0 auid=1 ses=1 msg='x'"),)),
        Event((Record.from_line("type=SYSCALL msg=audit(0.004:4): arch=zz syscall=57 success=yes exit=9 pid=10"),)),
    ]
    assert [call_of(event) for event in stray] == [None] * 4
    assert list(Family(stray)) == []


def test_a_long_word_of_an_exec_is_put_together() -> None:
    """A word longer than a record comes in pieces, over several records; audit_log_execve_info()."""
    event = call("execve", 1, 10, 1)
    texts = ['argc=3 a0="echo" a1_len=6 a1[0]="abc"', 'a1[1]="def" a2="z"']
    more = [Record.from_line(f"type=EXECVE msg=audit(0.001:1): {text}") for text in texts]
    made = call_of(Event((*event.records, *more)))
    assert made and made.argv == ("echo", "abcdef", "z")


@dataclass
class Living:
    """A process of a made-up world. inside: it lives in a pid namespace, and its forks return small numbers."""

    pid: int
    parent: int
    truth: list[int]
    inside: bool = False
    children: list[Living] = field(default_factory=list)


class World:
    """A made-up kernel: processes fork, exec and end, numbers up to `last` are used again; each call leaves its event.

    Init is 1, and the login 100. With namespaces, some forks return a number below 100 instead of the child's.
    """

    def __init__(self, choose: random.Random, *, last: int, tick: float = 0.7, namespaces: bool = False) -> None:
        self.last, self.tick, self.namespaces = last, tick, namespaces
        self.choose, self.clock, self.serial, self.next = choose, 0, 0, FIRST
        self.alive = {100: Living(100, 1, [100, 1])}
        self.events: list[Event] = []
        self.executed: dict[str, list[int]] = {}

    def write(self, name: str, who: Living, result: int = 0, argv: tuple[str, ...] = (), *, began: int) -> None:
        """The event of a call that ends now."""
        self.serial += 1
        self.events.append(call(name, self.serial, who.pid, who.parent, result, at=began / 1000, argv=argv))

    def step(self) -> None:
        """One process does something. The kernel's clock is coarse: it goes on with the probability `tick`."""
        self.clock += self.choose.random() < self.tick
        who = self.choose.choice(list(self.alive.values()))
        more = [self.fork, self.fork, self.vfork] if len(self.alive) < CROWD > len(who.truth) else []
        deed = self.choose.choice([*more, self.execute, self.end, self.end])
        deed(who)

    def born(self, who: Living) -> Living:
        """A child, with the next number that is free, and was so before the clock's last tick.

        No ancestor's: of an orphan that has the number of an ancestor, the records do not tell that these are two.
        """
        taken = {*self.alive, *who.truth}
        while self.next in taken or self.next > self.last:
            self.next += 1
            if self.next > self.last:
                self.next = FIRST
        child = Living(
            self.next, who.pid, [self.next, *who.truth], who.inside or (self.namespaces and self.choose.random() < 0.1)
        )
        self.next += 1
        self.alive[child.pid] = child
        who.children.append(child)
        return child

    def returned(self, who: Living, child: Living) -> int:
        """What the fork returns: inside a namespace, its own number for the child."""
        return self.choose.randint(2, 99) if who.inside else child.pid

    def fork(self, who: Living) -> None:
        """fork(2)."""
        child = self.born(who)
        began = self.clock
        self.write("fork", who, self.returned(who, child), began=began)

    def vfork(self, who: Living) -> None:
        """vfork(2): the child's exec is written first."""
        child = self.born(who)
        began = self.clock
        self.execute(child)
        self.write("vfork", who, self.returned(who, child), began=began)

    def execute(self, who: Living) -> None:
        """execve(2) with words that nobody else executes."""
        word = f"program-{self.serial}"
        self.executed[word] = who.truth
        self.write("execve", who, argv=(word,), began=self.clock)

    def end(self, who: Living) -> None:
        """exit(2): init adopts the children. Inside, an end takes the children along, as that of a namespace's init."""
        if who.pid == 100 or who.inside:
            return
        del self.alive[who.pid]
        for child in who.children:
            if self.alive.get(child.pid) is child:
                child.parent = 1


WORLDS: dict[str, dict[str, Any]] = {
    "numbers used again": {"last": 126},
    "numbers used again within a tick": {"last": 126, "tick": 0.02},
    "pid namespaces": {"last": 9999, "namespaces": True},
}


@pytest.mark.parametrize("kind", WORLDS)
@settings(deadline=None)
@given(seed=st.integers(), steps=st.integers(10, 250))
def test_the_tree_is_the_true_one(kind: str, seed: int, steps: int) -> None:
    """Of every process that has executed a program, in any order of the events: who forked whom, up to the login.

    With orphans, vfork(2), a coarse clock, and either numbers that are soon used again, or forks in pid namespaces.
    """
    choose = random.Random(seed)
    world = World(choose, **WORLDS[kind])
    for _ in range(steps):
        world.step()
    choose.shuffle(world.events)
    family = Family(world.events)
    for word, truth in world.executed.items():
        (found,) = family.executing((word,))
        assert [one.pid for one in family.line(found)] == truth


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 5)] * 5), max_size=30))
def test_any_events_make_a_tree(numbers: list[tuple[int, ...]]) -> None:
    """Whatever the events say, a process has one parent, and each line comes to its end."""
    names = ("fork", "clone3", "execve")
    family = Family(
        call(names[kind % 3], serial, pid, ppid, child, at=at, argv=("x",) if kind % 3 == 2 else ())
        for serial, (kind, pid, ppid, child, at) in enumerate(numbers, 1)
    )
    for process in family:
        line = family.line(process)
        assert len({id(one) for one in line}) == len(line)


def test_every_recorded_log_is_used() -> None:
    """The four engines of the story."""
    logs = (Path(__file__).parent / "families").iterdir()
    assert sorted(log.stem for log in logs) == ["docker", "dockerish", "podman", "podmanish"]
