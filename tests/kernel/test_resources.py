"""Limits, mounts in memory and settings of `run`, seen from inside the container: the same through both engines."""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from private_labd import Labd

from lab.resources import members
from lab.runtime import cgroup, cgroup_limits
from lab.spec import RLIMITS

pytestmark = pytest.mark.needs("root")
Run = Callable[..., subprocess.CompletedProcess[bytes]]


def printed(engine: Run, *words: str) -> str:
    """What `run --rm` of these words prints; a failure shows what it printed as an error."""
    done = engine("run", "--rm", *words)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def in_cgroup(engine: Run, controller: str, *options: str) -> dict[str, str]:
    """The files of this controller in the cgroup of a container with these options."""
    engine("run", "-d", "--name", "box", *options, "host", "sleep", "60")
    try:
        path = f"/{cgroup.NAME}{json.loads(engine('inspect', 'box').stdout)[0]['Id']}"
        folder = cgroup.folders(path, [controller])[-1]
        return {file.name: text(file) for file in Path(folder).iterdir() if file.name.startswith(controller)}
    finally:
        engine("rm", "-f", "box")


def text(file: Path) -> str:
    """A file of a cgroup; "" for one that can only be written."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def test_ulimits(engine: Run) -> None:
    """--ulimit sets soft and hard limits, of exec's processes, too; with a small one the command still starts."""
    words = ("--ulimit", "nofile=5:7", "--ulimit", "core=0", "host", "sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -c")
    assert printed(engine, *words).split() == ["5", "7", "0"]
    engine("run", "-d", "--name", "box", "--ulimit", "nofile=5:7", "host", "sleep", "60")
    try:
        assert engine("exec", "box", "sh", "-c", "ulimit -Hn").stdout == b"7\n"
    finally:
        engine("rm", "-f", "box")


def test_a_limit_above_the_engines_own(engine: Run) -> None:
    """Only CAP_SYS_RESOURCE may raise a hard limit: without it the start fails, and the error names the limit."""
    hard = resource.getrlimit(RLIMITS.index("nofile"))[1]
    status = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    may = int(status["CapEff"], 16) >> 24 & 1
    done = engine("run", "--rm", "--ulimit", f"nofile={hard + 1}", "host", "sh", "-c", "ulimit -Hn")
    assert (done.returncode, f"rlimit nofile to {hard + 1}" in done.stderr.decode()) == (
        (0, False) if may else (125, True)
    )


def test_oom_score(engine: Run) -> None:
    """--oom-score-adj is written to the process, and to those of exec."""
    score = ("cat", "/proc/self/oom_score_adj")
    assert printed(engine, "--oom-score-adj", "321", "host", *score) == "321"
    engine("run", "-d", "--name", "box", "--oom-score-adj", "321", "host", "sleep", "60")
    try:
        assert engine("exec", "box", *score).stdout == b"321\n"
    finally:
        engine("rm", "-f", "box")


def test_more_groups(engine: Run) -> None:
    """--group-add adds to the user's own groups, by number and by the image's name."""
    groups = printed(engine, "--group-add", "4242", "--group-add", "adm", "-u", "nobody", "host", "id", "-G").split()
    assert {"4242", "4"} <= set(groups)
    done = engine("run", "--rm", "--group-add", "no-such", "host", "true")
    assert (done.returncode, "unable to find group no-such" in done.stderr.decode()) == (125, True)


def test_tmpfs(engine: Run) -> None:
    """--tmpfs is a mount in memory with its options: noexec and nodev unless they are undone, and of that size."""
    found = printed(engine, "--tmpfs", "/media:size=64k,mode=700", "host", "sh", "-c",
        "grep ' /media tmpfs ' /proc/self/mounts; stat -c %a /media; "
        "head -c 100000 /dev/zero 2>&1 >/media/x | grep -o 'No space'")  # fmt: skip
    row, mode, last = found.splitlines()
    assert {"rw", "nosuid", "nodev", "noexec", "size=64k"} <= set(row.split()[3].split(","))
    assert (mode, last) == ("700", "No space")
    row = printed(engine, "--tmpfs", "/media:exec,ro", "host", "grep", " /media tmpfs ", "/proc/self/mounts")
    assert "ro" in row.split()[3].split(",") and "noexec" not in row


