"""Which programs the lab executes, who needs each, and what installs it: for the stories and for `lab doctor` alike.

A program that is not in this table may not be executed; tests/test_needs.py holds that.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lab.errors import LabError, MissingFeature

AS_USER = "sudo .venv/bin/lab demo --as NAME"  # the remedy where root has logged in
INSTALL = "sudo apt-get install -y"
CHECKOUT = Path(__file__).parent.parent
UBUNTUS = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
LEAVES_OUT = "it leaves one launcher out"
LIMIT = 120  # seconds for a command that the lab runs for itself; dockerd on a slow machine is the slowest


class CannotTell(LabError):
    """A command came to nothing, so its outcome is evidence for no claim and against none."""


@dataclass(frozen=True)
class Program:
    """A program of another package.

    package   Debian's; "NEW | OLD" if a later Debian has it in NEW; "" if Debian 12 has none
    users     who cannot do without it: names of stories, "make TARGET", "--engines NAME"
    without   what the lab does without it, where it is optional; "" where its users cannot do without it
    source    where it comes from if not from a package
    """

    name: str
    package: str
    users: Sequence[str]
    without: str = ""
    source: str = ""


def _rows() -> Iterator[Program]:
    def row(package: str, names: str, users: str, without: str = "") -> Iterator[Program]:
        return (Program(name, package, users.split(", "), without) for name in names.split())

    yield from row("dash", "sh", "every story")
    yield from row("coreutils", "cat", "loginuid, run, article, inherit, unattended, witness, mirror, gallery")
    yield from row("coreutils", "env", "inherit, gallery, make shell, make talk")
    yield from row("coreutils", "id", "loginuid, rootless")
    yield from row("coreutils", "rm", "trace, launder")
    yield from row("coreutils", "wc", "blindspot")
    yield from row("grep", "grep", "trace")
    yield from row("coreutils", "sleep", "crash, notify, unattended")
    yield from row("coreutils", "test", "rootless")
    touching = "shadow, article, trace, rootless, frameup, forge, launder, attribution, witness, blindspot"
    yield from row("coreutils", "touch", touching)
    yield from row("coreutils", "true", "--engines podman, --engines docker")
    yield from row("coreutils", "tail", "auditd's log")
    yield from row("coreutils", "nice", "inherit")
    yield from row("coreutils", "mkdir", "notify, launder")
    yield from row("coreutils", "chroot", "launder, --engines podman, --engines docker")
    yield from row("coreutils", "nohup timeout", "gallery", LEAVES_OUT)
    yield from row("coreutils", "stat install", "gallery", LEAVES_OUT)
    yield from row("sed", "sed", "gallery", LEAVES_OUT)
    yield from row("tar", "tar", "gallery", LEAVES_OUT)
    yield from row("coreutils", "chmod ln mv", "--engines podman, --engines docker")
    yield from row("bash", "bash", "make talk", "the speaker's shell is sh")
    yield from row("libc-bin", "ldd", "--engines podman, --engines docker")
    yield from row("util-linux", "setpriv", "loginuid, inherit, mirror, rootless, trace, variants, make shell")
    unsharing = "mirror, notify, launder, trace, crash, witness, make engines-up"
    yield from row("util-linux", "unshare", unsharing)
    yield from row("util-linux", "choom prlimit taskset", "inherit")
    yield from row("util-linux", "nsenter", "notify, launder")
    yield from row("mount", "mount", "notify, launder, trace, witness")
    yield from row("bsdutils", "logger", "witness", "it leaves one witness out: journald")
    yield from row("systemd", "loginctl", "witness", "it leaves one witness out: logind")
    yield from row("util-linux", "su", "gallery", LEAVES_OUT)
    yield from row("util-linux", "setsid", "gallery, make shell", "it leaves one launcher out; lab shell needs it")
    yield from row("bash", "bash", "make shell", "the shell is sh")
    yield from row("tmux", "tmux", "gallery, make shell", "it leaves one launcher out; lab shell shows no records")
    yield from row("sudo", "sudo", "trace", "commands are shown without it")
    yield from row("procps", "kill", "crash", "the shell's own kill is used")
    yield from row("iproute2", "ip", "trace")
    yield from row("auditd", "auditd", "make engines-up, trace", "the lab's own receiver takes its place")
    yield from row("audispd-plugins", "audisp-remote", "trace", "the lab's own sender takes its place")
    yield from row("auditd", "ausearch", "--engines auditd, article", "no log is searched or compared")
    yield from row("auditd", "auditctl", "every story", "the printed auditctl commands cannot be pasted")
    yield from row("systemd-container", "systemd-nspawn", "notify, launder", "both need a systemd that is pid 1")
    yield from row("systemd", "systemctl systemd-notify journalctl", "notify, launder")
    yield from row("systemd", "systemd-run", "gallery, launder", "gallery leaves one launcher out")
    yield from row("dbus", "dbus-daemon", "launder, gallery", "launder and gallery leave what needs a bus out")
    yield from row("cron", "cron", "launder, gallery", "both leave cron out")
    yield from row("systemd", "systemd-socket-activate", "variants", "it leaves one variant out")
    launchers = {
        "openssh-client": "ssh ssh-keygen",
        "openssh-server": "sshd",
        "at": "at atd",
        "opendoas": "doas",
        "pkexec": "pkexec",
        "screen": "screen",
        "dbus-bin": "dbus-send",
        "containerd": "containerd ctr",
        "systemd-container": "machinectl",
    }
    for package, names in launchers.items():
        yield from row(package, names, "gallery", LEAVES_OUT)
    debian13 = "run this on Debian 13 or later: run0 came with systemd 256"
    yield Program("run0", "", ["gallery"], LEAVES_OUT, debian13)
    yield from row("podman", "podman", "--engines podman")
    yield from row("nftables", "nft", "--engines podman", "podman 4 needs iptables instead")
    yield from row("passt", "pasta", "variants", "podman 4 needs slirp4netns instead")
    yield from row("slirp4netns", "slirp4netns", "variants", "podman 5 needs pasta instead")
    yield from row("docker-cli | docker.io", "docker", "--engines docker, make engines-up")
    yield from row("docker.io", "dockerd", "--engines docker, make engines-up")
    yield from row("runc", "runc", "make engines-up, make bench")
    yield from row("uidmap", "newuidmap newgidmap", "variants, make test")
    yield from row("busybox-static", "busybox", "make test")
    yield from row("bubblewrap", "bwrap", "make bench")
    yield from row("make", "make", "make")
    yield from row("git", "git", "make test")
    yield from row("procps", "ps", "make test", "the tests that use it are skipped")
    yield from row("ruby", "ruby", "make test", "the tests that use it are skipped")
    yield from row("e2fsprogs", "mkfs.ext4", "make test", "the tests that use it are skipped")
    yield from row("e2fsprogs", "mke2fs debugfs dumpe2fs", "make box, make disk")
    yield from row("mmdebstrap", "mmdebstrap", "make box, make disk")
    yield from row("qemu-utils", "qemu-img", "make box, make disk, WHERE=qemu")
    yield from row("qemu-system-x86", "qemu-system-x86_64", "WHERE=qemu")
    yield from row("npm", "npm", "make docs")
    yield from row("vagrant", "vagrant", "make test-vm, make ssh, make undo")
    yield from row("apt", "apt-cache", "lab doctor", "docker's package is named as on Debian 12")
    rootless_mode = "see docs.docker.com, Rootless mode"
    yield Program("dockerd-rootless.sh", "", ["variants"], "it leaves one variant out", rootless_mode)


PROGRAMS = {program.name: program for program in _rows()}


def installed(*names: str) -> bool:
    """Whether these programs are on PATH."""
    return all(shutil.which(name) for name in names)


def missing(words: Iterable[str]) -> MissingFeature | None:
    """The error that names those programs of the table among these words that are not installed; None if all are."""
    names = [word for word in dict.fromkeys(words) if word in PROGRAMS and not installed(word)]
    if not names:
        return None
    return MissingFeature(f"{' and '.join(names)} cannot be found on PATH", install(names))


def require(*names: str) -> None:
    """Raise MissingFeature, with the command that installs them, unless all these programs of the table are there."""
    error = missing(names)
    if error:
        raise error


def require_words(argv: Iterable[str]) -> None:
    """The same for the words of a command, as far as there is no doing without: `podmanish kill` needs no kill(1)."""
    require(*(word for word in argv if word in PROGRAMS and not PROGRAMS[word].without))


def install(names: Iterable[str]) -> str:
    """The one command that installs these programs, as far as Debian has them."""
    names = list(names)
    found = packages(names)
    return f"{INSTALL} {' '.join(found)}" if found else "; ".join(PROGRAMS[name].source for name in names)


def packages(names: Iterable[str]) -> list[str]:
    """The Debian packages of these programs, each once, as this machine's Debian names them."""
    return sorted({_package(PROGRAMS[name].package) for name in names} - {""})


