"""The container as the kernel shows it: descriptors, capabilities, mounts, namespaces, users, terminals."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import pty
import shutil
import struct
import subprocess
import termios
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from support import Podmanish, lab_python

from lab.images import Images
from lab.runtime.credentials import CAPABILITIES
from lab.spec import DEFAULT_CAPABILITIES

pytestmark = pytest.mark.needs("root")

OPEN_FDS = "import os\nprint([fd for fd in range(1024) if os.path.lexists(f'/proc/self/fd/{fd}')])"
PYTHON = ("/usr/bin/python3", "-ISc")
# SIOCGIFFLAGS of netdevice(7); /sys/class/net may be another network namespace's.
LOOPBACK = """
import fcntl, socket, struct
print(struct.unpack_from("16xH", fcntl.ioctl(socket.socket(), 0x8913, struct.pack("256s", b"lo")))[0])
"""
ALL = int(next(line for line in Path("/proc/self/status").read_text().splitlines() if "CapBnd" in line).split()[1], 16)
DEFAULT = sum(1 << CAPABILITIES.index(name) for name in DEFAULT_CAPABILITIES)


@pytest.mark.parametrize("flags", [[], ["-i"], ["--init"], ["-i", "--init"]])
def test_descriptors_inside(podmanish: Podmanish, flags: list[str]) -> None:
    """Only 0, 1 and 2 are open inside, whatever the caller holds open."""
    held, other = os.pipe()
    high = fcntl.fcntl(held, fcntl.F_DUPFD, 200)
    try:
        seen = podmanish.output("run", "--rm", *flags, "host", *PYTHON, OPEN_FDS, pass_fds=(held, other, high))
    finally:
        for fd in (held, other, high):
            os.close(fd)
    assert seen == "[0, 1, 2]"


def test_descriptors_of_exec(podmanish: Podmanish) -> None:
    """The same holds for `exec`."""
    podmanish.output("run", "-d", "--name", "box", "host", "sleep", "60")
    assert podmanish.output("exec", "box", *PYTHON, OPEN_FDS) == "[0, 1, 2]"


def status(podmanish: Podmanish, *flags: str, image: str = "host") -> dict[str, str]:
    """/proc/self/status of a container's process."""
    text = podmanish.output("run", "--rm", *flags, image, "cat", "/proc/self/status")
    return dict(line.split(":\t", 1) for line in text.splitlines())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], DEFAULT),
        (["--privileged"], ALL),
        (["--cap-add", "ALL"], ALL),
        (["--cap-drop", "ALL"], 0),
        (["--cap-add", "sys_admin"], DEFAULT | 1 << 21),
        (["--cap-drop", "CAP_CHOWN"], DEFAULT & ~1),
        (["--cap-drop", "all", "--cap-add", "AUDIT_CONTROL"], 1 << 30),
        (["--privileged", "--cap-drop", "AUDIT_CONTROL"], ALL & ~(1 << 30)),
    ],
)
def test_capabilities_of_root(podmanish: Podmanish, flags: list[str], expected: int) -> None:
    """Root inside has Docker's 14 capabilities, or what was asked for; none is inheritable."""
    seen = status(podmanish, *flags)
    assert [int(seen[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")] == [expected] * 3
    assert (int(seen["CapInh"], 16), int(seen["CapAmb"], 16)) == (0, 0)


def test_fourteen_capabilities_by_default() -> None:
    """Docker's default is 14 capabilities, AUDIT_WRITE among them, AUDIT_CONTROL not."""
    assert f"{DEFAULT:x}" == "a80425fb"


def rootfs_of(image: str, podmanish: Podmanish) -> str:
    """The directory with the image's tree."""
    return Images(f"{podmanish.root}/images").find(image).rootfs


@pytest.mark.needs("runc")
def test_runc_sees_the_same(podmanish: Podmanish, image: str, short_place: Path) -> None:
    """runc, given the same capabilities, shows the same CapEff, CapPrm and CapBnd in /proc/self/status."""
    subprocess.run(["runc", "spec"], cwd=short_place, check=True, timeout=60)
    config = short_place / "config.json"
    names = list(DEFAULT_CAPABILITIES)
    script = f"""
import json, sys
spec = json.load(open(sys.argv[1]))
spec["process"].update(args=["cat", "/proc/self/status"], terminal=False)
spec["process"]["capabilities"] = {{kind: {names!r} for kind in ("bounding", "effective", "permitted")}}
spec["root"] = {{"path": sys.argv[2], "readonly": False}}
spec["linux"].pop("resources")
spec["linux"]["namespaces"] = [{{"type": kind}} for kind in ("pid", "ipc", "uts", "mount")]
spec["mounts"] = [mount for mount in spec["mounts"] if mount["destination"] in ("/proc", "/dev")]
json.dump(spec, open(sys.argv[1], "w"))
"""
    lab_python(script, str(config), rootfs_of(image, podmanish))
    done = subprocess.run(
        ["runc", "--root", f"{short_place}/state", "run", f"lab-test-{os.getpid()}"],
        cwd=short_place, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    theirs = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
    ours = status(podmanish, image=image)
    for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "Uid", "Gid"):
        assert ours[name] == theirs[name], name


def test_no_new_privileges(podmanish: Podmanish) -> None:
    """NoNewPrivs is 0, as docker and podman leave it, until --security-opt asks."""
    assert status(podmanish)["NoNewPrivs"].strip() == "0"
    assert status(podmanish, "--security-opt", "no-new-privileges")["NoNewPrivs"].strip() == "1"


def test_signals_inside_are_untouched(podmanish: Podmanish) -> None:
    """No signal is ignored or blocked inside, though Python ignores SIGPIPE and podmanish blocks what it forwards."""
    for flags in ([], ["--init"]):
        seen = status(podmanish, *flags)
        assert [int(seen[name], 16) & ~inherited(name) for name in ("SigIgn", "SigBlk")] == [0, 0]


def inherited(name: str) -> int:
    """What pytest's own parent ignores or blocks: fork(2) and execve(2) hand that on."""
    parent = dict(line.split(":\t", 1) for line in Path(f"/proc/{os.getppid()}/status").read_text().splitlines())
    return int(parent[name], 16)


def test_an_ordinary_user_inside(podmanish: Podmanish, image: str) -> None:
    """-u takes names and numbers from the image's own files, adds the groups, and leaves no capability."""
    show = "id -u; id -g; id -G; echo $HOME; while read -r n v; do [ $n = CapEff: ] && echo $v; done </proc/self/status"

    def seen(user: str) -> list[str]:
        return podmanish.output("run", "--rm", "-u", user, image, "sh", "-c", show + "; :").splitlines()

    none = "0" * 16
    assert seen("alice") == ["1000", "1001", "1001 29 44", "/home/alice", none]
    assert seen("1000") == ["1000", "1001", "1001 29 44", "/home/alice", none]
    assert seen("alice:audio") == ["1000", "29", "29", "/home/alice", none]
    assert seen("4242:7") == ["4242", "7", "7", "/", none]


def test_namespaces(podmanish: Podmanish) -> None:
    """pid, mount, uts and ipc are new; net is the host's, or new with --network none; user is the host's."""

    def seen(*flags: str) -> dict[str, str]:
        script = "for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done"
        lines = podmanish.output("run", "--rm", *flags, "host", "sh", "-c", script).splitlines()
        return dict(line.split(":") for line in lines)

    ours = {path.name: str(path.readlink()).split(":")[1] for path in Path("/proc/self/ns").iterdir()}
    assert {name for name, inode in seen().items() if inode != ours[name]} == {"pid", "mnt", "uts", "ipc"}
    assert {name for name, inode in seen("--network", "none").items() if inode != ours[name]} == {
        "pid", "mnt", "uts", "ipc", "net",
    }  # fmt: skip


def test_exec_joins_the_namespaces(podmanish: Podmanish) -> None:
    """`exec` lands in all of the container's namespaces, with its hostname, environment and capabilities."""
    podmanish.output("run", "-d", "--name", "box", "-e", "A=b", "--cap-drop", "ALL", "host", "sleep", "60")
    script = "readlink /proc/1/ns/pid /proc/self/ns/pid /proc/1/ns/mnt /proc/self/ns/mnt; echo $A; hostname"
    lines = podmanish.output("exec", "box", "sh", "-c", script).splitlines()
    assert (lines[0], lines[2]) == (lines[1], lines[3])
    assert lines[4] == "b"
    seen = podmanish.output("exec", "box", "cat", "/proc/self/status")
    assert "CapBnd:\t0000000000000000" in seen
    assert podmanish("exec", "box", "sh", "-c", "exit 9").returncode == 9
    assert podmanish("exec", "box", "no-such-command").returncode == 127
    assert podmanish("exec", "-i", "box", "cat", input=b"through").stdout == b"through"


def test_exec_dies_with_its_container(podmanish: Podmanish) -> None:
    """A process that `exec` put in dies when pid 1 of its pid namespace does."""
    podmanish.output("run", "-d", "--name", "box", "host", "sleep", "60")
    with podmanish.start("exec", "box", "sh", "-c", "echo up; exec sleep 60") as run:
        assert run.stdout is not None
        run.stdout.readline()
        podmanish.output("kill", "box")
    assert run.returncode == 137


def test_the_first_process_is_pid_one(podmanish: Podmanish) -> None:
    """The command is pid 1; with --init it is not, and pid 1 reaps orphans."""
    assert podmanish.output("run", "--rm", "host", "sh", "-c", "echo $$") == "1"
    assert podmanish.output("run", "--rm", "--init", "host", "sh", "-c", "echo $$") == "2"
    orphans = "(sleep 0.01 &); (sleep 0.01 &); sleep 0.2; ps -e -o stat= | grep -c Z; :"
    assert podmanish.output("run", "--rm", "--init", "host", "sh", "-c", orphans) == "0"


def test_init_forwards(podmanish: Podmanish) -> None:
    """--init passes SIGTERM to the command, which SIGTERM would not kill if it were pid 1."""
    with podmanish.start("run", "--rm", "--init", "host", "sh", "-c", "echo up; exec sleep 60") as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.terminate()
    assert run.returncode == 143


def test_mounts_stay_inside(podmanish: Podmanish) -> None:
    """A privileged container's mounts do not propagate to the host."""
    before = Path("/proc/self/mountinfo").read_text()
    script = "mount -t tmpfs tmpfs /mnt && mount --bind /etc /srv && grep -c . /proc/self/mountinfo"
    assert int(podmanish.output("run", "--rm", "--privileged", "host", "sh", "-c", script)) > 10
    assert Path("/proc/self/mountinfo").read_text() == before


def test_the_host_image_is_read_only(podmanish: Podmanish) -> None:
    """The `host` image cannot write to the machine's root; the container's /tmp and /run are new."""
    host = Path("/etc/lab-test-file")
    for target in ("/etc/lab-test-file", "/lab-test-file", "/usr/lab-test-file", "/proc/sys/kernel/hostname"):
        done = podmanish("run", "--rm", "host", "sh", "-c", f"echo x > {target}")
        assert done.returncode != 0, target
    assert not host.exists()
    assert podmanish.output("run", "--rm", "host", "sh", "-c", "echo x > /tmp/f; echo y > /run/f; cat /?*/f") == "y\nx"
    assert podmanish.output("run", "--rm", "host", "ls", "-A", "/tmp") == ""


def test_binds(podmanish: Podmanish, tmp_path: Path) -> None:
    """-v SRC:DST writes through to the host, :ro does not; a file can be bound, too, and a mount point is made."""
    shared, single = tmp_path / "shared", tmp_path / "file"
    shared.mkdir()
    single.write_text("one\n")
    run = ("run", "--rm")
    podmanish.output(*run, "-v", f"{shared}:/mnt", "host", "sh", "-c", "echo x > /mnt/f")
    assert (shared / "f").read_text() == "x\n"
    assert podmanish(*run, "-v", f"{shared}:/mnt:ro", "host", "touch", "/mnt/g").returncode != 0
    assert podmanish.output(*run, "-v", f"{single}:/tmp/made/here", "host", "cat", "/tmp/made/here") == "one"
    assert podmanish.output(*run, "-v", f"{single}:/at-the-top", "host", "cat", "/at-the-top") == "one"
    done = podmanish(*run, "-v", f"{shared}:/etc/new-name", "host", "true")
    assert (done.returncode, b"read-only" in done.stderr) == (125, True)


def test_the_hosts_root_can_be_bound(podmanish: Podmanish, tmp_path: Path) -> None:
    """--privileged -v /:/host, as in the article: the host's files, writable, under /host."""
    target = tmp_path / "through"
    podmanish.output("run", "--rm", "--privileged", "-v", "/:/host", "host", "touch", f"/host{target}")
    assert target.exists()


def test_an_image_takes_writes_in_a_layer(podmanish: Podmanish, image: str) -> None:
    """Writes to an imported image go to the container's own layer and vanish with it."""
    assert podmanish.output("run", "--rm", image, "sh", "-c", "echo x > /etc/new; cat /etc/new") == "x"
    assert podmanish("run", "--rm", image, "cat", "/etc/new").returncode == 1


def test_cwd_through_a_descriptor(podmanish: Podmanish) -> None:
    """-w /proc/self/fd/N, CVE-2024-21626's way out, ends in an error; the host stays out of sight."""
    for number in range(3, 40):
        done = podmanish("run", "--rm", "-w", f"/proc/self/fd/{number}", "host", "ls", "-d", "..", "/root/.ssh")
        assert done.returncode == 125, (number, done.stdout)


def test_symlinked_targets_swapped_in_a_loop(podmanish: Podmanish, tmp_path: Path) -> None:
    """A mount target inside a shared volume that turns into a symlink to the host and back: nothing on the host."""
    volume, prey = tmp_path / "volume", tmp_path / "prey"
    volume.mkdir()
    prey.mkdir()
    (tmp_path / "payload").mkdir()
    (volume / "other").mkdir()
    stop = threading.Event()

    def swap() -> None:
        real, link, aside = (volume / name for name in ("target", "link", "aside"))
        while not stop.is_set():
            with suppress(OSError):  # the engine makes directories meanwhile
                link.symlink_to(prey)
                real.rename(aside)
                link.rename(real)
                real.unlink()
                aside.rename(real)
            for path in (link, aside):
                if path.is_symlink():
                    path.unlink()
                shutil.rmtree(path, ignore_errors=True)
            if not real.is_symlink():
                real.mkdir(exist_ok=True)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        bind = ("-v", f"{volume}:/mnt", "-v", f"{tmp_path}/payload:/mnt/target/new")
        codes = {podmanish("run", "--rm", *bind, "host", "true").returncode for _ in range(60)}
    finally:
        stop.set()
        swapper.join()
    assert list(prey.iterdir()) == []
    assert 0 in codes, "no run met a directory: nothing has been tried"
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_links_in_an_image_stay_in_it(podmanish: Podmanish, image: str, tmp_path: Path) -> None:
    """A symlink in the image as mount target leads into the image, never to the host; what is missing there is made."""
    rootfs = Path(rootfs_of(image, podmanish))
    (rootfs / "way-out").symlink_to(tmp_path)
    rootfs.joinpath(*tmp_path.parts[1:]).mkdir(parents=True)
    (rootfs / "nowhere").symlink_to("/no/such/place")
    (tmp_path / "payload").mkdir()
    (tmp_path / "payload/file").write_text("p\n")
    bind = f"{tmp_path}/payload:/way-out/in"
    assert podmanish.output("run", "--rm", "-v", bind, image, "cat", "/way-out/in/file") == "p"
    bind = f"{tmp_path}/payload:/nowhere/in"
    assert podmanish.output("run", "--rm", "-v", bind, image, "cat", "/no/such/place/in/file") == "p"
    assert not Path("/no/such").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["payload", "state"]


@pytest.mark.parametrize("flags", [[], ["--privileged"]])
def test_the_engines_own_program_is_safe(podmanish: Podmanish, flags: list[str]) -> None:
    """CVE-2019-5736: a write to /proc/self/exe or /proc/1/exe does not reach the host's interpreter."""
    interpreter = Path(os.path.realpath("/usr/bin/python3"))
    before = hashlib.sha256(interpreter.read_bytes()).digest()
    script = "for pid in self 1; do (printf x >> /proc/$pid/exe) 2>/dev/null && echo open; done; :"
    podmanish.output("run", "--rm", *flags, "host", "sh", "-c", script)
    podmanish.output("run", "--name", "box", "-d", *flags, "host", "sleep", "60")
    podmanish.output("exec", "box", "sh", "-c", script)
    assert hashlib.sha256(interpreter.read_bytes()).digest() == before


def test_masked_paths(podmanish: Podmanish) -> None:
    """Docker's masked paths are empty and its protected ones read-only; with --privileged neither holds."""
    script = "wc -c </proc/interrupts; grep -c ' /proc/sys ro,' /proc/self/mountinfo"
    assert podmanish.output("run", "--rm", "host", "sh", "-c", "wc -c </proc/interrupts; ls /sys/firmware") == "0"
    assert podmanish.output("run", "--rm", "host", "sh", "-c", script).split() == ["0", "1"]
    shown, protected = podmanish("run", "--rm", "--privileged", "host", "sh", "-c", script).stdout.split()
    assert (int(shown) > 0, protected) == (True, b"0")


def test_devices(podmanish: Podmanish) -> None:
    """/dev has Docker's six devices, links and mounts; with --privileged the host's devices, too."""
    expected = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert " ".join(podmanish.output("run", "--rm", "host", "ls", "/dev").split()) == expected
    privileged = podmanish.output("run", "--rm", "--privileged", "host", "ls", "/dev").split()
    assert set(privileged) > set(expected.split())
    assert podmanish.output("run", "--rm", "host", "sh", "-c", "echo x > /dev/null; head -c2 /dev/zero | wc -c") == "2"


def test_loopback_of_its_own(podmanish: Podmanish) -> None:
    """--network none has a loopback interface that is up, and nothing else."""
    seen = podmanish.output("run", "--rm", "--network", "none", "host", "sh", "-c", "cat /proc/net/dev")
    assert [line.split(":")[0].strip() for line in seen.splitlines()[2:]] == ["lo"]
    flags = int(podmanish.output("run", "--rm", "--network", "none", "host", *PYTHON, LOOPBACK))
    assert flags & 1, "IFF_UP"


def test_hostname(podmanish: Podmanish) -> None:
    """The hostname is the id's beginning, or the one that was asked for; the host's own stays."""
    ours = os.uname().nodename
    assert podmanish.output("run", "--rm", "-h", "inside", "host", "hostname") == "inside"
    container = podmanish.output("run", "-d", "host", "sleep", "60")
    assert podmanish.output("exec", container, "hostname") == container[:12]
    assert os.uname().nodename == ours


def test_an_oversized_argument() -> None:
    """A word above MAX_ARG_STRLEN, 131,071 bytes, is refused with execve(2)'s own reason, and 125."""
    code = """
from lab import runtime
from lab.errors import CannotStart
from lab.spec import Spec
try:
    runtime.spawn(Spec(args=["true", "x" * 131072]))
except CannotStart as error:
    print(type(error).__name__, error.exit_code, error.message)
"""
    assert lab_python(code) == 'CannotStart 125 exec: "true": argument list too long'


def test_nothing_stays_open() -> None:
    """200 containers later the engine's process has the descriptors and children that it had before."""
    code = """
import os
from lab import runtime
from lab.spec import Spec
from lab.errors import LabError
def look():
    with open("/proc/self/task/%d/children" % os.getpid()) as file:
        return sorted(os.listdir("/proc/self/fd")), file.read()
before = look()
for number in range(100):
    process = runtime.spawn(Spec(args=["true"]))
    assert runtime.wait(process.pid) == 0
    os.close(process.pidfd)
    try:
        runtime.spawn(Spec(args=["no-such-command"]))
    except LabError:
        pass
assert look() == before, (before, look())
print("same")
"""
    assert lab_python(code) == "same"


class Terminal:
    """A new pseudoterminal, on which a command runs in the foreground."""

    def __init__(self, rows: int, columns: int) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)

    def resize(self, rows: int, columns: int) -> None:
        """Change the terminal's size."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def run(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Run a command whose standard streams are the terminal."""
        run = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *command], stdin=self.slave, stdout=self.slave, stderr=self.slave
        )
        os.close(self.slave)
        return run

    def read_until(self, word: bytes) -> bytes:
        """All output up to this word, or up to the end."""
        data = b""
        while word not in data:
            try:
                data += os.read(self.master, 4096)
            except OSError as error:
                assert error.errno == errno.EIO
                return data
        return data


