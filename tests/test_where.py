"""tools/where: which machine plays the demo. A script stands in for `vagrant`; `make test-vm` uses the real one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

WHERE = Path(__file__).parent.parent / "tools/where"
VAGRANT = """#!/bin/sh
case $1 in
  status) echo "1,lab,state,${STATE-running}" ;;
  ssh) shift; printf '<%s>' "$@"; exit 7 ;;
  provision) echo "copied by uid $(id -u)" >&2 ;;
esac
"""
LAB = "#!/bin/sh\necho here with $@\nexit ${STATUS-3}\n"
NOBODY = 65534


class Checkout:
    """A checkout with nothing but tools/where, and a vagrant that says what it was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for folder in ("tools", "bin", "provision", ".venv/bin"):
            (path / folder).mkdir(parents=True)
        shutil.copy(WHERE, path / "tools")
        shutil.copy(WHERE.parent.parent / "provision/not-copied", path / "provision")
        for name, script in (("bin/vagrant", VAGRANT), (".venv/bin/lab", LAB), ("tools/setup", "#!/bin/sh\n")):
            (path / name).write_text(script)
            (path / name).chmod(0o755)

    def make_guest(self) -> Path:
        """Leave what `vagrant up` leaves; returns the stamp of the last copy of the checkout."""
        machine = self.path / ".vagrant/machines/lab/libvirt"
        machine.mkdir(parents=True)
        (machine / "id").write_text("1")
        stamp = machine / "checkout"
        stamp.touch()
        later = stamp.stat().st_mtime + 1
        os.utime(stamp, (later, later))
        return stamp

    def run(self, *words: str, user: int | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        """Run tools/where."""
        path = f"{self.path}/bin:{os.environ['PATH']}"
        return subprocess.run(
            ["tools/where", *words], cwd=self.path, user=user,
            env={"PATH": path, "STATE": "running", "LAB_MACHINE": "/none", **env},
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    """A checkout that the user nobody may read, which is not so in pytest's own directories."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Checkout(Path(name))


def test_a_guest_that_is_up_is_the_place(checkout: Checkout) -> None:
    """The target runs in a guest that is up, without a tty if there is none here; its exit status is returned."""
    checkout.make_guest()
    done = checkout.run("demo", "--as", "a b")
    command = "cd /vagrant && sudo tools/where demo --as a\\ b"
    assert (done.stdout, done.returncode) == (f"<lab><--no-tty><-c><{command}>", 7)


def test_only_a_changed_checkout_is_copied(checkout: Checkout) -> None:
    """A file that is younger than the last copy, and a deleted one, make `make demo` copy; files of the venv do not."""
    stamp = checkout.make_guest()
    assert checkout.run("demo").stderr == ""
    begin = stamp.stat().st_mtime

    def changed_at(path: str, after: float) -> bool:
        os.utime(checkout.path / path, (begin + after, begin + after))
        copied = "copied" in checkout.run("demo").stderr
        os.utime(checkout.path / path, (begin - 9, begin - 9))
        return copied

    (checkout.path / ".venv/new").touch()
    assert not changed_at(".venv/new", 1)
    assert changed_at("tools/setup", 1)
    assert changed_at("provision", 1)
    assert not changed_at("tools/setup", -1)


@pytest.mark.parametrize(
    ("words", "port"),
    [
        ("demo --page", "8650"),
        ("talk run --page --port 9000", "9000"),
        ("demo --port=9000 --page", "9000"),
        ("demo --page --port 0", ""),
        ("demo --port 9000", ""),
    ],
)
def test_the_guests_page_is_this_machines(checkout: Checkout, words: str, port: str) -> None:
    """With --page the port of the page is forwarded under its own number; else vagrant itself logs in."""
    checkout.make_guest()
    (checkout.path / "bin/ssh").write_text("#!/bin/sh\nprintf '<%s>' \"$@\"\n")
    (checkout.path / "bin/ssh").chmod(0o755)
    done = checkout.run(*words.split())
    command = f"<lab><cd /vagrant && sudo tools/where {words}>"
    by_vagrant = command.replace("><", "><--no-tty><-c><")
    assert done.stdout.endswith(f"<-L><{port}:127.0.0.1:{port}>{command}" if port else by_vagrant)


@pytest.mark.needs("root")
@pytest.mark.parametrize("state", ["shutoff", "saved", "not_created", ""])
def test_a_guest_that_is_halted(checkout: Checkout, state: str) -> None:
    """With a guest that is halted nothing is played here, not even for root; where it was deleted, root plays here."""
    checkout.make_guest()
    done = checkout.run("demo", "--auto", STATE=state)
    if state == "not_created":
        assert (done.stdout, done.returncode) == ("here with demo --auto\n", 3)
    else:
        assert (done.stdout, done.returncode) == ("", 125)
        assert f"its state is {state or 'unknown'}" in done.stderr
        assert "vagrant up" in done.stderr
        assert "WHERE=here" in done.stderr


@pytest.mark.needs("root")
def test_without_a_guest_root_plays_here(checkout: Checkout) -> None:
    """Where no guest was made, root on Linux plays the demo right here, with lab's own exit status."""
    done = checkout.run("demo", "--auto")
    assert (done.stdout, done.returncode) == ("here with demo --auto\n", 3)


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("verb", "status", "meaning"),
    [
        ("demo", "1", "the kernel contradicted it"),
        ("talk", "3", "what mends it stands below each ?"),
        ("doctor", "3", "the lines with MISSING say why"),
        ("demo", "125", "the lab itself failed"),
    ],
)
def test_the_last_line_says_what_the_status_means(checkout: Checkout, verb: str, status: str, meaning: str) -> None:
    """One sentence for each status that make would only call Error N; none for 0, and none for a signal's."""
    done = checkout.run(verb, WHERE="here", STATUS=status)
    assert done.stderr.startswith(f"Exit status {status}: ") and meaning in done.stderr
    assert (done.returncode, done.stderr.count("\n"), done.stderr[-2:]) == (int(status), 1, ".\n")
    for silent in ("0", "130"):
        assert checkout.run(verb, WHERE="here", STATUS=silent).stderr == ""


def test_in_the_lab_machine(checkout: Checkout) -> None:
    """In the guest everything runs right here, whatever Vagrant says."""
    checkout.make_guest()
    assert checkout.run("doctor", LAB_MACHINE="/").stdout == "here with doctor\n"


def test_a_shell_in_the_guest(checkout: Checkout) -> None:
    """`make ssh` logs in where the guest is up; else it says in one sentence what to paste."""
    for words, made in (("vagrant up", False), ("vagrant up", True)):
        if made:
            checkout.make_guest()
        done = checkout.run("ssh", STATE="shutoff")
        assert (done.stdout, done.returncode, done.stderr.count("\n")) == ("", 125, 1)
        assert words in done.stderr
    done = checkout.run("ssh")
    assert (done.stdout, done.returncode) == ("<lab>", 7)


@pytest.mark.parametrize(("made", "state"), [(False, "running"), (True, "shutoff"), (True, "not_created"), (True, "")])
def test_where_guest_wants_a_guest_that_runs(checkout: Checkout, made: bool, state: str) -> None:
    """With WHERE=guest, a guest that does not run gives status 125 and one sentence; Vagrant is not asked to log in."""
    if made:
        checkout.make_guest().unlink()
    done = checkout.run("demo", WHERE="guest", STATE=state)
    assert (done.stdout, done.returncode, done.stderr.count("\n")) == ("", 125, 1)
    assert done.stderr.endswith("Paste:  vagrant up\n")
    assert state in ("running", "not_created") or f"state is {state or 'unknown'}" in done.stderr


def test_make_hands_over_no_user_of_its_own() -> None:
    """GNU make defines AS (as `as`); `make ssh` passes only the user's."""
    for words, wanted in (([], "tools/where ssh"), (["AS=dwalsh"], "tools/where ssh dwalsh")):
        shown = subprocess.run(
            ["make", "-n", "-s", "ssh", *words], cwd=WHERE.parent.parent, capture_output=True, text=True, check=True
        )
        assert shown.stdout.strip() == wanted


@pytest.mark.needs("root", "sudo")
def test_sudo_make_asks_the_owners_vagrant(checkout: Checkout) -> None:
    """Under sudo the guest is that of the user who called sudo."""
    checkout.make_guest().unlink()
    done = checkout.run("demo", SUDO_UID=str(NOBODY))
    assert f"copied by uid {NOBODY}" in done.stderr


@pytest.mark.needs("root")
def test_nowhere_to_play(checkout: Checkout) -> None:
    """Without a guest and without root, the error names the two ways out."""
    done = checkout.run("demo", user=NOBODY)
    assert done.returncode == 125
    assert "vagrant up" in done.stderr
    assert "sudo make demo" in done.stderr


@pytest.mark.needs("root")
def test_the_user_decides(checkout: Checkout) -> None:
    """WHERE=here, WHERE=guest and WHERE=qemu decide, whether a guest is up or not; another value is refused."""
    assert checkout.run("demo", WHERE="guest").returncode == 125
    checkout.make_guest()
    assert "here, guest or qemu" in checkout.run("demo", WHERE="there").stderr
    assert checkout.run("talk", WHERE="here").stdout == "here with talk\n"
    assert checkout.run("demo", "x", WHERE="here").stdout == "here with demo x\n"
    assert checkout.run("shell", "--as", "alice", WHERE="here").stdout == "here with shell --as alice\n"
    (checkout.path / "tools/vm").write_text("#!/bin/sh\nprintf '<%s>' \"$@\" $FORWARD\n")
    (checkout.path / "tools/vm").chmod(0o755)
    assert checkout.run("demo", "x", WHERE="qemu").stdout == "<up><run><cd /vagrant && sudo tools/where demo x>"
    assert checkout.run("demo", "--page", WHERE="qemu").stdout.endswith(" demo --page><8650>")
