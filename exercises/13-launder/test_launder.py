"""Exercise 13: the script runs in a forked container, once under a rule on the file, once under the student's rule."""

import sys
from collections.abc import Sequence
from pathlib import Path

from lab.audit.records import Event
from lab.audit.rules import Rule
from lab.audit.watch import Watch
from lab.identity import UNSET, name_of
from scenarios.classroom.lessons import Work, teach
from scenarios.classroom.plugin import KeepRecords, KernelSaid
from scenarios.classroom.rules import rule_in
from scenarios.needs import installed
from scenarios.performance.text import message
from scenarios.stage.engines import FORK
from scenarios.stage.stage import Stage

BUS, SYSTEMD = Path("/run/dbus/system_bus_socket"), Path("/run/systemd/system")
PROGRAMS = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"


def systemd_answers() -> bool:
    """Whether pid 1 is a systemd that can be asked through D-Bus."""
    return SYSTEMD.is_dir() and BUS.exists() and bool(installed("systemd-run"))


def door(stage: Stage) -> str:
    """The socket of a service that writes for whoever asks: pid 1's if that is systemd, else labd's."""
    return str(BUS) if systemd_answers() else stage.daemon.path


def launder(work: Work, stage: Stage, rules: Sequence[Rule] | None = None) -> tuple[Sequence[Event], str]:
    """Run inside.sh in a container; the events that these rules leave, and what the script said at last."""
    script = work.read("inside.sh")
    names = {"WATCHED": stage.target, "DOOR": door(stage), "PATH": PROGRAMS}
    options = [word for name, value in names.items() for word in ("-e", f"{name}={value}")]
    with Watch(stage.target, journal=stage.journal, rules=rules) as watch:
        outcome = stage.quiet(*stage.engine(FORK).run(("sh", "-c", script), "-v", "/:/host", *options))
        last = outcome.stderr.strip().rpartition("\n")[2]
        quoted = f'"{last}"'  # what a program has printed is not translated
        said = message(f"inside.sh says: {quoted}") if last else message("inside.sh ended without an error")
        return watch.collect(), said


def named(event: Event) -> str:
    """Whom the record names."""
    return f"auid={name_of(event.auid)}"


def test_somebody_is_there_to_ask(work: Work) -> None:
    """Before anything is set up: a script that asks systemd alone is told where there is none."""
    code = [line for line in work.read("inside.sh").splitlines() if not line.lstrip().startswith("#")]
    only_systemd = any("systemd-run" in line for line in code) and not any("dockerish" in line for line in code)
    first = Path("/proc/1/comm").read_text().strip()
    seen = f"it asks systemd by systemd-run; pid 1 is {first}, and $DOOR is labd's"
    look = "dockerish asks labd. To ask systemd, take the lab's own machine: `vagrant up`, then `vagrant ssh`"
    expected = "inside.sh asks a service that is here"
    teach(systemd_answers() or not only_systemd, expected=expected, seen=seen, look=look, whole=True)


def test_the_write_names_nobody(work: Work, stage: Stage, keep_records: KeepRecords, kernel_said: KernelSaid) -> None:
    """Under a rule on the file."""
    found, said = launder(work, stage)
    written = [event for event in found if event.success]
    look = "inside.sh: who on the host writes for you, if you ask? docs/stories/launder.md"
    teach(bool(written), expected="a record of a write to $WATCHED", seen=f"no record of a write; {said}", look=look)
    own = [event for event in written if event.auid != UNSET]
    seen = f"{named(own[0])}: the container itself wrote, and it was forked" if own else ""
    teach(not own, expected="the record of the write names nobody: auid=unset", seen=seen, look=look)
    kernel_said("write", "nobody")
    keep_records("the write", stage.target, written)


def test_the_rule_names_you(work: Work, stage: Stage, keep_records: KeepRecords) -> None:
    """Under the student's rule."""
    asked = door(stage)
    found, said = launder(work, stage, [rule_in(work, stage.target, door=asked)])
    yours = [event for event in found if event.auid == stage.user_id]
    seen = f"{named(found[0])}, comm={found[0].comm}" if found else f"your rule has left no record; {said}"
    look = "what did your container do itself, at $DOOR, by which system call? -p knows only some of them"
    teach(bool(yours), expected=f"a record that names you: auid={stage.user}", seen=seen, look=look)
    keep_records("the asking", asked, yours)
