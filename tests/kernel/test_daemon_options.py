"""What labd makes of the options it honours, seen from inside the container, in the Spec and in inspect."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from private_labd import Labd
from test_daemon_streams import attach

from lab.runtime import cgroup
from lab.store import Store

pytestmark = pytest.mark.needs("root")
LIMITS = {"memory": "MemoryLimit", "pids": "PidsLimit", "cpu": "CpuCfsQuota", "cpuset": "CPUSet"}
PROFILE = '{"defaultAction": "SCMP_ACT_ALLOW"}'
PLAIN: dict[str, Any] = {}
UNMASKED: tuple[dict[str, Any], ...] = (
    {"MaskedPaths": []}, {"Privileged": True}, {"SecurityOpt": ["systempaths=unconfined"]},
)  # fmt: skip


@pytest.fixture
def small(labd: Labd, rootfs_tar: bytes) -> Iterator[str]:
    """An imported image."""
    assert labd.request("POST", "/images/create?fromSrc=-&repo=opt/small&tag=1", rootfs_tar)[0] == 200
    yield "opt/small:1"
    labd.request("DELETE", "/images/opt/small:1")


def made(labd: Labd, **fields: Any) -> str:
    """The id of a new container; HostConfig's fields are given as host={...}."""
    host = fields.pop("host", {})
    body = {"Image": "host", "Cmd": ["true"], **fields, "HostConfig": host}
    status, answer = labd.request("POST", "/containers/create", body)
    assert status == 201, answer
    return str(answer["Id"])


def output(labd: Labd, *command: str, **fields: Any) -> str:
    """What a container with these fields writes, all of it."""
    container = made(labd, Cmd=command, Tty=True, **fields)
    assert labd.request("POST", f"/containers/{container}/start")[0] == 204
    labd.request("POST", f"/containers/{container}/wait")
    text = labd.request("GET", f"/containers/{container}/logs?stdout=1&stderr=1")[1]
    labd.request("DELETE", f"/containers/{container}")
    return str(text).replace("\r\n", "\n")


def inspected(labd: Labd, container: str, query: str = "") -> Any:
    """What inspect answers."""
    return labd.request("GET", f"/containers/{container}/json{query}")[1]


def refused(labd: Labd, **body: Any) -> tuple[int, str]:
    """The status and the message of a create request with these fields."""
    status, answer = labd.request("POST", "/containers/create", {"Image": "host", "Cmd": ["true"], **body})
    return status, answer.get("message", "")


def test_network_disabled(labd: Labd) -> None:
    """NetworkDisabled means --network none: a loopback and nothing more; another network is a contradiction."""
    rows = output(labd, "cat", "/proc/self/net/dev", NetworkDisabled=True).splitlines()[2:]
    assert [row.split(":")[0].strip() for row in rows] == ["lo"]
    status, message = refused(labd, NetworkDisabled=True, HostConfig={"NetworkMode": "host"})
    assert status == 400 and "conflicting options: NetworkDisabled" in message
    status, message = refused(labd, NetworkingConfig={"EndpointsConfig": {"mine": {}}})
    assert status == 501 and 'EndpointsConfig "mine"' in message


def test_masked_paths(labd: Labd) -> None:
    """MaskedPaths are empty inside; [] hides nothing, nor does --privileged, but named paths stay hidden."""
    both = ("sh", "-c", "ls -A /etc /sys/firmware | wc -l")
    assert (
        output(labd, *both, host={"MaskedPaths": ["/etc", "/sys/firmware"]}).strip() == "3"
    )  # two names and an empty line
    hidden = ("sh", "-c", "grep -c ' /sys/firmware ' /proc/self/mounts")
    assert output(labd, *hidden).strip() == "1"
    for host in UNMASKED:
        assert output(labd, *hidden, host=host).strip() == "0", host
    named = {"Privileged": True, "MaskedPaths": ["/sys/firmware"]}
    assert output(labd, *hidden, host=named).strip() == "1"
    writable = ("sh", "-c", "test -w /proc/sys/kernel/domainname && echo yes || echo no")
    assert [output(labd, *writable, host=host) for host in (PLAIN, PLAIN | {"ReadonlyPaths": []})] == ["no\n", "yes\n"]


