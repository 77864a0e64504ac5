"""Several trials in one container: none finds what an earlier one has left, and none can forge what is noted of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scenarios.classroom.cell import Cell, Task, Trial
from scenarios.classroom.exercise import Exercise, find

pytestmark = pytest.mark.needs("root", "cgroups", "unshare")

SCRIPT = """
from scenarios.classroom.trials import inside

def faults():
    code, output = inside.run(["sh", "-c", (inside.WORK / "x.sh").read_text()])
    return [f"end: {code}", *output.splitlines()]
"""
LOOK = """
ls -A /tmp /dev/shm /dev/mqueue
tail -qn +2 /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg /proc/net/unix /proc/net/tcp /proc/net/tcp6
set -- /proc/[0-9]*
echo $# $(ulimit -n) $(nice) $(grep Cpus_allowed_list /proc/self/status) $(ionice) $(chrt -p $$ | grep -o 'SCHED.*')
"""
SOCKET = "import socket; s = socket.socket(socket.AF_UNIX); s.bind('\\0trial'); s.listen()"
CONNECTION = """
with socket.create_server(('127.0.0.1', 0)) as listener, socket.create_connection(listener.getsockname()) as one:
    listener.accept()[0].close()
"""
FLIGHT = """
a, b = socket.socketpair()
for one, other in ((a, b), (b, a)):
    socket.send_fds(one, [b'x'], [a.fileno(), b.fileno(), s.fileno()])
"""
LEAVES = {
    "a process": "setsid sleep 1000 & echo done",
    "a deaf process of a double fork": "(trap '' TERM HUP; setsid sh -c 'trap \"\" TERM; sleep 1000' & ) & echo done",
    "a file": "echo 1000 >/tmp/answer; echo done",
    "a hidden directory that nobody may enter": "mkdir -p /tmp/.x/y; chmod 0 /tmp/.x; echo done",
    "deep directories": "cd /tmp; i=0; while [ $i -lt 300 ]; do mkdir d && cd d; i=$((i + 1)); done; echo done",
    "shared memory": "echo 1000 >/dev/shm/answer; echo done",
    "a message queue": "echo >/dev/mqueue/answer; ls /dev/mqueue | grep -q answer && echo done",
    "System V shared memory": "ipcmk -M 4096 >/dev/null && echo done",
    "System V semaphores": "ipcmk -S 3 >/dev/null && echo done",
    "a System V queue": "ipcmk -Q >/dev/null && echo done",
    "a socket": f'python3 -c "{SOCKET}; import time; time.sleep(1000)" & echo done',
    "a socket in flight": f'python3 -c "{SOCKET}{FLIGHT}"; echo done',
    "a connection that has ended": f'python3 -c "import socket{CONNECTION}"; echo done',
    "other limits for its judge": "prlimit --pid 1 --nofile=64:64 && echo done",
    "a patient judge": "renice -n 19 -p 1 >/dev/null && echo done",
    "a judge that waits for the disk": "ionice -c 3 -p 1 && echo done",
    "a judge that has another policy": "chrt -b -p 0 1 && echo done",
}  # fmt: skip
NEVER = "import os, sys, ctypes, glob, gc, struct\n"
NOTE = "1\\t1\\tunshare\\t738328576\\n"
FORGERIES = {
    "it writes notes to every descriptor": f"""
for fd in range(3, 128):
    try: os.write(fd, b"{NOTE}")
    except OSError: pass""",
    "it writes to its judge's memory and descriptors": """
for path in ("/proc/1/mem", *(f"/proc/1/fd/{n}" for n in range(20))):
    try: open(path, "r+b").write(b"x")
    except OSError: pass""",
    "it looks for notes in its modules and frames": """
for name, module in [*sys.modules.items()]:
    if "trial" in name or "inside" in name: module.calls = module.finish = None
for thing in gc.get_objects():
    if type(thing).__name__ in ("Call", "Tracer"): thing.calls = ()
frame = sys._getframe()
while frame.f_back: frame = frame.f_back
frame.f_locals["calls"] = frame.f_globals["calls"] = ()""",
    "it traces its judge": "ctypes.CDLL(None).ptrace(16, 1, 0, 0); ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)",
    "it sends itself the signal of a note": """
