"""The unmodified docker-compose drives labd: two services on the host's network, and a refusal of what labd lacks."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from private_labd import CHECKOUT, Labd
from support import SLOW, soon

pytestmark = pytest.mark.needs("root", "docker-compose")
Compose = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def compose(labd: Labd, tmp_path: Path) -> Iterator[Compose]:
    """Runs docker-compose in a project of its own; afterwards no container of it may be left."""

    def run(*words: str, file: Path = CHECKOUT / "docs/compose.yaml") -> subprocess.CompletedProcess[str]:
        command = ["docker-compose", "-p", "made", "-f", str(file), *words]
        limits = {"timeout": 60 * SLOW, "stdin": subprocess.DEVNULL, "check": False}
        return subprocess.run(command, env=labd.env, cwd=tmp_path, capture_output=True, text=True, **limits)  # type: ignore[call-overload,no-any-return]

    yield run
    left = labd.request("GET", "/containers/json?all=1")[1]
    for container in left:
        labd.request("DELETE", f"/containers/{container['Id']}?force=1")
    assert left == []


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes a compose file with one service; JSON is YAML, too."""

    def write(**service: object) -> Path:
        file = tmp_path / "compose.yaml"
        file.write_text(json.dumps({"version": "3.8", "services": {"one": {"image": "host", **service}}}))
        return file

    return write


def good(done: subprocess.CompletedProcess[str]) -> str:
    """Its standard output, if it succeeded."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_services(labd: Labd, compose: Compose) -> None:
    """up, ps, logs, exec and down do what the page says, and both services have labd's loginuid, nobody's as a rule."""
    labds = Path(f"/proc/{labd.pid}/loginuid").read_text()
    good(compose("up", "-d"))
    assert len(good(compose("ps", "-q")).split()) == 2
    assert f"loginuid {labds}" in good(compose("logs", "witness"))
    assert good(compose("exec", "-T", "clock", "cat", "/proc/self/loginuid")).strip() == labds
    good(compose("down", "-t", "1"))
    assert good(compose("ps", "-q")).strip() == ""


def test_a_run_in_the_foreground(compose: Compose, written: Callable[..., Path]) -> None:
    """up attaches, shows what the service writes, and takes its exit status."""
    file = written(network_mode="none", command=["sh", "-c", "echo 'from inside'; exit 3"])
    done = compose("up", "--exit-code-from", "one", file=file)
    assert done.returncode == 3
    assert "from inside" in done.stdout
    good(compose("down", file=file))


def test_a_health_check(labd: Labd, compose: Compose, written: Callable[..., Path]) -> None:
    """A health check of the compose file reaches labd, which says healthy."""
    check = {"test": ["CMD", "true"], "interval": "1s"}
    file = written(network_mode="host", command=["sleep", "1000"], init=True, healthcheck=check, mem_limit="100m")
    good(compose("up", "-d", file=file))
    identity = good(compose("ps", "-q", file=file)).strip()
    path = f"/containers/{identity}/json"
    assert soon(lambda: bool(labd.request("GET", path)[1]["State"]["Health"]["Status"] == "healthy"))
    good(compose("down", "-t", "1", file=file))


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        ({}, "network_mode: host"),
        ({"network_mode": "none", "ports": ["8080:80"]}, "the host's ports"),
        ({"network_mode": "none", "image": "nosuch"}, "the lab downloads nothing"),
    ],
)
def test_what_labd_lacks_is_refused(
    compose: Compose, written: Callable[..., Path], service: dict[str, object], reason: str
) -> None:
    """docker-compose fails with labd's sentence, and `down` has nothing to complain about."""
    file = written(command=["true"], **service)
    done = compose("up", "-d", file=file)
    assert done.returncode
    assert reason in done.stdout + done.stderr
    good(compose("down", file=file))