def test_the_host_image_does_not_show_the_state(new_labd: Any) -> None:
    """A container of the host image, privileged or not, finds the daemon's state directory empty."""
    state = Path("/var/lib") / f"lab-test-{os.getpid()}"
    try:
        daemon = new_labd("hidden", state=state)
        assert (state / "labd.lock").exists()
        for host in (PLAIN, *UNMASKED):
            assert output(daemon, "ls", "-A", str(state), host=host) == "", host
        daemon.stop()
    finally:
        subprocess.run(["rm", "-rf", state], check=True, timeout=60)


@pytest.mark.needs("cgroups")
def test_inspect_shows_limits(labd: Labd) -> None:
    """Limits, devices, a profile and a read-only root stand in the Spec that the runtime gets, and in inspect."""
    device = {"PathOnHost": "/dev/zero", "PathInContainer": "/dev/naught", "CgroupPermissions": "rwm"}
    host = {
        "Memory": 20 << 20, "NanoCpus": 5 * 10**8, "PidsLimit": 50, "Devices": [device], "ReadonlyRootfs": True,
        "SecurityOpt": [f"seccomp={PROFILE}"],
    }  # fmt: skip
    container = made(labd, host=host)
    spec = Store(str(labd.state / "labd")).find(container).spec
    assert spec.resources == {"memory": 20 << 20, "nano_cpus": 5 * 10**8, "pids_limit": 50} and spec.readonly
    assert [(device.source, device.target) for device in spec.devices] == [("/dev/zero", "/dev/naught")]
    assert spec.seccomp == PROFILE
    shown = inspected(labd, container)["HostConfig"]
    assert {key: shown[key] for key in host} == host
    labd.request("DELETE", f"/containers/{container}")
    plain = made(labd)
    assert Store(str(labd.state / "labd")).find(plain).spec.seccomp == "default"
    labd.request("DELETE", f"/containers/{plain}")


@pytest.mark.needs("cgroups")
def test_a_limit_of_processes(labd: Labd) -> None:
    """With PidsLimit 10, fork(2) fails before there are fifteen processes."""
    script = "for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do sleep 1 & done; wait"
    assert "fork" in output(labd, "sh", "-c", script, host={"PidsLimit": 10}).lower()
    assert output(labd, "sh", "-c", script.replace("sleep 1", "true")) == ""


@pytest.mark.needs("cgroups")
def test_a_limit_of_memory(labd: Labd) -> None:
    """With 20 MiB of Memory, 200 MB end in SIGKILL, and inspect calls it OOMKilled."""
    command = ["sh", "-c", "python3 -c 'b = bytearray(200_000_000); print(len(b))'; exit $?"]
    container = made(labd, Cmd=command, host={"Memory": 20 << 20})
    labd.request("POST", f"/containers/{container}/start")
    assert labd.request("POST", f"/containers/{container}/wait")[1]["StatusCode"] == 137
    assert inspected(labd, container)["State"]["OOMKilled"] is True
    labd.request("DELETE", f"/containers/{container}")


@pytest.mark.needs("cgroups")
def test_a_limit_of_processor_time(labd: Labd) -> None:
    """With NanoCpus of a tenth of a processor, the kernel throttles a loop."""
    container = made(labd, Cmd=["sh", "-c", "while :; do :; done"], host={"NanoCpus": 10**8})
    labd.request("POST", f"/containers/{container}/start")
    group = cgroup.folders(Store(str(labd.state / "labd")).find(container).spec.cgroup, ("cpu",))[-1]
    for _ in range(200):
        throttled = dict(line.split() for line in Path(group, "cpu.stat").read_text().splitlines())["nr_throttled"]
        if int(throttled):
            break
        time.sleep(0.05)
    assert int(throttled)
    labd.request("DELETE", f"/containers/{container}?force=1")


def test_a_read_only_root(labd: Labd, small: str) -> None:
    """ReadonlyRootfs: an image's root takes no writes, a volume and /dev/shm do."""
    script = "for d in /tmp /dev/shm /x; do touch $d/new 2>/dev/null && echo $d; done"
    host = {"Binds": [f"{labd.state.parent}:/x"]}
    writable = [
        output(labd, "/bin/sh", "-c", script, Image=small, host={**host, "ReadonlyRootfs": r}) for r in (False, True)
    ]
    assert [text.split() for text in writable] == [["/tmp", "/dev/shm", "/x"], ["/dev/shm", "/x"]]


