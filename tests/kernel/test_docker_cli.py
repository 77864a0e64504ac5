"""The unmodified docker command drives the daemon, as users would: DOCKER_HOST=unix:///run/lab/labd.sock docker ..."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from private_labd import Labd
from test_daemon_streams import read_until

pytestmark = pytest.mark.needs("root", "docker-cli")


def out(labd: Labd, *words: str, **options: object) -> str:
    """Standard output of a docker command that must succeed."""
    done = labd.docker(*words, **options)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout.decode()


@pytest.fixture
def box(labd: Labd) -> Iterator[str]:
    """A running container."""
    out(labd, "run", "-d", "--name", "box", "host", "sleep", "1000")
    yield "box"
    labd.docker("rm", "-f", "box")


@pytest.fixture(scope="module")
def small(labd: Labd, tmp_path_factory: pytest.TempPathFactory, demand: Callable[[str], None]) -> Iterator[str]:
    """An imported image: a busybox and nothing else."""
    demand("busybox")
    tar = tmp_path_factory.mktemp("image") / "rootfs.tar"
    with tarfile.open(tar, "w") as archive:
        archive.add("/bin/busybox", "bin/busybox")
        for name in ("sh", "cat", "sleep", "ls", "touch", "rm"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        for name in ("etc", "tmp", "srv"):
            made = tarfile.TarInfo(name)
            made.type, made.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(made)
    assert out(labd, "import", str(tar), "small").startswith("sha256:")
    yield "small"
    out(labd, "rmi", "small")


def test_version_info_images(labd: Labd) -> None:
    """version, info and images tell what the daemon is."""
    assert out(labd, "version", "--format", "{{.Server.APIVersion}}").strip() == "1.44"
    assert out(labd, "info", "--format", "{{.DockerRootDir}}").strip() == str(labd.state)
    assert "host" in out(labd, "images", "--format", "{{.Repository}}").split()
    assert json.loads(out(labd, "image", "inspect", "host"))[0]["Os"] == "linux"


@pytest.mark.parametrize(
    ("words", "code", "stdout", "stderr"),
    [
        (("host", "sh", "-c", "echo o; echo e >&2; exit 7"), 7, "o\n", "e\n"),
        (("--init", "host", "sh", "-c", "kill -9 $$"), 137, "", ""),
        (("-e", "A=b c", "host", "sh", "-c", "echo $A"), 0, "b c\n", ""),
        (("-w", "/var/tmp", "host", "pwd"), 0, "/var/tmp\n", ""),
        (("-w", "/tmp/new/one", "host", "pwd"), 0, "/tmp/new/one\n", ""),
        (("-w", "var/tmp", "host", "pwd"), 125, "", None),
        (("-u", "1:2", "host", "id", "-u"), 0, "1\n", ""),
        (("-v", "/etc:/x:ro", "host", "test", "-e", "/x/passwd"), 0, "", ""),
        (("--hostname", "h1", "host", "hostname"), 0, "h1\n", ""),
        (("--network", "none", "host", "ls", "/sys/class/net"), 0, None, ""),
        (("--network", "host", "host", "true"), 0, "", ""),
        (("--entrypoint", "echo", "host", "a", "b"), 0, "a b\n", ""),
        (("--init", "host", "cat", "/proc/2/comm"), 0, "cat\n", ""),
        (("--privileged", "host", "grep", "CapBnd", "/proc/self/status"), 0, None, ""),
        (("--cap-drop", "ALL", "host", "grep", "CapEff:\t0000000000000000", "/proc/self/status"), 0, None, ""),
        (("--cap-add", "SYS_ADMIN", "host", "true"), 0, "", ""),
        (("host", "no-such-command"), 127, "", None),
        (("host", "/etc/passwd"), 126, "", None),
        (("no-such-image", "true"), 125, "", None),
        (("--network", "mine", "host", "true"), 125, "", None),
        (("-v", "a/b:/x", "host", "true"), 125, "", None),
        (("--volumes-from", "nobody", "host", "true"), 125, "", None),
    ],
)
def test_run(labd: Labd, words: tuple[str, ...], code: int, stdout: str | None, stderr: str | None) -> None:
    """docker run --rm: exit codes and streams as with dockerd; None stands for any output."""
    done = labd.docker("run", "--rm", *words)
    assert done.returncode == code, done.stderr
    assert stdout is None or done.stdout.decode() == stdout
    assert done.stderr.decode() == stderr if stderr is not None else done.stderr
    assert out(labd, "ps", "-aq") == ""


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--blkio-weight=100", "BlkioWeight"),
        ("--publish=80:80", "ExposedPorts"),
        ("--publish-all", "PublishAllPorts"),
        ("--oom-kill-disable", "OomKillDisable"),
        ("--volume-driver=nosuch", "VolumeDriver"),
        ("--add-host=a:host-gateway", "ExtraHosts"),
        ("--mac-address=02:42:ac:11:00:02", "MacAddress"),
        ("--log-driver=none", "LogConfig"),
        ("--runtime=nosuch", "Runtime"),
        ("--gpus=all", "DeviceRequests"),
        ("--annotation=a=b", "Annotations"),
        ("--device=/dev/null:/dev/x:r", "permissions"),
        ("--mount=dst=/x,volume-label=a", "VolumeOptions.Labels"),
        ("--mount=dst=/x,volume-driver=nosuch", "VolumeOptions.DriverConfig"),
        ("--mount=type=image,src=host,dst=/x", "image"),
        ("--mount=type=bind,src=/etc,dst=/x,bind-propagation=shared", "Propagation"),
    ],
)
def test_options_are_never_ignored(labd: Labd, option: str, named: str) -> None:
    """An option that the lab does not do is refused with the name of its field, and nothing runs."""
    done = labd.docker("run", option, "host", "true")
    assert done.returncode == 125 and named in done.stderr.decode(), done.stderr
    assert out(labd, "ps", "-aq") == ""


@pytest.mark.needs("cgroups")
def test_namespaces(labd: Labd) -> None:
    """docker run with --pid, --ipc, --uts and --cgroupns; inspect shows them as they were given."""
    modes = {"pid": "host", "ipc": "host", "uts": "host", "cgroupns": "private", "userns": "host"}
    options = [f"--{name}={mode}" for name, mode in modes.items()]
    out(labd, "run", "-d", "--name", "shares", *options, "host", "sleep", "60")
    shown = json.loads(out(labd, "inspect", "shares"))[0]["HostConfig"]
    fields = ("PidMode", "IpcMode", "UTSMode", "CgroupnsMode", "UsernsMode")
    assert [shown[field] for field in fields] == list(modes.values())
    for kind in ("pid", "ipc", "uts"):
        own = str(Path(f"/proc/self/ns/{kind}").readlink())
        assert out(labd, "exec", "shares", "readlink", f"/proc/self/ns/{kind}").strip() == own
    guest = ("--pid", "container:shares", "--ipc", "container:shares", "host", "readlink", "/proc/self/ns/pid")
    assert out(labd, "run", "--rm", *guest).strip() == str(Path("/proc/self/ns/pid").readlink())
    out(labd, "rm", "-f", "shares")


@pytest.mark.needs("cgroups")
def test_limits_and_a_profile(labd: Labd, tmp_path: Path) -> None:
    """docker create with limits: inspect shows them again; docker update changes them; inside, they hold."""
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    words = ("--read-only", "-m", "20m", "--cpus", "0.5", "--pids-limit", "50", "--device", "/dev/zero:/dev/naught")
    out(labd, "create", "--name", "limited", *words, "--security-opt", f"seccomp={profile}", "host", "true")
    shown = json.loads(out(labd, "inspect", "limited"))[0]["HostConfig"]
    assert (shown["Memory"], shown["NanoCpus"], shown["PidsLimit"]) == (20 << 20, 5 * 10**8, 50)
    assert shown["ReadonlyRootfs"] and shown["Devices"][0]["PathInContainer"] == "/dev/naught"
    assert json.loads(shown["SecurityOpt"][0].removeprefix("seccomp=")) == {"defaultAction": "SCMP_ACT_ALLOW"}
    out(labd, "update", "--restart", "on-failure:3", "limited")
    assert out(labd, "update", "-m", "30m", "--cpus", "0.2", "limited").strip() == "limited"
    shown = json.loads(out(labd, "inspect", "limited"))[0]["HostConfig"]
    assert (shown["Memory"], shown["NanoCpus"], shown["PidsLimit"]) == (30 << 20, 2 * 10**8, 50)
    assert shown["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    out(labd, "rm", "limited")
    limits = "--ulimit=nofile=5:6", "--group-add=4242", "--tmpfs=/media", "--shm-size=1m", "--cpuset-cpus=0"
    script = "ulimit -Hn; id -G; stat -f -c %T /media; stat -f -c %b /dev/shm; grep Cpus_allowed_list /proc/self/status"
    lines = out(labd, "run", "--rm", *limits, "host", "sh", "-c", script).splitlines()
    assert lines == ["6", "0 4242", "tmpfs", "256", "Cpus_allowed_list:\t0"]


def test_prune_and_dangling(labd: Labd, small: str) -> None:
    """docker images -qf dangling=true lists nothing that has a name; system prune -f ends with 0, and leaves those."""
    assert out(labd, "images", "-qf", "dangling=true") == ""
    assert out(labd, "images", "-q", small).strip()
    out(labd, "system", "prune", "-f")
    assert out(labd, "images", "-q", small).strip()
    assert "Containers" in out(labd, "system", "df")


def test_inspect_of_nobody(labd: Labd) -> None:
    """docker inspect asks for container, image, network, volume and plugin, then says that there is no such object."""
    done = labd.docker("inspect", "nobody")
    assert done.returncode == 1 and b"no such object: nobody" in done.stderr.lower()


def test_the_loginuid_is_lost(labd: Labd) -> None:
    """The container's loginuid is the daemon's, not that of the user who typed the command."""
    mine = Path(f"/proc/{labd.pid}/loginuid").read_text()
    assert out(labd, "run", "--rm", "host", "cat", "/proc/self/loginuid") == mine


def test_piped_stdin(labd: Labd) -> None:
    """docker run -i: input arrives whole and its end is seen."""
    data = os.urandom(300_000)
    done = labd.docker("run", "--rm", "-i", "host", "cat", input=data)
    assert (done.returncode, done.stdout) == (0, data)


def test_a_terminal(labd: Labd) -> None:
    """docker run -it: keys, echo, exit code, and the detach keys."""
    master, slave = pty.openpty()
    running = subprocess.Popen(
        ["docker", "run", "-it", "--name", "term", "host", "sh"],
        env=labd.env,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    read_until(master, b"# ")
    os.write(master, b"echo $((6*7))\r")
    read_until(master, b"42\r\n")
    os.write(master, b"\x10\x11")
    assert running.wait(10) == 0
    os.close(master)
    assert out(labd, "inspect", "-f", "{{.State.Running}}", "term") == "true\n"
    out(labd, "rm", "-f", "term")


def test_create_start_attach(labd: Labd) -> None:
    """docker create, then start -ai: input, output and the exit code go through."""
    out(labd, "create", "--name", "made", "-i", "host", "sh", "-c", "read line; echo got $line; exit 4")
    done = labd.docker("start", "-ai", "made", input=b"this\n")
    assert (done.returncode, done.stdout) == (4, b"got this\n")
    assert out(labd, "inspect", "-f", "{{.State.ExitCode}}", "made") == "4\n"
    out(labd, "rm", "made")


def test_ps_filters(labd: Labd, box: str) -> None:
    """docker ps -a --filter by name, status, exit code, label and ancestor."""
    assert labd.docker("run", "--name", "ended", "--label", "colour=red", "host", "sh", "-c", "exit 3").returncode == 3
    names = ("ps", "-a", "--format", "{{.Names}}")
    for wanted, found in (
        ("name=end", {"ended"}),
        ("status=running", {"box"}),
        ("exited=3", {"ended"}),
        ("label=colour=red", {"ended"}),
        ("ancestor=host", {"box", "ended"}),
        ("before=ended", {"box"}),
        ("since=box", {"ended"}),
        ("name=nothing", set()),
    ):
        assert set(out(labd, *names, "--filter", wanted).split()) == found, wanted
    assert labd.docker("ps", "--filter", "nonsense=1").returncode == 1
    out(labd, "container", "prune", "-f", "--filter", "label=colour=red")
    assert out(labd, *names).split() == ["box"]


def test_logs(labd: Labd) -> None:
    """docker logs with --tail, -f, -t, --since and --until; both streams, each on its own descriptor."""
    out(labd, "run", "--name", "talk", "host", "sh", "-c", "echo one; echo two; echo three")
    assert out(labd, "logs", "--tail", "2", "talk") == "two\nthree\n"
    assert out(labd, "logs", "-f", "talk") == "one\ntwo\nthree\n"
    assert [line.split()[1] for line in out(labd, "logs", "-t", "talk").splitlines()] == ["one", "two", "three"]
    assert out(labd, "logs", "--since", "1h", "talk") == "one\ntwo\nthree\n"
    assert out(labd, "logs", "--until", "1h", "talk") == ""
    assert out(labd, "logs", "--details", "--tail", "1", "talk") == " three\n"
    command = out(labd, "ps", "-a", "--no-trunc", "--format", "{{.Command}}", "-f", "name=talk")
    assert command == """"sh -c 'echo one; echo two; echo three'"\n"""
    out(labd, "rm", "talk")
    out(labd, "run", "--name", "both", "host", "sh", "-c", "echo out; echo err >&2")
    done = labd.docker("logs", "both")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
    out(labd, "rm", "both")


def test_wait_stop_kill_restart(labd: Labd, box: str) -> None:
    """docker stop -t 0 and kill -s KILL make the exit code 137; restart makes a new process; kill of none fails."""
    first = out(labd, "inspect", "-f", "{{.State.Pid}}", box)
    out(labd, "restart", "-t", "0", box)
    assert out(labd, "inspect", "-f", "{{.State.Pid}}", box) != first
    out(labd, "stop", "-t", "0", box)
    assert out(labd, "wait", box) == "137\n"
    assert labd.docker("kill", box).returncode == 1
    out(labd, "start", box)
    out(labd, "kill", "-s", "KILL", box)
    assert out(labd, "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", box) == "exited 137\n"


def test_pause_and_unpause(labd: Labd, box: str) -> None:
    """docker pause freezes (the cgroup freezer), exec is refused meanwhile, rm -f works on a frozen one."""
    paused = labd.docker("pause", box)
    if b"no cgroup freezer" in paused.stderr:
        pytest.skip(paused.stderr.decode())
    assert paused.returncode == 0, paused.stderr
    assert out(labd, "ps", "--format", "{{.Status}}").strip().endswith("(Paused)")
    assert b"paused" in labd.docker("exec", box, "true").stderr
    out(labd, "unpause", box)
    assert out(labd, "exec", box, "echo", "thawed") == "thawed\n"
    out(labd, "pause", box)
    out(labd, "rm", "-f", box)


@pytest.mark.needs("ps")
def test_rename_top_stats(labd: Labd, box: str) -> None:
    """docker rename, top, stats --no-stream."""
    out(labd, "rename", box, "crate")
    assert b"same name as its current name" in labd.docker("rename", "crate", "crate").stderr
    assert "sleep 1000" in out(labd, "top", "crate")
    assert out(labd, "top", "crate", "-o", "pid,comm").split()[-1] == "sleep"
    assert "crate" in out(labd, "stats", "--no-stream", "crate")
    out(labd, "rename", "crate", box)


def test_exec(labd: Labd, box: str) -> None:
    """docker exec: streams, stdin, exit codes, 127 for no such command, -d."""
    done = labd.docker("exec", "-i", box, "sh", "-c", "cat; echo e >&2; exit 5", input=b"in")
    assert (done.returncode, done.stdout, done.stderr) == (5, b"in", b"e\n")
    assert (
        out(labd, "exec", "-e", "A=b", "-w", "/tmp", "-u", "1", box, "sh", "-c", "echo $A $PWD; id -u") == "b /tmp\n1\n"
    )
    assert b"/nowhere" in labd.docker("exec", "-w", "/tmp/nowhere", box, "true").stdout
    assert labd.docker("exec", box, "test", "-e", "/tmp/nowhere").returncode == 1
    assert labd.docker("exec", box, "no-such-command").returncode == 127
    assert labd.docker("exec", box, "/etc/passwd").returncode == 126
    assert labd.docker("exec", "nobody", "true").returncode == 1
    out(labd, "exec", "-d", box, "true")


def test_events(labd: Labd) -> None:
    """docker events: a run's life in order."""
    out(labd, "run", "--rm", "--name", "eventful", "host", "true")
    until = str(int(time.time()) + 1)  # whole seconds: docker cuts off the rest
    told = out(
        labd, "events", "--since", "1m", "--until", until, "--filter", "container=eventful", "--format", "{{.Action}}"
    )
    assert told.split() == ["create", "attach", "start", "die", "destroy"]


