"""What a test needs of the machine: `@pytest.mark.needs("root", "audit")`.

Where it is missing the test is skipped, with the reason; where LAB_REQUIRE names it (or is "all"), it fails.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.audit.probe import probe
from lab.runtime.cgroup import CONTROLLERS, available

CHECKOUT = Path(__file__).parent.parent


def _program(*names: str) -> Callable[[], str]:
    return lambda: "" if any(shutil.which(name) for name in names) else f"none of {', '.join(names)} is installed"


def _root() -> str:
    return "" if os.geteuid() == 0 else "not root"


def _audit() -> str:
    return _root() or "; ".join(probe().reasons)


def _module(name: str) -> Callable[[], str]:
    return lambda: "" if importlib.util.find_spec(name) else f"Python package {name} is not installed"


FEATURES: dict[str, Callable[[], str]] = {
    "root": _root,
    "audit": _audit,
    "auditd": _program("auditd"),
    "ausearch": _program("ausearch"),
    "bwrap": _program("bwrap"),
    "cgroups": lambda: ", ".join(set(CONTROLLERS) - available()) and "not all cgroup controllers are there",
    "docker": _program("dockerd"),
    "docker-cli": _program("docker"),
    "docker-py": _module("docker"),
    "git": _program("git"),
    "mkdocs": _module("material"),
    "newuidmap": _program("newuidmap"),
    "podman": _program("podman"),
    "ruby": _program("ruby"),
    "runc": _program("runc"),
    "schemathesis": _module("schemathesis"),
    "setpriv": _program("setpriv"),
    "sudo": _program("sudo"),
    "systemd-socket-activate": _program("systemd-socket-activate"),
    "systemd-nspawn": _program("systemd-nspawn"),
    "unshare": _program("unshare"),
}


def pytest_configure() -> None:
    """An ignored signal is inherited by fork and exec: under nohup(1), by every container of this run."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the test, or fail, before any fixture is made: those of a session come before all fixtures of a test."""
    required = os.environ.get("LAB_REQUIRE", "").split(",")
    for marker in item.iter_markers("needs"):
        for feature in marker.args:
            reason = FEATURES[feature]()
            if reason and (feature in required or "all" in required):
                pytest.fail(f"LAB_REQUIRE asks for {feature}: {reason}")
            if reason:
                pytest.skip(f"needs {feature}: {reason}")


@pytest.fixture(scope="session")
def scripts() -> Path:
    """The directory of the lab's own commands."""
    return Path(sys.executable).parent


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state directory for this test alone."""
    path = tmp_path / "state"
    path.mkdir()
    yield path