def test_a_device(labd: Labd) -> None:
    """A device of the host is there under the name that was asked for, and only then."""
    device = {"PathOnHost": "/dev/zero", "PathInContainer": "/dev/naught", "CgroupPermissions": "rwm"}
    show = ("sh", "-c", "head -c 3 /dev/naught | od -An -tx1")
    assert output(labd, *show, host={"Devices": [device]}).split() == ["00", "00", "00"]
    assert "No such file" in output(labd, *show)


def test_a_seccomp_profile(labd: Labd) -> None:
    """A profile that refuses mkdir(2) holds; a malformed one is a 400."""
    refuse_mkdir = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
    }
    profile = {"SecurityOpt": [f"seccomp={json.dumps(refuse_mkdir)}"]}
    assert "not supported" in output(labd, "mkdir", "/tmp/x", host=profile)
    assert output(labd, "mkdir", "/tmp/x") == ""
    assert refused(labd, HostConfig={"SecurityOpt": ["seccomp={"]})[0] == 400


def test_mounts(labd: Labd, tmp_path: Path) -> None:
    """Mounts of type bind are -v in other words: read-only ones are so with all that is mounted below."""
    (tmp_path / "file").write_text("there")
    mount = {"Type": "bind", "Source": str(tmp_path), "Target": "/mnt"}
    assert output(labd, "cat", "/mnt/file", host={"Mounts": [mount]}) == "there"
    writing = ("sh", "-c", "touch /mnt/new 2>/dev/null && echo yes || echo no")
    readonly = {**mount, "ReadOnly": True, "BindOptions": {"ReadOnlyForceRecursive": True}}
    assert output(labd, *writing, host={"Mounts": [readonly]}) == "no\n"
    below = {**readonly, "Source": "/dev"}  # where /dev/shm is another mount
    assert output(
        labd, "sh", "-c", "touch /mnt/shm/x 2>/dev/null && echo yes || echo no", host={"Mounts": [below]}
    ) == ("no\n")


def test_inspect_shows_what_was_asked(labd: Labd) -> None:
    """Fields that only the client uses are shown again, as in Docker."""
    host = {"ContainerIDFile": "/run/x.cid", "RestartPolicy": {"Name": "no"}}
    container = made(labd, AttachStdin=True, AttachStdout=True, AttachStderr=True, host=host)
    shown = inspected(labd, container)
    assert all(shown["Config"][name] for name in ("AttachStdin", "AttachStdout", "AttachStderr"))
    assert shown["HostConfig"]["ContainerIDFile"] == "/run/x.cid"
    assert shown["HostConfig"]["RestartPolicy"]["Name"] == "no"
    labd.request("POST", f"/containers/{container}/restart")
    assert inspected(labd, container)["RestartCount"] == 0  # it counts restarts by policy
    labd.request("DELETE", f"/containers/{container}?force=1")


def test_no_healthcheck_is_no_change(labd: Labd) -> None:
    """--no-healthcheck passes, and inspect shows no health."""
    container = made(labd, Healthcheck={"Test": ["NONE"]})
    assert "Health" not in inspected(labd, container)["State"]
    labd.request("DELETE", f"/containers/{container}")


def test_stop_signal_and_timeout(labd: Labd) -> None:
    """stop sends StopSignal, or the signal that it is told, and waits for the exit; with t=0 it kills at once."""
    script = "trap 'exit 5' INT; trap 'exit 6' USR1; echo ready; while :; do sleep 0.02; done"
    for query, code in (("", 5), ("?signal=USR1", 6), ("?signal=HUP&t=0", 129)):
        container = made(labd, Cmd=["sh", "-c", script], StopSignal="INT", StopTimeout=20)
        labd.request("POST", f"/containers/{container}/start")
        while "ready" not in str(labd.request("GET", f"/containers/{container}/logs?stdout=1")[1]):
            pass
        assert labd.request("POST", f"/containers/{container}/stop{query}")[0] == 204
        assert inspected(labd, container)["State"]["ExitCode"] in (code, 137 if "t=0" in query else code)
        labd.request("DELETE", f"/containers/{container}")