def test_shared_memory(engine: Run) -> None:
    """/dev/shm has 64 MiB, or --shm-size."""
    words = ("host", "stat", "-f", "-c", "%b %S", "/dev/shm")
    for options, size in (((), 64 << 20), (("--shm-size", "2m"), 2 << 20)):
        blocks, each = map(int, printed(engine, *options, *words).split())
        assert blocks * each == size


def test_settings_of_its_own_namespaces(engine: Run) -> None:
    """--sysctl changes the container's own namespaces and nothing of the host's; /proc/sys stays read-only inside."""
    before = Path("/proc/sys/kernel/shmmni").read_text()
    assert printed(engine, "--sysctl", "kernel.shmmni=77", "host", "cat", "/proc/sys/kernel/shmmni") == "77"
    assert Path("/proc/sys/kernel/shmmni").read_text() == before
    forward = ("cat", "/proc/sys/net/ipv4/ip_forward")
    assert printed(engine, "--network", "none", "--sysctl", "net.ipv4.ip_forward=1", "host", *forward) == "1"
    done = engine("run", "--rm", "--sysctl", "kernel.shmmni=many", "host", "true")
    assert (done.returncode, "/proc/sys/kernel/shmmni" in done.stderr.decode()) == (125, True)


def test_a_domain_name(engine: Run) -> None:
    """--domainname is the NIS domain name inside, and not outside."""
    before = Path("/proc/sys/kernel/domainname").read_text()
    assert printed(engine, "--domainname", "lab.test", "host", "cat", "/proc/sys/kernel/domainname") == "lab.test"
    assert Path("/proc/sys/kernel/domainname").read_text() == before


@pytest.mark.needs("cgroups")
def test_a_set_of_processors(engine: Run) -> None:
    """--cpuset-cpus 0 leaves one processor."""
    script = "grep -E 'Cpus_allowed_list|Mems_allowed_list' /proc/self/status"
    found = printed(engine, "--cpuset-cpus", "0", "--cpuset-mems", "0", "host", "sh", "-c", script).split()
    assert found == ["Cpus_allowed_list:", "0", "Mems_allowed_list:", "0"]


@pytest.mark.needs("cgroups")
def test_shares_and_quota(engine: Run) -> None:
    """--cpu-shares, --cpu-period and --cpu-quota stand in the container's cgroup, by the names of either version."""
    found = in_cgroup(engine, "cpu", "--cpu-shares", "512", "--cpu-period", "50000", "--cpu-quota", "10000")
    if "cpu.max" in found:
        assert (found["cpu.max"], found["cpu.weight"]) == ("10000 50000", "20")
    else:
        names = ("cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us")
        assert [found[name] for name in names] == ["512", "50000", "10000"]


@pytest.mark.needs("cgroups")
@pytest.mark.parametrize(("swap", "together"), [("", 40 << 20), ("30m", 30 << 20), ("-1", -1)])
def test_memory_and_swap(engine: Run, swap: str, together: int) -> None:
    """As much swap as memory unless --memory-swap says how much both may be; --memory-reservation is kept beside."""
    options = ["-m", "20m", "--memory-reservation", "10m", *(["--memory-swap", swap] if swap else [])]
    found = in_cgroup(engine, "memory", *options)
    if "memory.max" in found:
        assert (found["memory.max"], found["memory.low"]) == (str(20 << 20), str(10 << 20))
        assert found.get("memory.swap.max", "") in ("", "max" if together < 0 else str(together - (20 << 20)))
    else:
        assert (found["memory.limit_in_bytes"], found["memory.soft_limit_in_bytes"]) == (str(20 << 20), str(10 << 20))
        both = int(found.get("memory.memsw.limit_in_bytes") or together)
        assert both == together if together >= 0 else both > 1 << 60


