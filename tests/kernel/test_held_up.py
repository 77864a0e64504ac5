"""One container or client does not hold up the others: a frozen exec, a dead spawner, a large layer."""

from __future__ import annotations

import io
import os
import signal
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from awake import container, percentile, pinging, wait
from private_labd import Labd

from lab.runtime import cgroup

pytestmark = pytest.mark.needs("root")
HOST = [f"/{name}:/{name}:ro" for name in ("usr", "lib", "lib64", "bin") if Path(f"/{name}").exists()]
FOLDERS = ("usr", "lib", "lib64", "bin", "tmp", "proc", "sys", "dev")


def tar(**files: bytes | None) -> bytes:
    """A tar of these files; None: a directory."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.mode, member.size = 0o755, len(content or b"")
            member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            archive.addfile(member, io.BytesIO(content or b""))
    return data.getvalue()


@pytest.fixture
def layered(labd: Labd) -> Iterator[Callable[..., str]]:
    """Make a container that has a layer to write to, and the machine's programs."""
    if labd.request("GET", "/images/layered/json")[0] == 404:
        folders = dict.fromkeys(FOLDERS)
        assert labd.request("POST", "/images/create?fromSrc=-&repo=layered", tar(**folders))[0] == 200

    def make(name: str, *command: str, start: bool = True, **host: Any) -> str:
        return container(labd, name, *command, start=start, Image="layered", HostConfig={"Binds": HOST, **host})

    yield make
    assert labd.request("DELETE", "/images/layered")[0] == 200


def prepared(labd: Labd, name: str, *command: str) -> str:
    """The id of an exec that has not been started."""
    status, made = labd.request("POST", f"/containers/{name}/exec", {"Cmd": list(command)})
    assert status == 201, made
    return str(made["Id"])


def begin(labd: Labd, exec_id: str, seconds: float = 30) -> int:
    """Start the exec detached; the status of the answer."""
    return labd.request("POST", f"/exec/{exec_id}/start", {"Detach": True}, timeout=seconds)[0]


def test_an_exec_that_was_made_before_a_pause_is_refused_during_it(labd: Labd) -> None:
    """An exec cannot start in a paused container: born frozen, it would hold up the spawner that all share."""
    container(labd, "held-paused", "sleep", "60")
    container(labd, "held-other", "true", start=False)
    exec_id = prepared(labd, "held-paused", "true")
    try:
        assert labd.request("POST", "/containers/held-paused/pause")[0] == 204
        assert begin(labd, exec_id, 5) == 409
        assert labd.request("POST", "/containers/held-other/start", timeout=5)[0] == 204
        assert labd.request("POST", "/containers/held-paused/unpause")[0] == 204
        assert begin(labd, exec_id) == 200
    finally:
        for name in ("held-paused", "held-other"):
            labd.request("DELETE", f"/containers/{name}?force=1")


def test_pauses_and_execs_at_once_hold_up_nobody(labd: Labd) -> None:
    """Pauses and execs of one container at the same time wait for each other, and all are answered."""
    container(labd, "held-race", "sleep", "60")
    try:
        for _ in range(10):
            execs = [prepared(labd, "held-race", "true") for _ in range(4)]
            with ThreadPoolExecutor(8) as pool:
                begun = [pool.submit(begin, labd, exec_id, 5) for exec_id in execs]
                paused = pool.submit(labd.request, "POST", "/containers/held-race/pause", None, 5)
            assert paused.result()[0] == 204
            assert {job.result() for job in begun} <= {200, 409}
            assert labd.request("POST", "/containers/held-race/unpause", timeout=5)[0] == 204
    finally:
        labd.request("DELETE", "/containers/held-race?force=1")


@pytest.mark.skipif(not cgroup.version_2(), reason="needs cgroup version 2")
def test_a_process_that_cannot_begin_is_given_up(labd: Labd) -> None:
    """labd gives up a process that cannot begin, as in a container that has frozen itself."""
    name = container(labd, "held-frozen", "sleep", "60")
    container(labd, "held-next", "true", start=False)
    exec_id = prepared(labd, "held-frozen", "true")
    folder = next(Path(cgroup.version_2()).rglob(f"*{name}"))
    try:
        (folder / "cgroup.freeze").write_text("1")
        with ThreadPoolExecutor(2) as pool:
            held = pool.submit(begin, labd, exec_id, 25)
            time.sleep(0.5)
            assert labd.request("POST", "/containers/held-next/start", timeout=25)[0] == 204
            assert held.result() == 400
    finally:
        (folder / "cgroup.freeze").write_text("0")
        for name in ("held-frozen", "held-next"):
            labd.request("DELETE", f"/containers/{name}?force=1")


def test_who_waits_for_a_spawner_that_dies_is_served_by_the_next(new_labd: Callable[..., Labd]) -> None:
    """After the spawner's death a waiting start fails, or its container runs and labd shows it."""
    labd = new_labd()
    names = [f"queued-{number}" for number in range(30)]
    for name in names:
        container(labd, name, "sleep", "60", start=False, Env=[f"A{number}={'x' * 100_000}" for number in range(5)])
    spawner = labd.spawner
    os.kill(spawner, signal.SIGSTOP)
    with ThreadPoolExecutor(len(names)) as pool:
        starts = [pool.submit(labd.request, "POST", f"/containers/{name}/start") for name in names]
        time.sleep(1)
        os.kill(spawner, signal.SIGKILL)
    answers = [start.result()[0] for start in starts]
    assert set(answers) <= {204, 400}
    assert labd.request("POST", f"/containers/{names[0]}/start")[0] in (204, 304)
    shown = {row["Names"][0] for row in labd.request("GET", "/containers/json")[1]}
    assert {f"/{name}" for name, answer in zip(names, answers, strict=True) if answer == 204} <= shown
    running = Path(f"/proc/{labd.spawner}/task/{labd.spawner}/children").read_text().split()
    assert len(running) == len(shown)