def start_exec(labd: Labd, exec_id: str, body: dict[str, Any]) -> socket.socket:
    """The hijacked connection of POST /exec/ID/start, behind the head."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(str(labd.socket))
    data = json.dumps(body).encode()
    head = f"POST /exec/{exec_id}/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
    connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        received += connection.recv(1)
    assert received.startswith(b"HTTP/1.1 101 "), received
    return connection


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the daemon closes."""
    received = b""
    while data := connection.recv(65536):
        received += data
    connection.close()
    return received


@pytest.fixture
def box(labd: Labd) -> Iterator[str]:
    """A running container with a terminal."""
    container = made(labd, Cmd=["cat"], Tty=True, OpenStdin=True)
    labd.request("POST", f"/containers/{container}/start")
    yield container
    labd.request("DELETE", f"/containers/{container}?force=1")


@pytest.mark.parametrize("at_start", [False, True])
def test_the_window_of_an_exec(labd: Labd, box: str, at_start: bool) -> None:
    """ConsoleSize of an exec, given when it is made or when it starts, is its terminal's size."""
    size = {"ConsoleSize": [33, 77]}
    command = ["sh", "-c", "until stty size | grep '33 77'; do sleep 0.02; done"]
    body = {"Cmd": command, "Tty": True, "AttachStdout": True, **({} if at_start else size)}
    _, answer = labd.request("POST", f"/containers/{box}/exec", body)
    connection = start_exec(labd, answer["Id"], {"Tty": True, **(size if at_start else {})})
    assert b"33 77" in read_to_end(connection)


def test_detach_keys_of_an_exec(labd: Labd, box: str) -> None:
    """DetachKeys end the session; the process runs on."""
    body = {"Cmd": ["cat"], "Tty": True, "AttachStdin": True, "AttachStdout": True, "DetachKeys": "ctrl-x"}
    _, answer = labd.request("POST", f"/containers/{box}/exec", body)
    connection = start_exec(labd, answer["Id"], {"Tty": True})
    connection.sendall(b"a\x18")
    read_to_end(connection)
    assert labd.request("GET", f"/exec/{answer['Id']}/json")[1]["Running"] is True


def test_detach_keys_of_attach(labd: Labd, box: str) -> None:
    """detachKeys= end an attach session; the container runs on."""
    connection = attach(labd, box, "stream=1&stdin=1&stdout=1&detachKeys=ctrl-x")
    connection.sendall(b"a\x18")
    read_to_end(connection)
    assert inspected(labd, box)["State"]["Running"] is True


def test_a_privileged_exec(labd: Labd, box: str) -> None:
    """exec --privileged has every capability, whatever the container has."""
    found = []
    for privileged in (False, True):
        body = {"Cmd": ["grep", "CapEff", "/proc/self/status"], "AttachStdout": True, "Tty": True}
        _, answer = labd.request("POST", f"/containers/{box}/exec", {**body, "Privileged": privileged})
        found.append(int(read_to_end(start_exec(labd, answer["Id"], {"Tty": True})).split()[-1], 16).bit_count())
    assert found[0] == 14 and found[1] >= 40


@pytest.mark.parametrize(
    ("platform", "status"),
    [("linux", 201), (f"linux/{os.uname().machine}", 201), ("linux/s390x", 404), ("windows/amd64", 404), ("a b", 400)],
)
def test_platforms(labd: Labd, platform: str, status: int) -> None:
    """--platform of this machine passes; for another machine there is no image."""
    path = f"/containers/create?platform={platform.replace(' ', '%20')}"
    code, answer = labd.request("POST", path, {"Image": "host", "Cmd": ["true"]})
    assert code == status
    if status == 201:
        labd.request("DELETE", f"/containers/{answer['Id']}")
    else:
        query = f"fromSrc=-&repo=x&platform={platform.replace(' ', '%20')}"
        assert labd.request("POST", f"/images/create?{query}", b"x")[0] == status


