"""Performances that need no kernel, for the tests of those who look on."""

from __future__ import annotations

from collections.abc import Callable

from collecting import Collector

from lab.identity import UNSET
from scenarios.performance.beats import (
    HELD,
    Article,
    Beat,
    Closing,
    Command,
    Contrast,
    Evidence,
    Heading,
    Judged,
    Lineage,
    Moment,
    Opening,
    Output,
    Predict,
    Process,
    Rules,
    Say,
    Summary,
    Told,
    Verdict,
)
from scenarios.performance.performance import Performance
from scenarios.performance.text import Text

ALICE, SESSION = 4711, 7
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\u202e{a.b}"


def record(auid: int, ses: int, comm: str = '"touch"') -> Evidence:
    """An event of the kernel, as a line of an audit log; comm as the kernel writes it."""
    stamp = "audit(1795656437.508:945269)"
    return Evidence(
        (
            f"type=SYSCALL msg={stamp}: arch=c000003e syscall=257 success=yes exit=3 items=1 ppid=70 pid=71 "
            f'auid={auid} uid=0 gid=0 euid=0 tty=(none) ses={ses} comm={comm} exe="/usr/bin/touch" key="lab"',
            f"type=EOE msg={stamp}: ",
        )
    )


def opening(**changes: object) -> Opening:
    """A run of alice's."""
    values = {
        "began": "2026-01-02T03:04:05+0000", "machine": "x86_64", "kernel": "6.12", "user": "alice",
        "loginuid": ALICE, "session": SESSION, "target": "/run/lab/decoy", "engines": ("podmanish", "dockerish"),
        "stories": ("shadow",), "remarks": (Text("alice is {uid}.", {"uid": ALICE}),), "labd": UNSET,
    }  # fmt: skip
    return Opening(**{**values, **changes})  # type: ignore[arg-type]


def verdict(claim: str, wanted: int, check: str, evidence: int) -> Verdict:
    """A claim that held."""
    return Verdict(Text(claim), HELD, Text(str(wanted)), check=check, wanted=wanted, evidence=(evidence,))


def story(performance: Performance) -> None:
    """The shadow file, touched through both engines, with all kinds of beats."""
    perform = performance.perform
    perform(opening())
    perform(Heading(1, "shadow", Text("Who touched it?")))
    for engine, auid, ses in (("podmanish", ALICE, SESSION), ("dockerish", UNSET, UNSET)):
        perform(Say(Text("By {engine}.", {"engine": engine})))
        perform(Rules((f"-a always,exit -F path=/x -F perm=wa -F key={engine}",)))
        perform(Predict(Text("Whom will the record name?"), (Text("alice"), Text("nobody"))))
        perform(Command(f"sudo .venv/bin/{engine} run --rm -v /:/host host touch /host/run/lab/decoy"))
        number = perform(Output(f"{auid}\n"))
        perform(lineage(engine, auid, ses))
        seen = perform(record(auid, ses))
        perform(verdict(f"{engine} prints it", auid, "printed", number))
        perform(verdict(f"{engine}'s record tells", auid, "auid", seen))
    cells = ((Text("auid"), Text("alice"), Text("unset")), (Text("uid"), Text("root"), Text("root")))
    perform(Contrast(Text("Side by side"), (Text(""), Text("podmanish"), Text("dockerish")), cells, ("auid",)))
    perform(Summary((Told("shadow", Text("Who touched it?"), HELD),)))
    perform(Article((Judged("the record names the user", "true", "auid=alice"),)))
    perform(Closing(4, 0, 0, 0, 0))


def lineage(engine: str, auid: int, ses: int) -> Lineage:
    """From init to the container."""
    names = ("login", "sudo", engine, "touch") if engine == "podmanish" else ("labd", "labd-spawner", "touch")
    rest = (Process(name, 60 + at, 0, auid, ses) for at, name in enumerate(names))
    processes = (Process("init", 1, 0, UNSET, UNSET), *rest)
    return Lineage(engine, processes, 60 if engine == "podmanish" else 0, asked=engine != "podmanish")


def moments(play: Callable[[Performance], None] = story) -> list[Moment]:
    """The moments of that story."""
    audience = Collector()
    play(Performance([audience]))
    return audience.moments


def told(*beats: Beat) -> list[Moment]:
    """The moments of a performance of these beats."""

    def play(performance: Performance) -> None:
        for beat in beats:
            performance.perform(beat)

    return moments(play)


def hostile(text: str) -> tuple[Beat, ...]:
    """A run of beats with that text wherever a recording can hold one."""
    one, cells = Text(text), (Text(text), Text(text))
    bad = Verdict(one, HELD, one, remedy=text, evidence=(6, 7, 8))
    return (
        opening(user=text, machine=text, kernel=text, began=text, engines=(text,), stories=(text,), remarks=(one,)),
        Heading(1, text, one),
        Say(one),
        Rules((text,)),
        Predict(one, cells),
        Command(f"sudo podmanish run {text}"),
        Output(text, text),
        record(ALICE, SESSION, text.encode().hex().upper()),
        Evidence((text,)),
        Lineage(text, (Process(text, 1, 0, ALICE, 1), Process(text, 2, 0, ALICE, 1)), 1),
        bad,
        Contrast(one, cells, (cells,), (text,)),
        Summary((Told(text, one, HELD),)),
        Article((Judged(text, text, text),)),
        Closing(1, 0, 0, 0, 0),
    )