call = 272 if os.uname().machine == "x86_64" else 97
info = struct.pack("=iiiiQiI", 31, 0, 1, 0, 0, call, 0xc000003e).ljust(128, b"\\0")
ctypes.CDLL(None).syscall(129 if call == 272 else 138, os.getpid(), 31, info)""",
    "it says that it has begun": 'print("in: 1"); sys.exit(7)',
    "it leaves with the judge's status": "os._exit(40)",
}


@pytest.fixture(scope="module")
def place() -> Iterator[Cell]:
    """Where trials run."""
    with Cell() as one:
        yield one


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trial that says what x.sh has printed."""
    program = tmp_path_factory.mktemp("script") / "trial_script.py"
    program.write_text(SCRIPT)
    return program


@pytest.fixture(scope="module")
def found(place: Cell, script: Path) -> dict[str, tuple[Trial, ...]]:
    """What came of a script that leaves something, and of one after it that looks; "nothing" leaves nothing."""
    leaves = {"nothing": "echo done", **LEAVES}
    with ThreadPoolExecutor(2) as pool:
        trials = pool.map(
            lambda text: tuple(place.run([(script, {"x.sh": text}), (script, {"x.sh": LOOK})])), leaves.values()
        )
        return dict(zip(leaves, trials, strict=True))


@pytest.mark.parametrize("what", LEAVES)
def test_a_trial_finds_nothing_of_an_earlier_one(found: dict[str, tuple[Trial, ...]], what: str) -> None:
    """Neither file, nor process, socket or object of IPC; and its judge is as it was."""
    left, looked = found[what]
    assert left.faults[-1] == "done"
    assert looked == found["nothing"][1]


