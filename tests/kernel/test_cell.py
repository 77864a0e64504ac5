"""A student's code in the grader's container: what it may not do, what it cannot reach, and what it leaves behind."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scenarios.classroom import cell, classes, grading, sealing
from scenarios.classroom.cell import STRANGER, Cell, Trial
from scenarios.classroom.exercise import Exercise, every

pytestmark = pytest.mark.needs("root", "cgroups", "unshare")

LAB = Path(sys.executable).with_name("lab")
EVERY = every()
TRIED = [one for one in EVERY if one.about.trial]
# A trial that says what a script of the student's has printed, after `end:` and its exit status.
ECHO = """
from scenarios.classroom.trials import inside

def faults():
    inside.SECONDS = 2
    code, output = inside.run(["sh", "-c", (inside.WORK / "x.sh").read_text()])
    return [f"end: {code}", *output.splitlines()]
"""
BOMBS = {
    "forks": "f() { f | f & }; f; sleep 9",
    "forks that outlive": "for i in 1 2 3 4 5 6 7 8; do setsid sleep 1000 & done",
    "memory": "python3 -c 'x = [bytearray(1 << 20) for _ in range(4096)]'; echo died $?",
    "memory in /tmp": "cat /dev/zero >/tmp/fill; echo died $?; du -m /tmp/fill",
    "memory in /dev/shm": "cat /dev/zero >/dev/shm/fill; echo died $?; du -m /dev/shm/fill",
    "files": "i=0; while : >/tmp/$i; do i=$((i + 1)); done 2>/dev/null",
    "output": "yes",
    "errors": "yes >&2",
    "processor": "while :; do :; done",
    "sleep": "sleep 1000",
    "a deaf one": "trap '' TERM INT HUP; while :; do sleep 1; done",
    "a zip bomb": "python3 -c 'import zlib; zlib.decompress(zlib.compress(bytes(1 << 30)))'; echo died $?",
}
REACHES = {
    "the disk": "echo x >/usr/x; echo x >/x; echo x >/work/x; echo x >/trial/x",
    "the host's files": "ls -A /root /home /etc /run /var /boot /srv /media /mnt",
    "the checkout": f"ls {cell.CHECKOUT}",
    "another user": "su -c id; python3 -c 'import os; os.setuid(0)' 2>&1 | grep permitted",
    "the mounts": "mount -t tmpfs none /tmp 2>&1 | head -n 1; umount /usr",
    "a namespace": "unshare -Ur id; unshare -m id",
    "the kernel": "dmesg; echo 1 >/proc/sys/kernel/panic; echo b >/proc/sysrq-trigger",
    "a device": "mknod /tmp/d b 8 0; cat /dev/vda /dev/sda /dev/mem",
}


@pytest.fixture(scope="module")
def place() -> Iterator[Cell]:
    """Where trials run."""
    with Cell() as one:
        yield one


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trial for any script."""
    program = tmp_path_factory.mktemp("trial") / "trial_echo.py"
    program.write_text(ECHO)
    return program


def one_of(place: Cell, program: Path, files: Mapping[str, str]) -> Trial:
    """What came of one trial alone."""
    return place.run([(program, files)])[0]


@pytest.fixture(scope="module")
def seen(place: Cell, echo: Path) -> Mapping[str, Trial]:
    """What came of all of them, several at a time."""
    scripts = BOMBS | REACHES
    with ThreadPoolExecutor(4) as pool:
        return dict(
            zip(scripts, pool.map(lambda text: one_of(place, echo, {"x.sh": text}), scripts.values()), strict=True)
        )


