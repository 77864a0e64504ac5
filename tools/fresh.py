"""Do what README.md says on a machine that has nothing yet: python3 -m tools.fresh SUITE [test|coverage]

The machine is a new Debian of that suite (bookworm, trixie ...) in a directory, made by debootstrap(8), with git, make
and sudo and nothing else. A student logs in there: a loginuid by pam_loginuid(8), a home that is closed to others, sudo
without a password. The login is runuser(1)'s, since the tests assert that su(1) starts no session. The new root has a
mount namespace of its own and no other: audit speaks to the first pid namespace and the first user namespace alone
(kernel/audit.c, audit_netlink_ok).

First the commands of README's "The first verdict" are typed, word for word, and the seconds until a verdict is on the
screen are measured. With `test` or `coverage`, all tests follow (sudo make of that word), with all packages that they
can need; what such a root cannot have, `--absent` prints.

MIRROR           Debian's mirror; else the one that apt uses here, else debootstrap's own
LAB_FRESH        a directory for the roots and for downloaded packages; else /var/cache/lab-fresh
PIP_INDEX_URL    and others of INDEX: where pip finds packages
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from lab import pidfd

CHECKOUT = Path(__file__).resolve().parent.parent
PLACEHOLDER = "URL-OF-THIS-REPOSITORY"
STUDENT = "student"
INDEX = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")
WANTED = 30  # seconds from `git clone` to the first verdict
# A package index may be slow, and so may two processors. What takes six times as long is broken.
LIMIT = 6 * WANTED
SUITE_SECONDS = 1500
TESTS = ("test", "coverage")  # targets of make
# What the tests cannot have in such a root, with the reason: features of tests/conftest.py.
ABSENT = {
    "mkdocs": "the site needs npm for its diagrams, some 400 packages; .ci/run makes the site elsewhere",
    "chromium": "a browser and its fonts take half a gigabyte; .ci/run shows the page on its own machine",
    "open-checkout": "the student's home is closed to others, as Debian makes it; .ci/run's own checkout is open",
    "auvirt": "Debian 13's auditd has none any more; Debian 12's has it",
}
# What makes the student an ordinary one; the shell ends if any of it is not so.
IDENTITY = "test $(cat /proc/self/loginuid) = $(id -u); test $(stat -c %a ~) = 700; test ! -e /run/lab"
VERDICT = re.compile(r"^\s*[✔✘?] ", re.MULTILINE)
PROMPT = "Enter to go on"
COLOURS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")

# $1 is the root, $2 where its packages are kept. When all is ready, the script says so, and holds the mount namespace
# until its input ends. pivot_root(2) and not chroot(2), after which user namespaces are refused.
HOLD = """
set -eu
mount --bind "$1" "$1"
mount --bind "$2" "$1/var/cache/apt/archives"
cd "$1"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
mkdir run/lock .old
pivot_root . .old
cd /
umount --lazy /.old
rmdir /.old
echo ready
read -r _ || true
"""
# What an installation leaves, in the root: $1 is the user.
FURNISH = """
set -eu
useradd --create-home --shell /bin/bash "$1"
chmod 700 "/home/$1"
echo "$1 ALL=(ALL:ALL) NOPASSWD: ALL" >/etc/sudoers.d/lab
echo 'session required pam_loginuid.so' >>/etc/pam.d/runuser-l
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
chown -R "$1:" /srv/lab.git
"""


def say(text: str) -> None:
    print(text, flush=True)


def mirror() -> list[str]:
    """The argument of debootstrap that names the mirror; none where only debootstrap knows one."""
    if chosen := os.environ.get("MIRROR"):
        return [chosen]
    filters = ["Origin: Debian", "Label: Debian", "Component: main", "Created-By: Packages"]
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", *filters]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[:1]


def build(suite: str, root: Path, packages: Path) -> None:
    """A new Debian in the directory root; the .deb files are kept in packages."""
    command = ["debootstrap", "--variant=minbase", "--include=git,make,sudo", f"--cache-dir={packages}"]
    log = root.with_suffix(".log")
    with log.open("wb") as output:
        done = subprocess.run([*command, suite, str(root), *mirror()], stdout=output, stderr=output, check=False)
    if done.returncode:
        sys.exit(f"debootstrap {suite} failed:\n" + "\n".join(log.read_text().splitlines()[-15:]))


def connect(root: Path) -> None:
    """Give the root this machine's network: names, certificates, proxies, the index of pip's packages."""
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    (root / "etc/hosts").write_text(Path("/etc/hosts").read_text() + f"127.0.1.1 {os.uname().nodename}\n")
    own = Path("/usr/local/share/ca-certificates")  # what ca-certificates(8) takes in when it is installed
    if own.is_dir():
        shutil.copytree(own, root / own.relative_to("/"), dirs_exist_ok=True)
    lines = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout.splitlines()
    proxies = [line for line in lines if re.match(r"Acquire::\w+::Proxy", line)]
    (root / "etc/apt/apt.conf.d/90lab").write_text("".join(f"{line}\n" for line in proxies))
    with suppress(FileNotFoundError):
        shutil.copy("/etc/pip.conf", root / "etc/pip.conf")
    index = [f"{name[4:].lower().replace('_', '-')} = {os.environ[name]}\n" for name in INDEX if name in os.environ]
    if index:
        with (root / "etc/pip.conf").open("a") as file:
            file.write("".join(["[global]\n", *index]))


def repository(target: Path) -> None:
    """A bare repository with one commit: this checkout as it is, without what .gitignore names."""
    author = ["-c", "user.name=lab", "-c", "user.email=lab@localhost"]
    with tempfile.TemporaryDirectory() as work:
        env = {**os.environ, "GIT_DIR": f"{work}/git", "GIT_WORK_TREE": str(CHECKOUT)}
        for words in (["init", "-q"], ["add", "--all"], [*author, "commit", "-q", "--message=this checkout"]):
            subprocess.run(["git", *words], env=env, cwd=CHECKOUT, check=True)
        subprocess.run(["git", "clone", "-q", "--bare", "--no-local", f"{work}/git", str(target)], check=True)


def inhabitants(name: str) -> list[int]:
    """Pids of the processes with a mount whose root has this name in its path; proc_pid_mountinfo(5), field 4."""
    found = []
    for path in Path("/proc").glob("[0-9]*/mountinfo"):
        with suppress(OSError):  # the process has ended, or it is a zombie
            if any(name in line.split()[3] for line in path.read_text().splitlines()):
                found.append(int(path.parent.name))
    return found


def evict(name: str, but: int = 0) -> None:
    """Kill these inhabitants, except `but`, until there is none."""
    for _ in range(100):
        pids = [pid for pid in inhabitants(name) if pid != but]
        for pid in pids:
            process = pidfd.open_process(pid, pidfd.start_time(pid))
            if process >= 0:
                if pid in inhabitants(name):
                    pidfd.send_signal(process, signal.SIGKILL)
                    pidfd.ended(process, 5)
                os.close(process)
        if not pids:
            return
    sys.exit(f"processes below {name} do not end: {pids}")


def remove(root: Path) -> None:
    """Delete the root; never what is mounted below it."""
    if root.name in Path("/proc/self/mountinfo").read_text():
        sys.exit(f"{root} is mounted, which should not be: see findmnt, and remove it by hand")
    shutil.rmtree(root)


class Machine:
    """The new root, entered; .hold is the process that keeps its mount namespace."""

    def __init__(self, root: Path, packages: Path) -> None:
        self.root = root
        command = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "bash",
            "-c",
            HOLD,
            "hold",
            str(root),
            str(packages),
        ]
        self.hold = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.hold.stdout
        if self.hold.stdout.readline() != "ready\n":
            sys.exit(f"{root} could not be entered: see above")

    def command(self, *words: str) -> list[str]:
        """A command in the root, as root."""
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return ["nsenter", f"--target={self.hold.pid}", "--mount", "env", "-i", path, *words]

    def login(self, script: str, seconds: int) -> list[str]:
        """Lines for the student's shell, after a login, at a terminal of its own; killed after these seconds."""
        limit = ("timeout", "--signal=KILL", str(seconds))
        return self.command(*limit, "runuser", "--login", "--pty", STUDENT, "--command", f"set -e\n{script}")

    def leave(self) -> None:
        """End all processes of the root, and take back what a run of the lab that was broken off has left."""
        evict(self.root.name, but=self.hold.pid)
        lab = f"/home/{STUDENT}/loginuid-lab/.venv/bin/lab"
        if (self.root / lab[1:]).exists():
            subprocess.run(self.command(lab, "restore"), check=False, timeout=120)
        self.hold.communicate("\n")
        evict(self.root.name)


