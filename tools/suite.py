"""Run the tests, some of them beside each other: .venv/bin/python -m tools.suite [ARG...], which are pytest's

JOBS  how many processes; default: 1, all tests in one. With more, those of BESIDE come first, in so many processes, and
      the others afterwards, in one: they read the kernel's audit, of which there is one, look for what is left on the
      whole machine, or measure time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
# Tests that share nothing: each daemon, engine and page of theirs has a directory of its own.
BESIDE = (
    "tests/audiences/test_[!t]*.py",
    "tests/audiences/test_talk.py",
    "tests/audit/test_*.py",
    "tests/classroom/test_*.py",
    "tests/client/test_*.py",
    "tests/daemon/test_*.py",
    "tests/lab/test_*.py",
    "tests/languages/test_*.py",
    "tests/performance/test_*.py",
    "tests/project/test_*.py",
    "tests/test_[!l]*.py",
    "tests/kernel/test_awake.py",
    "tests/kernel/test_client_verbs.py",
    "tests/kernel/test_compose.py",
    "tests/kernel/test_cut_short.py",
    "tests/kernel/test_daemon_*.py",
    "tests/kernel/test_damaged.py",
    "tests/kernel/test_docker_*.py",
    "tests/kernel/test_escapes.py",
    "tests/kernel/test_exec_escapes.py",
    "tests/kernel/test_health.py",
    "tests/kernel/test_held_up.py",
    "tests/kernel/test_honest_answers.py",
    "tests/kernel/test_host_names.py",
    "tests/kernel/test_hostile_archives.py",
    "tests/kernel/test_images.py",
    "tests/kernel/test_import_bombs.py",
    "tests/kernel/test_namespaces.py",
    "tests/kernel/test_planted_links.py",
    "tests/kernel/test_podmanish*.py",
    "tests/kernel/test_resources.py",
    "tests/kernel/test_restart_policies.py",
    "tests/kernel/test_rootless.py",
    "tests/kernel/test_runtime.py",
    "tests/kernel/test_sealed.py",
    "tests/kernel/test_seccomp.py",
    "tests/kernel/test_state_storm.py",
    "tests/kernel/test_volumes.py",
)
# Files that match all the same, with the reason why not.
ALONE = {
    "tests/audiences/test_page_cost.py": "it measures the time of the processor",
    "tests/classroom/test_exercises.py": "its checks read the kernel's audit",
    "tests/classroom/test_hidden.py": "its runs read the kernel's audit",
    "tests/classroom/test_thirty.py": "its bombs take the processor, and its trials have seconds",
    "tests/project/test_suite.py": "its words are what it looks for",
}
NO_TESTS = 5  # pytest's exit status where it has selected none


def beside() -> list[str]:
    """The files whose tests may run beside others; paths from the checkout."""
    found = {str(path.relative_to(CHECKOUT)) for pattern in BESIDE for path in CHECKOUT.glob(pattern)}
    return sorted(found - ALONE.keys())


def parts(jobs: int, arguments: Sequence[str]) -> list[list[str]]:
    """The arguments of each pytest, in their order."""
    if jobs == 1:
        return [[*arguments]]
    files = beside()
    together = [f"--numprocesses={jobs}", "--dist=loadfile", *arguments, *files]
    return [together, [*arguments, *(f"--ignore={name}" for name in files)]]


def named(arguments: Sequence[str]) -> list[str]:
    """The arguments that are tests, as file.py or file.py::test."""
    return [word for word in arguments if not word.startswith("-") and Path(word.partition("::")[0]).exists()]


def main(arguments: list[str]) -> int:
    """pytest's exit status; of two that failed, the first's."""
    os.chdir(CHECKOUT)
    jobs = os.environ.get("JOBS") or "1"
    if not jobs.isdecimal() or jobs == "0":
        sys.exit(f"JOBS={jobs} is no number of processes: 1, 2 ...")
    if jobs != "1" and named(arguments):
        sys.exit(f"JOBS={jobs} is for all tests. Leave it out to run {' '.join(named(arguments))}")
    env = {name: value for name, value in os.environ.items() if name != "JOBS"}  # a test may start make
    statuses = []
    for words in parts(int(jobs), arguments):
        statuses.append(subprocess.run([sys.executable, "-m", "pytest", *words], env=env, check=False).returncode)
    if set(statuses) == {NO_TESTS}:
        return NO_TESTS
    return next((status for status in statuses if status not in (0, NO_TESTS)), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
