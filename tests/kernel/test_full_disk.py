"""labd's state directory on a full disk: no request hangs, and what cannot be done is refused in a sentence."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from awake import container, wait
from private_labd import Labd

pytestmark = pytest.mark.needs("root")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 2 MiB; it is unmounted after the daemon on it has ended."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)], check=True)
    yield path
    subprocess.run(["umount", str(path)], check=True)


def fill(disk: Path) -> Path:
    """Fill the disk; returns the file that takes the room."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return filler


def test_a_full_disk_costs_no_wait(small_disk: Path, new_labd: Callable[..., Labd]) -> None:
    """wait has its exit code, rm -f removes, create and start say 507 in a sentence; with room again all goes on."""
    labd = new_labd(state=small_disk / "state")
    for name in ("waited", "removed"):
        container(labd, name, "sleep", "1000")
    container(labd, "fresh", "true", start=False)
    container(labd, "vanishing", "sleep", "1000", HostConfig={"AutoRemove": True})
    filler = fill(small_disk)
    labd.request("POST", "/containers/waited/kill", timeout=10)
    assert wait(labd, "waited", 10) == 137
    assert labd.request("GET", "/containers/waited/json")[1]["State"]["ExitCode"] == 137
    assert labd.request("POST", "/containers/vanishing/stop?t=0", timeout=10)[0] == 204
    fill(small_disk)
    status, answer = labd.request("POST", "/containers/fresh/start", timeout=10)
    assert status == 507 and "No space left on device" in answer["message"]
    status, answer = labd.request("POST", "/containers/create?name=more", {"Image": "host", "Cmd": ["true"]}, 10)
    assert status == 507 and "No space left on device" in answer["message"]
    assert labd.request("DELETE", "/containers/removed?force=1", timeout=10)[0] == 204
    filler.unlink()
    assert labd.request("POST", "/containers/fresh/start")[0] == 204
    assert wait(labd, "fresh", 10) == 0
    container(labd, "more", "true")
    assert wait(labd, "more", 10) == 0
    assert "Traceback" not in labd.log.read_text()
    labd.stop()
