"""Archives that cannot be written to their end: the client is told, and nothing waits for a container."""

from __future__ import annotations

import http.client
import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from private_labd import Labd

from daemon.programs import archiver
from daemon.programs.command import command

pytestmark = pytest.mark.needs("root", "busybox")
DEPTH, NAME = 20, "n" * 250  # together longer than the longest path, 4,095 bytes


@pytest.fixture
def deep(labd: Labd, rootfs_tar: bytes) -> Iterator[str]:
    """A container with a file whose path is too long for open(2), which its own processes can reach by chdir(2)."""
    labd.request("POST", "/images/create?fromSrc=-&repo=deep&tag=1", rootfs_tar)
    container = labd.request("POST", "/containers/create", {"Image": "deep:1", "Cmd": ["true"]})[1]["Id"]
    fd = os.open(labd.state / f"labd/containers/{container}/layer/upper", os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir(NAME, dir_fd=fd)
        inner = os.open(NAME, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    yield container
    assert labd.request("DELETE", f"/containers/{container}")[0] == 204
    assert labd.request("DELETE", "/images/deep:1")[0] == 200


@pytest.mark.parametrize("path", ["export", "archive?path=/"])
def test_a_failure_is_no_end(labd: Labd, deep: str, path: str) -> None:
    """A tar that fails in the middle comes without the last chunk: no client takes it for a whole one."""
    with pytest.raises(http.client.IncompleteRead) as failure:
        labd.request("GET", f"/containers/{deep}/{path}")
    assert len(failure.value.partial) > 10_000
    assert b"Traceback" not in labd.log.read_bytes()


@pytest.mark.needs("docker-cli")
def test_docker_fails_then(labd: Labd, deep: str) -> None:
    """docker export and docker cp end with an error, and not with 0."""
    for words in (("export", deep), ("cp", f"{deep}:/", "-")):
        done = labd.docker(*words)
        assert done.returncode == 1 and b"unexpected EOF" in done.stderr


def test_nobody_hears() -> None:
    """Where labd has been killed, its program ends without a traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            command("archiver", "stat", "/", "", "/nonexistent", "none"),
            stdout=closed, stderr=subprocess.PIPE, timeout=30,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_a_file_that_is_swapped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str) -> None:
    """docker cp does not wait in the open(2) of a FIFO that a container has put where a file was; nor follow a link."""
    (tmp_path / "file").write_text("old")
    look = tarfile.TarFile.gettarinfo

    def swap(self: tarfile.TarFile, path: str, name: str) -> tarfile.TarInfo:
        found = look(self, path, name)
        if found.isreg():
            Path(path).unlink()
            os.mkfifo(path) if kind == "fifo" else Path(path).symlink_to("/etc/passwd")
        return found

    monkeypatch.setattr(tarfile.TarFile, "gettarinfo", swap)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(OSError, match=r"changed while|symbolic links"):
        archiver.get(str(tmp_path))


def test_what_is_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Directories, files, hard links, symlinks and FIFOs are in the tar, under the last part of the path."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/file").write_text("text")
    os.link(tmp_path / "sub/file", tmp_path / "sub/same")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("sub")
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output))
    archiver.get(f"{tmp_path}/")
    with tarfile.open(fileobj=io.BytesIO(output.getvalue())) as tar:
        found = {member.name.partition("/")[2]: member for member in tar}
        assert [*found] == ["", "fifo", "link", "sub", "sub/file", "sub/same"]
        assert found["fifo"].isfifo() and found["link"].linkname == "sub" and found["sub/same"].islnk()
        assert tar.extractfile(found["sub/file"]).read() == b"text"  # type: ignore[union-attr]
