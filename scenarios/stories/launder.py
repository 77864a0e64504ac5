"""Laundering: a forked container lets somebody write whom no login has forked, and the record names nobody."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.audit.records import Event
from lab.audit.rules import Rule, syscalls, watch
from lab.audit.watch import Watch
from lab.errors import MissingFeature
from lab.identity import UNSET, name_of
from scenarios import needs
from scenarios.needs import CannotTell
from scenarios.performance.beats import Busy
from scenarios.performance.text import Text, message
from scenarios.props.real_engines import docker_socket
from scenarios.props.systemd import Systemd
from scenarios.safety import guest
from scenarios.stage.engines import DAEMON, FORK, Engine, absolute
from scenarios.stage.report import Outcome, whom
from scenarios.stage.stage import Stage

NAME = "launder"
TITLE = "Laundering: let another write"
CONNECT = ("connect",)
ASK_SYSTEMD = ("systemd-run", "-q", "--wait")
BUS = "run/dbus/system_bus_socket"
HOST = ("-v", "/:/host")
SEGV = 128 + 11
HELPER_SECONDS, CRON_SECONDS = 10, 75
ANOM_ABEND = 1701  # a signal that dumps core has ended a process; audit_core_dumps(), kernel/auditsc.c


@dataclass(frozen=True)
class Way:
    """A writer that can be asked for a write to the file, and the rule that sees the asking."""

    who: Text
    file: str
    rule: str
    rules: list[Rule]
    auid: int = UNSET
    seconds: float = 0


@dataclass(frozen=True)
class Row:
    """Who wrote, and the event of the write; the other rule, and the event of the asking; all events meanwhile."""

    who: Text
    write: Event | None
    rule: str = ""
    asking: Event | None = None
    events: Sequence[Event] = ()


def play(stage: Stage) -> None:
    card: list[Row] = [itself(stage, fork) for fork in stage.each(FORK)]
    for fork in stage.each(FORK):
        card += [through_the_daemon(stage, fork, daemon) for daemon in stage.each(DAEMON)]
    if not guest.LAB_MACHINE.exists():
        stage.say(
            "cron and core_pattern launder, too, but change a whole machine: the lab shows them in its guest only."
        )
    card += through_systemd(stage)
    if guest.LAB_MACHINE.exists():
        card += [through_the_kernel(stage), *through_cron(stage)]
    rows = [(row.who, whom(row.write)[0], row.rule, whom(row.asking)[0] if row.rule else "") for row in card]
    stage.contrast("Whom do the records name?", ["who writes", "the write", "a rule on", "names"], rows)


def itself(stage: Stage, fork: Engine) -> Row:
    stage.say("A forked container writes to the file. No --privileged in this story: the mount is enough.")
    stage.ask("Whom does the record name?", stage.user, "nobody")
    with stage.watch([watch(stage.target)]) as writes:
        stage.run(fork, ("chroot", "/host", "touch", stage.target), *HOST)
        write = stage.witness(writes)
        stage.names(write, stage.user_id, "{engine} forks: the record names {user}", engine=fork.name, user=stage.user)
    return Row(Text("{engine}'s workload", {"engine": fork.name}), write)


def through_the_daemon(stage: Stage, fork: Engine, daemon: Engine) -> Row:
    stage.say("The same forked container finds a daemon's socket on the host, and lets the daemon write.")
    stage.ask("The container was forked. Whom does the record of the write name?", stage.user, "nobody")
    words = [*absolute(daemon), *daemon.run(("touch", f"/host{stage.target}"), *HOST)[len(daemon.command()) :]]
    socket = stage.daemon.path if daemon == stage.engines[DAEMON] else docker_socket()
    rules = [syscalls(CONNECT, filters=[f"path={socket}"])]
    way = Way(Text("{engine}'s daemon", {"engine": daemon.name}), stage.target, message("its socket"), rules)
    return laundered(stage, way, lambda: stage.run(fork, ("chroot", "/host", *words), *HOST))


def through_systemd(stage: Stage) -> list[Row]:
    """By D-Bus: systemd's own socket is for clients that see pid 1 in their pid namespace, and a container does not."""
    who, fork = Text("systemd, asked by systemd-run"), stage.engine(FORK)
    workload = ("chroot", "/host", *ASK_SYSTEMD, "touch", stage.target)
    try:
        with Systemd(stage.journal) as systemd:
            bus = systemd.root / BUS
            if not bus.exists():
                raise MissingFeature(f"no D-Bus listens on /{BUS}", needs.install(["dbus-daemon"]))
            if systemd.booted_here:
                stage.say("So does pid 1, if it is systemd. Here one was booted in a container, with such a file.")
            stage.ask("systemd runs a service that writes. Whom does the record name?", stage.user, "nobody")
            rules = [syscalls(CONNECT, filters=[f"path={bus}"])]
            way = Way(who, systemd.file(stage.target), message("D-Bus's socket"), rules)
            words = [*systemd.enter, *absolute(fork), "run", "--rm", *HOST, fork.image, *workload]
            return [laundered(stage, way, lambda: stage.shell(*words))]
    except MissingFeature as error:
        stage.unknown("{who}: the record names nobody", error.message, error.hint, lacking=True, who=who)
        return []


