"""The page in a real browser: what is drawn, who may see it, and what it costs."""

from __future__ import annotations

import itertools
import json
import os
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import httpx
import pytest
from performances import ALICE, HOSTILE, SESSION, hostile, moments, opening, record, told

from lab.errors import InvalidArgument
from lab.identity import UNSET
from scenarios.audiences.page.page import Page
from scenarios.audiences.terminal import Pace
from scenarios.performance.beats import Command, Contrast, Heading, Moment, Output, Say, Stop, Verdict
from scenarios.performance.performance import Audience
from scenarios.performance.recording import Recorder
from scenarios.performance.text import Text

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

Open = Callable[..., "Tab"]
CONTAINER_STEPS = (1, 2)  # of performances.story(): podmanish's, dockerish's
VIEWERS = 30


@pytest.fixture
def page() -> Iterator[Page]:
    """A page that never waits."""
    with Page(0, keyboard=False) as shown:
        yield shown


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[Open]:
    """Opens an address in a new tab of this size and scheme; the console must stay silent."""
    tabs, complaints = [], []

    def opened(
        address: str, width: int = 1280, height: int = 720, scheme: Literal["light", "dark"] = "light", **more: Any
    ) -> Tab:
        tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, **more)
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.set_default_timeout(10_000)
        tab.goto(address)
        tabs.append(tab)
        return tab

    yield opened
    for tab in tabs:
        tab.close()
    assert not complaints


def show(audience: Audience, played: Sequence[Moment]) -> None:
    """Hand all these moments on."""
    for moment in played:
        audience.take(moment)


def at_step(tab: Tab, number: int, count: int) -> None:
    """Wait until that step is shown."""
    tab.locator("#place", has_text=f"step {number} of {count}").wait_for()


def go_to(tab: Tab, number: int, count: int) -> None:
    """Show that step by the keys."""
    tab.keyboard.press("Home")
    for _ in range(number - 1):
        tab.keyboard.press("ArrowRight")
    at_step(tab, number, count)


CHECKOUT = Path(__file__).parents[2]
STEPS = 6  # of performances.story()


@pytest.mark.needs("chromium")
def test_nodes_appear_as_the_beats_come(page: Page, open_tab: Open) -> None:
    """Before the command has run the container is a question; then it has a name, a sign and a number."""
    tab = open_tab(page.address)
    played = moments()
    asked = next(at for at, moment in enumerate(played) if isinstance(moment.beat, Command))
    show(page, played[: asked + 1])
    container = tab.locator(".node.container")
    container.wait_for()
    assert container.inner_text().split() == ["container", "?"]
    show(page, played[asked + 1 : asked + 5])
    tab.locator(".node.container.own").wait_for()
    assert container.inner_text().split() == ["touch", "●", "alice", str(ALICE)]
    names = [name.split("\n")[0].strip() for name in tab.locator(".node b").all_inner_texts()]
    assert names == ["your login", "sudo", "podmanish", "touch"]
    assert tab.locator(".edge.fork").count() == 3
    assert tab.locator(".socket").count() == 0


@pytest.mark.needs("chromium")
def test_the_socket_is_a_broken_edge(page: Page, open_tab: Open) -> None:
    """Between the client and the daemon there is a dotted line with a gap, and the forks on both sides are solid."""
    show(page, moments())
    tab = open_tab(page.address)
    at_step(tab, STEPS, STEPS)
    go_to(tab, 3, STEPS)
    line = tab.locator(".socket .line")
    box = line.bounding_box()
    assert box and box["width"] > 20 and box["height"] > 20
    assert (line.get_attribute("d") or "").count("M") == 2  # two pieces
    assert line.evaluate("path => getComputedStyle(path).strokeDasharray") != "none"
    forks = tab.locator(".asked .edge.fork path").evaluate_all(
        "all => all.map(p => getComputedStyle(p).strokeDasharray)"
    )
    assert len(forks) == 5 and set(forks) == {"none"}
    served = tab.locator(".served .node").all_inner_texts()
    assert [text.split() for text in served] == [
        [name, "○", "unset", str(UNSET)] for name in ("init", "labd", "labd-spawner", "touch")
    ]


