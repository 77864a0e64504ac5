"""How containers are escaped, and what stops it: one section for each attack that became known in other engines.

Each test attacks for real, with flags that any user may give. Other files attack the engine's own files
(test_closed.py), its imports (test_import_bombs.py), and its hold on its containers (test_survivors.py).
"""

from __future__ import annotations

import hashlib
import io
import os
import pwd
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import CHECKOUT, Podmanish, add

from lab import interpreter
from lab.images import Images
from lab.runtime.credentials import CAPABILITIES

pytestmark = pytest.mark.needs("root")

PYTHON = ("/usr/bin/python3", "-ISc")
Run = Callable[..., subprocess.CompletedProcess[bytes]]


# --- The image's own code in the engine -------------------------------------------------------------------------------
# CVE-2019-14271: docker cp loaded the container's libnss, as root. Python loads modules even more readily.

TRAP = b"open('/trapped', 'a').write(__name__ + '\\n')\n"
BAIT = (
    "_ctypes", "_socket", "ast", "bz2", "codecs", "contextlib", "copy", "ctypes", "ctypes.wintypes", "encodings",
    "encodings.ascii", "encodings.idna", "encodings.latin_1", "encodings.utf_8", "enum", "errno", "fcntl", "grp",
    "gzip", "json", "linecache", "locale", "lzma", "os", "pwd", "re", "select", "signal", "socket", "struct",
    "subprocess", "tarfile", "termios", "tokenize", "traceback", "tty", "types", "warnings", "lab", "lab.errors",
    "lab.runtime.init",
)  # fmt: skip


def baited(rootfs_tar: bytes) -> bytes:
    """The small root filesystem, with modules of these names wherever an engine's Python looks for its own."""
    places = {"/usr/lib/python3.11", f"{interpreter.ROOT}/usr/lib/python3.11", str(CHECKOUT), "/lib/python3.11", "/"}
    library = str(Path(os.__file__).parent)
    places |= {library, interpreter.ROOT + library}
    buffer = io.BytesIO(rootfs_tar)
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        for place in sorted(places):
            packages = {name.rpartition(".")[0] for name in BAIT}
            for name in BAIT:
                path = f"{place}/{name.replace('.', '/')}".lstrip("/")
                add(tar, f"{path}/__init__.py" if name in packages else f"{path}.py", TRAP)
    return buffer.getvalue()


OPTIONS: tuple[list[str], ...] = (
    [], ["--network", "none"], ["--init"], ["-t"], ["-it"], ["--user", "alice"], ["--privileged"], ["--read-only"],
    ["-w", "/made/here"], ["--cap-drop", "ALL"], ["--security-opt", "no-new-privileges"], ["--pids-limit", "50"],
    ["-m", "64m", "--cpus", "1"], ["-t", "--init", "--network", "none", "--user", "alice"], ["--device", "/dev/zero"],
)  # fmt: skip


@pytest.fixture
def trap(podmanish: Podmanish, rootfs_tar: bytes) -> str:
    """An image that would leave a word in /trapped if a line of its Python ran."""
    return Images(f"{podmanish.root}/images").import_tar("trap", io.BytesIO(baited(rootfs_tar))).name


def trapped(podmanish: Podmanish) -> list[Path]:
    """The files that a sprung trap has written."""
    return list(podmanish.root.glob("podmanish/containers/*/layer/upper/trapped"))


def test_the_trap_is_where_one_would_see_it(podmanish: Podmanish, trap: str) -> None:
    """A file that the container makes as /trapped is found: without this, the tests below could not fail."""
    podmanish.output("run", "--name", "box", trap, "touch", "/trapped")
    assert len(trapped(podmanish)) == 1


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_no_line_of_the_images_python_runs(podmanish: Podmanish, trap: str, options: list[str]) -> None:
    """The engine imports what it needs before the image becomes its root, and nothing afterwards."""
    done = podmanish("run", "--name", "box", *options, trap, "echo", "ran")
    assert done.stdout.split() == [b"ran"], done.stderr
    assert trapped(podmanish) == []


