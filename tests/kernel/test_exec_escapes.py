"""exec into a hostile container, which stops, traces and searches every process that appears in it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from private_labd import Labd
from support import CHECKOUT, Podmanish, lab_python

pytestmark = pytest.mark.needs("root")

PYTHON = ("/usr/bin/python3", "-ISc")
# Stops each process that appears and writes down where its descriptors lead.
SEARCH = """
import os, signal, time
known, found, end = set(os.listdir("/proc")), set(), time.monotonic() + 4
while time.monotonic() < end:
    for name in set(os.listdir("/proc")) - known:
        try:
            os.kill(int(name), signal.SIGSTOP)
            links = {os.readlink(f"/proc/{name}/fd/{fd}").partition(":")[0] for fd in os.listdir(f"/proc/{name}/fd")}
            if int(open(f"/proc/{name}/stat").read().rpartition(")")[2].split()[6]) & 0x40:  # it has not exec'ed yet
                found |= links
            os.kill(int(name), signal.SIGCONT)
        except (OSError, ValueError):
            pass
print(*sorted(found))
"""


@pytest.mark.parametrize("options", [[], ["-t"], ["-i"]], ids=" ".join)
def test_a_stopped_exec_holds_no_descriptor_of_the_hosts(podmanish: Podmanish, options: list[str]) -> None:
    """Not the host's /proc, not the caller's terminal or files: CAP_SYS_PTRACE could take any (CVE-2016-9962)."""
    podmanish.output("run", "-d", "--name", "box", "--cap-add", "SYS_PTRACE", "host", "sleep", "60")
    search = podmanish.start("exec", "box", *PYTHON, SEARCH)
    while search.poll() is None:
        podmanish("exec", *options, "box", "true")
    found = set(search.communicate()[0].decode().split())
    assert "pipe" in found and found <= {"pipe", "/dev/null", "/dev/pts/0", "/dev/pts/1"}, found


def test_nor_one_of_the_daemons(labd: Labd) -> None:
    """The spawner's socket to labd and its pidfds of other containers are closed before a process enters one."""
    labd.dockerish("run", "-d", "--name", "box", "--cap-add", "SYS_PTRACE", "host", *PYTHON, SEARCH)
    for _ in range(10):
        labd.dockerish("exec", "box", "true")
    labd.dockerish("wait", "box")
    found = set(labd.dockerish("logs", "box").stdout.decode().split())
    labd.dockerish("rm", "-f", "box")
    assert "pipe" in found and found <= {"pipe", "/dev/null"}, found


STOP = """
import os, signal
known = set(os.listdir("/proc"))
print("ready", flush=True)
while True:
    for name in set(os.listdir("/proc")) - known:
        try:
            os.kill(int(name), signal.SIGSTOP)
        except (OSError, ValueError):
            pass
"""
# PTRACE_SEIZE of each process that appears, without ever a wait(2) for it.
TRACE = """
import ctypes, os, time
known, seized = set(os.listdir("/proc")), set()
ptrace = ctypes.CDLL(None).ptrace
ptrace.argtypes = (ctypes.c_long,) * 4
print("ready", flush=True)
while True:
    for name in set(os.listdir("/proc")) - known - seized:
        if name.isdecimal() and ptrace(0x4206, int(name), 0, 0) == 0:
            seized.add(name)
"""


@pytest.mark.parametrize(("attack", "command"), [(STOP, "sleep 5"), (TRACE, "sleep 0.3")], ids=["stop", "trace"])
def test_a_container_holds_up_its_own_execs_only(new_labd: Callable[..., Labd], attack: str, command: str) -> None:
    """A default container may stop or trace what is exec'ed in it; labd goes on to start and end all others."""
    labd = new_labd()
    labd.dockerish("run", "-d", "--name", "box", "host", *PYTHON, attack)
    while b"ready" not in labd.dockerish("logs", "box").stdout:
        time.sleep(0.05)
    client = [sys.executable, "-m", "client.cli", "exec", "box", *command.split()]
    with subprocess.Popen(client, env=labd.env, cwd=CHECKOUT, stdin=subprocess.DEVNULL) as held:
        try:
            time.sleep(1.5)
            assert held.poll() is None
            assert labd.dockerish("run", "--rm", "host", "echo", "on", timeout=10).stdout == b"on\n"
            assert labd.dockerish("rm", "-f", "box", timeout=20).returncode == 0
            held.wait(10)  # a traced command may have ended by itself
        finally:
            held.kill()


LATE = """
import sys, time
from lab.forker import cli
from lab.runtime import rootfs
honest = rootfs.enter
def late(spec, given):
    time.sleep(1)
    honest(spec, given)
rootfs.enter = late
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("options", [[], ["--init"]], ids=" ".join)
def test_exec_waits_for_the_containers_root(podmanish: Podmanish, options: list[str]) -> None:
    """A container that is listed as running may still be building its root; until it has one, `/` is the host's."""
    code = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n{LATE}"
    words = ["--root", str(podmanish.root), "run", *options, "--name", "box", "host", "sleep", "60"]
    with subprocess.Popen([sys.executable, "-ISc", code, *words], stdin=subprocess.DEVNULL) as run:
        while podmanish("exec", "box", "true").returncode == 125 and run.poll() is None:
            time.sleep(0.01)
        shown = podmanish.output("exec", "box", "ls", "/run")
        podmanish.output("rm", "-f", "box")
    assert shown == ""


STOPPED = """
import os, signal, sys, time
from lab import runtime
from lab.errors import CannotStart
from lab.runtime import child, link
from lab.spec import Spec
box = runtime.spawn(Spec(args=["sleep", "60"], env={"PATH": "/usr/bin:/bin"}))
honest_fork, honest_report = child.syscalls.fork_sibling, link.Link.report_failure
def fork():
    pid = honest_fork()
    if pid == 0 and sys.argv[1] == "birth":
        os.kill(os.getpid(), signal.SIGSTOP)
    return pid
def report(self, failure):
    honest_report(self, failure)
    os.kill(os.getpid(), signal.SIGSTOP)
child.syscalls.fork_sibling, link.Link.report_failure = fork, report
began, steps = time.monotonic(), runtime.starting_into(box.pidfd, Spec(args=["no-such-program"]))
try:
    next(steps)
    next(steps)
    if sys.argv[1] == "report":
        time.sleep(1)
        next(steps)
except CannotStart as error:
    print(error.message)
print(time.monotonic() - began < 5)
os.kill(box.pid, signal.SIGKILL)
"""


@pytest.mark.parametrize("where", ["birth", "report"])
def test_no_step_of_exec_waits_for_a_stopped_process(where: str) -> None:
    """No step waits for a process that was stopped at its birth, or after it had reported its failure."""
    told = {"birth": [], "report": ['exec: "no-such-program": executable file not found in $PATH']}[where]
    assert lab_python(STOPPED, where).splitlines() == [*told, "True"]
