"""The line of a container's process, as a story shows it and compares it with /proc."""

from __future__ import annotations

from lab.audit.family import Call, Process
from lab.audit.records import Event, Record
from lab.identity import UNSET, Ancestor
from scenarios.props.descent import Descent

LOGIN = 40


def process(pid: int, comm: str, *, born: bool = True, auid: int = 1000) -> Process:
    """A process with a record of its own."""
    call = Call((1, 0), pid, pid, pid - 1, auid, 7, 0, comm)
    return Process(pid, call if born else None, (call,))


def shown(*pids: int, loginuid: int = 1000) -> list[Ancestor]:
    """What /proc showed."""
    return [Ancestor(pid, 0, "", 0, loginuid, 7) for pid in pids]


def test_neighbours_of_one_name_are_one_line_of_the_tree() -> None:
    """From three on; two are shown one by one."""
    steps = [process(48 - place, f"runc:[{2 - place}:STEP]") for place in range(3)]
    line = [
        process(49, "cat"),
        *steps,
        process(44, "conmon"),
        process(43, "conmon"),
        process(LOGIN, "bash", born=False),
    ]
    beat = Descent(line, LOGIN).beat("podman", asked=False)
    assert [one.comm for one in beat.processes] == ["bash", "conmon", "conmon", "3 x runc", "cat"]


def test_a_login_without_a_record_is_shown_by_its_number() -> None:
    """Its child's ppid names it: a process that is older than audit's first start leaves no record of its own."""
    descent = Descent([process(42, "cat"), process(41, "sudo"), Process(LOGIN)], LOGIN)
    beat = descent.beat("podmanish", asked=False)
    assert [(one.pid, one.loginuid) for one in beat.processes] == [(LOGIN, 1000), (41, 1000), (42, 1000)]
    assert descent.made == [42, 41]


def test_it_agrees_with_proc() -> None:
    """Up to the login, and without init; what was gone already is more."""
    descent = Descent([process(42, "cat"), process(41, "sudo"), process(LOGIN, "bash", born=False)], LOGIN)
    beside = descent.compared(shown(42, 41, LOGIN, 39, 1))
    assert (beside.same, beside.common, beside.shown, beside.more) == (True, 3, 3, 0)
    beside = descent.compared(shown(42, 1))
    assert (beside.same, beside.common, beside.shown, beside.more) == (True, 1, 1, 2)


def test_it_differs_from_proc() -> None:
    """In the order, in a loginuid, in a process that the line has not, and where it has none."""
    descent = Descent([process(42, "cat"), process(41, "sudo"), Process(30)], 0)
    assert descent.compared(shown(42, 41, 30, 20, 1)).same, "the records go no further"
    for chain in (shown(41, 42, 30), shown(42, 41, 30, loginuid=UNSET), shown(42, 43, 41, 30), shown(50, 1), []):
        assert not descent.compared(chain).same, [one.pid for one in chain]
    assert not Descent([], 0).compared(shown(42, 1)).same


def called(pid: int, ppid: int, *, comm: str = "labd-spawner", login: tuple[int, int] = (UNSET, UNSET)) -> Event:
    """The record of an unshare(2)."""
    fields = f"arch=c000003e syscall=272 success=yes exit=0 pid={pid} ppid={ppid} auid={login[0]} ses={login[1]}"
    return Event((Record.from_line(f'type=SYSCALL msg=audit(9.000:9): {fields} comm="{comm}"'),))


def test_the_calls_of_another_daemon_are_not_its_own() -> None:
    """They have the same name, and no login either; but the other spawner is not in the line."""
    spawner = Process(41, None, (Call((1, 0), 1, 41, 40, UNSET, UNSET, 0, "labd-spawner"),))
    daemon = Descent([Process(42, spawner.calls[0], spawner.calls), spawner, Process(40)], 0)
    assert daemon.own(called(41, 40)), "the spawner, which stayed"
    assert daemon.own(called(50, 41)), "its child in a later run"
    assert not daemon.own(called(71, 70))
    assert daemon.like(called(71, 70))
    assert not daemon.own(called(42, 1)), "the number of a process that has ended"
    assert not daemon.own(called(50, 41, comm="cat"))
    assert not daemon.own(called(50, 41, login=(1000, 7)))


def test_a_login_tells_its_calls() -> None:
    """All that it forked, wherever in its tree."""
    forked = Descent([process(42, "podmanish"), process(LOGIN, "bash", born=False)], LOGIN)
    assert forked.own(called(99, 98, comm="podmanish", login=(1000, 7)))
    assert not forked.own(called(99, 98, comm="podmanish"))
    assert not forked.own(called(99, 98, comm="podmanish", login=(1000, 8)))