@contextmanager
def machine(suite: str) -> Iterator[Machine]:
    """A new Debian of that suite, until the end of the `with`."""
    place = Path(os.environ.get("LAB_FRESH", "/var/cache/lab-fresh"))
    packages = place / suite
    packages.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix=f"{suite}-", dir=place))
    root.chmod(0o755)
    try:
        begin = time.monotonic()
        build(suite, root, packages)
        connect(root)
        repository(root / "srv/lab.git")
        here = Machine(root, packages)
        try:
            subprocess.run(here.command("bash", "-c", FURNISH, "furnish", STUDENT), check=True)
            say(f"{suite}: a new root in {time.monotonic() - begin:.0f} s")
            yield here
        finally:
            here.leave()
    finally:
        root.with_suffix(".log").unlink(missing_ok=True)
        remove(root)


def first_commands() -> list[str]:
    """The commands of README's "The first verdict", with YES=1 for the Debian packages that are missing."""
    readme = (CHECKOUT / "README.md").read_text()
    block = readme.partition("## The first verdict")[2].partition("```\n")[2].partition("```")[0]
    if PLACEHOLDER not in block or "sudo make demo" not in block:
        sys.exit('README.md has no commands below "The first verdict" that can be tried')
    lines = block.replace(PLACEHOLDER, "/srv/lab.git").splitlines()
    return [f"{line} YES=1" if line.startswith("sudo make demo") else line for line in lines]