def test_cp_both_ways(labd: Labd, small: str, tmp_path: Path) -> None:
    """docker cp works into and out of a running and a stopped container; a missing path fails; diff shows changes."""
    (tmp_path / "file").write_text("content")
    out(labd, "run", "-d", "--name", "copy", small, "/bin/sleep", "100")
    out(labd, "cp", str(tmp_path / "file"), "copy:/srv/there")
    assert out(labd, "exec", "copy", "/bin/cat", "/srv/there") == "content"
    out(labd, "cp", "copy:/srv", str(tmp_path / "back"))
    assert (tmp_path / "back" / "there").read_text() == "content"
    out(labd, "kill", "copy")
    out(labd, "cp", str(tmp_path / "file"), "copy:/srv/two")
    out(labd, "cp", "copy:/srv/two", str(tmp_path / "two"))
    assert (tmp_path / "two").read_text() == "content"
    assert labd.docker("cp", "copy:/nothing", str(tmp_path)).returncode == 1
    assert out(labd, "diff", "copy").split("\n")[:-1] == ["C /srv", "A /srv/there", "A /srv/two"]
    out(labd, "rm", "copy")


def test_whose_a_copy_is(labd: Labd, small: str, tmp_path: Path) -> None:
    """docker cp leaves a file its owner; cp -a gives the file to the user that --user named, as dockerd does."""
    (tmp_path / "file").write_text("content")
    os.chown(tmp_path / "file", 1234, 4321)
    out(labd, "create", "--name", "copy", "-u", "7:8", small, "/bin/true")
    out(labd, "cp", str(tmp_path / "file"), "copy:/tmp/plain")
    out(labd, "cp", "-a", str(tmp_path / "file"), "copy:/tmp/given")
    with tarfile.open(fileobj=io.BytesIO(labd.docker("cp", "copy:/tmp", "-").stdout)) as tar:
        owners = {member.name: (member.uid, member.gid) for member in tar if member.isfile()}
    assert owners == {"tmp/plain": (1234, 4321), "tmp/given": (7, 8)}
    out(labd, "rm", "copy")