@pytest.mark.parametrize("options", [[], ["-t"], ["--user", "alice"], ["--privileged"], ["-it"]], ids=" ".join)
def test_nor_by_exec(podmanish: Podmanish, trap: str, options: list[str]) -> None:
    """The helper of exec imports nothing from the container's root, which the container may have changed."""
    podmanish.output("run", "-d", "--name", "box", "--network", "none", trap, "sleep", "60")
    assert podmanish("exec", *options, "box", "echo", "ran").stdout.split() == [b"ran"]
    assert trapped(podmanish) == []


@pytest.mark.parametrize("command", [["no-such-program"], ["/etc"], ["/etc/secret"]], ids=" ".join)
def test_nor_on_the_way_to_an_error(podmanish: Podmanish, trap: str, command: list[str]) -> None:
    """A failure inside is reported without an import; a traceback would look for sources and codecs."""
    assert podmanish("run", "--name", "box", "--network", "none", trap, *command).returncode in (126, 127)
    assert podmanish("run", "--name", "bux", "--user", "nobody-there", trap, "true").returncode == 125
    assert trapped(podmanish) == []


def test_nor_as_an_ordinary_user(rootless: Podmanish, rootfs_tar: bytes, open_path: Path) -> None:
    """The engine of an ordinary user imports nothing from the image, either."""
    tar = open_path / "trap.tar"
    tar.write_bytes(baited(rootfs_tar))
    code = "import sys; sys.path.insert(0, sys.argv[1]); from lab.images import Images; "
    code += "Images(sys.argv[2]).import_tar('trap', open(sys.argv[3], 'rb'))"
    become = rootless.command[: rootless.command.index("--root") - 1]
    words = [*become, "/usr/bin/python3", "-ISc", code, str(CHECKOUT), f"{rootless.root}/images", str(tar)]
    subprocess.run(words, check=True, timeout=60)
    for options in ([], ["--network", "none", "--init"], ["-t"]):
        assert rootless("run", *options, "trap", "echo", "ran").stdout.split() == [b"ran"]
    assert trapped(rootless) == []


# --- The host's devices -----------------------------------------------------------------------------------------------
# Docker grants CAP_MKNOD behind a device cgroup. With the capability alone, `mknod sda b 8 0` is the host's disk.

OPEN_DEVICES = """
import os, stat, sys
opened = []
for place in ("/dev", "/dev/shm", "/tmp", "/run", "/var/tmp", *sys.argv[1:]):
    for kind, folder in ((stat.S_IFBLK, "/sys/dev/block"), (stat.S_IFCHR, "/sys/dev/char")):
        for name in os.listdir(folder):
            node = place + "/node"
            try:
                os.mknod(node, kind | 0o600, os.makedev(*map(int, name.split(":"))))
                os.close(os.open(node, os.O_RDONLY | os.O_NONBLOCK))
                opened.append((place, name))
            except OSError:
                pass
            finally:
                if os.path.lexists(node):
                    os.unlink(node)
print(opened)
"""


def test_no_device_of_the_hosts_can_be_opened(engine: Run, tmp_path: Path) -> None:
    """A default container may make device nodes, and every mount where it can is nodev: volumes, too."""
    volume = tmp_path / "volume"
    volume.mkdir()
    done = engine("run", "--rm", "-v", f"{volume}:/mnt", "host", *PYTHON, OPEN_DEVICES, "/mnt")
    assert (done.stdout, done.stderr) == (b"[]\n", b"")


def test_nor_from_a_layer_of_its_own(podmanish: Podmanish, image: str) -> None:
    """The overlay of an imported image is nodev, too: a node of /dev/zero made there cannot be opened."""
    script = "busybox mknod /zero c 1 5; busybox mknod /dev/zero2 c 1 5; busybox head -c 1 /zero /dev/zero2"
    done = podmanish("run", "--rm", image, "sh", "-c", script)
    assert (done.returncode, done.stderr.count(b"Permission denied")) == (1, 2), done.stderr


def test_devices_that_are_asked_for(engine: Run) -> None:
    """--device gives one device under the name that is asked for; --privileged gives all, as in Docker."""
    read = "import os; print(len(os.read(os.open('/dev/naught', os.O_RDWR), 3)))"
    assert engine("run", "--rm", "--device", "/dev/zero:/dev/naught", "host", *PYTHON, read).stdout == b"3\n"
    make = "import os; os.mknod('/tmp/z', 0o20600, os.makedev(1, 5)); print(len(open('/tmp/z', 'rb').read(3)))"
    assert engine("run", "--rm", "--privileged", "host", *PYTHON, make).stdout == b"3\n"
    assert engine("run", "--rm", "host", *PYTHON, make).returncode == 1


