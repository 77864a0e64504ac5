"""A lane as a tree: who is whose child, and the loginuid of each, as far as the beats have told it.

A process with a pid was seen: in the host's /proc, or in a record of the kernel. The others are drawn from the command
line, with the loginuid of the login that forked them; where no engine takes part, only once the command has run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lab.identity import UNSET
from scenarios.audiences.page.board import Lane, Run
from scenarios.performance.beats import Lineage, Opening, Process

Mark = Literal["own", "none", "other", "unknown"]
Edge = Literal["", "fork", "gap"]


@dataclass(frozen=True)
class Node:
    """A process.

    name, words    its comm; words instead, if the name is to be translated
    loginuid       None: nothing has told it yet
    mark           whose the loginuid is: the login's, nobody's, somebody else's, or not known
    edge           how it came from the one above
    """

    name: str
    loginuid: int | None
    mark: Mark
    edge: Edge = "fork"
    pid: int = 0
    words: str = ""
    container: bool = False


@dataclass(frozen=True)
class Tree:
    """client is what the login forked; served the branch of a daemon, if one was asked, and asked its place there."""

    client: Sequence[Node]
    served: Sequence[Node] = ()
    asked: int = 0


def tree(lane: Lane, opening: Opening) -> Tree:
    """The tree of the run that this lane shows."""
    run = lane.run
    seen = run.lineage
    if seen and not seen.asked:
        return Tree(_first(_nodes(_folded(seen), opening, seen.login)))
    client = _client(run, opening)
    if not run.parts.daemon:
        return Tree(_first([*client, *_last(run, opening)]))
    served = _nodes(seen.processes, opening, 0) if seen else [*_daemon(run, opening), *_last(run, opening)]
    place = next((place for place, node in enumerate(served) if node.name == run.parts.daemon), 0)
    return Tree(_first(client), _first(served), place)


def mark_of(loginuid: int | None, opening: Opening) -> Mark:
    """Whose that loginuid is."""
    if loginuid is None:
        return "unknown"
    if loginuid == UNSET:
        return "none"
    return "own" if loginuid == opening.loginuid else "other"


def _first(nodes: Sequence[Node]) -> list[Node]:
    return [replace(nodes[0], edge=""), *nodes[1:]]


def _folded(seen: Lineage) -> Sequence[Process]:
    """From the login on."""
    place = next((place for place, process in enumerate(seen.processes) if process.pid == seen.login), 0)
    return seen.processes[place:]


def _nodes(processes: Sequence[Process], opening: Opening, login: int) -> list[Node]:
    nodes = [Node(one.comm, one.loginuid, mark_of(one.loginuid, opening), pid=one.pid) for one in processes]
    if nodes:
        nodes[-1] = replace(nodes[-1], container=True)
    if nodes and login and nodes[0].pid == login:
        nodes[0] = replace(nodes[0], words="your login")
    return nodes or [_unknown()]


def _client(run: Run, opening: Opening) -> list[Node]:
    """The login and what it forks, until the engine or the program that the line names."""
    names = ["sudo"] if run.parts.sudo else []
    if run.parts.engine:
        names.append(run.parts.engine)
    elif not run.witness() and run.printed is None:
        names.append(run.parts.program)
    login = opening.loginuid
    known = login if run.parts.engine or run.has_run else None
    forked = [Node(name, known, mark_of(known, opening)) for name in names if name]
    return [Node("", login, mark_of(login, opening), words="your login"), *forked]


def _daemon(run: Run, opening: Opening) -> list[Node]:
    """The daemon, which is a child of init unless the line asks another one than the usual."""
    if run.parts.elsewhere or run.parts.daemon != "labd" or opening.labd is None:
        return [Node(run.parts.daemon, None, "unknown")]
    labd = Node("labd", opening.labd, mark_of(opening.labd, opening))
    return [Node("init", UNSET, "none", pid=1), labd] if opening.labd == UNSET else [labd]


def _last(run: Run, opening: Opening) -> list[Node]:
    """The process that the command is about: in a container if an engine makes one."""
    witness = run.witness()
    made_by_engine = bool(run.parts.engine)
    if made_by_engine and not run.parts.container:
        return []
    if witness:
        return [_witness(witness, run, opening)]
    if run.printed is not None:
        name = "" if made_by_engine else run.parts.program
        words = "container" if made_by_engine else ""
        return [Node(name, run.printed, mark_of(run.printed, opening), words=words, container=made_by_engine)]
    return [_unknown()] if made_by_engine else []


def _witness(process: Process, run: Run, opening: Opening) -> Node:
    """From a record. A process outside containers that has another loginuid need not descend from this login."""
    mark = mark_of(process.loginuid, opening)
    edge: Edge = "gap" if not run.parts.engine and mark != "own" else "fork"
    return Node(process.comm, process.loginuid, mark, edge, process.pid, container=bool(run.parts.container))


def _unknown() -> Node:
    return Node("", None, "unknown", words="container", container=True)