def test_sizes_are_real(labd: Labd, small: str) -> None:
    """ps -s, inspect -s, system df and prune tell the bytes of a container's layer; without being asked, none."""
    script = "head -c 100000 /dev/zero > /tmp/a 2>/dev/null || busybox dd if=/dev/zero of=/tmp/a bs=1000 count=100"
    container = made(labd, Image=small, Cmd=["/bin/sh", "-c", f"{script}; busybox ln /tmp/a /tmp/b"])
    labd.request("POST", f"/containers/{container}/start")
    labd.request("POST", f"/containers/{container}/wait")
    image = labd.request("GET", f"/images/{small}/json")[1]["Size"]
    (row,) = labd.request("GET", "/containers/json?all=1&size=1&limit=1")[1]
    for found in (row, inspected(labd, container, "?size=1")):
        assert (found["SizeRw"], found["SizeRootFs"]) == (100_000, image + 100_000)
    assert "SizeRw" not in inspected(labd, container)
    assert "SizeRw" not in labd.request("GET", "/containers/json?all=1")[1][0]
    used = labd.request("GET", "/system/df?type=container")[1]
    assert [row["SizeRw"] for row in used["Containers"] if row["Id"] == container] == [100_000] and "Images" not in used
    assert labd.request("GET", "/system/df?type=nonsense")[0] == 400
    assert {"Images", "Containers", "Volumes", "BuildCache"} <= labd.request("GET", "/system/df")[1].keys()
    pruned = labd.request("POST", "/containers/prune")[1]
    assert container in pruned["ContainersDeleted"] and pruned["SpaceReclaimed"] == 100_000
    on_host = made(labd)
    assert "SizeRootFs" not in inspected(labd, on_host, "?size=1")  # the size of the machine's root is not known
    labd.request("DELETE", f"/containers/{on_host}")


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"dangling": ["true"]}, set()), ({"dangling": ["false"]}, {"host", "small"}),
        ({"reference": ["opt/small"]}, {"small"}), ({"reference": ["opt/*:1"]}, {"small"}),
        ({"reference": ["*"]}, {"host"}), ({"reference": ["h?st", "*/small:2"]}, {"host"}),
        ({"label": ["x"]}, set()), ({"label!": ["x"]}, {"host", "small"}), ({"since": ["host"]}, {"small"}),
        ({"before": ["opt/small:1"]}, {"host"}), ({"until": ["10m"]}, {"host"}),
        ({"dangling": {"true": True}, "reference": {"host": True}}, set()),
    ],
)  # fmt: skip
def test_images_filters(labd: Labd, small: str, filters: dict[str, Any], found: set[str]) -> None:
    """docker images --filter: dangling images are those without a name."""
    from urllib.parse import quote

    names = {row["RepoTags"][0] for row in labd.request("GET", f"/images/json?filters={quote(json.dumps(filters))}")[1]}
    assert names == {{"host": "host:latest", "small": small}[name] for name in found}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("GET /images/json?filters={%22nonsense%22:[%22x%22]}", 400),
        ("GET /images/json?filters={%22dangling%22:[%22maybe%22]}", 400),
        ("GET /images/json?filters={%22before%22:[%22nobody%22]}", 404),
        ("GET /events?until=1&filters={%22nonsense%22:[%22x%22]}", 400),
        ("GET /containers/json?filters={%22health%22:[%22bogus%22]}", 400),
        ("GET /containers/json?filters={%22is-task%22:[%22bogus%22]}", 400),
        ("POST /containers/prune?filters={%22name%22:[%22x%22]}", 400),
        ("POST /volumes/prune?filters={%22nonsense%22:[%22x%22]}", 400),
        ("GET /containers/nobody/logs?stdout=1&tail=some", 404),
        ("GET /plugins/nobody/json", 404),
        ("POST /images/load", 400), ("GET /images/get?names=host", 409), ("POST /images/host/tag?repo=x", 409),
    ],
)  # fmt: skip
def test_what_is_not_understood(labd: Labd, path: str, status: int) -> None:
    """An unknown filter or value is a 400, an unknown name a 404, another feature a 501: each with a sentence."""
    method, _, target = path.partition(" ")
    code, answer = labd.request(method, target.replace("{", "%7B").replace("}", "%7D"))
    assert code == status and answer["message"] != "page not found"


