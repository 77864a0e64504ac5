"""`podmanish` as a command on the real kernel: exit codes, streams, terminals, arguments, names, sudden deaths."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import Podmanish, processes_with, soon

pytestmark = pytest.mark.needs("root")

IGNORED = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
STOPPING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
FATAL = sorted(set(signal.Signals) - IGNORED - STOPPING)


def test_every_exit_code_comes_through(podmanish: Podmanish) -> None:
    """`podmanish run` exits with the code of the container's command: 0 to 255."""
    with ThreadPoolExecutor(4) as pool:
        done = pool.map(lambda code: podmanish("run", "--rm", "host", "sh", "-c", f"exit {code}"), range(256))
        assert [run.returncode for run in done] == list(range(256))


def test_every_fatal_signal_is_128_plus_n(podmanish: Podmanish) -> None:
    """A command that dies of signal n makes the exit code 128+n, real-time signals included."""
    numbers = [int(number) for number in FATAL]
    with ThreadPoolExecutor(4) as pool:
        done = pool.map(
            lambda n: podmanish("run", "--rm", "--init", "host", "sh", "-c", f"kill -{n} $$; sleep 5"), numbers
        )
        assert [run.returncode for run in done] == [128 + n for n in numbers]


def test_sigkill_of_pid_one_is_137(podmanish: Podmanish) -> None:
    """A container without --init that is killed from outside exits with 128+9."""
    with podmanish.start("run", "--name", "victim", "host", "sh", "-c", "echo up; exec sleep 60") as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"up\n"
        podmanish.output("kill", "victim")
    assert run.returncode == 137
    assert podmanish.output("wait", "victim") == "137"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["host", "n" * 9000], 126, "file name too long"),
        (["host", "no-such-command"], 127, "executable file not found"),
        (["host", "/no/such/path"], 127, "no such file"),
        (["host", "/etc/passwd"], 126, "permission denied"),
        (["host", "/etc"], 126, "permission denied"),
        (["nowhere", "true"], 125, "No such image: nowhere"),
        (["host"], 125, "no command specified"),
        (["-u", "nobody-at-all", "host", "true"], 125, "unable to find user nobody-at-all"),
        (["-u", "9" * 5000, "host", "true"], 125, "unable to find user 999"),
        (["-u", "0:no-group", "host", "true"], 125, "unable to find group no-group"),
        (["-v", "/no/such/source:/mnt", "host", "true"], 125, "/no/such/source"),
        (["-v", "/etc:relative", "host", "true"], 125, "absolute"),
        (["--cap-add", "CAP_WISHES", "host", "true"], 125, "CAP_WISHES"),
        (["--network", "bridge", "host", "true"], 125, "host or none"),
        (["--frobnicate", "host", "true"], 125, "--frobnicate"),
        (["-w", "/etc/passwd", "host", "true"], 125, "/etc/passwd"),
        (["-w", "var/tmp", "host", "true"], 125, "needs to be an absolute path"),
        (["--hostname", "x" * 65, "host", "true"], 125, "64"),
        (["--name", "../../etc", "host", "true"], 125, "invalid container name"),
        (["-e", "=x", "host", "true"], 125, "invalid environment variable"),
    ],
)
def test_what_cannot_run(podmanish: Podmanish, arguments: list[str], code: int, words: str) -> None:
    """The exit code is 126 for not executable, 127 for not found, 125 for a refusal; no container is left."""
    done = podmanish("run", "--rm", *arguments)
    assert done.returncode == code
    assert words in done.stderr.decode()
    assert done.stderr.decode().count("\n") <= 2
    assert podmanish.output("ps", "-aq") == ""


def test_stdin_then_half_close(podmanish: Podmanish) -> None:
    """With -i a megabyte of standard input arrives whole, then end of file."""
    data = os.urandom(1 << 20)
    done = podmanish("run", "--rm", "-i", "host", "cat", input=data)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_without_i_stdin_is_empty(podmanish: Podmanish) -> None:
    """Without -i the container reads end of file, and the caller's input stays unread."""
    assert podmanish("run", "--rm", "host", "cat", input=b"not for you").stdout == b""