def through_the_kernel(stage: Stage) -> Row:
    """The kernel runs core_pattern's program as root for each crash, and no login has forked the kernel; core(5)."""
    was, now = guest.core_pattern(), f"{guest.HELPER}{stage.target}"
    stage.say("The workload names a program for crashes in the kernel's core_pattern, and crashes.")
    stage.ask("The kernel runs it. Whom does the record of the write name?", stage.user, "nobody")
    crash = f'echo "{now}" > /host{guest.CORE_PATTERN}; kill -SEGV $$'
    words = stage.engine(FORK).run(("sh", "-c", crash), "--init", *HOST)  # pid 1 would survive its own signal
    rules = [watch(str(guest.CORE_PATTERN))]
    way = Way(Text("the kernel, by core_pattern"), stage.target, "core_pattern", rules, seconds=HELPER_SECONDS)
    stage.journal.note(guest.CORE, was=was, now=now)
    try:
        row = laundered(stage, way, lambda: stage.shell(*words, answers=[SEGV]))
    finally:
        guest.restore_core_pattern(was, now)
    crashed = [event for event in row.events if event.of_type(ANOM_ABEND)][:1]
    for event in crashed:
        stage.show_records(event)
    claim = "the crash itself leaves a record without any rule: it names {user}"
    stage.names(crashed[0] if crashed else None, stage.user_id, claim, user=stage.user)
    return row


def through_cron(stage: Stage) -> list[Row]:
    """cron's PAM stack has pam_loginuid, so that the record even names somebody else: the owner of the job.

    The job removes its file, which would outlive a boot.
    """
    who, path = Text("cron, by a file in /etc/cron.d"), guest.CRON / f"lab-{os.urandom(4).hex()}"
    if not Path("/run/crond.pid").exists():
        stage.unknown(
            "{who}: the record names root", "no cron runs here", needs.install(["cron"]), lacking=True, who=who
        )
        return []
    stage.say(
        "The workload writes a job for root into /etc/cron.d. "
        "cron looks there once a minute, so that may take a minute."
    )
    stage.ask("Whom does the record of the write name?", stage.user, "nobody", "root")
    write = f"echo '* * * * * root touch {stage.target}; rm {path}' > /host{path}"
    way = Way(who, stage.target, str(guest.CRON), [watch(str(guest.CRON))], auid=0, seconds=CRON_SECONDS)
    stage.journal.note(guest.CRONTAB, path=str(path))
    try:
        return [laundered(stage, way, lambda: stage.run(stage.engine(FORK), ("sh", "-c", write), *HOST))]
    finally:
        guest.remove_crontab(str(path))


def laundered(stage: Stage, way: Way, ask: Callable[[], Outcome]) -> Row:
    """Ask for the write: its record names nobody, or the wrong one; the record of the asking names the user."""
    with stage.watch([watch(way.file)]) as writes, stage.watch(way.rules) as askings:
        ask()
        write = awaited(stage, writes, way.seconds) if way.seconds else stage.witness(writes)
        name = Text("nobody") if way.auid == UNSET else name_of(way.auid)
        stage.names(write, way.auid, "{who}: the record names {name}", who=way.who, name=name)
        asking = stage.witness(askings)
        stage.names(asking, stage.user_id, "a rule on {rule} names {user}", rule=way.rule, user=stage.user)
    return Row(way.who, write, way.rule, asking, writes.events)


def awaited(stage: Stage, watching: Watch, seconds: float) -> Event:
    """The event of a write that comes later. Raises CannotTell if none comes in time."""
    stage.performance.perform(Busy(Text("waiting for the write")))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for event in watching.collect():
            stage.show_records(event)
            return event
        time.sleep(0.2)
    raise CannotTell(f"nobody has written to {watching.path} within {seconds:g} s", "run this again")