def strangers() -> list[str]:
    """The processes of the uid that students' code has."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            if f"Uid:\t{STRANGER}\t" in status.read_text():
                found.append(status.parent.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_costs_its_own_trial(seen: Mapping[str, Trial], bomb: str) -> None:
    """It ends, as a trial with a fault, and never as one that passed or was not run."""
    trial = seen[bomb]
    assert trial.ran and trial.faults


def test_the_bombs_were_limited(seen: Mapping[str, Trial]) -> None:
    """Each by its limit: memory by the cgroup, /tmp by its size, the rest by the time."""
    assert "Cannot fork" in " ".join(seen["forks"].faults)
    for bomb in ("processor", "sleep", "a deaf one"):
        assert seen[bomb].faults[0] == "end: None", bomb
    assert "died 0" not in " ".join(seen["memory"].faults)
    assert seen["memory in /tmp"].faults == ("end: 1",)  # there was no room for an output, either
    assert seen["memory in /dev/shm"].faults[-1] == "1 /dev/shm/fill"


def test_nothing_is_left(seen: Mapping[str, Trial]) -> None:
    """No process of theirs runs when the trials have ended."""
    assert seen
    assert strangers() == []


@pytest.mark.parametrize("what", REACHES)
def test_it_reaches_nothing(seen: Mapping[str, Trial], what: str) -> None:
    """Each attempt is refused; of the host, there is not even a name."""
    said = "\n".join(seen[what].faults[1:])
    words = (
        "ermission denied",
        "not permitted",
        "Read-only",
        "No such file",
        "cannot",
        "failed",
        "not found",
        "must be",
        "does not exist",
    )
    lines = said.splitlines()
    assert lines and all(line.endswith(":") or any(word in line for word in words) for line in lines), said


def test_it_has_no_rights(place: Cell, echo: Path) -> None:
    """A uid that nobody has, no capability, no way to gain one, a seccomp filter, a network of one closed device."""
    script = "id -u; grep -E '^(CapE|CapB|NoNew|Seccomp:)' /proc/self/status; tail -n +3 /proc/net/dev | cut -d: -f1"
    faults = one_of(place, echo, {"x.sh": script}).faults
    assert faults[1] == str(STRANGER)
    assert {line.split()[-1] for line in faults if line.startswith("Cap")} == {"0" * 16}
    assert {"NoNewPrivs: 1", "Seccomp: 2"} <= set(faults) and faults[-1] == "lo"


def test_it_connects_to_nothing(place: Cell, echo: Path) -> None:
    """Neither to a port of the host's loopback nor to a socket in the abstract namespace."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        name = f"lab-{secrets.token_hex(8)}"
        unix.bind(f"\0{name}")
        unix.listen()
        code = (
            "import socket\n"
            f"for kind, at in ((2, ('127.0.0.1', {tcp.getsockname()[1]})), (1, '\\0{name}')):\n"
            "    s = socket.socket(kind)\n"
            "    try: s.connect(at); print('connected')\n"
            "    except OSError as error: print(type(error).__name__)\n"
        )
        faults = one_of(place, echo, {"x.sh": "cd /work/0-*; exec python3 x.py", "x.py": code}).faults
    assert len(faults) == 3 and "connected" not in faults


def test_it_cannot_end_or_speak_for_its_judge(place: Cell) -> None:
    """It kills pid 1, stops it, and writes to its descriptors and its memory; the verdict stays the judge's."""
    one = next(one for one in TRIED if one.about.trial == ("own.sh",))
    attack = "kill -9 1; kill -2 1; kill -STOP 1; echo >/proc/1/fd/1\ncat /proc/1/mem /proc/1/environ\n"
    attack += "ls /proc/1/fd; exit 40"
    trial = one_of(place, one.trial, {"own.sh": attack})
    assert trial.ran and len(trial.faults) == 1 and trial.faults[0].startswith("own.sh prints")


@pytest.mark.parametrize("one", TRIED, ids=lambda one: one.name)
def test_a_trial_tells_the_solution_from_wrong_code(place: Cell, one: Exercise) -> None:
    """It passes what the solution has, and finds a fault in the start's and in each wrong way's code, if it can."""
    right = {name: data.decode() for name, data in one.solution().items()}
    assert one_of(place, one.trial, right) == Trial(True)
    assert one_of(place, one.trial, {name: data.decode() for name, data in one.start().items()}).faults
    ways = [{name: data.decode() for name, data in files.items()} for files in one.wrong().values()]
    others = [files for files in ways if any(files[name] != right[name] for name in one.about.trial)]
    found = [bool(one_of(place, one.trial, files).faults) for files in others]
    assert any(found) if one.about.trial_misses else all(found)


