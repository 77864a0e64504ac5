"""No client and no container can hold up another: who leaves, who stalls, who floods costs labd nothing that lasts."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from awake import (
    UPGRADE,
    ask,
    connect,
    container,
    forget_peak,
    held,
    leave_after,
    percentile,
    pinging,
    reader,
    resident,
    wait,
)
from private_labd import Labd

pytestmark = pytest.mark.needs("root")
NewLabd = Callable[..., Labd]
COUNTING = "n=0; until [ -e /x/stop ]; do n=$((n+1)); echo line $n; done; echo end $n"
GROWTH = 16 << 10  # KiB


def new_exec(labd: Labd, **body: object) -> str:
    """An exec in `quiet` that has not been started; its id."""
    status, made = labd.request("POST", "/containers/quiet/exec", {"AttachStdout": True, **body})
    assert status == 201, made
    return str(made["Id"])


def requests(labd: Labd) -> Iterator[bytes]:
    """One of each kind of request that lasts."""
    attach = "stream=1&stdout=1&stderr=1"
    yield ask("POST", f"/containers/talker/attach?{attach}", headers=UPGRADE)
    yield ask("POST", f"/containers/talker/attach?{attach}&logs=1")
    yield ask("POST", f"/containers/quiet/attach?{attach}&stdin=1", headers=UPGRADE)
    yield ask("POST", f"/containers/fresh/attach?{attach}&stdin=1", headers=UPGRADE)
    yield ask("POST", f"/exec/{new_exec(labd, Cmd=['echo', 'x'])}/start", '{"Tty": false}', UPGRADE)
    yield ask("POST", f"/exec/{new_exec(labd, Cmd=['cat'], AttachStdin=True)}/start", "{}", UPGRADE) + b"input"
    yield ask("POST", f"/exec/{new_exec(labd, Cmd=['no-such-command'])}/start", "{}", UPGRADE)
    yield ask("GET", "/containers/talker/logs?follow=1&stdout=1&stderr=1&timestamps=1")
    yield ask("GET", "/containers/quiet/logs?follow=1&stdout=1&tail=3")
    yield ask("GET", "/events?since=0")
    yield ask("GET", "/containers/talker/stats")
    yield ask("POST", "/containers/quiet/wait")
    yield ask("GET", "/containers/quiet/archive?path=/etc/passwd")
    yield ask("POST", "/images/create?fromSrc=-&repo=rude", headers="Content-Length: 1000\r\n") + b"half a tar"


def be_rude(labd: Labd, folder: Path, clients: int, *, step: int) -> None:
    """So many clients leave after a whole request, and others after every step-th byte of one."""
    container(labd, "talker", "sh", "-c", COUNTING, HostConfig={"Binds": [f"{folder}:/x"]})
    container(labd, "quiet", "sleep", "1000", OpenStdin=True)
    container(labd, "fresh", "cat", start=False, OpenStdin=True, StdinOnce=True)
    before = settled(labd, (0, 0), seconds=2)
    for kind in requests(labd):
        for length in range(1, len(kind), step):
            leave_after(labd, kind[:length])
    gone = 0
    while gone < clients:
        for kind in requests(labd):
            leave_after(labd, kind)
            gone += 1
    assert settled(labd, before) == before
    (folder / "stop").touch()
    assert wait(labd, "talker", 20) == 0
    *lines, last = labd.dockerish("logs", "talker").stdout.decode().splitlines()
    assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]
    assert last == f"end {len(lines)}"
    for name in ("talker", "quiet", "fresh"):
        assert labd.request("DELETE", f"/containers/{name}?force=1")[0] == 204
    assert [image["RepoTags"] for image in labd.request("GET", "/images/json")[1]] == [["host:latest"]]
    complaints = [line for line in labd.log.read_text().splitlines() if not line.startswith("labd: task")]
    assert complaints == []


def settled(labd: Labd, wanted: tuple[int, int], seconds: float = 15) -> tuple[int, int]:
    """What labd holds when it is what is wanted, or when the time is up."""
    end = time.monotonic() + seconds
    while (found := held(labd)) != wanted and time.monotonic() < end:
        time.sleep(0.1)
    return found


def test_rude_clients_leave_nothing_behind(new_labd: NewLabd, tmp_path: Path) -> None:
    """Who leaves in the middle of any request costs no descriptor and no task; no process stalls, no line is lost."""
    folder = tmp_path / "x"
    folder.mkdir()
    be_rude(new_labd(), folder, 100, step=9)


@pytest.mark.stress
def test_1000_rude_clients_leave_nothing_behind(new_labd: NewLabd, tmp_path: Path) -> None:
    """The same with 1,000 of them, and others that leave after every single byte."""
    folder = tmp_path / "x"
    folder.mkdir()
    be_rude(new_labd(), folder, 1000, step=1)


def test_a_process_does_not_wait_for_an_attached_client_that_left(labd: Labd) -> None:
    """20 clients attach and leave at once, before the start: more output than a pipe holds is written to its end."""
    container(labd, "left", "sh", "-c", "seq 100000", start=False)
    for _ in range(20):
        leave_after(labd, ask("POST", "/containers/left/attach?stream=1&stdout=1", headers=UPGRADE))
    labd.request("POST", "/containers/left/start")
    assert wait(labd, "left", 10) == 0
    assert labd.dockerish("logs", "--tail", "1", "left").stdout == b"100000\n"
    labd.request("DELETE", "/containers/left")


def test_a_half_closed_client_still_hears(labd: Labd) -> None:
    """shutdown(2) of one direction, as `docker run` does it, is no leaving: all output comes."""
    container(labd, "half", "sh", "-c", "sleep 0.3; echo late", start=False)
    with connect(labd, ask("POST", "/containers/half/attach?stream=1&stdout=1", headers=UPGRADE)) as connection:
        connection.shutdown(socket.SHUT_WR)
        labd.request("POST", "/containers/half/start")
        received = b""
        while chunk := connection.recv(1000):
            received += chunk
    assert received.endswith(b"late\n")
    labd.request("DELETE", "/containers/half")


def test_what_a_client_sent_before_it_left_is_the_processs(labd: Labd) -> None:
    """Input and the end of file arrive, although the client is gone before they can be written."""
    container(labd, "fed", "cat", start=False, OpenStdin=True, StdinOnce=True)
    request = ask("POST", "/containers/fed/attach?stream=1&stdin=1", headers=UPGRADE)
    with connect(labd, request) as connection:
        assert connection.recv(12) == b"HTTP/1.1 101"
        connection.sendall(b"last words\n")
        labd.request("POST", "/containers/fed/start")
    assert wait(labd, "fed", 10) == 0
    assert labd.dockerish("logs", "fed").stdout == b"last words\n"
    labd.request("DELETE", "/containers/fed")


def test_logs_of_newlines_do_not_make_labd_deaf(labd: Labd) -> None:
    """20 MB of newlines with -t, a reader that stalls, one that leaves: a ping is answered within a second."""
    container(labd, "lines", "sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' '\\n'")
    assert wait(labd, "lines") == 0
    target = "/containers/lines/logs?stdout=1&timestamps=1"
    forget_peak(labd)
    before = resident(labd)
    with pinging(labd) as took, connect(labd, ask("GET", target)) as stalled:
        assert stalled.recv(100)
        readers = [reader(labd, target), reader(labd, f"{target}&tail=1000000")]
        for _ in range(10):
            leave_after(labd, ask("GET", target))
        time.sleep(3)
        for process in readers:
            process.kill()
            process.communicate()
    assert max(took) < 1
    assert resident(labd) - before < GROWTH
    began = time.monotonic()
    assert labd.dockerish("logs", "--tail", "2", "lines").stdout == b"\n\n"
    assert time.monotonic() - began < 5
    labd.request("DELETE", "/containers/lines")


@pytest.mark.stress
def test_ten_readers_of_long_logs(labd: Labd) -> None:
    """100 MB of lines and 20 MB of newlines, fast, slow and gone readers: p99 of ping < 100 ms, RSS < +16 MiB."""
    container(
        labd,
        "long",
        "sh",
        "-c",
        "yes 'a line of the length that lines of a log often have, more or less' | head -c 100M",
    )
    container(labd, "newlines", "sh", "-c", "head -c 20M /dev/zero | tr '\\0' '\\n'")
    assert wait(labd, "long") == wait(labd, "newlines") == 0
    for name, options in (
        ("long", ""), ("long", "&timestamps=1"), ("newlines", "&timestamps=1"), ("newlines", ""),
        ("newlines", "&timestamps=1&tail=5000000"),
    ):  # fmt: skip
        target = f"/containers/{name}/logs?stdout=1{options}"
        forget_peak(labd)
        before = resident(labd)
        with pinging(labd) as took:
            readers = [reader(labd, target, pace) for pace in [0] * 7 + [0.05] * 3]
            end = time.monotonic() + 10
            while time.monotonic() < end and any(process.poll() is None for process in readers):
                leave_after(labd, ask("GET", target))
                time.sleep(0.1)
            for process in readers:
                process.kill()
                process.communicate()
        grown = (resident(labd) - before) >> 10
        print(f"{name}{options}: {len(took)} pings, p99 {percentile(took) * 1e3:.0f} ms, RSS +{grown} MiB")
        assert percentile(took) < 0.1
        assert resident(labd) - before < GROWTH
    for name in ("long", "newlines"):
        labd.request("DELETE", f"/containers/{name}")


STORMS = {
    "blocks": "exec timeout 5 yes ''",
    "single bytes": "exec timeout 5 sh -c 'while :; do echo; done'",
}


@pytest.mark.stress
@pytest.mark.parametrize("storm", STORMS)
def test_ten_containers_that_write_newlines(labd: Labd, storm: str) -> None:
    """At full speed, half of them with a client attached that reads all: p99 of ping < 100 ms, RSS < +16 MiB."""
    names = [f"storm{number}" for number in range(10)]
    forget_peak(labd)
    before = resident(labd)
    for name in names:
        container(labd, name, "sh", "-c", STORMS[storm], start=False)
    with ExitStack() as stack:
        for name in names[:5]:
            attach = connect(labd, ask("POST", f"/containers/{name}/attach?stream=1&stdout=1", headers=UPGRADE))
            attach.setblocking(True)
            sink = subprocess.Popen(["cat"], stdin=attach.fileno(), stdout=subprocess.DEVNULL)
            attach.close()
            stack.callback(sink.wait)
        with pinging(labd) as took:
            for name in names:
                assert labd.request("POST", f"/containers/{name}/start")[0] == 204
            assert [wait(labd, name) for name in names] == [124] * 10
    size = sum(path.stat().st_size for path in (labd.state / "labd/containers").glob("*/log"))
    grown = (resident(labd) - before) >> 10
    print(f"{storm}: {size >> 20} MiB, {len(took)} pings, p99 {percentile(took) * 1e3:.0f} ms, RSS +{grown} MiB")
    for name in names:
        labd.request("DELETE", f"/containers/{name}?force=1")
    assert percentile(took) < 0.1
    assert resident(labd) - before < GROWTH


HALF_SENT = [
    ask("POST", "/containers/create", headers="Content-Type: application/json\r\nContent-Length: 100\r\n") + b'{"Ima',
    ask("POST", "/containers/create", headers="Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n")
    + b"64\r\n{",
    ask("GET", "/_ping", headers="Content-Length: 100\r\n") + b"x",
    b"GET /_ping HTTP/1.1\r\nHo",
]


def test_500_half_sent_requests_disturb_nobody(labd: Labd) -> None:
    """Bodies and heads that stop coming: closed within 12 s, a JSON body's with 408; pings are answered meanwhile."""
    with ExitStack() as stack:
        began = time.monotonic()
        slow = [stack.enter_context(connect(labd, HALF_SENT[number % 4], 15)) for number in range(500)]
        answers: list[bytes] = [b""] * len(slow)
        with pinging(labd) as took:
            for number, connection in enumerate(slow):
                while chunk := connection.recv(1000):
                    answers[number] += chunk
        assert time.monotonic() - began < 12
    assert max(took) < 1
    assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers[0::4] + answers[1::4])
    message = json.loads(answers[0].partition(b"\r\n\r\n")[2])["message"]
    assert message == "the request's body stopped coming"