@pytest.mark.needs("chromium")
def test_a_loginuid_is_a_colour_and_a_pattern(page: Page, open_tab: Open) -> None:
    """Without its colours the page still tells three kinds of processes apart, by their frames and their bands."""
    show(page, told(opening(), *(beat for auid in (ALICE, UNSET, 33) for beat in shadow(auid))))
    tab = open_tab(page.address)
    at_step(tab, 1, 1)
    look = (
        "node => [getComputedStyle(node).borderStyle, getComputedStyle(node, '::before').backgroundImage.slice(0, 12)]"
    )
    looks = {mark: tab.locator(f".node.{mark}").first.evaluate(look) for mark in ("own", "none")}
    assert looks["own"] != looks["none"]
    assert tab.locator(".record.own, .record.none, .record.other").count() == 3
    borders = tab.locator(".record").evaluate_all("all => all.map(one => getComputedStyle(one).borderLeftStyle)")
    assert len(set(borders)) == 3


def shadow(auid: int) -> Sequence[Any]:
    """A write through the daemon, and its record."""
    return Command("sudo dockerish run --rm host touch /x"), Output(""), record(auid, SESSION)


@pytest.mark.needs("chromium")
def test_the_field_that_differs_is_the_largest(page: Page, open_tab: Open) -> None:
    """In both cards the auid is larger than all that the two records share."""
    show(page, moments())
    tab = open_tab(page.address)
    at_step(tab, STEPS, STEPS)
    go_to(tab, 3, STEPS)
    sizes = tab.locator(".record .field").evaluate_all(
        "all => all.map(field => [field.innerText, parseFloat(getComputedStyle(field.querySelector('b')).fontSize)])"
    )
    large = [text for text, size in sizes if size == max(size for _, size in sizes)]
    assert large == ["auid=alice", "auid=unset"]


@pytest.mark.needs("chromium")
def test_evidence_is_one_click_away(page: Page, open_tab: Open) -> None:
    """A stamp leads to the raw record that the verdict rests on; E unfolds everything, and folds it again."""
    show(page, moments())
    tab = open_tab(page.address)
    at_step(tab, STEPS, STEPS)
    go_to(tab, 3, STEPS)
    raw = tab.locator(".evidence pre", has_text=f"auid={UNSET} uid=0")
    assert not raw.is_visible()
    tab.locator(".stamps li", has_text="record tells").locator("a").click()
    assert raw.is_visible()
    tab.keyboard.press("e")
    assert tab.locator("details:not([open])").count() == 0
    tab.keyboard.press("e")
    assert tab.locator("details[open]").count() == 0


@pytest.mark.needs("chromium")
def test_keys_go_back_and_forth(page: Page, open_tab: Open) -> None:
    """Left, Right, Space, Home and End move between the steps; no key of a viewer's reaches the run."""
    show(page, moments())
    tab = open_tab(page.address)
    at_step(tab, STEPS, STEPS)
    for key, step in (("ArrowLeft", 5), ("Backspace", 4), ("Home", 1), (" ", 2), ("Enter", 3), ("End", 6), (" ", 6)):
        tab.keyboard.press(key)
        at_step(tab, step, STEPS)
    assert page.key() == ""


@pytest.mark.needs("chromium")
def test_viewers_go_where_the_speaker_goes(page: Page, open_tab: Open) -> None:
    """A viewer follows the speaker, may look elsewhere meanwhile, and follows again from the same step."""
    show(page, moments())
    speaker, viewer = open_tab(page.speaker_address), open_tab(page.address)
    for tab in (speaker, viewer):
        at_step(tab, STEPS, STEPS)
    speaker.keyboard.press("Home")
    at_step(viewer, 1, STEPS)
    viewer.keyboard.press("ArrowRight")
    speaker.keyboard.press("ArrowRight")
    speaker.keyboard.press("ArrowRight")
    at_step(speaker, 3, STEPS)
    at_step(viewer, 2, STEPS)
    viewer.keyboard.press("ArrowRight")
    speaker.keyboard.press("End")
    at_step(viewer, STEPS, STEPS)


