"""docs/zero.py and its three experiments, typed as docs/student.md has them. Each login is a throw-away child."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support import CHECKOUT, lab_python

from lab.identity import UNSET
from scenarios.props.systemd import Systemd
from scenarios.safety.journal import Journal

pytestmark = pytest.mark.needs("root", "audit", "sudo")

ZERO = CHECKOUT / "docs/zero.py"
STUDENT = (CHECKOUT / "docs/student.md").read_text()
USER, WRITTEN = 3267, 4242
AS = """
import os, sys
from lab.identity import loginuid, set_loginuid
wanted = int(sys.argv[1])
if loginuid() != wanted:
    set_loginuid(wanted)
os.chdir(sys.argv[2])
os.execvp(sys.argv[3], sys.argv[3:])
"""
SHOW = "sudo python3 docs/zero.py cat /proc/self/loginuid"
SERVE = "docs/zero.py --serve /run/zero"
MAKE = "mkfifo -m 600 /run/zero"
START = 'systemd-run --pipe --unit=zero python3 "$PWD/docs/zero.py" --serve /run/zero'
END = "systemctl stop zero"
ASK = "echo cat /proc/self/loginuid | sudo tee /run/zero"


def typed(command: str, uid: int = USER, where: Path = CHECKOUT) -> str:
    """What a shell line prints whose shell has this loginuid."""
    return lab_python(AS, str(uid), str(where), "sh", "-c", command)


def seen(output: str) -> list[int]:
    """The loginuid outside and inside, as zero.py tells them, and what the command itself printed."""
    outside, inside, *rest = (line for line in output.splitlines() if line)
    assert outside.startswith("outside"), output
    assert inside.startswith("inside"), output
    return [int(line.split()[-1]) for line in (outside, inside, *rest)]


def test_it_fits_on_a_page() -> None:
    """Level 0 has forty statements at most, without docstrings, and imports the standard library only."""
    nodes = [node for node in ast.walk(ast.parse(ZERO.read_text())) if isinstance(node, ast.stmt)]
    docstrings = [node for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    assert len(nodes) - len(docstrings) <= 40
    assert {name.split(".")[0] for name in imported(nodes)} <= sys.stdlib_module_names


def imported(nodes: Sequence[ast.stmt]) -> Iterator[str]:
    """The names of the modules that these statements import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_the_container_has_a_world_of_its_own() -> None:
    """The command is pid 1, sees its own /proc alone, and has another host name; outside nothing has changed."""
    name, mounts = os.uname().nodename, Path("/proc/self/mountinfo").read_text()
    told = subprocess.run(
        [sys.executable, ZERO, "sh", "-c", "echo $$ $(cat /proc/sys/kernel/hostname) /proc/[0-9]*; exit 7"],
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert told.returncode == 7
    assert told.stdout.splitlines()[-1].startswith("1 zero /proc/1")
    assert f"/proc/{os.getpid()}" not in told.stdout
    assert (os.uname().nodename, Path("/proc/self/mountinfo").read_text()) == (name, mounts)


def test_experiment_1_a_fork_inherits() -> None:
    """Run from a login, through sudo: the container's loginuid is the login's."""
    assert SHOW in STUDENT
    assert seen(typed(SHOW)) == [USER, USER, USER]


@pytest.mark.parametrize("starter", [UNSET, 7])
def test_experiment_2_a_request_carries_no_loginuid(tmp_path: Path, starter: int) -> None:
    """A user writes a line into a daemon's FIFO: the container has the loginuid of who started the daemon."""
    assert SERVE in STUDENT
    assert ASK in STUDENT
    fifo = tmp_path / "zero"
    os.mkfifo(fifo, 0o600)
    words = f"python3 {SERVE}".replace("/run/zero", str(fifo)).split()
    daemon = start(words, starter)
    try:
        typed(ASK.replace("/run/zero", str(fifo)))
        assert daemon.stdout is not None
        told = daemon.stdout.readline() + daemon.stdout.readline()
        assert seen(told + daemon.stdout.read(len(str(starter)))) == [starter] * 3  # cat adds no end of line
    finally:
        daemon.kill()
        daemon.communicate()


def start(words: Sequence[str], uid: int) -> subprocess.Popen[str]:
    """A process in the checkout that has this loginuid; its output is a pipe."""
    code = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n{AS}"
    return subprocess.Popen(
        [sys.executable, "-ISc", code, str(uid), str(CHECKOUT), *words], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.needs("systemd-nspawn")
def test_experiment_2_as_systemd_plays_it(short_place: Path) -> None:
    """Word for word on a real systemd, which forks the daemon: the container has no loginuid. The unit can end."""
    for command in (MAKE, START, END):
        assert f"sudo {command}" in STUDENT, command
    with Journal(short_place) as journal, Systemd(journal) as systemd:

        def words(command: str) -> list[str]:
            return [*systemd.enter, "sh", "-c", f"cd '{CHECKOUT}'; {command}"]

        subprocess.run(words(MAKE), check=True, timeout=20)
        with subprocess.Popen(words(START), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as daemon:
            assert daemon.stdout is not None
            told = daemon.stdout.readline()
            subprocess.run(words(ASK), check=True, timeout=20, stdout=subprocess.DEVNULL)
            told += daemon.stdout.readline() + daemon.stdout.read(len(str(UNSET)))
            subprocess.run(words(END), check=True, timeout=20)
    assert seen(told) == [UNSET] * 3


@pytest.mark.parametrize("starter", [USER, UNSET])
def test_experiment_3_root_may_write_anything(tmp_path: Path, starter: int) -> None:
    """With the line of experiment 3 in force the command runs under a loginuid that nobody logged in with."""
    line = next(line for line in ZERO.read_text().splitlines() if "# experiment 3" in line)
    assert line.strip() in STUDENT
    changed = ZERO.read_text().replace(line, line.replace("# ", "", 1))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/zero.py").write_text(changed)
    assert seen(typed(SHOW, starter, tmp_path)) == [starter, WRITTEN, WRITTEN]