def _package(choice: str) -> str:
    """The first of the packages in a row that this machine's apt has; else the last. apt-cache(8)"""
    *newer, last = choice.split(" | ")
    has = (name for name in newer if installed("apt-cache") and run(["apt-cache", "show", name]).returncode == 0)
    return next(has, last)


def run(
    argv: Sequence[str], *, seconds: float = 0, stdin: IO[bytes] | int = subprocess.DEVNULL, errors: str = "replace"
) -> subprocess.CompletedProcess[str]:
    """Run a command that the audience does not see; whatever its exit code, its output is returned as text.

    Raises MissingFeature if the program is not there; CannotTell if the command does not end within the seconds, by
    default LIMIT: its process group is killed, so sudo(8) together with what it runs.
    """
    try:
        process = subprocess.Popen(
            argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, errors=errors, process_group=0
        )
    except FileNotFoundError:
        raise missing([argv[0]]) or MissingFeature(f"there is no program {argv[0]}", f"which {argv[0]}") from None
    with process:
        try:
            out, err = process.communicate(timeout=seconds or LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            line = " ".join(argv)
            raise CannotTell(f"`{line}` did not end within {seconds or LIMIT:g} s", f"run it by hand: {line}") from None
        return subprocess.CompletedProcess(argv, process.returncode, out, err)


def user_namespaces() -> bool:
    """Whether the kernel's settings let every user make a user namespace."""
    limit = Path("/proc/sys/user/max_user_namespaces").read_text(encoding="ascii")
    return int(limit) > 0 and not (UBUNTUS.exists() and int(UBUNTUS.read_text(encoding="ascii")))


def no_user_namespaces(user: str) -> MissingFeature:
    """The error where that user may not make a user namespace, with the setting that forbids it; user_namespaces(7)."""
    setting = "kernel.apparmor_restrict_unprivileged_userns=0" if UBUNTUS.exists() else "user.max_user_namespaces=10000"
    return MissingFeature(f"this machine lets {user} make no user namespace", f"sudo sysctl {setting}")


def closed_to_others(path: Path = CHECKOUT) -> str:
    """The first directory on the way to the checkout, or within, that users other than its owner may not enter.

    "" if there is none. Where that is so, only root and the owner can execute the lab's commands.
    """
    scripts = Path(sys.executable).absolute().parent
    return _closed((*reversed(path.parents), path, path / "lab", *reversed(scripts.parents), scripts))


def closed_on_the_way(program: Path) -> str:
    """The first directory on the way to the program that users other than its owner may not enter; "" if none."""
    return _closed(reversed(program.absolute().parents))


def _closed(places: Iterable[Path]) -> str:
    return next((str(place) for place in places if not place.stat().st_mode & stat.S_IXOTH), "")


def opened(closed: str) -> str:
    """What to do about such a directory."""
    return f"sudo chmod o+rx {closed}   (or clone the checkout to a place that every user can read, such as /opt)"
