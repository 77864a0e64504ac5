"""The page in a real browser: what is drawn, the keys, and that everybody can read it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from browsing import STEPS, Open, at_step, go_to, show
from performances import ALICE, HOSTILE, SESSION, hostile, moments, opening, record, told

from lab.identity import UNSET
from scenarios.audiences.page.page import Page
from scenarios.audiences.talk_reel import RECORDINGS
from scenarios.audiences.terminal import Pace
from scenarios.performance import recording
from scenarios.performance.beats import Command, Heading, Output, Say, Stop, Verdict
from scenarios.performance.text import Text


@pytest.fixture
def page() -> Iterator[Page]:
    """A page that never waits."""
    with Page(0, keyboard=False) as shown:
        yield shown


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
    for key, step in (("ArrowLeft", 6), ("Backspace", 5), ("Home", 1), (" ", 2), ("Enter", 3), ("End", 7), (" ", 7)):
        tab.keyboard.press(key)
        at_step(tab, step, STEPS)
    assert page.key() == ""


@pytest.mark.needs("chromium")
def test_viewers_go_where_the_speaker_goes(page: Page, open_tab: Open) -> None:
    """A viewer follows the speaker, may look elsewhere meanwhile, which shows, and follows again from the same step."""
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
    assert viewer.locator("body.apart").count()
    viewer.keyboard.press("ArrowRight")
    while viewer.locator("body.apart").count():  # it has not heard yet that the speaker is there, too
        viewer.keyboard.press("ArrowLeft")
        viewer.keyboard.press("ArrowRight")
    speaker.keyboard.press("End")
    at_step(viewer, STEPS, STEPS)


@pytest.mark.needs("chromium")
def test_the_last_key_of_the_speakers_counts(page: Page, open_tab: Open) -> None:
    """Of two keys in quick succession the second decides where viewers are, also if the first takes long to arrive."""
    show(page, moments())
    speaker, viewer = open_tab(page.speaker_address), open_tab(page.address)
    speaker.keyboard.press("Home")
    at_step(viewer, 1, STEPS)
    late: list[Any] = []  # playwright's Route
    speaker.route("**/at", lambda route: route.continue_() if late else late.append(route))
    speaker.keyboard.press("ArrowRight")
    speaker.keyboard.press("ArrowRight")
    at_step(speaker, 3, STEPS)
    speaker.wait_for_timeout(200)
    late[0].continue_()
    viewer.wait_for_timeout(200)
    at_step(viewer, 3, STEPS)


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


@pytest.mark.needs("chromium")
def test_next_story_skips_the_stops_of_this_one(open_tab: Open) -> None:
    """N runs the rest of a story without waiting, up to the next."""
    first, second = (Heading(number, name, Text(name)) for number, name in ((1, "one"), (2, "two")))
    steps = [beat for number in range(3) for beat in (Say(Text(f"say {number}")), Command("true"), Output("x"))]
    played = told(opening(stories=("one", "two")), first, *steps, second, Say(Text("the end")), *steps[1:3])
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
        speaker.wait_for_timeout(300)
        speaker.keyboard.press("n")  # there it is the same as Space, and leaves nothing out
        speaker.locator("#title", has_text="two").wait_for()
        speaker.locator("body.waits").wait_for()
        assert speaker.locator(".output").count() == 0
        speaker.wait_for_timeout(300)
        speaker.keyboard.press("n")
        run.join(10)
        assert not run.is_alive()


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
def test_a_phone_shows_what_a_command_left(page: Page, open_tab: Open) -> None:
    """A record that lies below the screen when it comes is scrolled to, above the footer."""
    played = moments()
    tab = open_tab(page.address, 390, 844, reduced_motion="reduce")
    asked = [at for at, moment in enumerate(played) if isinstance(moment.beat, Command)][-1]
    show(page, played[: asked + 1])
    tab.locator(".command", has_text="dockerish").wait_for()
    assert tab.evaluate("scrollY") == 0
    show(page, played[asked + 1 : asked + 5])
    record = tab.locator(".lane:not(.earlier) .record")
    record.wait_for()
    tab.wait_for_function("scrollY > 0")
    box, foot = record.bounding_box(), tab.locator("footer").bounding_box()
    assert box and foot and box["y"] + box["height"] <= foot["y"]


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("story", sorted(path.stem for path in RECORDINGS.glob("*.jsonl")))
def test_every_recorded_step_fits_the_projector(page: Page, open_tab: Open, story: str, tmp_path: Path) -> None:
    """At 1280x720 no step of any recorded story is higher or wider than the screen, for a user with a long name."""
    renamed = tmp_path / "renamed.jsonl"
    renamed.write_text((RECORDINGS / f"{story}.jsonl").read_text().replace("alice", "administrator"))
    show(page, [*recording.read(renamed)])
    tab = open_tab(page.address, reduced_motion="reduce")
    tab.locator(".closing").wait_for()
    size = "[document.documentElement.scrollHeight, document.documentElement.scrollWidth]"
    count = int(tab.locator("#place").inner_text().split()[-1])
    too_large = {}
    for step in range(count, 0, -1):
        at_step(tab, step, count)
        height, width = tab.evaluate(size)
        if height > 720 or width > 1280:
            too_large[step] = height, width
        tab.keyboard.press("ArrowLeft")
    assert count > 4 and too_large == {}


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
