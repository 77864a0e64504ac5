"""Run the tests and tell which lines of the rooms every process reaches: .venv/bin/python -m tools.cover [ARG...]

Most of the lab runs where coverage.py cannot follow: in commands that start without `site` (-IS), in a spawner with an
empty environment, in children of clone3(2) that change root, close their descriptors and end in execve(2). So the
lines are noted in memory that all these processes share, mmap(2) with MAP_SHARED: a fork inherits it, a new root, a
seccomp filter or SIGKILL takes nothing back, and nothing has to be saved at the end. coverage.py makes the report.

The product carries no hook: for the time of the run, in a mount namespace that only the tests see, the `__init__.py`
of each room is covered by one that starts the notes first: by sys.monitoring, or, before Python 3.12, by a trace
function, with which the tests take twice as long. Needs root. ARG are pytest's.
"""

from __future__ import annotations

import marshal
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from coverage import Coverage, CoverageData

CHECKOUT = Path(__file__).resolve().parent.parent
# Whether a process that imports this room first may have threads, which must be traced from their start. To ask for
# that, the hook imports threading: some milliseconds, and labd's programs (-IS) assert that they do without.
ROOMS = {"lab": "False", "daemon": "not sys.flags.no_site", "client": "True", "scenarios": "True"}
# Tests that assert what a trace function changes, with the reason. They run afterwards, without it.
UNTRACED = {
    "tests/lab/test_rooms.py::test_the_hot_path_is_lean": "it asserts what is imported, and the trace function imports",
    "tests/project/test_cover.py::test_the_rooms_carry_no_hook": "it reads the files that the mounts cover",
}
HOOK = '''\
import marshal
import sys


def start(table, whole_memory, threads):
    """Note each line of the rooms' files that is executed, here and in all children."""
    try:
        import mmap

        with open(table, "rb") as file:
            begins = marshal.load(file)
        with open(whole_memory, "r+b") as file:
            memory = mmap.mmap(file.fileno(), 0)
    except OSError:
        return  # a container's process that imports the lab's code from a copy
    if sys.version_info >= (3, 12):
        monitor(begins, memory)
    else:
        trace(begins, memory, threads)


def monitor(begins, memory):
    """By sys.monitoring, which asks once for each line; in all threads."""
    def note(code, line):
        if code.co_filename in begins:
            memory[begins[code.co_filename] + line] = 1
        return sys.monitoring.DISABLE

    sys.monitoring.use_tool_id(sys.monitoring.COVERAGE_ID, "lab")
    sys.monitoring.register_callback(sys.monitoring.COVERAGE_ID, sys.monitoring.events.LINE, note)
    sys.monitoring.set_events(sys.monitoring.COVERAGE_ID, sys.monitoring.events.LINE)


def trace(begins, memory, threads):
    """By a trace function, which older versions of Python call at every line."""
    def note(frame, event, argument):
        memory[begins[frame.f_code.co_filename] + frame.f_lineno] = 1
        return note

    def enter(frame, event, argument):
        return note if frame.f_code.co_filename in begins else None

    enter.notes_lines = True
    sys.settrace(enter)
    caller = sys._getframe()
    while caller := caller.f_back:  # a script that is importing its first room
        if caller.f_code.co_filename in begins:
            caller.f_trace = note
    if threads:
        import threading

        threading.settrace(enter)


def started():
    if sys.version_info >= (3, 12):
        return sys.monitoring.get_tool(sys.monitoring.COVERAGE_ID) is not None
    return getattr(sys.gettrace(), "notes_lines", False)


if not started():
    start({table!r}, {memory!r}, {threads})
'''
COVERED = "mount --bind {work}/{room}.py {room}/__init__.py && "


def sources() -> list[Path]:
    """The files that are measured."""
    return sorted(path for room in ROOMS for path in (CHECKOUT / room).rglob("*.py"))


def prepare(work: Path) -> dict[str, int]:
    """Write the hook and its data; returns where each file's lines begin in the shared memory."""
    work.chmod(0o755)  # ordinary users' commands are measured, too
    begins, size = dict[str, int](), 0
    for path in sources():
        begins[str(path)] = size
        size += len(path.read_bytes().splitlines()) + 1
    (work / "table").write_bytes(marshal.dumps(begins))
    (work / "memory").write_bytes(bytes(size))
    (work / "memory").chmod(0o666)
    for room in ROOMS:
        path = CHECKOUT / room / "__init__.py"
        hook = HOOK.format(table=str(work / "table"), memory=str(work / "memory"), threads=ROOMS[room])
        text = f"exec(compile({hook!r}, '<coverage>', 'exec'), {{}})\n"
        text += f"exec(compile({path.read_text()!r}, {str(path)!r}, 'exec'))\n"
        (work / f"{room}.py").write_text(text)
    return begins


def run_tests(work: Path, arguments: list[str]) -> int:
    """pytest's exit status."""
    mounts = "".join(COVERED.format(work=work, room=room) for room in ROOMS)
    pytest = [sys.executable, "-m", "pytest"]
    suite = [sys.executable, "-m", "tools.suite", *(f"--deselect={name}" for name in UNTRACED)]
    traced = ["sh", "-c", f'{mounts} exec "$@"', "sh", *suite]
    command = ["unshare", "--mount", "--propagation=private", *traced, *arguments]
    status = subprocess.run(command, check=False).returncode
    return subprocess.run([*pytest, "-q", *UNTRACED], check=False).returncode or status


def save(work: Path, begins: dict[str, int], target: Path) -> None:
    """Write what was noted as a data file of coverage.py."""
    memory = (work / "memory").read_bytes()
    data = CoverageData(str(target))
    data.erase()
    for name, begin in begins.items():
        lines = len(Path(name).read_bytes().splitlines())
        data.add_lines({name: [line for line in range(1, lines + 1) if memory[begin + line]]})
    data.write()


def by_room(report: Coverage) -> Iterator[tuple[str, int, int]]:
    """Of each directory: its name, how many statements it has, how many were executed."""
    found: dict[str, list[int]] = {}
    for path in sources():
        _, statements, _, missing, _ = report.analysis2(str(path))
        room = found.setdefault(str(path.parent.relative_to(CHECKOUT)), [0, 0])
        room[0] += len(statements)
        room[1] += len(statements) - len(missing)
    for name, (whole, reached) in found.items():
        yield name, whole, reached


def tell(target: Path) -> bool:
    """Print the figures; whether they are above the floor, fail_under in pyproject.toml."""
    report = Coverage(data_file=str(target), config_file=str(CHECKOUT / "pyproject.toml"))
    report.load()
    total = report.report(skip_covered=True, skip_empty=True, sort="cover", show_missing=True)
    print()
    for name, whole, reached in by_room(report):
        print(f"{name:20} {whole:6} statements {100 * reached / max(whole, 1):6.1f} %")
    floor = float(report.get_option("report:fail_under"))  # type: ignore[arg-type]
    print(f"{'all':20} {total:24.1f} %, and the floor is {floor} %")
    return total >= floor


def main(arguments: list[str]) -> int:
    """pytest's exit status, or 1 below the floor."""
    os.chdir(CHECKOUT)
    work = Path(tempfile.mkdtemp(prefix="lab-coverage-"))
    target = CHECKOUT / ".coverage"
    try:
        begins = prepare(work)
        status = run_tests(work, arguments)
        save(work, begins, target)
    finally:
        shutil.rmtree(work)
    above = tell(target)
    return status or int(not above)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
