"""docker-py, unmodified, against the daemon."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from private_labd import Labd

if TYPE_CHECKING:
    import docker

pytestmark = [
    pytest.mark.needs("root", "docker-py"),
    # docker-py leaves the sockets that it took over to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def client(labd: Labd) -> Iterator[docker.DockerClient]:
    """A client, with every container that the test left removed afterwards."""
    import docker

    with_daemon = docker.DockerClient(base_url=f"unix://{labd.socket}", timeout=30)
    yield with_daemon
    for container in with_daemon.containers.list(all=True):
        container.remove(force=True)
    with_daemon.close()


def test_run_returns_the_output(client: docker.DockerClient) -> None:
    """containers.run() gives standard output; its error holds exit status and standard error."""
    import docker

    assert client.containers.run("host", ["echo", "hello"], remove=True) == b"hello\n"
    with pytest.raises(docker.errors.ContainerError) as failure:
        client.containers.run("host", ["sh", "-c", "echo bad >&2; exit 3"], remove=True)
    assert failure.value.exit_status == 3 and b"bad" in failure.value.stderr


@pytest.mark.needs("cgroups")
def test_shared_namespaces(client: docker.DockerClient) -> None:
    """pid_mode, ipc_mode and uts_mode: the host's namespaces, and those of another container."""
    look = ["readlink", *(f"/proc/self/ns/{kind}" for kind in ("pid", "ipc", "uts"))]
    own = [str(Path(name).readlink()) for name in look[1:]]
    modes = {"pid_mode": "host", "ipc_mode": "host", "uts_mode": "host"}
    assert client.containers.run("host", look, remove=True, **modes).decode().split() == own
    donor = client.containers.run("host", ["sleep", "60"], detach=True, ipc_mode="shareable")
    theirs = donor.exec_run(look).output.decode().split()
    joined = {"pid_mode": f"container:{donor.id}", "ipc_mode": f"container:{donor.id}"}
    assert client.containers.run("host", look, remove=True, **joined).decode().split()[:2] == theirs[:2]


@pytest.mark.needs("ps")
def test_life(client: docker.DockerClient) -> None:
    """create, start, reload, top, stop, wait, restart, rename, list, kill and remove work as with dockerd."""
    container = client.containers.create("host", ["sleep", "1000"], name="py", labels={"a": "b"})
    assert container.status == "created"
    container.start()
    container.reload()
    assert container.status == "running" and container.labels == {"a": "b"}
    assert "sleep 1000" in container.top()["Processes"][0][-1]
    container.stop(timeout=0)
    assert container.wait() == {"StatusCode": 137}
    container.restart(timeout=0)
    container.rename("py2")
    assert client.containers.get("py2").id == container.id
    assert [found.name for found in client.containers.list(filters={"label": "a=b"})] == ["py2"]
    container.kill()
    assert container.wait()["StatusCode"] == 137
    container.remove()


def test_logs_and_attach(client: docker.DockerClient) -> None:
    """logs() in whole and as a stream, attach() with both streams apart; the first bytes are not lost."""
    for _ in range(5):
        container = client.containers.create("host", ["sh", "-c", "echo out; echo err >&2"])
        stream = container.attach(stream=True, demux=True)
        container.start()
        pieces = list(stream)
        assert b"".join(out for out, _ in pieces if out) == b"out\n"
        assert b"".join(err for _, err in pieces if err) == b"err\n"
        assert container.logs(stderr=False) == b"out\n"
        assert sorted(b"".join(container.logs(stream=True, follow=True)).split()) == [b"err", b"out"]
    late = client.containers.run("host", ["echo", "early"], detach=True)
    late.wait()
    assert late.attach(logs=True, stream=False) == b"early\n"


def test_attach_socket(client: docker.DockerClient) -> None:
    """attach_socket() with stdin: what is written is echoed by the terminal, and comes back from cat."""
    container = client.containers.create("host", ["cat"], stdin_open=True, tty=True)
    container.start()
    connection = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    connection._sock.sendall(b"ping\r")
    received = b""
    while received.count(b"ping") < 2:
        received += connection._sock.recv(100)
    connection.close()


def test_exec(client: docker.DockerClient) -> None:
    """exec_run(): exit code, output, demux, environment, a socket."""
    container = client.containers.run("host", ["sleep", "1000"], detach=True)
    assert container.exec_run(["sh", "-c", "echo $A; exit 4"], environment={"A": "b"}) == (4, b"b\n")
    assert container.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True).output == (b"o\n", b"e\n")
    assert container.exec_run("echo one two").output == b"one two\n"
    code, stream = container.exec_run(["echo", "streamed"], stream=True)
    assert (code, b"".join(stream)) == (None, b"streamed\n")
    made = client.api.exec_create(container.id, ["cat"], stdin=True, tty=True)
    connection: Any = client.api.exec_start(made, socket=True, tty=True)
    connection._sock.sendall(b"x\r")
    assert b"x" in connection._sock.recv(10)
    client.api.exec_resize(made, height=20, width=30)
    connection.close()


def test_archives(client: docker.DockerClient) -> None:
    """put_archive() and get_archive() on a running container; the stat of what is fetched."""
    container = client.containers.run("host", ["sleep", "1000"], detach=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"bytes"))
    assert container.put_archive("/tmp", buffer.getvalue())
    chunks, found = container.get_archive("/tmp/file")
    assert (found["name"], found["size"]) == ("file", 5)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        extracted = tar.extractfile("file")
        assert extracted and extracted.read() == b"bytes"


def test_images_events_and_info(client: docker.DockerClient) -> None:
    """ping, version, info, images, events; errors are docker-py's own classes."""
    import docker

    assert client.ping()
    assert client.version()["ApiVersion"] == "1.44"
    assert client.info()["OSType"] == "linux"
    assert "host:latest" in client.images.get("host").tags
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("no-such-image")
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("no-such-container")
    with pytest.raises(docker.errors.APIError, match="not part of this lab"):
        client.volumes.create("data", driver="nosuch")
    events = client.events(decode=True)
    container = client.containers.create("host", ["true"])
    assert next(event for event in events if event["id"] == container.id)["Action"] == "create"
    events.close()
