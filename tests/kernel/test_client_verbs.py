"""dockerish's verbs besides run and exec, beside podmanish's where both have them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from private_labd import Labd
from support import CHECKOUT, soon

from lab.paths import SOCKET

pytestmark = pytest.mark.needs("root")


def output(labd: Labd, *words: str, **options: object) -> str:
    """Standard output of a command that must succeed."""
    done = labd.dockerish(*words, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@pytest.fixture
def box(labd: Labd) -> Iterator[str]:
    """The name of a container that runs and ends by itself at SIGTERM."""
    script = "trap 'exit 3' TERM; echo begun; while :; do sleep 0.01; done"
    output(labd, "run", "-d", "--name", "verbs", "host", "sh", "-c", script)
    assert soon(lambda: output(labd, "logs", "verbs") == "begun\n")
    yield "verbs"
    labd.dockerish("rm", "-f", "verbs")


def test_create_and_start(labd: Labd) -> None:
    """What create has made runs when start says so, any number of times."""
    container = output(labd, "create", "--name", "later", "host", "echo", "now").strip()
    assert output(labd, "ps", "-aq", "--no-trunc") == f"{container}\n"
    assert output(labd, "logs", "later") == ""
    for _ in range(2):
        assert output(labd, "start", "later") == "later\n"
        assert output(labd, "wait", "later") == "0\n"
    assert output(labd, "logs", "later") == "now\nnow\n"
    assert output(labd, "rm", "later") == "later\n"


def test_start_attached(labd: Labd) -> None:
    """start -ai gives input, output and the exit code of the container; more than one at once is refused."""
    output(labd, "create", "-i", "--name", "asked", "host", "sh", "-c", "read word; echo $word; exit 4")
    done = labd.dockerish("start", "-ai", "asked", input=b"answer\n")
    assert (done.returncode, done.stdout) == (4, b"answer\n")
    assert labd.dockerish("start", "-a", "asked", "asked").returncode == 125
    labd.dockerish("rm", "asked")


def test_attach(labd: Labd) -> None:
    """attach carries a running container's streams until its end; a stopped one is refused in a sentence."""
    output(labd, "run", "-di", "--name", "open", "host", "sh", "-c", "read word; echo $word >&2; exit 5")
    done = labd.dockerish("attach", "open", input=b"hello\n")
    assert (done.returncode, done.stderr) == (5, b"hello\n")
    done = labd.dockerish("attach", "open")
    assert done.returncode == 125
    assert b"cannot attach to a stopped container" in done.stderr
    labd.dockerish("rm", "open")


def test_stop_and_kill(labd: Labd, box: str) -> None:
    """stop sends SIGTERM, kill any signal; `wait` tells the exit code, `ps` the state."""
    assert output(labd, "stop", "-t", "20", box) == f"{box}\n"
    assert output(labd, "wait", box) == "3\n"
    assert "Exited (3)" in output(labd, "ps", "-a")
    output(labd, "start", box)
    assert output(labd, "kill", "-s", "KILL", box) == f"{box}\n"
    assert output(labd, "wait", box) == "137\n"


def test_one_error_spares_the_others(labd: Labd, box: str) -> None:
    """Of several containers each is acted on; the exit status and standard error tell of the one that is not there."""
    done = labd.dockerish("stop", "-t", "20", "nobody", box)
    assert (done.returncode, done.stdout) == (125, f"{box}\n".encode())
    assert b"No such container: nobody" in done.stderr


def test_inspect(labd: Labd, box: str) -> None:
    """inspect prints a JSON list with an object for each container."""
    (found,) = json.loads(output(labd, "inspect", box))
    assert (found["Name"], found["State"]["Status"]) == (f"/{box}", "running")


def test_import_and_images(labd: Labd, rootfs_tar: bytes, tmp_path: Path) -> None:
    """import makes an image of a tar, from a file or from standard input; images lists it; a missing file is told."""
    (tmp_path / "root.tar").write_bytes(rootfs_tar)
    output(labd, "import", str(tmp_path / "root.tar"), "from-file")
    output(labd, "import", "-", "from-stdin", input=rootfs_tar)
    listed = [line.split()[0] for line in output(labd, "images").splitlines()]
    assert {"host", "from-file", "from-stdin"} <= set(listed)
    assert output(labd, "run", "--rm", "from-stdin", "echo", "inside") == "inside\n"
    for name in ("from-file", "from-stdin"):  # other tests count the images of this daemon
        assert labd.request("DELETE", f"/images/{name}")[0] == 200
    done = labd.dockerish("import", str(tmp_path / "none.tar"), "x")
    assert (done.returncode, b"none.tar: No such file" in done.stderr) == (125, True)
    assert labd.dockerish("import", "only-one-word").returncode == 125


def test_version(labd: Labd) -> None:
    """version names both sides and the socket between them."""
    lines = output(labd, "version").splitlines()
    assert lines[0].startswith("dockerish") and str(labd.socket) in lines[0]
    assert lines[1].startswith("labd") and "API 1." in lines[1]


def test_help_names_every_verb(labd: Labd) -> None:
    """--help lists the verbs, VERB --help the options; a verb that is none is refused."""
    verbs = [line.split()[0] for line in output(labd, "--help").splitlines() if line.startswith("  ")]
    assert {"run", "exec", "start", "attach", "import", "version"} <= set(verbs)
    for verb in verbs:
        assert output(labd, verb, "--help").startswith(f"Usage: dockerish {verb}")
    assert b"there is no verb" in labd.dockerish("nonsense").stderr


def test_the_usual_socket() -> None:
    """Without --host and LAB_HOST the client asks labd's usual socket; --host wants a value."""
    words = [sys.executable, "-m", "client.cli"]
    options = {"cwd": CHECKOUT, "capture_output": True, "text": True, "check": False, "timeout": 60}
    done = subprocess.run([*words, "--host"], **options)  # type: ignore[call-overload]
    assert (done.returncode, "flag needs an argument: --host" in done.stderr) == (125, True)
    if not Path(SOCKET).exists():
        done = subprocess.run([*words, "version"], env={}, **options)  # type: ignore[call-overload]
        assert (done.returncode, SOCKET in done.stderr) == (125, True)