@pytest.mark.parametrize(
    ("resources", "modern", "files"),
    [({"pids_limit": 5}, True, {"pids.max": "5"}),
     ({"memory": 100, "memory_swap": 150}, True, {"memory.max": "100", "memory.swap.max?": "50"}),
     ({"memory": 100}, True, {"memory.max": "100", "memory.swap.max?": "100"}),
     ({"memory": 100, "memory_swap": -1}, True, {"memory.max": "100", "memory.swap.max?": "max"}),
     ({"memory": 100}, False, {"memory.limit_in_bytes": "100", "memory.memsw.limit_in_bytes?": "200"}),
     ({"memory_reservation": 9}, True, {"memory.low": "9"}),
     ({"nano_cpus": 1_500_000_000}, True, {"cpu.max": "150000 100000"}),
     ({"cpu_period": 5000}, True, {"cpu.max": "max 5000"}), ({"cpu_shares": 1024}, True, {"cpu.weight": "39"}),
     ({"cpu_quota": 5000}, False, {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "5000"}),
     ({"cpuset_cpus": "0-2"}, True, {"cpuset.cpus": "0-2"})],
)  # fmt: skip
def test_what_is_written(resources: dict[str, int | str], modern: bool, files: dict[str, str]) -> None:
    """Each limit as the files of version 1 and 2, with runc's conversions."""
    (controller,) = cgroup_limits.needed(resources)
    assert dict(cgroup_limits.files(controller, resources, modern=modern)) == files


def test_lists_of_processors() -> None:
    """The set 0-2,5 has four numbers."""
    assert members("0-2,5") == {0, 1, 2, 5}


@pytest.mark.needs("cgroups")
def test_update(labd: Labd) -> None:
    """docker update changes the limits of a running container at once, and keeps them for the next start."""
    labd.dockerish("run", "-d", "--name", "box", "--pids-limit", "50", "host", "sleep", "60")
    try:

        def update(**body: int | str) -> tuple[int, str]:
            status, answer = labd.request("POST", "/containers/box/update", body)
            return status, answer.get("message", "")

        def shown() -> dict[str, int]:
            host = labd.request("GET", "/containers/box/json")[1]["HostConfig"]
            return {name: host[name] for name in ("PidsLimit", "Memory", "MemorySwap", "NanoCpus")}

        assert update(PidsLimit=20, Memory=64 << 20, NanoCpus=10**9) == (200, "")
        wanted = {"PidsLimit": 20, "Memory": 64 << 20, "MemorySwap": 128 << 20, "NanoCpus": 10**9}
        assert shown() == wanted
        script = "n=0; while [ $n -lt 40 ]; do sleep 9 & n=$((n+1)); done 2>&1; echo made all"
        assert "made all" not in labd.dockerish("exec", "box", "sh", "-c", script).stdout.decode()
        status, message = update(Memory=70 << 20, PidsLimit=2**62)  # more than the kernel has
        assert status == 409 and "pids.max: Invalid argument" in message and shown() == wanted
        assert "made all" not in labd.dockerish("exec", "box", "sh", "-c", script).stdout.decode()
        assert update(PidsLimit=-1)[0] == 200
        assert shown() == {**wanted, "PidsLimit": None}
        assert "made all" in labd.dockerish("exec", "box", "sh", "-c", script).stdout.decode()
        assert update(Memory=1)[0] == update(CpusetCpus="4711")[0] == 400
        assert update(MemorySwap=70 << 20)[0] == 200
        assert update(Memory=80 << 20) == (400, "Memory limit should be smaller than already set memoryswap limit, "
            "update the memoryswap at the same time (give --memory-swap, too)")  # fmt: skip
        assert labd.request("POST", "/containers/box/restart?t=0")[0] == 204
        assert shown() == {**wanted, "PidsLimit": None, "MemorySwap": 70 << 20}
    finally:
        labd.request("DELETE", "/containers/box?force=1")


@pytest.mark.needs("cgroups")
def test_update_of_a_container_without_limits(labd: Labd) -> None:
    """Running without limits, it lies in labd's cgroup: that must be the top, or be delegated (test_delegated)."""
    labd.dockerish("run", "-d", "--name", "free", "host", "sleep", "60")
    try:
        own = Path(f"/proc/{labd.process.pid}/cgroup").read_text().splitlines()
        status, answer = labd.request("POST", "/containers/free/update", {"PidsLimit": 20})
        assert status == 200 if "0::/" in own else (status == 409 and "stop it, update it" in answer["message"])
        assert labd.request("POST", "/containers/free/stop?t=0")[0] == 204
        assert labd.request("POST", "/containers/free/update", {"PidsLimit": 20})[0] == 200
        assert labd.request("POST", "/containers/free/start")[0] == 204
        assert labd.request("POST", "/containers/free/update", {"PidsLimit": 30})[0] == 200
    finally:
        labd.request("DELETE", "/containers/free?force=1")
