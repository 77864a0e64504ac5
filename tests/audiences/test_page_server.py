"""Who may see the page, who may press keys, and what becomes of a page or a run when the other ends."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest
from browsing import STEPS, at_step, show
from performances import moments, opening, told
from waiting import LIMIT, wait_for

from lab.errors import InvalidArgument
from scenarios.audiences.page.page import Page
from scenarios.performance.beats import Command, Contrast, Heading, Say, Stop
from scenarios.performance.recording import Recorder
from scenarios.performance.text import Text

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def page() -> Iterator[Page]:
    """A page that never waits."""
    with Page(0, keyboard=False) as shown:
        yield shown


CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize(("typed", "code"), [(b"\n", 0), (b"q\n", 130)])
def test_enter_in_the_terminal_goes_on_too(tmp_path: Path, scripts: Path, typed: bytes, code: int) -> None:
    """`lab page FILE` waits for a key at each stop: Enter there goes on to the last step, q ends."""
    with (tmp_path / "run.jsonl").open("w") as file:
        show(Recorder(file), moments())
    near, far = os.openpty()
    command: list[str | Path] = [scripts / "lab", "page", tmp_path / "run.jsonl", "--port", "0"]
    run = subprocess.Popen(command, stdin=far, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert run.stdout
    assert b"http://127.0.0.1:" in run.stdout.readline() + run.stdout.readline()
    ready = select.select([run.stdout], [], [], 0.5)[0]
    assert not ready  # it waits
    while run.poll() is None and not ready:
        os.write(near, typed)
        ready = select.select([run.stdout], [], [], 0.1)[0]
    if code == 0:
        assert run.stdout.readline() == b"The page has all steps now. Ctrl-C ends it.\n"
        run.send_signal(signal.SIGINT)
    assert run.wait(10) == code
    for end in (near, far):
        os.close(end)
    run.stdout.close()


@pytest.mark.needs("chromium")
def test_a_page_that_was_cut_off_catches_up(page: Page, browser: Browser) -> None:
    """When the way to the server is there again the browser asks with Last-Event-ID, and gets what it has missed."""
    played = moments()
    half = next(at for at, moment in enumerate(played) if isinstance(moment.beat, Contrast))
    with Way(page.port) as way:
        tab = browser.new_page(proxy={"server": f"http://127.0.0.1:{way.port}", "bypass": "<-loopback>"})
        tab.set_default_timeout(15_000)
        tab.goto(page.address)
        show(page, played[:half])
        at_step(tab, 3, 3)
        way.open = False
        way.cut()
        tab.locator("#state.lost").wait_for()
        show(page, played[half:])
        way.open = True
        at_step(tab, STEPS, STEPS)
        assert tab.locator("#state.lost").count() == 0
        assert b"last-event-id: %d\r" % played[half - 1].number in way.asked.lower()
        tab.close()


class Way:
    """A proxy between a browser and a page, which can be cut; asked is all that the browser has sent."""

    def __init__(self, port: int) -> None:
        self._to, self._name = port, b" http://127.0.0.1:%d/" % port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        self.asked, self.open = b"", True

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """End all connections."""
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                near = self._listener.accept()[0]
                if not self.open:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._to))
                self._ends += near, far
                threading.Thread(target=self._pass_on, args=(near, far), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(far, near), daemon=True).start()

    def _pass_on(self, source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError), source, to:
            while data := source.recv(65536):
                if to.getpeername()[1] == self._to:
                    data = data.replace(self._name, b" /")  # a proxy is asked by the whole address
                    self.asked += data
                to.sendall(data)
            to.shutdown(socket.SHUT_RDWR)


def test_a_stream_goes_on_after_the_last_event(page: Page) -> None:
    """With Last-Event-ID only the steps that changed since are sent; with rubbish in it, all."""
    played = moments()
    show(page, played)
    everything = stream(page, "")
    assert [event["number"] for event in everything] == [*range(STEPS)]
    since = next(moment.number for moment in played if isinstance(moment.beat, Stop) and moment.beat.before == "step")
    assert [event["number"] for event in stream(page, str(since))] == [*range(2, STEPS)]
    for rubbish in ("x", "-5", "9" * 50 + "x", "²"):
        assert len(stream(page, rubbish)) == STEPS


def stream(page: Page, since: str) -> list[dict[str, Any]]:
    """The steps that the server sends at once."""
    found = []
    headers = [(b"Last-Event-ID", since.encode())] if since else []
    with httpx.stream("GET", f"{page.address}events", headers=headers, timeout=20) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: ") and '"html"' in line:
                found.append(json.loads(line.removeprefix("data: ")))
            if found and found[-1]["number"] == STEPS - 1:
                return found
    return found


@pytest.mark.parametrize(
    "path", ["", "x/", "x/events", "x/page.js", "../etc/passwd", "%2e%2e/x/", "docs", "openapi.json"]
)
def test_no_address_without_the_token(page: Page, path: str) -> None:
    """Any other address is refused, and says nothing of the run."""
    answer = httpx.get(f"http://127.0.0.1:{page.port}/{path}")
    assert answer.status_code == 403
    assert "alice" not in answer.text


def test_only_what_belongs_to_the_page_is_served(page: Page) -> None:
    """Templates are no assets, and no path leads out of them."""
    assert httpx.get(f"{page.address}page.js").headers["content-type"].startswith("text/javascript")
    for name in ("page.html", "step.html", "..%2fpage.py", "%2e%2e%2fserver.py", "nothing"):
        assert httpx.get(f"{page.address}{name}").status_code in (403, 404)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost", "127.0.0.1.nip.io:{port}", ""]
)
def test_a_foreign_host_is_refused(page: Page, host: str) -> None:
    """A name that some DNS server points at 127.0.0.1 does not reach the page."""
    answer = httpx.get(page.address, headers={"Host": host.format(port=page.port)})
    assert answer.status_code == 403
    assert httpx.get(page.address.replace("127.0.0.1", "localhost")).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_foreign_origin_is_refused(page: Page, headers: dict[str, str]) -> None:
    """The page of another site can neither read nor press."""
    assert httpx.get(f"{page.address}events", headers=headers).status_code == 403
    assert httpx.post(f"{page.speaker_address}at", json={"step": 0}, headers=headers).status_code == 403


def test_a_key_needs_the_speakers_address_and_an_origin(page: Page) -> None:
    """A viewer's address presses nothing, and nor does a request that no page of ours has sent."""
    show(page, told(opening(), Heading(1, "one", Text("one")), Command("true")))
    origin = {"Origin": f"http://127.0.0.1:{page.port}"}
    key = {"key": "on", "seen": 4}
    statuses = [
        httpx.post(f"{address}key", json=key, headers=headers).status_code
        for address, headers in ((page.address, origin), (page.speaker_address, {}), (page.speaker_address, origin))
    ]
    assert statuses == [403, 403, 204]
    wait_for(lambda: page.key() == "on")