def test_health_and_tasks(labd: Labd, box: str) -> None:
    """No container has a healthcheck or is a task: the filters say so."""
    for filters, count in (("health=none", 1), ("health=healthy", 0), ("is-task=false", 1), ("is-task=true", 0)):
        name, _, value = filters.partition("=")
        path = f"/containers/json?filters=%7B%22{name}%22%3A%5B%22{value}%22%5D%2C%22id%22%3A%5B%22{box}%22%5D%7D"
        assert len(labd.request("GET", path)[1]) == count, filters


def test_image_prune(labd: Labd, small: str) -> None:
    """dangling=true removes what has no name; an image with a container stays, whatever is asked."""
    container = made(labd, Image=small)
    for value, status in (("true", 200), ("false", 200), ("maybe", 400)):
        path = f"/images/prune?filters=%7B%22dangling%22%3A%5B%22{value}%22%5D%7D"
        assert labd.request("POST", path)[0] == status
    assert labd.request("GET", f"/images/{small}/json")[0] == 200
    labd.request("DELETE", f"/containers/{container}")


def test_rmi_force(labd: Labd, small: str) -> None:
    """An image in use stays: a 409; force takes away its name, and it goes with its last container."""
    container = made(labd, Image=small)
    status, answer = labd.request("DELETE", f"/images/{small}")
    assert status == 409 and "must be forced" in answer["message"]
    image_id = labd.request("GET", f"/images/{small}/json")[1]["Id"]
    assert labd.request("DELETE", f"/images/{small}?force=1") == (200, [{"Untagged": small}])
    assert labd.request("DELETE", f"/images/{image_id}?force=1")[0] == 409
    (row,) = labd.request("GET", "/images/json?filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D")[1]
    assert (row["Id"], row["RepoTags"], row["Containers"]) == (image_id, [], 1)
    labd.request("DELETE", f"/containers/{container}")
    pruned = labd.request("POST", "/images/prune")[1]
    assert pruned == {"ImagesDeleted": [{"Deleted": image_id}], "SpaceReclaimed": row["Size"]}
    assert labd.request("GET", f"/images/{image_id}/json")[0] == 404


def test_nothing_to_spare(labd: Labd, small: str) -> None:
    """noprune, all, digests and those of build/prune change nothing: there is nothing that they could change."""
    rows = labd.request("GET", "/images/json")[1]
    assert labd.request("GET", "/images/json?all=1&digests=1")[1] == rows
    assert [row["RepoDigests"] for row in rows] == [[]] * len(rows) and {row["SharedSize"] for row in rows} == {-1}
    shared = labd.request("GET", "/images/json?shared-size=1")[1]
    assert [row["SharedSize"] for row in shared if row["RepoTags"] == ["host:latest"]] == [0]
    nothing = {"CachesDeleted": None, "SpaceReclaimed": 0}
    assert labd.request("POST", "/build/prune?all=1&keep-storage=5&filters=") == (200, nothing)
    deleted = labd.request("DELETE", f"/images/{small}?noprune=1")[1]
    assert [key for row in deleted for key in row] == ["Untagged", "Deleted"]


def test_info_tells_the_limits_that_there_are(labd: Labd) -> None:
    """MemoryLimit, PidsLimit and CpuCfsQuota are what this machine's cgroups can do; seccomp is named."""
    info = labd.request("GET", "/info")[1]
    found = {name for name, key in LIMITS.items() if info[key]}
    assert found == cgroup.available()
    for name, host in (("memory", {"Memory": 20 << 20}), ("pids", {"PidsLimit": 50}), ("cpu", {"NanoCpus": 10**9})):
        status, answer = labd.request(
            "POST", "/containers/create", {"Image": "host", "Cmd": ["true"], "HostConfig": host}
        )
        assert status == (201 if name in found else 500), answer
        labd.request("DELETE", f"/containers/{answer.get('Id')}")
    assert info["CgroupDriver"] == ("cgroupfs" if found else "none")
    assert info["SecurityOptions"] == ["name=seccomp,profile=builtin"]