def watch(output: IO[bytes], keys: IO[bytes]) -> float:
    """Show what comes, press Enter where that is asked; returns when the first verdict came, time.monotonic()."""
    seen, first, answered = "", 0.0, 0
    while chunk := os.read(output.fileno(), 1 << 16):
        text = chunk.decode(errors="replace")
        sys.stdout.write(text)
        sys.stdout.flush()
        seen += COLOURS.sub("", text)
        if not first and VERDICT.search(seen):
            first = time.monotonic()
        if seen.count(PROMPT) > answered:
            answered += 1
            keys.write(b"\n")
            keys.flush()
    return first


def first_verdict(here: Machine) -> bool:
    """Type README's commands; print how long the first verdict took. Whether all went well."""
    commands = first_commands()
    steps = [line for line in commands if not line.startswith("cd ")]
    say("\n".join(f"  $ {line}" for line in commands))
    script = "\n".join([IDENTITY, *commands])
    begin = time.monotonic()
    process = subprocess.Popen(here.login(script, 2 * LIMIT), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    first = watch(process.stdout, process.stdin)
    status = process.wait()
    seconds = first - begin if first else float("inf")
    say(f"\nFirst verdict: {seconds:.1f} s after {len(steps)} commands ({len(commands)} with cd); exit status {status}")
    if seconds > WANTED:
        say(f"WARNING: more than {WANTED} s; the package index or the mirror may be slow today")
    return status == 0 and seconds < LIMIT


def all_tests(here: Machine, target: str) -> bool:
    """Run `sudo make TARGET` with CI's packages; a test that lacks something fails, unless that is ABSENT.

    JOBS is one more than there are processors: many tests wait.
    """
    require = ",".join(["all", *(f"-{name}" for name in ABSENT)])
    script = f"""cd loginuid-lab
sudo YES=1 tools/setup packages $(.ci/packages | sed 's/chromium\\|fonts-[a-z-]*//g')
sudo make {target} JOBS=$(($(nproc) + 1)) LAB_REQUIRE={require} ARGS=--durations=15"""
    begin = time.monotonic()
    done = subprocess.run(here.login(script, SUITE_SECONDS), stdin=subprocess.DEVNULL, check=False)
    say(f"The whole suite: {time.monotonic() - begin:.0f} s, exit status {done.returncode}")
    return done.returncode == 0


def main(arguments: list[str]) -> int:
    """0 if all went well, else 1."""
    if arguments == ["--absent"]:
        say(",".join(ABSENT))
        return 0
    if not 1 <= len(arguments) <= 2 or not {*arguments[1:]} <= {*TESTS}:
        sys.exit(__doc__)
    if os.geteuid() != 0:
        sys.exit("a new root needs root: sudo python3 -m tools.fresh SUITE [test|coverage]")
    if not shutil.which("debootstrap"):
        sys.exit("debootstrap is missing. Paste:  sudo apt-get install -y debootstrap debian-archive-keyring")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with machine(arguments[0]) as here:
        good = first_verdict(here)
        for target in arguments[1:]:
            good = all_tests(here, target) and good
    return int(not good)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