def test_terminal_size(podmanish: Podmanish) -> None:
    """With -t the terminal inside has the caller's size, follows SIGWINCH exactly, and is gone afterwards."""
    count = int(Path("/proc/sys/kernel/pty/nr").read_text())
    terminal = Terminal(33, 107)
    script = "stty size; trap 'stty size; exit 5' WINCH; echo ready; while :; do sleep 0.01; done"
    run = terminal.run([*podmanish.command, "run", "--rm", "-it", "host", "sh", "-c", script])
    assert b"33 107\r\n" in terminal.read_until(b"ready")
    terminal.resize(51, 193)
    assert b"51 193\r\n" in terminal.read_until(b"51 193\r\n")
    assert run.wait(30) == 5
    os.close(terminal.master)
    assert int(Path("/proc/sys/kernel/pty/nr").read_text()) == count


def test_terminal_input(podmanish: Podmanish) -> None:
    """With -it what is typed goes in, Ctrl-C as SIGINT; the terminal is a real one, and its settings come back."""
    terminal = Terminal(24, 80)
    before = termios.tcgetattr(terminal.master)
    script = "tty; trap 'echo interrupted; exit 6' INT; echo ready; read line; echo \"<$line>\"; "
    script += "while :; do sleep 0.05; done"
    run = terminal.run([*podmanish.command, "run", "--rm", "-it", "host", "sh", "-c", script])
    assert b"/dev/pts/0" in terminal.read_until(b"ready")
    os.write(terminal.master, b"typed\r")
    assert b"<typed>" in terminal.read_until(b"<typed>")
    os.write(terminal.master, b"\x03")
    assert b"interrupted" in terminal.read_until(b"interrupted")
    assert run.wait(30) == 6
    assert termios.tcgetattr(terminal.master) == before
    os.close(terminal.master)


def test_descriptors_with_a_terminal(podmanish: Podmanish) -> None:
    """With -t, too, only 0, 1 and 2 are open: the master side stays outside."""
    assert podmanish.output("run", "--rm", "-t", "host", *PYTHON, OPEN_FDS) == "[0, 1, 2]"


FAILING = """
import os, socket
from lab import runtime
from lab.errors import CannotStart
from lab.spec import Spec
open_before = os.listdir("/proc/self/fd")
for _ in range(3):
    try:
        runtime.spawn(Spec(args=["true"], tty=True))
    except CannotStart as error:
        print(error.message)
print(len(os.listdir("/proc/self/fd")) - len(open_before))
"""


@pytest.mark.needs("root", "open-checkout")
def test_a_refused_clone_costs_no_descriptor() -> None:
    """A clone3(2) that the kernel refuses, as here to a user without privileges, leaves no descriptor open."""
    answers = lab_python(FAILING, user=65534, group=65534, extra_groups=[]).splitlines()
    assert answers == ["the kernel refused namespaces: Operation not permitted"] * 3 + ["0"]