@pytest.mark.needs("chromium")
def test_the_speaker_sets_the_pace(open_tab: Open) -> None:
    """take() waits at each stop until the speaker's Space; the viewers' does nothing."""
    played = moments()
    waits = sum(isinstance(moment.beat, Stop) for moment in played)
    pace: Pace = "step"
    with Page(0, pace, keyboard=False) as page:
        speaker, viewer = open_tab(page.speaker_address), open_tab(page.address)
        run = threading.Thread(target=show, args=(page, played))
        run.start()
        for _ in range(waits):
            speaker.locator("body.waits").wait_for()
            viewer.keyboard.press(" ")
            seen = viewer.locator("#step").inner_text()
            assert run.is_alive()
            speaker.keyboard.press(" ")
            speaker.keyboard.press(" ")  # one too many: it must not open the next stop
            viewer.wait_for_timeout(400)
            assert viewer.locator("#step").inner_text() != seen or viewer.locator(".closing").count()
        run.join(10)
        assert not run.is_alive()


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
def test_next_story_skips_the_stops_of_this_one(open_tab: Open) -> None:
    """N runs the rest of a story without waiting, up to the next."""
    first, second = (Heading(number, name, Text(name)) for number, name in ((1, "one"), (2, "two")))
    steps = [beat for number in range(3) for beat in (Say(Text(f"say {number}")), Command("true"), Output("x"))]
    played = told(opening(stories=("one", "two")), first, *steps, second, Say(Text("the end")))
    with Page(0, "step", keyboard=False) as page:
        speaker = open_tab(page.speaker_address)
        run = threading.Thread(target=show, args=(page, played))
        run.start()
        speaker.locator("body.waits").wait_for()
        speaker.keyboard.press(" ")
        speaker.locator(".command").wait_for()
        speaker.locator("body.waits").wait_for()
        speaker.wait_for_timeout(300)  # a faster key is taken for a second press of the last one
        speaker.keyboard.press("n")
        speaker.wait_for_timeout(300)
        speaker.locator("body.waits").wait_for()
        at_story = speaker.locator("#title").inner_text()
        assert at_story == "one"  # the stop before the next story
        speaker.keyboard.press(" ")
        speaker.locator("#title", has_text="two").wait_for()
        run.join(10)


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


def wait_for(happened: Callable[[], bool]) -> None:
    """Until that is so, for at most 10 s."""
    until = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.01)


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
    ended: list[str] = []

    def look_on() -> None:
        with httpx.stream("GET", f"{page.address}events", timeout=20) as answer:
            ended.extend(line for line in answer.iter_lines() if line.startswith("event: "))

    viewer = threading.Thread(target=look_on)
    viewer.start()
    time.sleep(0.5)
    page.close()
    viewer.join(10)
    assert ended[-1] == "event: end"


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_axe_finds_nothing(
    page: Page, open_tab: Open, scheme: Literal["light", "dark"], width: int, height: int
) -> None:
    """WCAG 2.2 AA as far as axe-core can tell: every step, folded and unfolded."""
    from axe_playwright_python.sync_playwright import Axe

    show(page, moments())
    tab = open_tab(page.address, width, height, scheme, bypass_csp=True, reduced_motion="reduce")
    at_step(tab, STEPS, STEPS)
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    for step, unfold in itertools.product(range(1, STEPS + 1), (False, True)):
        go_to(tab, step, STEPS)
        if unfold:
            tab.keyboard.press("e")
        results = Axe().run(tab, options=rules)
        assert results.violations_count == 0, f"step {step}: {results.generate_report()}"
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        if unfold:
            tab.keyboard.press("e")


@pytest.mark.needs("chromium")
def test_a_step_fits_the_projector(page: Page, open_tab: Open) -> None:
    """At 1280x720 no step has to be scrolled, and nothing that counts is smaller than 13 pixels."""
    show(page, moments())
    tab = open_tab(page.address)
    at_step(tab, STEPS, STEPS)
    for step in range(1, STEPS + 1):
        go_to(tab, step, STEPS)
        assert tab.evaluate("document.documentElement.scrollHeight") <= 720
        sizes = tab.locator(".node b, .who, .field b, .stamps span, td").evaluate_all(
            "all => all.map(one => parseFloat(getComputedStyle(one).fontSize))"
        )
        assert min(sizes, default=13) >= 13