def test_of_sys_only_the_cgroups_are_mounted(podmanish: Podmanish) -> None:
    """What the host has mounted below /sys stays out: debugfs, tracefs and bpffs are open to root in a container."""
    host = "mount -t tmpfs none /sys/kernel/debug; touch /sys/kernel/debug/secret"
    show = "cut -d' ' -f2 /proc/mounts | grep ^/sys; ls /sys/kernel/debug"
    command = f'{host}; {" ".join(podmanish.command)} run --rm host sh -c "{show}"'
    words = ["unshare", "--mount", "sh", "-ec", command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)
    found = {line for line in done.stdout.splitlines() if not line.startswith("/sys/fs/cgroup")}
    assert done.returncode == 0 and "/sys" in found, done.stderr
    assert found <= {"/sys", "/sys/firmware", "/sys/devices/virtual/powercap"}


# --- The engine's own program -----------------------------------------------------------------------------------------
# CVE-2019-5736: runc's file was overwritten through /proc/self/exe, by an image that had it as its command.

ATTACK = """
import os
for act in (
    lambda path: os.chmod(path, 0o4755),
    lambda path: os.chown(path, 0, 0),
    lambda path: os.setxattr(path, "user.lab", b"x"),
    lambda path: os.truncate(path, 0),
    lambda path: os.close(os.open(path, os.O_WRONLY)),
    lambda path: os.utime(path),
):
    for path in ("/proc/self/exe", "/proc/1/exe"):
        try:
            act(path)
            print("done", path)
        except OSError as error:
            print(error.strerror)
"""


@pytest.fixture
def untouched() -> Iterator[None]:
    """The host's interpreter is the same file afterwards: content, mode, owner, times, attributes."""
    path = Path(os.path.realpath("/usr/bin/python3"))

    def state() -> tuple[object, ...]:
        status = path.stat()
        content = hashlib.sha256(path.read_bytes()).digest()
        return content, status.st_mode, status.st_uid, status.st_mtime_ns, status.st_ctime_ns, os.listxattr(path)

    before = state()
    yield
    assert state() == before


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("options", [[], ["--init"], ["--privileged"], ["--cap-add", "ALL"]], ids=" ".join)
def test_the_engines_program_as_command(engine: Run, options: list[str]) -> None:
    """`run host /proc/self/exe` does start the engine's Python, from a mount that cannot be written."""
    done = engine("run", "--rm", *options, "host", "/proc/self/exe", "-ISc", ATTACK)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"done" not in done.stdout and b"Read-only file system" in done.stdout


@pytest.mark.usefixtures("untouched")
def test_the_engines_program_by_exec(engine: Run) -> None:
    """`exec` of /proc/self/exe cannot write to the engine's Python, either."""
    engine("run", "-d", "--name", "escape-exec", "host", "sleep", "60")
    done = engine("exec", "escape-exec", "/proc/self/exe", "-ISc", ATTACK)
    engine("rm", "-f", "escape-exec")
    assert done.returncode == 0 and b"done /proc/self" not in done.stdout, done.stdout
    assert b"Read-only file system" in done.stdout


@pytest.mark.usefixtures("untouched")
def test_the_engines_program_as_interpreter(engine: Run, tmp_path: Path) -> None:
    """`#!/proc/self/exe` and an ELF file with that as its PT_INTERP lead to the same mount."""
    script = tmp_path / "script"
    script.write_text(f"#!/proc/self/exe\n{ATTACK}")
    script.chmod(0o755)
    elf = tmp_path / "elf"
    loader = b"/lib64/ld-linux-x86-64.so.2" if os.uname().machine == "x86_64" else b"/lib/ld-linux-aarch64.so.1"
    elf.write_bytes(Path("/bin/true").read_bytes().replace(loader, b"/proc/self/exe".ljust(len(loader), b"\0")))
    elf.chmod(0o755)
    done = engine("run", "--rm", "-v", f"{tmp_path}:/mnt", "host", "/mnt/script")
    assert done.returncode == 0 and b"done" not in done.stdout and b"Read-only" in done.stdout, done.stderr
    engine("run", "--rm", "-v", f"{tmp_path}:/mnt", "host", "/mnt/elf")