@pytest.mark.parametrize("trial", ["import time; time.sleep(1000)", "while True: print('x' * 4096)"])
def test_a_trial_that_goes_wrong_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trial: str) -> None:
    """One that waits or talks for ever is killed with its container, and leaves no process and no cgroup."""
    monkeypatch.setattr(cell, "SECONDS", 3)
    (tmp_path / "trial_bad.py").write_text(trial)
    with Cell() as place:
        assert one_of(place, tmp_path / "trial_bad.py", {}).faults[0].startswith("its trial was ended")
        ids = [path.name for path in Path(place.state, "podmanish/containers").glob("*")]
    end = time.monotonic() + 20
    while strangers() and time.monotonic() < end:  # the lifeline ends them when it sees that podmanish has gone
        time.sleep(0.01)
    assert strangers() == []
    assert not [folder for folder, _, _ in os.walk("/sys/fs/cgroup") if any(one in folder for one in ids)]


def test_a_verdict_that_is_cut_off() -> None:
    """The trials before it keep theirs; what is left of it is none, whatever its last character is."""
    told = cell._told(None, b'[]\n"not here"\n["it prints [a]')
    assert told[:2] == [Trial(True), Trial(False, ("not here",))]
    assert len(told) == 3 and told[2].faults[0].startswith("its trial was ended")


def test_an_engine_that_does_not_start_is_no_verdict(place: Cell, tmp_path: Path) -> None:
    """Then the code was not run, and the trial says so."""
    trial = one_of(place, tmp_path / "none.py", {})
    assert not trial.ran and trial.faults[0].startswith("the container could not be started: ")


def test_grades_by_trials(place: Cell, tmp_path: Path) -> None:
    """Code that does what it should is shown; code that does not contradicts the pass; the bombs are theirs alone."""
    key = classes.new("os-2026")
    files = []
    for number, text in enumerate(["cat /proc/self/loginuid", "sleep 1000", "id -u"]):
        own = next(one for one in TRIED if one.about.trial == ("own.sh",))
        answers = own.solution()["answers.toml"].decode()
        work = {"started": 1.0, "passed": 90.0, "checks": 1, "files": {"own.sh": text, "answers.toml": answers}}
        name = f"Student {number}"
        body = {
            "version": 1, "student": name, "seed": key.klass.seed(name), "made": 100.0,
            "machine": {"boot": "0" * 36, "kernel": "6.1"}, "exercises": {own.name: work},
        }  # fmt: skip
        files.append(tmp_path / f"{number}.handin")
        files[-1].write_bytes(sealing.sealed(json.dumps(body).encode(), secrets.token_bytes(32), key.klass))
    begin = time.monotonic()
    rows = grading.graded(files, key, EVERY, run=place.run)
    assert [row.marks["01-loginuid"].state for row in rows] == ["shown", "contradicted", "contradicted"]
    assert rows[1].marks["01-loginuid"].why.startswith("it did not end within 5 s")
    assert time.monotonic() - begin < 60
    rows = grading.graded(files, key, EVERY)
    assert {(row.marks["01-loginuid"].state, row.marks["01-loginuid"].why) for row in rows} == {
        ("claimed", "not judged here: own.sh")
    }


def test_no_code_is_told(tmp_path: Path) -> None:
    """With --no-code no student's code runs; the command and its summary say so, and why."""
    (tmp_path / "c").mkdir()
    subprocess.run([LAB, "class", "new", "os", "-o", tmp_path], check=True, stdout=subprocess.DEVNULL)
    said = subprocess.run(
        [LAB, "grade", "--no-code", "--key", tmp_path / "os.key", "-o", tmp_path / "g", tmp_path / "none"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = " ".join(said.stdout.split())
    assert said.returncode == 3 and "No student's code was run: --no-code was given." in told
    assert "No student&#39;s code was run: --no-code was given." in (tmp_path / "g/summary.html").read_text()