def test_the_headers_are_strict(page: Page) -> None:
    """Scripts and styles come from the page alone, nothing may frame it, and no address leaks."""
    headers = httpx.get(page.address).headers
    policy = dict(row.split(" ", 1) for row in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'" and "unsafe" not in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer" and headers["x-content-type-options"] == "nosniff"


@pytest.mark.needs("root")
def test_the_server_is_nobody(page: Page) -> None:
    """The process that speaks HTTP has given up root, all groups and all capabilities; its arguments hold no token."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{page.pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert {*status["Uid"].split()} == {"65534"} == {*status["Gid"].split()}
    assert status["Groups"].strip() == ""
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {0}
    words = Path(f"/proc/{page.pid}/cmdline").read_text()
    assert page.address.split("/")[3] not in words and page.speaker_address.split("/")[3] not in words


CLOSED = """
mount -t tmpfs tmpfs "$1" && mkdir "$1/upper" "$1/work" &&
mount -t overlay -o "lowerdir=$PWD,upperdir=$1/upper,workdir=$1/work" overlay "$PWD" && cd "$PWD" && chmod 700 . &&
exec "$2" -c "$3"
"""


ASK = """
import httpx
from scenarios.audiences.page.page import Page
with Page(0, keyboard=False) as page:
    own = {"Origin": page.address.rpartition("/")[0].rpartition("/")[0]}
    paths = (page.address, page.address + "page.js", page.address + "none", page.speaker_address[:-2] + "/")
    print(*(httpx.get(path).status_code for path in paths))
    print(*(httpx.post(page.speaker_address + "at", json=json, headers=own).status_code for json in ({"step": 1}, {})))
    with httpx.stream("GET", page.address + "events") as answer:
        print(answer.status_code)
"""


@pytest.mark.needs("root", "unshare")
def test_a_checkout_may_be_closed_to_nobody(tmp_path: Path) -> None:
    """The server has read and imported all that it needs before it becomes nobody."""
    command: list[str | Path] = ["unshare", "--mount", "sh", "-c", CLOSED, "sh", tmp_path, sys.executable, ASK]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == (["200", "200", "404", "403", "204", "422", "200"], "")


def test_the_lab_itself_needs_nothing_of_the_page() -> None:
    """The packages of the extra `stage` are imported by the server and by `lab report`, not by the command `lab`."""
    code = "import sys, scenarios.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"fastapi", "jinja2", "sse_starlette", "starlette", "textual", "uvicorn"} & {*done.stdout.split()}


def test_it_listens_on_this_machine_alone(page: Page) -> None:
    """The port is open on 127.0.0.1, and on no other address."""
    with socket.socket() as other, pytest.raises(OSError):
        other.settimeout(5)
        other.connect(("127.0.0.2", page.port))
    with pytest.raises(InvalidArgument, match=str(page.port)):
        Page(page.port)


def test_a_new_page_waits_for_the_port_of_one_that_ends() -> None:
    """The server of a run that was killed needs a second to tell its viewers."""
    first = Page(0, keyboard=False)
    ends = threading.Thread(target=first.close)
    ends.start()
    with Page(first.port, keyboard=False) as second:
        assert httpx.get(second.address).status_code == 200
    ends.join(LIMIT)


def test_a_run_goes_on_without_its_page() -> None:
    """Neither a server that was killed nor one that was stopped holds up a run for long."""
    for number in (signal.SIGKILL, signal.SIGSTOP):
        with Page(0, "step", keyboard=False) as page:
            os.kill(page.pid, number)
            began = time.monotonic()
            big = told(opening(), *[Say(Text("x" * 60_000))] * 60)
            show(page, [moment for moment in big if not isinstance(moment.beat, Stop)])
            assert time.monotonic() - began < 10


def test_the_end_is_told(page: Page) -> None:
    """When the run ends, a viewer's stream ends with an event that says so."""
    show(page, moments())
    seen: list[str] = []

    def look_on() -> None:
        with httpx.stream("GET", f"{page.address}events", timeout=LIMIT) as answer:
            seen.extend(line for line in answer.iter_lines() if line.startswith("event: "))

    viewer = threading.Thread(target=look_on)
    viewer.start()
    wait_for(lambda: seen)
    page.close()
    viewer.join(LIMIT)
    assert seen[-1] == "event: end"