@pytest.mark.needs("open-checkout")
def test_a_users_own_program(user: pwd.struct_passwd, tmp_path: Path) -> None:
    """An interpreter that belongs to the user is run from a sealed copy in memory: memfd_create(2)."""
    python = Path(user.pw_dir) / "python"
    shutil.copy(os.path.realpath("/usr/bin/python3"), python)
    os.chown(python, user.pw_uid, user.pw_gid)
    before = hashlib.sha256(python.read_bytes()).digest()
    code = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); from lab.forker.cli import main; sys.exit(main())"
    become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--reset-env"]
    words = [*become, str(python), "-ISc", code, "--root", f"{user.pw_dir}/lab", "run", "--rm", "host"]
    done = subprocess.run([*words, "/proc/self/exe", "-ISc", ATTACK], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (hashlib.sha256(python.read_bytes()).digest(), python.stat().st_mode & 0o7777) == (before, 0o755)


# --- Credentials of every process inside ------------------------------------------------------------------------------
# CVE-2016-9962: runc's helper for exec was in the container for a moment, with open files and all privileges.
# CVE-2022-24769: Docker left capabilities inheritable. CVE-2019-5021 is what a pid 1 with too much is good for.

STATUS = """
import ctypes, glob
for path in sorted(glob.glob("/proc/[0-9]*/status")):
    fields = dict(line.split(":\\t", 1) for line in open(path) if ":\\t" in line)
    print(*(fields[name].split()[0] for name in
            ("Uid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")))
print("PDEATHSIG", (number := ctypes.c_int(), ctypes.CDLL(None).prctl(2, ctypes.byref(number)))[0].value)
"""
STRICT = ("--user", "1000", "--cap-drop", "ALL", "--cap-add", "NET_RAW", "--security-opt", "no-new-privileges")
AS_ASKED = f"1000 {0:016x} {0:016x} {0:016x} {1 << CAPABILITIES.index('CAP_NET_RAW'):016x} {0:016x} 1 2"


def test_every_process_has_the_credentials_asked_for(engine: Run) -> None:
    """uid, the five capability sets, NoNewPrivs, seccomp: of pid 1 of --init, of the command, of exec's."""
    done = engine("run", "--rm", "--init", *STRICT, "host", *PYTHON, STATUS)
    assert done.stdout.decode().splitlines() == [AS_ASKED, AS_ASKED, "PDEATHSIG 9"], done.stderr
    engine("run", "-d", "--name", "creds", *STRICT, "host", "sleep", "60")
    done = engine("exec", "creds", *PYTHON, STATUS)
    engine("rm", "-f", "creds")
    assert done.stdout.decode().splitlines() == [AS_ASKED, AS_ASKED, "PDEATHSIG 9"], done.stderr


@pytest.mark.parametrize("options", [[], ["-t"]], ids=" ".join)
def test_a_user_can_open_the_output(engine: Run, options: list[str]) -> None:
    """/dev/stdout and /dev/stderr are the user's own, by run and exec: where images let their servers log to."""
    script = "echo out > /dev/stdout; echo err > /dev/stderr; echo $?"
    done = engine("run", "--rm", *options, "--user", "1000", "host", "sh", "-c", script)
    assert sorted((done.stdout + done.stderr).split()) == [b"0", b"err", b"out"]
    engine("run", "-d", "--name", "output", "--user", "1000", "host", "sleep", "60")
    done = engine("exec", *options, "output", "sh", "-c", script)
    engine("rm", "-f", "output")
    assert sorted((done.stdout + done.stderr).split()) == [b"0", b"err", b"out"]


WATCH = """
import os, time
found, end = set(), time.monotonic() + 4
while time.monotonic() < end:
    for name in os.listdir("/proc"):
        if name.isdecimal() and name not in ("1", str(os.getpid())):
            try:
                text = open(f"/proc/{name}/status").read()
            except OSError:
                continue
            fields = dict(line.split(":\\t", 1) for line in text.splitlines() if ":\\t" in line)
            if "Uid" in fields:
                found.add((fields["Uid"].split()[0], fields["CapBnd"], fields["CapPrm"], fields["NoNewPrivs"]))
print(*sorted(found), sep="\\n")
"""


def test_the_helper_of_exec_never_has_more(podmanish: Podmanish) -> None:
    """A container that looks on while exec after exec starts sees no process with more than was asked for."""
    podmanish.output("run", "-d", "--name", "creds", *STRICT, "host", "sleep", "60")
    watcher = podmanish.start("exec", "creds", *PYTHON, WATCH)
    while watcher.poll() is None:
        podmanish("exec", "creds", "true")
    expected = repr(("1000", f"{1 << CAPABILITIES.index('CAP_NET_RAW'):016x}", f"{0:016x}", "1"))
    assert watcher.communicate()[0].decode().splitlines() == [expected]


SNOOP = """
import os, time
end = time.monotonic() + 4
while time.monotonic() < end:
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                text = open(f"/proc/{name}/environ", "rb").read() + open(f"/proc/{name}/cmdline", "rb").read()
                for line in open(f"/proc/{name}/maps"):
                    start, stop = (int(word, 16) for word in line.split()[0].split("-"))
                    if "[heap]" in line or "[stack]" in line:
                        with open(f"/proc/{name}/mem", "rb", 0) as memory:
                            memory.seek(start)
                            text += memory.read(stop - start)
            except OSError:
                continue
            if b"SESAME" + b"-SECRET" in text:
                print("seen in", name, flush=True)
                raise SystemExit
"""


@pytest.mark.parametrize("options", [[], ["--init"]], ids=" ".join)
def test_the_callers_environment_stays_outside(podmanish: Podmanish, options: list[str]) -> None:
    """With CAP_SYS_PTRACE a container can read all processes in it; none brings the caller's secrets."""
    env = {**os.environ, "LAB_TEST": "SESAME-SECRET"}
    box = ("run", "-d", "--name", "ptrace", "--cap-add", "SYS_PTRACE", *options, "host", "sleep", "60")
    podmanish.output(*box, env=env)
    watcher = podmanish.start("exec", "ptrace", *PYTHON, SNOOP)
    while watcher.poll() is None:
        podmanish("exec", "ptrace", "true", env=env)
    assert watcher.communicate()[0] == b""


def test_init_shows_nothing_of_the_engines_command_line(podmanish: Podmanish) -> None:
    """/proc/1/cmdline of --init is its name: the engine's has paths of the host."""
    assert podmanish.output("run", "--rm", "--init", "host", "cat", "/proc/1/cmdline").strip("\0") == "lab-init"


# --- Keys -------------------------------------------------------------------------------------------------------------
# Keyrings have no namespace: a container run by root would find the keys of root's session.

KEYS = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
search = lambda: libc.syscall({keyctl}, 10, ctypes.c_int(-3), b"user", b"lab-test", 0)
"""


def test_the_callers_keys_stay_outside(podmanish: Podmanish) -> None:
    """A key in the caller's session keyring is not found in the container's, which is new; seccomp or not."""
    keyctl, add_key = {"x86_64": (250, 248), "aarch64": (219, 217)}[os.uname().machine]
    head = KEYS.format(keyctl=keyctl)
    inside = head + "print(search())"
    command = [*podmanish.command, "run", "--rm", "--security-opt", "seccomp=unconfined", "host", *PYTHON, inside]
    outside = head + (
        f"libc.syscall({keyctl}, 1, None)\n"
        f"libc.syscall({add_key}, b'user', b'lab-test', b'secret', ctypes.c_size_t(6), ctypes.c_int(-3))\n"
        f"import subprocess\nprint(search() > 0, flush=True)\nsubprocess.run({command!r})"
    )
    done = subprocess.run([*PYTHON, outside], capture_output=True, timeout=60, check=False)
    assert done.stdout.split() == [b"True", b"-1"], done.stderr


# --- What the host image shows ----------------------------------------------------------------------------------------


def test_the_labs_own_state_is_hidden(scripts: Path) -> None:
    """The host image shows the machine's files, but not those of other containers and images."""
    place = "/var/lib/loginuid-lab-test"
    shutil.rmtree(place, ignore_errors=True)
    podmanish = Podmanish(scripts / "podmanish", Path(place))
    try:
        podmanish.output("run", "--name", "other", "host", "true")
        assert list(Path(place).iterdir())
        assert podmanish.output("run", "--rm", "host", "ls", "-A", place) == ""
        assert podmanish.output("run", "--rm", "--privileged", "host", "ls", "-A", place) == ""
    finally:
        shutil.rmtree(place)