def test_removing_a_large_layer_holds_up_nobody(labd: Labd, layered: Callable[..., str]) -> None:
    """While a layer of 50,000 files is removed, a ping is answered."""
    script = "import os\nfor d in range(100):\n os.mkdir(f'/tmp/{d}')\n for i in range(500): open(f'/tmp/{d}/{i}', 'w')"
    layered("held-large", "/usr/bin/python3", "-c", script)
    assert wait(labd, "held-large") == 0
    with pinging(labd) as took:
        assert labd.request("DELETE", "/containers/held-large", timeout=60)[0] == 204
        time.sleep(0.1)
    assert max(took) < 0.4
    assert percentile(took, 0.9) < 0.1
    assert labd.request("GET", "/containers/held-large/json")[0] == 404


def test_removals_of_one_container_at_once_agree(labd: Labd, layered: Callable[..., str]) -> None:
    """Of several removals at once, one removes; the others get a 409 or a 404."""
    script = "import os\nfor i in range(3000): open(f'/tmp/{i}', 'w')\nimport time; time.sleep(60)"
    for number in range(5):
        layered(f"held-rm-{number}", "/usr/bin/python3", "-c", script, AutoRemove=number % 2 == 0)
        with ThreadPoolExecutor(8) as pool:
            jobs = [
                pool.submit(labd.request, "DELETE", f"/containers/held-rm-{number}?force=1", None, 20) for _ in range(6)
            ]
            renamed = pool.submit(labd.request, "POST", f"/containers/held-rm-{number}/rename?name=held-rn-{number}")
        answers = sorted(job.result()[0] for job in jobs)
        assert answers[0] == 204
        assert set(answers) <= {204, 404, 409}
        assert renamed.result()[0] in (204, 404, 409)
        assert labd.request("GET", f"/containers/held-rm-{number}/json")[0] == 404


def test_who_waits_for_a_removal_that_fails_hears_of_the_end(labd: Labd) -> None:
    """wait?condition=removed ends with the container even if its removal fails; it can be removed later."""
    name = container(labd, "held-stuck", "sleep", "1", HostConfig={"AutoRemove": True})
    in_the_way = labd.state / "labd/containers" / f".{name}" / "x"
    in_the_way.mkdir(parents=True)
    try:
        status, answer = labd.request("POST", "/containers/held-stuck/wait?condition=removed", timeout=15)
        assert (status, answer) == (200, {"StatusCode": 0})
        assert labd.request("GET", f"/containers/{name}/json")[0] == 200
    finally:
        in_the_way.rmdir()
    assert labd.request("DELETE", f"/containers/{name}")[0] == 204
    assert labd.request("GET", f"/containers/{name}/json")[0] == 404


def test_a_name_that_is_another_containers_id_leads_nowhere_else(labd: Labd, layered: Callable[..., str]) -> None:
    """docker cp to a stopped container reaches it, even if its id is another container's name."""
    first = layered("held-first", "/usr/bin/true", start=False)
    second = layered(first, "/usr/bin/true", start=False)
    try:
        assert labd.request("PUT", f"/containers/{first}/archive?path=/tmp", tar(mark=b"first"))[0] == 200
        assert labd.request("HEAD", f"/containers/{first}/archive?path=/tmp/mark")[0] == 200
        assert labd.request("HEAD", f"/containers/{second}/archive?path=/tmp/mark")[0] == 404
    finally:
        for name in (first, second):
            labd.request("DELETE", f"/containers/{name}")


def test_a_layer_may_be_as_deep_and_as_lively_as_it_likes(labd: Labd, layered: Callable[..., str]) -> None:
    """diff and sizes answer for a layer that is 2,500 directories deep, and for one that changes meanwhile."""
    deep = "import os\nos.chdir('/tmp')\nfor i in range(2500): os.mkdir('d'); os.chdir('d')\nopen('x', 'w').write('x')"
    busy = (
        "while 1:\n for i in range(200): open(f'/tmp/{i}', 'w').close()\n for i in range(200): os.unlink(f'/tmp/{i}')"
    )
    layered("held-deep", "/usr/bin/python3", "-c", deep)
    layered("held-busy", "/usr/bin/python3", "-c", f"import os\n{busy}")
    assert wait(labd, "held-deep") == 0
    try:
        for path in ("/containers/held-deep/changes", "/containers/json?all=1&size=1", "/system/df"):
            assert labd.request("GET", path)[0] == 200, path
        answers = {labd.request("GET", "/containers/held-busy/changes")[0] for _ in range(30)}
        assert answers == {200}
        kinds = {row["Path"]: row["Kind"] for row in labd.request("GET", "/containers/held-deep/changes")[1]}
        assert (kinds["/tmp"], kinds["/tmp/d"]) == (0, 1)
    finally:
        for name in ("held-deep", "held-busy"):
            assert labd.request("DELETE", f"/containers/{name}?force=1")[0] == 204


def test_a_paused_container_can_be_killed(labd: Labd) -> None:
    """SIGKILL ends a paused container at once, whether it dies before or after it has been thawed: 204, each time."""
    for number in range(200):
        name = f"frozen-{number}"
        container(labd, name, "sleep", "60")
        assert labd.request("POST", f"/containers/{name}/pause")[0] == 204
        status, body = labd.request("DELETE", f"/containers/{name}?force=1")
        assert status == 204, body
