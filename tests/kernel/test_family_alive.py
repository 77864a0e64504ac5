"""The family tree of real processes, from the records that the kernel wrote of them, when all of them are dead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import in_child

from lab.audit.family import CALLS, Family
from lab.audit.rules import syscalls
from lab.audit.watch import Watch
from lab.pidfd import start_time

pytestmark = pytest.mark.needs("root", "audit")

# Makes families, and prints the true line of each program that it executes: [name, pid, its forker's pid, ...].
PROGRAM = """
import json, os, subprocess, threading
from lab import syscalls

def own():  # also inside a pid namespace, /proc is the host's
    return int(os.readlink("/proc/self"))

def tell(name, *line):
    os.write(1, (json.dumps([name, *line]) + "\\n").encode())

def execute(name, *line):
    tell(name, own(), *line)
    os.execv("/bin/true", ["true", name])

def child(work, fork=os.fork):
    pid = fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid

top = own()

def orphan():
    middle = os.getpid()
    def work():
        while os.getppid() == middle:
            os.sched_yield()
        execute("orphan", middle, top)
    child(work)
here, there = os.pipe()
os.set_inheritable(there, True)  # until the orphan ends
os.waitpid(child(orphan), 0)
os.close(there)
os.read(here, 1)

def sibling():
    middle = os.getpid()
    child(lambda: execute("sibling", middle, top), syscalls.fork_sibling)
middle = child(sibling)
for _ in range(2):
    os.wait()

def first():
    middle = os.getpid()
    os.waitpid(child(lambda: execute("first", middle, top)), 0)
number = child(first)
os.waitpid(number, 0)
def other():
    middle = os.getpid()
    again = lambda: syscalls.clone3(0, set_tid=number)[0]
    os.waitpid(child(lambda: execute("again", middle, top), again), 0)
os.waitpid(child(other), 0)

def inside():
    first = own()
    os.waitpid(child(lambda: execute("inside", first, top)), 0)
os.waitpid(child(inside, lambda: syscalls.clone3(syscalls.CLONE_NEWPID)[0]), 0)

def spawn(name):
    process = subprocess.Popen(["/bin/true", name])
    process.wait()
    tell(name, process.pid, top)
spawn("spawned")
thread = threading.Thread(target=spawn, args=["from a thread"])
thread.start()
thread.join()
"""


def test_who_forked_whom(tmp_path: Path) -> None:
    """An orphan, a sibling, a pid used again, a pid namespace, vfork, a thread: none is left, and all are told."""
    output = tmp_path / "output"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    def run() -> None:
        with output.open("wb") as file:
            subprocess.run([sys.executable, "-c", PROGRAM], stdout=file, check=True, timeout=60, env=environment)

    with Watch("", rules=[syscalls(CALLS, filters=["success=1"])]) as watch:
        in_child(run)
        family = Family(watch.collect())
    truth = {name: line for name, *line in map(json.loads, output.read_text().splitlines())}
    assert list(truth) == ["orphan", "sibling", "first", "again", "inside", "spawned", "from a thread"]
    assert truth["again"][0] == truth["first"][1], "the pid was not used again"
    assert not [pid for line in truth.values() for pid in line if start_time(pid)], "one is still alive"
    for name, line in truth.items():
        (process,) = family.executing(
            ("true", name) if name not in ("spawned", "from a thread") else ("/bin/true", name)
        )
        assert [one.pid for one in family.line(process)[: len(line)]] == line, name