def test_cp_cannot_be_led_out_of_the_container(labd: Labd, small: str, tmp_path: Path) -> None:
    """A symlink in the container that points at a host path is followed inside the container, both ways."""
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    out(labd, "run", "--name", "trap", small, "/bin/sh", "-c", f"/bin/busybox ln -s {tmp_path} /srv/way")
    out(labd, "start", "trap")
    assert labd.docker("cp", "trap:/srv/way/secret", str(tmp_path / "stolen")).returncode == 1
    (tmp_path / "gift").write_text("gift")
    labd.docker("cp", str(tmp_path / "gift"), "trap:/srv/way/planted")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gift", "secret"]
    out(labd, "rm", "-f", "trap")


@pytest.mark.parametrize(
    "words",
    [
        ("volume", "create", "v"),
        ("network", "create", "n"),
        ("pull", "alpine"),
        ("login", "-u", "u", "-p", "p"),
        ("export", "nobody"),
        ("swarm", "init"),
        ("commit", "nobody"),
        ("search", "x"),
        ("save", "host"),
        ("tag", "host", "h"),
        ("load", "-i", "/etc/hostname"),
        ("rm", "--link", "nobody"),
    ],
)
def test_what_the_lab_has_not(labd: Labd, words: tuple[str, ...]) -> None:
    """The docker command prints a sentence and fails."""
    done = labd.docker(*words)
    assert done.returncode != 0
    assert b"rror response from daemon" in done.stderr and b"bug in labd" not in done.stderr, done.stderr