def test_imports_under_way_keep_nobody_from_work(labd: Labd) -> None:
    """Ten imports whose tars do not come: `docker stats`, which needs a thread, is answered."""
    container(labd, "measured", "sleep", "1000")
    with ExitStack() as stack:
        for number in range(10):
            request = ask("POST", f"/images/create?fromSrc=-&repo=late{number}", headers="Content-Length: 1000\r\n")
            stack.enter_context(connect(labd, request))
        status, _ = labd.request("GET", "/containers/measured/stats?stream=0&one-shot=1", timeout=10)
        assert status == 200
    labd.request("DELETE", "/containers/measured?force=1")


@pytest.mark.parametrize("path", ["/images/create?fromSrc=-&repo=half", "/containers/target/archive?path=/tmp"])
def test_sigterm_ends_labd_in_the_middle_of_an_upload(new_labd: NewLabd, path: str) -> None:
    """A tar of which half has been sent: labd ends within 10 s, nothing half-made stays, no process stays."""
    labd = new_labd()
    container(labd, "target", "sleep", "1000")
    children = Path(f"/proc/{labd.pid}/task")
    tar = b"file".ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"77777777777\0"
    method = "PUT" if "archive" in path else "POST"
    with connect(labd, ask(method, path, headers="Content-Length: 100000000\r\n") + tar):
        at_work: list[str] = []
        while len(at_work) < 2:  # the spawner and the one that unpacks
            at_work = [pid for found in children.glob("*/children") for pid in found.read_text().split()]
        began = time.monotonic()
        assert labd.stop() == 0
        assert time.monotonic() - began < 10
    assert not [pid for pid in at_work if Path(f"/proc/{pid}").exists()]
    images = labd.state / "images"
    assert not images.exists() or not list(images.iterdir())
