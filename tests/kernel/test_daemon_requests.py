"""Single requests that once did harm: patterns, labels, signals, cut uploads, restarts, what a terminal would obey."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from awake import ask, connect, container, held, leave_after
from private_labd import Labd
from support import Podmanish, stored

pytestmark = pytest.mark.needs("root")


def found(labd: Labd, name: str) -> list[str]:
    """The names of the containers that `ps -a --filter name=` finds."""
    done = labd.request("GET", '/containers/json?all=1&filters={"name":["%s"]}' % name)  # noqa: UP031 - braces
    assert done[0] == 200, done[1]
    return sorted(row["Names"][0] for row in done[1])


def test_a_name_filter_is_a_part_with_anchors(labd: Labd) -> None:
    """^ and $ are the ends of the name, with or without the slash; other patterns are refused at once."""
    for name in ("web", "web.1", "my-web", "a" * 60):
        container(labd, name, "true", start=False)
    assert found(labd, "web") == ["/my-web", "/web", "/web.1"]
    assert found(labd, "^web") == found(labd, "^/web") == ["/web", "/web.1"]
    assert found(labd, "web$") == ["/my-web", "/web"]
    assert found(labd, "^/web$") == found(labd, "^web$") == ["/web"]
    assert found(labd, "web.1") == ["/web.1"]
    began = time.monotonic()
    for pattern in ("(a%2B)%2B$", "a*b", "[a", "x|y", "a$b", "a^"):
        status, answer = labd.request("GET", '/containers/json?all=1&filters={"name":["%s"]}' % pattern)  # noqa: UP031
        assert status == 400 and "write a part of the name" in answer["message"]
    assert time.monotonic() - began < 5
    for name in ("web", "web.1", "my-web", "a" * 60):
        labd.request("DELETE", f"/containers/{name}")


def test_labels_of_any_name(labd: Labd) -> None:
    """`kind`, `action` and `actor` are labels like others; events tell them."""
    container(labd, "labelled", "true", start=False, Labels={"kind": "a", "action": "b", "actor": "c"})
    events = labd.request("GET", f"/events?since=0&until={time.time()}")[1]
    assert '"kind": "a", "action": "b", "actor": "c"' in events
    labd.request("DELETE", "/containers/labelled")


def test_a_signal_that_is_none_is_the_callers_mistake(labd: Labd) -> None:
    """kill and StopSignal: 400 for a number beyond all signals, however it is written."""
    container(labd, "signalled", "sleep", "1000")
    assert labd.request("POST", "/containers/signalled/kill?signal=00099999")[0] == 400
    body = {"Image": "host", "Cmd": ["true"], "StopSignal": "00099999"}
    assert labd.request("POST", "/containers/create", body)[0] == 400
    labd.request("DELETE", "/containers/signalled?force=1")


def test_rm_survives_a_restart(labd: Labd) -> None:
    """A container of --rm runs on after a restart, and is removed at its next end."""
    container(labd, "again", "sleep", "1000", HostConfig={"AutoRemove": True})
    pid = labd.request("GET", "/containers/again/json")[1]["State"]["Pid"]
    assert labd.request("POST", "/containers/again/restart?t=0")[0] == 204
    state = labd.request("GET", "/containers/again/json")[1]["State"]
    assert state["Running"] and state["Pid"] != pid
    labd.request("POST", "/containers/again/kill")
    assert labd.request("GET", "/containers/again/json")[0] == 404


@pytest.mark.parametrize("blocks", [1, 5, 10])
def test_an_aborted_upload_is_no_image(labd: Labd, rootfs_tar: bytes, blocks: int) -> None:
    """A whole tar is promised, a part is sent, the client leaves: there is no image, and nothing half-made."""
    before = held(labd)
    images = labd.state / "images"
    kept = stored(images) if images.exists() else []
    cut = rootfs_tar[: blocks * 512]
    head = ask("POST", "/images/create?fromSrc=-&repo=aborted", headers=f"Content-Length: {len(rootfs_tar)}\r\n")
    leave_after(labd, head + cut)
    chunked = ask("POST", "/images/create?fromSrc=-&repo=aborted", headers="Transfer-Encoding: chunked\r\n")
    leave_after(labd, chunked + b"%x\r\n%b\r\n" % (len(cut), cut))
    leave_after(labd, ask("POST", "/images/load", headers=f"Content-Length: {len(rootfs_tar)}\r\n") + cut)
    labd.request("GET", "/_ping")  # answered after the uploads have been accepted
    for _ in range(200):
        if held(labd) <= before and images.exists() and stored(images) == kept:
            break
        time.sleep(0.05)
    assert stored(images) == kept
    assert labd.request("GET", "/images/aborted/json")[0] == 404


def test_containers_do_not_inherit_ignored_signals(tmp_path: Path, new_labd: Callable[..., Labd]) -> None:
    """Where labd was started with SIGQUIT and SIGHUP ignored, as by nohup(1), its containers ignore neither."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGQUIT, signal.SIGHUP)}
    try:
        labd = new_labd()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    shown = labd.dockerish("run", "--rm", "host", "grep", "SigIgn", "/proc/self/status").stdout
    ignored = int(shown.split()[1], 16)
    assert not ignored & (1 << signal.SIGQUIT - 1) and not ignored & (1 << signal.SIGHUP - 1)


