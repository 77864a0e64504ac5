"""What a container of the daemon is: exit codes, streams, arguments, environment, descriptors."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from private_labd import CHECKOUT, Labd

pytestmark = pytest.mark.needs("root")
FATAL = sorted(
    number
    for number in signal.valid_signals()
    if number
    not in (
        signal.SIGCHLD,
        signal.SIGCONT,
        signal.SIGURG,
        signal.SIGWINCH,
        signal.SIGSTOP,
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGTTOU,
    )
)


def exit_codes(labd: Labd, script: str, numbers: Sequence[int]) -> dict[int, int]:
    """Run `sh -c script` with each number; four at a time."""

    def run(number: int) -> tuple[int, int]:
        return number, labd.dockerish("run", "--rm", "--init", "host", "sh", "-c", script, "sh", str(number)).returncode

    with ThreadPoolExecutor(4) as pool:
        return dict(pool.map(run, numbers))


def podmanish(state: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    """The fork/exec engine with this state directory."""
    return subprocess.run(
        [sys.executable, "-m", "lab.forker.cli", "--root", str(state), *words],
        cwd=CHECKOUT,
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_every_exit_code_comes_back(labd: Labd) -> None:
    """All 256 exit codes come back, in one container for each of a sample and by the API for all."""
    status, made = labd.request("POST", "/containers/create?name=codes", {"Image": "host", "Cmd": ["sleep", "60"]})
    assert status == 201
    labd.request("POST", f"/containers/{made['Id']}/start")
    for code in range(256):
        _, exec_ = labd.request("POST", "/containers/codes/exec", {"Cmd": ["sh", "-c", f"exit {code}"]})
        assert labd.request("POST", f"/exec/{exec_['Id']}/start", {})[0] == 200
        assert labd.request("GET", f"/exec/{exec_['Id']}/json")[1]["ExitCode"] == code
    labd.request("DELETE", "/containers/codes?force=1")
    some = [0, 1, 2, 42, 125, 126, 127, 128, 254, 255]
    assert exit_codes(labd, "exit $1", some) == {code: code for code in some}


def test_every_fatal_signal_is_128_plus_n(labd: Labd) -> None:
    """A process that dies of signal n makes its container exit with 128+n."""
    assert exit_codes(labd, "kill -$1 $$", FATAL) == {number: 128 + number for number in FATAL}


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("host", "no-such-command"), 127, "executable file not found"),
        (("host", "/no/such/command"), 127, "no such file or directory"),
        (("host", "/etc/passwd"), 126, "permission denied"),
        (("-u", "no-such-user", "host", "true"), 125, "no-such-user"),
        (("no-such-image", "true"), 125, "No such image"),
        (("-v", "/no/such/source:/x", "host", "true"), 125, "/no/such/source"),
        (("-w", "/proc/self/fd/7", "host", "true"), 125, "working directory"),
        (("--network", "no-such-network", "host", "true"), 125, "no-such-network"),
    ],
)
def test_a_container_that_cannot_start_is_one_sentence(
    labd: Labd, tmp_path: Path, words: tuple[str, ...], code: int, text: str
) -> None:
    """Both engines refuse alike, with docker's exit codes, and leave no container behind."""
    ours = labd.dockerish("run", "--rm", *words)
    forked = podmanish(tmp_path, "run", "--rm", *words)
    assert (ours.returncode, forked.returncode) == (code, code), (ours.stderr, forked.stderr)
    assert text in ours.stderr.decode() and text in forked.stderr.decode()
    assert ours.stdout == b""
    assert b"Traceback" not in ours.stderr


def test_streams_stay_apart(labd: Labd) -> None:
    """Standard output and standard error arrive on their own descriptors, byte for byte."""
    done = labd.dockerish("run", "--rm", "host", "sh", "-c", "printf 'out\\0\\377'; printf err >&2; exit 9")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\0\xff", b"err", 9)


def test_stdin_of_a_mebibyte_then_end_of_file(labd: Labd) -> None:
    """1 MiB of binary input arrives whole, and the half-close is the process's end of file."""
    data = os.urandom(1 << 20)
    done = labd.dockerish("run", "--rm", "-i", "host", "sha256sum", input=data)
    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_without_i_stdin_is_empty(labd: Labd) -> None:
    """Without -i the process reads an end of file at once, whatever the client has."""
    assert labd.dockerish("run", "--rm", "host", "wc", "-c", input=b"not for you").stdout == b"0\n"