def test_clean_trials_share_a_container(place: Cell, script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container for a hand-in, and another one only after a trial that has left something."""
    sizes: list[int] = []
    one_more = place._container

    def noted(tasks: Sequence[Task]) -> list[Trial]:
        sizes.append(len(tasks))
        return one_more(tasks)

    monkeypatch.setattr(place, "_container", noted)
    texts = ["echo 1", ": >/tmp/x", "echo 3", "echo 4"]
    trials = place.run([(script, {"x.sh": text}) for text in texts])
    assert [trial.faults[1:] for trial in trials] == [("1",), (), ("3",), ("4",)]
    assert sizes == [4, 2]


def code(one: Exercise, **others: str) -> tuple[Path, dict[str, str]]:
    """The trial of an exercise, with its solution but for these files."""
    files = {name: data.decode() for name, data in one.solution().items()}
    return one.trial, files | {name.replace("_py", ".py"): text for name, text in others.items()}


def test_exercise_0_does_not_help_exercise_12(place: Cell) -> None:
    """What container.py leaves, with the right answers in it, is gone when caller.py is asked, and harms nothing."""
    zero, twelve = find("0"), find("12")
    trap = f"""
import os, socket, time
open("/tmp/answers", "w").write("None")
open("/dev/shm/answers", "w").write("None")
if os.fork() == 0:
    os.setsid()
    {SOCKET}
    time.sleep(1000)
"""
    leaving = code(zero, container_py=trap + code(zero)[1]["container.py"])
    cheat = "def who_asks(connection):\n    return open('/tmp/answers').read()\n"
    first, right = place.run([leaving, code(twelve)])
    assert (first.ran, right) == (True, Trial(True))
    wrong = place.run([leaving, code(twelve, caller_py=cheat)])[1]
    assert wrong.faults and all("'nothing'" in fault or "FileNotFound" in fault for fault in wrong.faults)


def test_a_caller_that_is_counted(place: Cell) -> None:
    """caller.py keeps a count in a file to answer as the trial's order was: that is a fault."""
    counting = """
import os
def who_asks(connection):
    number = len(os.listdir("/tmp"))
    open(f"/tmp/{number}", "w").close()
    return int(open("/proc/self/loginuid").read()) if number == 0 else None
"""
    faults = place.run([code(find("12"), caller_py=counting)])[0].faults
    assert faults[-1].startswith("caller.py leaves a file in /tmp")


PEER = """
import os, socket, struct
def who_asks(connection):
    pid = struct.unpack("iii", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    try: loginuid = int(open(f"/proc/{pid}/loginuid").read())
    except OSError: return None
"""


@pytest.mark.parametrize("way", ["os.getpid() - pid > 1", "open(f'/proc/{pid}/task/{pid}/children').read()"])
def test_a_caller_that_is_guessed(place: Cell, way: str) -> None:
    """caller.py does not ask the kernel who has sent: neither pids nor children tell whether a child did."""
    faults = place.run([code(find("12"), caller_py=f"{PEER}    return None if {way} else loginuid\n")])[0].faults
    assert faults and faults[0].startswith("of a caller that stays who_asks() says 'None'")


def test_a_judge_that_can_open_nothing(place: Cell) -> None:
    """Whoever takes its descriptors away harms the own trial alone; the next one is judged."""
    one = find("1")
    harming = {"own.sh": "prlimit --pid 1 --nofile=0:0"}
    harm, honest = place.run([(one.trial, harming), code(one)])
    assert (harm.faults, honest) == (("its trial ended with OSError",), Trial(True))


def test_a_name_that_is_no_text(place: Cell) -> None:
    """A process may have any bytes as its name: its calls are noted."""
    named = "import ctypes\nctypes.CDLL(None).prctl(15, b'a\\x1cb\\xff', 0, 0, 0)\n"
    right = code(find("0"))[1]["container.py"]
    assert place.run([code(find("0"), container_py=named + right)]) == [Trial(True)]


@pytest.fixture(scope="module")
def forged(place: Cell) -> dict[str, Trial]:
    """What came of code that forges notes, all in one hand-in."""
    tasks = [code(find("0"), container_py=NEVER + text) for text in FORGERIES.values()]
    return dict(zip(FORGERIES, place.run(tasks), strict=True))


@pytest.mark.parametrize("way", FORGERIES)
def test_exercise_0_cannot_forge_its_notes(forged: dict[str, Trial], way: str) -> None:
    """Only the kernel says which calls were made; this code makes none."""
    assert forged[way] == Trial(True, ("it does not call unshare",))


def test_calls_are_noted_however_they_are_made(place: Cell) -> None:
    """By syscall(2), from a thread, and by a program of another language: the C library is not what notes them."""
    direct = (
        code(find("0"))[1]["container.py"]
        .replace("call(libc.unshare, ", "assert libc.syscall(272 if os.uname().machine == 'x86_64' else 97, ")
        .replace("CLONE_NEWPID)", "CLONE_NEWPID) == 0", 1)
    )
    assert "libc.syscall" in direct
    assert place.run([code(find("0"), container_py=direct)]) == [Trial(True)]


BOMBS = {
    "forks": "while True:\n    try: os.fork()\n    except OSError: pass",
    "wakes its tracer": "while True: os.kill(1, 17)",
    "stops itself": "while True: os.kill(0, 19)",
    "asks for ever": "while True: ctypes.CDLL(None).unshare(0)",
    "threads": "import threading\nwhile True:\n    try: threading.Thread(target=lambda: os.kill(1, 2)).start()\n"
    "    except RuntimeError: pass",
    "has a long command": "os.execv('/bin/true', ['x' * 100] * 1000 + [chr(27) + '[2J'])",
    "says escapes": "[print('\\x1b[2J\\u202e=cmd|x', flush=True) for _ in range(100000)]",
}


def test_a_bomb_that_is_traced_costs_its_own_trial(place: Cell, tmp_path: Path) -> None:
    """It ends in time, in one short line that can be printed, and the trial after it is judged."""
    zero = find("0")
    program = tmp_path / "trial_short.py"
    program.write_text(zero.trial.read_text() + "\ninside.SECONDS = 1\n")
    tasks = [(program, {"container.py": NEVER + text}) for text in BOMBS.values()]
    with ThreadPoolExecutor(2) as pool:
        trials = [*pool.map(lambda task: place.run([task, code(zero)]), tasks)]
    for bomb, (harm, honest) in zip(BOMBS, trials, strict=True):
        assert harm.faults and all(fault.isprintable() and len(fault) < 200 for fault in harm.faults), bomb
        assert honest == Trial(True), bomb


def test_a_machine_that_lets_nobody_trace_is_no_fault(place: Cell, tmp_path: Path) -> None:
    """Then exercise 0 was not run, and the reason is told."""
    program = tmp_path / "trial_blind.py"
    refused = "\nfrom scenarios.classroom.trials import tracing\ntracing.TRACEME = 9999\n"
    program.write_text(find("0").trial.read_text() + refused)
    assert place.run([(program, code(find("0"))[1])])[0] == Trial(
        False, ("no program can be traced here: see kernel.yama.ptrace_scope",)
    )