def test_debug_logs_each_request(new_labd: Callable[..., Labd]) -> None:
    """--debug logs method, path as it came, status, time and caller; an encoded line break stays encoded.

    What a request holds besides its path is not logged: variables are often secrets.
    """
    labd = new_labd("d", "--debug")
    labd.request("GET", "/v1.44/containers/no%0Asuch/json?size=1")
    labd.dockerish("run", "--rm", "-e", "TOKEN=secret-word", "host", "true")
    log = labd.log.read_text()
    asked = re.search(
        r"^labd: GET /v1\.44/containers/no%0Asuch/json 404 \d+\.\d ms (.*) \(SO_PEER\w+\)$", log, re.MULTILINE
    )
    assert asked and asked[1].startswith(f"pid={os.getpid()} uid=0 gid=0 loginuid=")
    assert "/attach 101 " in log and "POST /containers/create 201 " in log
    assert "secret-word" not in log


HOSTILE = "a\x9b31m\u202eb\x07"


def test_dockerish_ps_escapes(labd: Labd) -> None:
    """Characters that a terminal would obey, C1 and U+202E among them, are escapes in the table."""
    container(labd, "hostile", HOSTILE, start=False)
    table = labd.dockerish("ps", "-a").stdout.decode()
    assert "a\\x9b31m\\u202eb" in table and table.replace("\n", "").isprintable()
    labd.request("DELETE", "/containers/hostile")


def test_podmanish_ps_escapes(podmanish: Podmanish) -> None:
    """podmanish ps shows the same escapes."""
    podmanish("run", "host", "sh", "-c", ":", HOSTILE)
    table = podmanish.output("ps", "-a", "--no-trunc")
    assert "a\\x9b31m\\u202eb" in table and table.replace("\n", "").isprintable()
    podmanish("rm", *podmanish.output("ps", "-aq").split())


def test_events_of_many_labels_are_bounded(labd: Labd) -> None:
    """Of ten containers with 2.5 MB of labels each, /events keeps less than 5 MB."""
    for number in range(10):
        container(labd, f"big{number}", "true", start=False, Labels={"big": "x" * 2_500_000})
        assert labd.request("DELETE", f"/containers/big{number}")[0] == 204
    with connect(labd, ask("GET", f"/events?since=0&until={time.time()}", headers="Connection: close\r\n")) as told:
        size = 0
        while chunk := told.recv(1 << 20):
            size += len(chunk)
    assert size < 5_000_000