def test_2048_arguments(labd: Labd) -> None:
    """2,048 arguments arrive in number and order."""
    words = [f"argument {number}\n" for number in range(2048)]
    done = labd.dockerish("run", "--rm", "host", "printf", "%s", *words)
    assert done.stdout.decode() == "".join(words)


def test_the_longest_argument_and_one_byte_more(labd: Labd, tmp_path: Path) -> None:
    """An argument of MAX_ARG_STRLEN - 1 = 131,071 bytes passes; one more is E2BIG, told the same way by both."""
    assert labd.dockerish("run", "--rm", "host", "printf", "%s", "x" * 131_071).stdout == b"x" * 131_071
    body = {"Image": "host", "Cmd": ["printf", "x" * 131_072]}
    _, made = labd.request("POST", "/containers/create", body)
    status, answer = labd.request("POST", f"/containers/{made['Id']}/start")
    assert status == 400 and "argument list too long" in answer["message"]
    labd.request("DELETE", f"/containers/{made['Id']}")


def test_environment_is_exact(new_labd: Callable[..., Labd]) -> None:
    """Newlines and empty values arrive; nothing of the daemon's own environment does."""
    daemon = new_labd(env={**os.environ, "SECRET": "of-the-daemon"})
    done = daemon.dockerish("run", "--rm", "-e", "A=1\n2", "-e", "B=", "--hostname", "box", "host", "env", "-0")
    variables = dict(item.split("=", 1) for item in done.stdout.decode().split("\0") if item)
    assert variables.pop("PATH").startswith("/usr/local/sbin:")
    assert variables == {"A": "1\n2", "B": "", "HOME": "/root", "HOSTNAME": "box"}


@pytest.mark.parametrize("tty", [(), ("-t",)])
def test_only_three_descriptors_are_open(labd: Labd, tty: tuple[str, ...]) -> None:
    """A container's process, and an exec's, has descriptors 0, 1 and 2, and none of the engine's."""
    script = "import os; print([n for n in range(4096) if os.path.exists(f'/proc/self/fd/{n}')])"
    done = labd.dockerish("run", "--rm", *tty, "host", "/usr/bin/python3", "-S", "-c", script)
    assert done.stdout.split(b"\r")[0].strip() == b"[0, 1, 2]", done.stderr
    name = f"fds{len(tty)}"
    labd.dockerish("run", "-d", "--name", name, "host", "sleep", "60")
    inside = labd.dockerish("exec", *tty, name, "/usr/bin/python3", "-S", "-c", script)
    labd.dockerish("rm", "-f", name)
    assert inside.stdout.split(b"\r")[0].strip() == b"[0, 1, 2]", inside.stderr


def test_both_engines_build_the_same_spec(labd: Labd, tmp_path: Path) -> None:
    """For equal command lines podmanish and labd hand an equal Spec to the runtime, but for each one's own places."""
    from lab.store import Store

    words = (
        "--name",
        "twin",
        "-e",
        "A=b=c",
        "-w",
        "/tmp",
        "-u",
        "1:2",
        "-v",
        f"{tmp_path}:/x:ro",
        "--cap-add",
        "NET_ADMIN",
        "--cap-drop",
        "CHOWN",
        "--network",
        "none",
        "--hostname",
        "twin",
        "--entrypoint",
        "echo",
        "--init",
        "--security-opt",
        "no-new-privileges",
        "--read-only",
        "--device",
        "/dev/zero:/dev/naught",
        "--security-opt",
        "seccomp=unconfined",
        "host",
        "a",
        "b",
    )
    assert labd.dockerish("run", *words).stdout == b"a b\n"
    assert podmanish(tmp_path, "run", *words).stdout == b"a b\n"
    served, forked = Store(str(labd.state / "labd")).find("twin"), Store(str(tmp_path / "podmanish")).find("twin")
    one, other = served.config["spec"], forked.config["spec"]
    assert (one["masked_paths"].pop(), other["masked_paths"].pop()) == (str(labd.state), str(tmp_path))
    assert one == other
    labd.dockerish("rm", "twin")
