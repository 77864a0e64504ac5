"""What a test needs of the machine: `@pytest.mark.needs("root", "audit")`, and what a fixture needs: demand("busybox").

Where it is missing the test is skipped, with the reason; where LAB_REQUIRE names it, it fails. LAB_REQUIRE=all names
all; all,-docker all but docker. LAB_ONLY=chromium,mkdocs runs only the tests that need one of these. LAB_SLOW=10 makes
the time limits ten times as long, for an emulated processor.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from lab.audit.probe import probe
from lab.runtime.cgroup import CONTROLLERS, available

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

CHECKOUT = Path(__file__).parent.parent
os.environ["LC_ALL"] = "C.UTF-8"  # the tests read what the lab says in English, whatever the tester's language


def _program(*names: str) -> Callable[[], str]:
    return lambda: "" if any(shutil.which(name) for name in names) else f"none of {', '.join(names)} is installed"


def _root() -> str:
    return "" if os.geteuid() == 0 else "not root"


def _audit() -> str:
    return _root() or "; ".join(probe().reasons)


def _open_checkout() -> str:
    """Whether other users can run the lab's commands: not in a home that only its user may enter."""
    closed = [folder for folder in (CHECKOUT, *CHECKOUT.parents) if folder.stat().st_mode & 0o005 != 0o005]
    return f"{closed[-1]} is closed to other users" if closed else ""


def _module(name: str) -> Callable[[], str]:
    return lambda: "" if importlib.util.find_spec(name) else f"Python package {name} is not installed"


FEATURES: dict[str, Callable[[], str]] = {
    "root": _root,
    "audit": _audit,
    "auditd": _program("auditd"),
    "auditctl": _program("auditctl"),
    "ausearch": _program("ausearch"),
    "auvirt": _program("auvirt"),
    "busybox": lambda: "" if Path("/bin/busybox").exists() else "Debian's busybox-static is not installed",
    "bwrap": _program("bwrap"),
    "at": _program("atd"),
    "containerd": _program("ctr"),
    "cron": _program("cron"),
    "dbus-daemon": _program("dbus-daemon"),
    "doas": _program("doas"),
    "pkexec": _program("pkexec"),
    "screen": _program("screen"),
    "sshd": _program("sshd"),
    "chromium": lambda: _program("chromium")() or _module("playwright")() or _module("axe_playwright_python")(),
    "cgroups": lambda: ", ".join(set(CONTROLLERS) - available()) and "not all cgroup controllers are there",
    "dbus": _program("dbus-daemon"),
    "docker": _program("dockerd"),
    "docker-cli": _program("docker"),
    "docker-compose": _program("docker-compose"),
    "docker-py": _module("docker"),
    "git": _program("git"),
    "ip": _program("ip"),
    "mkfs.ext4": _program("mkfs.ext4"),
    "mkdocs": _module("material"),
    "newuidmap": _program("newuidmap"),
    "open-checkout": _open_checkout,
    "podman": _program("podman"),
    "ps": _program("ps"),
    "ruby": _program("ruby"),
    "runc": _program("runc"),
    "skopeo": _program("skopeo"),
    "ssh-keygen": _program("ssh-keygen"),
    "schemathesis": _module("schemathesis"),
    "setpriv": _program("setpriv"),
    "setsid": _program("setsid"),
    "su": _program("su"),
    "sudo": _program("sudo"),
    "systemd-socket-activate": _program("systemd-socket-activate"),
    "systemd-nspawn": _program("systemd-nspawn"),
    "tmux": _program("tmux"),
    "unshare": _program("unshare"),
}


SLOW = float(os.environ.get("LAB_SLOW") or 1)


def patient(communicate: Callable[..., Any]) -> Callable[..., Any]:
    """Popen.communicate(), and so subprocess.run(), with LAB_SLOW times the timeout."""

    @wraps(communicate)
    def longer(*arguments: Any, timeout: float | None = None, **options: Any) -> Any:
        return communicate(*arguments, timeout=None if timeout is None else timeout * SLOW, **options)

    return longer


def pytest_configure(config: pytest.Config) -> None:
    """Take back what this run inherits from the way it was started, and the lab's commands would inherit.

    Under nohup(1) a signal is ignored; under make, a make that a test starts would get the same ARGS; under sudo, the
    files of an exercise would be that user's, who may not enter the directories of pytest. LAB_SLOW counts
    for the limit of a test, unless --timeout gives one, and for the programs that a test waits for.
    """
    for name in ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "ARGS", "SUDO_UID", "SUDO_GID", "SUDO_USER"):
        os.environ.pop(name, None)
    if config.option.timeout is None:
        config.option.timeout = float(config.getini("timeout")) * SLOW
    if SLOW != 1:
        subprocess.Popen.communicate = patient(subprocess.Popen.communicate)  # type: ignore[method-assign]
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(trylast=True)  # after those that mark a test by its fixtures
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what LAB_ONLY does not ask for."""
    only = set(filter(None, os.environ.get("LAB_ONLY", "").split(",")))
    if unknown := only - FEATURES.keys():
        raise pytest.UsageError(f"LAB_ONLY names {', '.join(unknown)}; the features are {', '.join(FEATURES)}")
    if only:
        chosen = [item for item in items if any(only & {*marker.args} for marker in item.iter_markers("needs"))]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def demand(feature: str) -> None:
    """Skip the test, or fail where LAB_REQUIRE names the feature, if this machine lacks it."""
    required = os.environ.get("LAB_REQUIRE", "").split(",")
    reason = FEATURES[feature]()
    if reason and (feature in required or ("all" in required and f"-{feature}" not in required)):
        pytest.fail(f"LAB_REQUIRE asks for {feature}: {reason}")
    if reason:
        pytest.skip(f"needs {feature}: {reason}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the test, or fail, before any fixture is made: those of a session come before all fixtures of a test."""
    for marker in item.iter_markers("needs"):
        for feature in marker.args:
            demand(feature)


@pytest.fixture(scope="session", name="demand")
def _demand() -> Callable[[str], None]:
    """For a fixture that needs what only some of its tests' marks would name."""
    return demand


@pytest.fixture(scope="session")
def scripts() -> Path:
    """The directory of the lab's own commands."""
    return Path(sys.executable).parent


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that other users may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="lab-test-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state directory for this test alone."""
    path = tmp_path / "state"
    path.mkdir()
    yield path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium without a window; playwright is imported only where a test needs it.

    It ends with the module: as long as it is there, an event loop runs in this thread, where others start their own.
    """
    from playwright.sync_api import sync_playwright

    quiet = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", *quiet])
        yield found
        found.close()


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[Callable[..., Tab]]:
    """Opens an address in a new tab of this size and scheme; the console must stay silent."""
    tabs: list[Tab] = []
    complaints: list[str] = []

    def opened(
        address: str, width: int = 1280, height: int = 720, scheme: Literal["light", "dark"] = "light", **more: Any
    ) -> Tab:
        tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, **more)
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.set_default_timeout(60_000 * SLOW)  # a wait ends with what it waits for
        tab.goto(address)
        tabs.append(tab)
        return tab

    yield opened
    for tab in tabs:
        tab.close()
    assert not complaints