@pytest.mark.needs("chromium")
def test_still_for_who_wants_no_motion(page: Page, open_tab: Open) -> None:
    """With prefers-reduced-motion nothing is animated; without, what is new is."""
    played = moments()
    asked = next(at for at, moment in enumerate(played) if isinstance(moment.beat, Command))
    for wish, still in (("reduce", True), ("no-preference", False)):
        tab = open_tab(page.address, reduced_motion=wish)
        show(page, played[: asked + 4])
        tab.locator(".tree li.new").first.wait_for()
        names = tab.locator(".new").evaluate_all("all => all.map(one => getComputedStyle(one).animationName)")
        assert ({*names} == {"none"}) is still


@pytest.mark.needs("chromium")
def test_nothing_in_a_beat_is_markup(page: Page, open_tab: Open) -> None:
    """A recording from elsewhere may hold anything: it is shown as it is."""
    played = told(*hostile(HOSTILE))
    show(page, played[: next(at for at, moment in enumerate(played) if isinstance(moment.beat, Verdict)) + 1])
    tab = open_tab(page.address)
    tab.locator(".stamp").wait_for()
    assert tab.title() == "loginuid lab"
    assert tab.locator("main script, main img").count() == 0
    assert tab.locator(".told p").first.inner_text() == HOSTILE.replace("\u202e", "\\u202e")
    assert tab.locator(".node.container b").inner_text().startswith("<script>")


@pytest.mark.needs("chromium")
def test_from_beat_to_pixel(page: Page, open_tab: Open) -> None:
    """A beat is on the screen in less than 100 ms (median), while 30 others look on."""
    tab = open_tab(page.address)
    tab.evaluate(
        "() => { window.painted = []; new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => "
        "window.painted.push(performance.timeOrigin + performance.now())))).observe(document.querySelector('#step'), "
        "{childList: true}); }"
    )
    with viewers(page, VIEWERS - 1):
        show(page, moments()[:6])
        tab.locator(".told").wait_for()
        delays = []
        for number in range(20):
            tab.evaluate("window.painted.length = 0")
            before = time.time() * 1000
            page.take(Moment(100 + number, 1, Say(Text(f"number {number}"))))
            tab.locator(".told p", has_text=re.compile(f"number {number}$")).wait_for()
            tab.wait_for_timeout(40)
            delays.append(tab.evaluate("window.painted[0]") - before)
    print(f"from beat to pixel: median {statistics.median(delays):.0f} ms, longest {max(delays):.0f} ms")
    assert statistics.median(delays) < 100


def test_thirty_viewers_cost_a_run_nothing(page: Page) -> None:
    """A beat is handed on in a few milliseconds at most, however many look on; each of 30 viewers sees the end."""
    times = {count: taken(page, count) for count in (0, VIEWERS)}
    used = sum(map(float, Path(f"/proc/{page.pid}/stat").read_text().rpartition(") ")[2].split()[11:13]))
    print(f"handing a beat on: {times} ms; the server used {used / os.sysconf('SC_CLK_TCK'):.2f} s of a CPU")
    assert max(times.values()) < 5


def taken(page: Page, count: int) -> float:
    """The milliseconds that take() lasted (median), with that many viewers, each of whom then has the last beat."""
    taken, number = [], count * 1000
    with viewers(page, count) as seen:
        for moment in moments() * 5:
            number += 1
            began = time.perf_counter()
            page.take(Moment(number, 1, moment.beat))
            taken.append((time.perf_counter() - began) * 1000)
            time.sleep(0.005)
        page.take(Moment(number + 1, 1, Say(Text("the last"))))
        wait_for(lambda: [*seen.values()] == [number + 1] * count)
    return statistics.median(taken)


class viewers:
    """That many streams, read by a program of its own; the value tells the last event's number by viewer."""

    def __init__(self, page: Page, count: int) -> None:
        self._address, self._count = f"{page.address}events", count
        self._stop = threading.Event()
        self.seen: dict[int, int] = {}

    def __enter__(self) -> dict[int, int]:
        self._threads = [threading.Thread(target=self._look, args=(who,)) for who in range(self._count)]
        for thread in self._threads:
            thread.start()
        return self.seen

    def __exit__(self, *error: object) -> None:
        self._stop.set()

    def _look(self, who: int) -> None:
        with httpx.stream("GET", self._address, timeout=60) as answer:
            for line in answer.iter_lines():
                if line.startswith("id: "):
                    self.seen[who] = int(line[4:])
                if self._stop.is_set():
                    return