def test_stdout_and_stderr_stay_apart(podmanish: Podmanish) -> None:
    """The two streams go where the caller's own go."""
    done = podmanish("run", "--rm", "host", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


@pytest.mark.parametrize("mebibytes", [64, pytest.param(1024, marks=pytest.mark.stress)])
def test_binary_output_is_exact(podmanish: Podmanish, mebibytes: int) -> None:
    """What the container writes comes out byte for byte (1 GiB in the stress run)."""
    script = (
        "key=$(printf %064d 7); head -c %d /dev/zero | openssl enc -aes-256-ctr -K $key -iv $(printf %032d 1)"
        .replace("%d", str(mebibytes << 20))
    )  # fmt: skip
    straight = subprocess.run(
        ["sh", "-c", f"{script} | sha256sum"], capture_output=True, check=True, timeout=600
    ).stdout
    with podmanish.start("run", "--rm", "host", "sh", "-c", script) as run:
        carried = subprocess.run(["sha256sum"], stdin=run.stdout, capture_output=True, check=True, timeout=600).stdout
    assert run.returncode == 0
    assert carried == straight


def test_a_reader_that_does_not_block(podmanish: Podmanish) -> None:
    """An output with O_NONBLOCK, which another process may have set, loses nothing when its reader is slow."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    command = [*podmanish.command, "run", "--rm", "host", "head", "-c", "1000000", "/dev/zero"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=writer), os.fdopen(reader, "rb") as file:
        os.close(writer)
        time.sleep(0.5)
        assert len(file.read()) == 1000000


def test_a_reader_that_vanishes(podmanish: Podmanish) -> None:
    """`podmanish run ... | head -c1`: the container goes on to its end, as with docker and podman."""
    with podmanish.start("run", "--name", "wordy", "host", "sh", "-c", "seq 200000; exit 3") as run:
        assert run.stdout is not None
        run.stdout.read(1)
        run.stdout.close()
    assert run.returncode == 3


def test_arguments_arrive_exactly(podmanish: Podmanish) -> None:
    """2,048 arguments and one of 131,071 bytes, the kernel's MAX_ARG_STRLEN, arrive as they are."""
    words = [f"{number}\n'\"$()" for number in range(2048)]
    done = podmanish("run", "--rm", "host", "printf", "%s\\0", *words)
    assert done.stdout.decode().split("\0")[:-1] == words
    assert len(podmanish("run", "--rm", "host", "echo", "x" * 131_071).stdout) == 131_072


def test_environment_is_exact(podmanish: Podmanish) -> None:
    """-e passes newlines and empty values; of the caller's environment nothing else gets in."""
    caller = {**os.environ, "SECRET": "of the caller", "PASSED": "on"}
    done = podmanish("run", "--rm", "-e", "A=1\n2", "-e", "EMPTY=", "-e", "PASSED", "host", "env", "-0", env=caller)
    seen = dict(item.split("=", 1) for item in done.stdout.decode().split("\0")[:-1])
    assert {name: seen[name] for name in ("A", "EMPTY", "PASSED")} == {"A": "1\n2", "EMPTY": "", "PASSED": "on"}
    assert set(seen) == {"A", "EMPTY", "PASSED", "PATH", "HOSTNAME", "HOME"}


def test_one_of_many_gets_the_name(podmanish: Podmanish) -> None:
    """Of 8 runs that ask for one name at once, one gets it; the others are told that it is in use."""
    runs = [podmanish.start("run", "--name", "only", "host", "sleep", "60", stderr=subprocess.PIPE) for _ in range(8)]
    pidfds = {os.pidfd_open(run.pid): run for run in runs}
    losers: list[subprocess.Popen[bytes]] = []
    while len(losers) < 7:
        for fd in select.select(list(pidfds), [], [], 30)[0]:
            losers.append(pidfds.pop(fd))
            os.close(fd)
    (winner,) = pidfds.values()
    for fd in pidfds:
        os.close(fd)
    for loser in losers:
        _, errors = loser.communicate()
        assert loser.returncode == 125
        assert b'the name "only" is already in use' in errors
    podmanish.output("rm", "-f", "only")
    winner.communicate()
    assert podmanish.output("ps", "-aq") == ""


@pytest.mark.parametrize("times", [40, pytest.param(400, marks=pytest.mark.stress)])
def test_sudden_deaths(podmanish: Podmanish, times: int) -> None:
    """podmanish killed with SIGKILL at a random moment: its container dies too, and its name is free again."""
    dice = random.Random(20)
    word = f"86399.{os.getpid()}"
    for _ in range(times):
        run = podmanish.start("run", "--rm", "--name", "again", "host", "sleep", word)
        pidfd = os.pidfd_open(run.pid)
        select.select([pidfd], [], [], dice.uniform(0, 0.05))
        run.kill()
        run.communicate()
        os.close(pidfd)
    assert podmanish.output("run", "--rm", "--name", "again", "host", "echo", "here") == "here"
    assert podmanish.output("ps", "-aq") == ""
    assert list((podmanish.root / "podmanish/containers").iterdir()) == []
    _await_none(word)


def _await_none(word: str) -> None:
    """Wait until no process has the word: a container's death follows its engine's, but not at once."""
    for pid in processes_with(word):
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        assert select.select([pidfd], [], [], 10)[0], f"{pid} lives on"
        os.close(pidfd)
    assert processes_with(word) == []


def test_a_killed_engine_is_told_apart(podmanish: Podmanish) -> None:
    """A container whose engine was killed is exited, with 255: nobody saw how it ended."""
    with podmanish.start("run", "--name", "orphan", "host", "sh", "-c", "echo up; exec sleep 60") as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.kill()
    assert podmanish.output("wait", "orphan") == "255"
    assert podmanish.output("ps", "-q") == ""
    podmanish.output("rm", "orphan")


def test_detached_life(podmanish: Podmanish) -> None:
    """-d prints the id and returns; logs, exec, stop and rm find the container by name and by prefix."""
    container = podmanish.output("run", "-d", "--name", "web", "host", "sh", "-c", "echo ready; exec sleep 60")
    assert len(container) == 64
    assert podmanish.output("exec", container[:8], "hostname") == container[:12]
    while podmanish.output("logs", "web") != "ready":
        assert podmanish.output("ps", "-q") == container[:12]
    podmanish.output("stop", "-t", "0", "web")
    assert podmanish.output("wait", "web") == "137"
    assert podmanish("rm", "web").returncode == 0
    assert podmanish("logs", "web").returncode == 125


def test_detached_failure_is_reported(podmanish: Podmanish) -> None:
    """run -d exits with 127 for a command that is not there."""
    assert podmanish("run", "-d", "--rm", "host", "no-such-command").returncode == 127
    assert podmanish.output("ps", "-aq") == ""


def test_the_host_image_does_not_show_the_state(scripts: Path) -> None:
    """A container of the host image, privileged or not, finds the engine's own directory empty."""
    state = Path("/var/lib") / f"lab-test-{os.getpid()}"
    engine = Podmanish(scripts / "podmanish", state)
    try:
        assert engine.output("run", "--name", "first", "host", "true") == ""
        assert sorted(path.name for path in state.iterdir()) != []
        for option in ("--rm", "--privileged", "--security-opt=systempaths=unconfined"):
            assert engine.output("run", option, "host", "ls", "-A", str(state)) == "", option
    finally:
        shutil.rmtree(state, ignore_errors=True)


def test_options_that_are_not_the_labs(podmanish: Podmanish) -> None:
    """An option that is not part of the lab is named; a wrong limit, device or profile is told before any start."""
    for words, told in (
        (("--publish", "80:80"), b"--publish is not part of this lab"),
        (("--pod", "mine"), b"--pod is not part of this lab"),
        (("-m", "4k"), b"Minimum memory limit allowed is 6MB"),
        (("--device", "/etc/passwd"), b"not a device node"),
        (("--security-opt", "seccomp=/nosuch"), b"opening seccomp profile (/nosuch) failed"),
    ):
        done = podmanish("run", *words, "host", "true")
        assert done.returncode == 125 and told in done.stderr, done.stderr
    assert podmanish.output("ps", "-aq") == ""


def test_running_containers_are_not_removed(podmanish: Podmanish) -> None:
    """rm without --force refuses, and says what to do."""
    podmanish.output("run", "-d", "--name", "busy", "host", "sleep", "60")
    done = podmanish("rm", "busy")
    assert done.returncode == 125
    assert b"stop it first, or use --force" in done.stderr
    podmanish.output("rm", "-f", "busy")


@pytest.mark.parametrize("verb", [["stop"], ["rm"], ["rm", "--force"]], ids=" ".join)
def test_an_end_that_is_not_recorded_yet(podmanish: Podmanish, verb: list[str]) -> None:
    """stop and rm of a container that has ended wait for its monitor, which is stopped here for a while."""
    podmanish.output("run", "-d", "--name", "over", "host", "sleep", "60")
    (path,) = podmanish.root.glob("podmanish/containers/*/state")
    state = ast.literal_eval(path.read_text())
    os.kill(state["monitor"], signal.SIGSTOP)
    try:
        os.kill(state["pid"], signal.SIGKILL)
        asking = podmanish.start(*verb, "over")
        with pytest.raises(subprocess.TimeoutExpired):
            asking.wait(0.4)
    finally:
        os.kill(state["monitor"], signal.SIGCONT)
    assert asking.wait(10) == 0
    asking.communicate()
    left = podmanish.output("ps", "-a", "-q")
    assert bool(left) == (verb == ["stop"])
    podmanish("rm", "-f", "over")


def test_stop_of_what_removes_itself(podmanish: Podmanish) -> None:
    """A stop hears of the end of a container of --rm, however late it looks."""
    podmanish.output("run", "-d", "--rm", "--name", "over", "host", "sleep", "60")
    (path,) = podmanish.root.glob("podmanish/containers/*/state")
    with podmanish.start("stop", "-t", "30", "over", stderr=subprocess.PIPE) as asking:
        time.sleep(0.4)  # it has sent SIGTERM, which the first process of a pid namespace ignores
        os.kill(asking.pid, signal.SIGSTOP)
        os.kill(ast.literal_eval(path.read_text())["pid"], signal.SIGKILL)
        time.sleep(0.2)
        os.kill(asking.pid, signal.SIGCONT)
        assert asking.wait(10) == 0, asking.stderr and asking.stderr.read()
    assert soon(lambda: not path.exists())


def test_inspect_shows_the_labels(podmanish: Podmanish) -> None:
    """--label NAME=VALUE comes back as Config.Labels, as from docker and podman; one without = has an empty value."""
    podmanish.output("run", "--name", "told", "-l", "team=a=b", "--label", "bare", "host", "true")
    (shown,) = json.loads(podmanish.output("inspect", "told"))
    assert shown["Config"]["Labels"] == {"team": "a=b", "bare": ""}
    podmanish.output("rm", "told")


@pytest.mark.parametrize("reference", ["..", "/", "../../etc", "a/b", "x" * 4096, "\N{SNOWMAN}", ""])
def test_hostile_references(podmanish: Podmanish, reference: str) -> None:
    """A reference that is no name finds nothing and touches nothing outside the state directory."""
    before = sorted(path.name for path in podmanish.root.parent.iterdir())
    for verb in ("rm", "logs", "inspect", "kill"):
        assert podmanish(verb, reference).returncode == 125
    assert podmanish("run", "--rm", "--name", reference or "-", "host", "true").returncode == 125
    assert podmanish("run", "--rm", reference, "true").returncode == 125
    assert sorted(path.name for path in podmanish.root.parent.iterdir()) == before


def test_signals_reach_the_container(podmanish: Podmanish) -> None:
    """podmanish passes SIGTERM on to the container, and exits with the container's exit code."""
    script = "trap 'exit 42' TERM; echo up; while :; do sleep 0.01; done"
    with podmanish.start("run", "--rm", "host", "sh", "-c", script) as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.terminate()
    assert run.returncode == 42


def test_few_descriptors(podmanish: Podmanish) -> None:
    """Under `ulimit -n 64` a container starts; under 16 it is refused in one sentence, and nothing is left."""
    assert podmanish("run", "--rm", "host", "true", preexec_fn=lambda: _limit(64)).returncode == 0
    done = podmanish("run", "--rm", "host", "true", preexec_fn=lambda: _limit(16))
    assert (done.returncode, done.stderr.count(b"\n") <= 2) == (125, True), done.stderr
    assert b"Traceback" not in done.stderr
    assert podmanish.output("ps", "-aq") == ""


def _limit(files: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


def test_full_disk(scripts: Path, short_place: Path) -> None:
    """On a full disk `run` fails with one sentence and 125; when there is room again it works."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(short_place)], check=True)
    try:
        engine = Podmanish(scripts / "podmanish", short_place / "state")
        filler = short_place / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4096"], check=False, capture_output=True, timeout=60)
        done = engine("run", "--rm", "host", "true")
        assert done.returncode == 125
        assert b"No space left" in done.stderr and b"Traceback" not in done.stderr
        done = engine("run", "-d", "host", "true")
        assert (done.returncode, done.stdout) == (125, b"") and b"No space left" in done.stderr
        filler.unlink()
        assert engine("run", "--rm", "host", "true").returncode == 0
        assert engine.output("ps", "-aq") == ""
    finally:
        subprocess.run(["umount", str(short_place)], check=True)


def test_logs_on_a_full_disk(scripts: Path, short_place: Path) -> None:
    """A disk that fills up while a container writes costs its log, not its output nor its exit code."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(short_place)], check=True)
    try:
        engine = Podmanish(scripts / "podmanish", short_place / "state")
        done = engine("run", "--rm", "host", "sh", "-c", "seq 100000; exit 7")
        assert done.returncode == 7, done.stderr
        assert done.stdout.endswith(b"\n100000\n")
    finally:
        subprocess.run(["umount", str(short_place)], check=True)
