"""`podmanish logs`: to the end, in whole lines, in bounded memory."""

from __future__ import annotations

import ast
import os
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support import Podmanish

from lab import logs

pytestmark = pytest.mark.needs("root")


def test_follow_shows_all_to_the_end(podmanish: Podmanish, tmp_path: Path) -> None:
    """-f ends with the container, with exit code 0, after every line has come once, the last ones too.

    The monitor is stopped for a while: then the process has ended, and its end is not recorded yet.
    """
    script = "seq 200; until [ -e /x/go ]; do sleep 0.01; done; seq 201 5000; printf end"
    podmanish("run", "-d", "--name", "told", "-v", f"{tmp_path}:/x", "host", "sh", "-c", script)
    (path,) = podmanish.root.glob("podmanish/containers/*/state")
    state = ast.literal_eval(path.read_text())
    with podmanish.start("logs", "-f", "told") as follower:
        os.kill(state["monitor"], signal.SIGSTOP)
        (tmp_path / "go").touch()
        pidfd = os.pidfd_open(state["pid"])
        assert select.select([pidfd], [], [], 20)[0]
        os.close(pidfd)
        time.sleep(0.5)  # the follower looks several times meanwhile
        os.kill(state["monitor"], signal.SIGCONT)
        shown = ended(follower)
    assert follower.returncode == 0
    assert shown == "".join(f"{number}\n" for number in range(1, 5001)).encode() + b"end"
    assert podmanish.output("logs", "told").encode() == shown
    podmanish("rm", "told")


def test_follow_of_rm_and_descriptors(podmanish: Podmanish, tmp_path: Path) -> None:
    """A container that is removed at its end is followed to its end; following costs one descriptor, not one a tick."""
    script = "echo begin; until [ -e /x/go ]; do sleep 0.01; done; echo end"
    podmanish("run", "-d", "--rm", "--name", "gone", "-v", f"{tmp_path}:/x", "host", "sh", "-c", script)
    with podmanish.start("logs", "-f", "gone", bufsize=0) as follower:
        assert follower.stdout and select.select([follower.stdout], [], [], 20)[0]
        assert follower.stdout.read(6) == b"begin\n"
        folder = Path(f"/proc/{follower.pid}/fd")
        before = len(list(folder.iterdir()))
        time.sleep(0.7)
        after = len(list(folder.iterdir()))
        (tmp_path / "go").touch()
        assert ended(follower) == b"end\n"
        assert after == before
    assert follower.returncode == 0


def test_timestamps_are_before_whole_lines(podmanish: Podmanish) -> None:
    """A line written in pieces, to both streams at once, gets one time, that of its beginning."""
    script = "printf a; printf x >&2; sleep 0.05; printf 'b\\n'; printf 'y\\n' >&2; echo c"
    podmanish("run", "--name", "told", "host", "sh", "-c", script)
    done = podmanish("logs", "-t", "told")
    assert [line.split(" ")[1] for line in done.stdout.decode().splitlines()] == ["ab", "c"]
    assert [line.split(" ")[1] for line in done.stderr.decode().splitlines()] == ["xy"]
    assert podmanish("logs", "--tail", "2", "told").stdout == b"c\n"
    assert podmanish("logs", "--tail", "3", "told").stdout == b"ab\nc\n"
    podmanish("rm", "told")


@pytest.mark.parametrize("options", [("--tail", "1"), ("-t", "--tail", "1000000"), ("-t",), ()])
def test_long_logs_cost_little_memory(podmanish: Podmanish, options: tuple[str, ...]) -> None:
    """20 MB of newlines: less than 16 MiB more than an empty log takes; a reader that leaves is no error."""
    podmanish("run", "--name", "told", "host", "true")
    assert peak(podmanish, "logs", "told")[1] == 0
    (path,) = podmanish.root.glob("podmanish/containers/*/log")
    little = peak(podmanish, "logs", *options, "told")[0]
    writer = logs.LogWriter(str(path))
    for _ in range(320):
        writer.append(logs.STDOUT, b"\n" * 65536)
    writer.close()
    much, code = peak(podmanish, "logs", *options, "told")
    assert code == 0 and much - little < 16 << 10
    with podmanish.start("logs", *options, "told", stderr=subprocess.PIPE) as leaving:
        assert leaving.stdout and leaving.stderr
        leaving.stdout.read(1)
        leaving.stdout.close()
        assert leaving.stderr.read() == b""
    assert leaving.returncode == 0
    podmanish("rm", "told")


def ended(process: subprocess.Popen[bytes]) -> bytes:
    """The rest of the process's output, which must end within 20 seconds."""
    try:
        return process.communicate(timeout=20)[0]
    finally:
        process.kill()


def peak(podmanish: Podmanish, *words: str) -> tuple[int, int]:
    """(the largest RSS in KiB, exit code) of a command; getrusage(2)."""
    process = subprocess.Popen([*podmanish.command, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss, process.returncode
