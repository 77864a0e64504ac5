"""The speaker's screen, driven by keys: with recorded beats at four sizes, and what its parts say by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from played import Played
from textual.pilot import Pilot
from textual.widgets import OptionList, Static
from waiting import LIMIT

from lab.errors import CannotStart, LabError
from lab.identity import name_of
from scenarios.audiences import talk_keys, talk_screen
from scenarios.audiences.look import Look
from scenarios.audiences.talk import Talk
from scenarios.audiences.talk_notes import Board, notes_of
from scenarios.audiences.talk_reel import RECORDINGS, Reel, Shipped, View
from scenarios.performance import beats
from scenarios.performance.beats import FAILED, HELD, UNKNOWN, Moment
from scenarios.performance.performance import Performance
from scenarios.performance.recording import Recorder
from scenarios.performance.text import Text

SIZES = [(60, 20), (80, 24), (100, 30), (200, 60)]
STRANGER = 54321  # a uid that this machine does not have
Script = Callable[[Pilot[int], Talk], Awaitable[None]]


class Collector:
    """An audience that keeps what it takes."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    def take(self, moment: Moment) -> None:
        """Keep the moment."""
        self.moments.append(moment)


def performed(
    performance: Performance,
    names: Sequence[str],
    *,
    verdict: beats.Word = HELD,
    user: str = "alice",
    target: str = "/etc/shadow",
    record: Sequence[beats.Evidence] = (),
) -> None:
    """Two steps and a card of each story; the first verdict of the last is as wanted."""
    performance.perform(
        beats.Opening("2026-11-26T01:30:35+0000", "x86_64", "6.18", user, STRANGER, 7, target, (), (*names,), ())
    )
    for number, name in enumerate(names, 1):
        performance.perform(beats.Heading(number, name, Text(f"The title of {name}")))
        for step in ("first", "second"):
            performance.perform(beats.Say(Text(f"What {name} says in its {step} step")))
            performance.perform(beats.Predict(Text("Whom?"), (Text("alice"), Text("nobody"))))
            performance.perform(beats.Command(f"touch {name}-{step} {target}"))
            performance.perform(beats.Output(f"output of {name}, {step}"))
            for one in record:
                performance.perform(one)
            word = verdict if step == "first" and name == names[-1] else HELD
            performance.perform(beats.Verdict(Text(f"claim of {name}, {step}"), word, Text("seen it"), lacking=False))
        performance.perform(
            beats.Contrast(Text(f"card of {name}"), (Text(""), Text("a")), ((Text("auid"), Text("x")),))
        )
    performance.perform(beats.Summary(()))
    performance.perform(beats.Closing(2, 0, 0, 0, 0))


def played(*names: str, verdict: beats.Word = HELD) -> Played:
    """A stage that plays performed()."""
    audience = Collector()
    performed(Performance([audience]), names, verdict=verdict)
    return Played(audience.moments)


@pytest.fixture
def shipped(tmp_path: Path) -> Shipped:
    """Recordings of one and two, each by itself, with a record of a user that this machine does not have."""
    stamp = "msg=audit(1795656437.508:945269)"
    record = beats.Evidence((f"type=SYSCALL {stamp}: syscall=257 success=yes auid={STRANGER} uid=0 ses=7",))
    for name in ("one", "two"):
        with (tmp_path / f"{name}.jsonl").open("w") as file:
            performed(Performance([Recorder(file)]), [name], user="vera", target="/run/decoy", record=[record])
    return Shipped(tmp_path)


@pytest.fixture
def drive(tmp_path: Path, shipped: Shipped) -> Callable[..., Talk]:
    """Run a talk of one and two on this stage, and a script that presses keys."""

    def run(link: Played, script: Script, size: tuple[int, int] = (80, 24)) -> Talk:
        app = Talk(link, ["one", "two"], shipped=shipped, board=Board(tmp_path / "talk.sock"))

        async def driven() -> None:
            async with app.run_test(size=size) as pilot:
                await pilot.pause()
                await script(pilot, app)

        asyncio.run(driven())
        return app

    return run


def shown(app: Talk, name: str = "step") -> str:
    """What stands in a part of the screen, as plain lines."""
    part = app.stand.query_one(f"#{name}", Static)
    if not part.display:
        return ""
    strips = [part.render_line(line) for line in range(part.size.height)]
    return "\n".join(strip.text.rstrip() for strip in strips)


async def press(pilot: Pilot[int], *keys: str) -> None:
    """Press keys one by one; after each, it has done its work, and all that the stage tells is heard and drawn."""
    link = pilot.app.link  # type: ignore[attr-defined]
    for key in keys:
        await pilot.press(key)
        await taken(pilot)
        await until(pilot, lambda: link.is_heard or link.slow)
        await taken(pilot)


async def taken(pilot: Pilot[int]) -> None:
    """The screen has taken all events that were sent to it; Pilot.press() returns earlier on a busy machine."""
    for pump in (pilot.app, pilot.app.focused, pilot.app.screen):
        if pump and pump.is_running:
            done = asyncio.Event()
            pump.call_later(done.set)
            await done.wait()
    await pilot.pause()


async def until(pilot: Pilot[int], happened: Callable[[], object]) -> None:
    """That is so, in the end."""
    async with asyncio.timeout(LIMIT):
        while not happened():
            await pilot.pause(0.01)


@pytest.mark.parametrize("size", SIZES)
def test_the_command_waits_below_its_question_and_then_shows_its_verdict(
    drive: Callable[..., Talk], size: tuple[int, int]
) -> None:
    """Question and command stand there before the command runs; afterwards output and verdict stand below them."""

    async def script(pilot: Pilot[int], app: Talk) -> None:
        await press(pilot, "space")
        assert "Whom?" in shown(app)
        assert "$ touch one-first" in shown(app)
        assert "output of one" not in shown(app)
        assert "run it" in shown(app, "bar")
        await press(pilot, "enter")
        assert "$ touch one-first" in shown(app)
        assert "output of one, first" in shown(app)
        assert "claim of one, first" in shown(app)
        assert "1/2 one · 1/3" in shown(app, "title")

    drive(played("one", "two"), script, size)


def test_back_shows_what_was_seen_and_asks_the_stage_nothing(drive: Callable[..., Talk]) -> None:
    """Left goes back view by view, Right forward again; only at the latest view does the stage go on."""
    link = played("one", "two")

    async def script(pilot: Pilot[int], app: Talk) -> None:
        await press(pilot, "space", "space", "space")
        assert link.sent == [("on", None)] * 3
        await press(pilot, "left", "left")
        assert "$ touch one-first" in shown(app)
        assert "output of one" not in shown(app)
        assert "seen before" in shown(app, "lower")
        await press(pilot, "right", "right")
        assert "$ touch one-second" in shown(app)
        assert link.sent == [("on", None)] * 3
        await press(pilot, *["left"] * 20, "space")
        assert "$ touch one-first" in shown(app)

    drive(link, script)


def test_a_story_is_told_again_skipped_or_chosen(drive: Callable[..., Talk]) -> None:
    """R, N and G tell the stage the index of a story; behind the last one comes the summary."""
    link = played("one", "two")

    async def script(pilot: Pilot[int], app: Talk) -> None:
        await press(pilot, "space", "space", "n")
        assert "$ touch two-first" in shown(app)
        await press(pilot, "r")
        assert "$ touch two-first" in shown(app)
        await press(pilot, "g", "up", "enter")
        assert "$ touch one-first" in shown(app)
        await press(pilot, "n", "n")
        assert "What the kernel said" in shown(app, "title")
        assert [word for word in link.sent if word[0] == "go"] == [("go", index) for index in (1, 1, 0, 1, 2)]
        await press(pilot, "space", "space")
        assert app.stand.desk.is_over
        assert "Q quit" in shown(app, "bar")

    drive(link, script)


def test_a_number_chooses_a_story_in_the_list(drive: Callable[..., Talk]) -> None:
    """The list says its keys; Enter or Space goes to the story whose number was typed; another number does nothing."""
    link = played("one", "two")

    async def script(pilot: Pilot[int], app: Talk) -> None:
        for keys in (("2", "enter"), ("1", "space"), ("2", "7", "enter"), ("3", "enter")):
            await press(pilot, "g", *keys)
        assert [value for word, value in link.sent if word == "go"] == [1, 0, 1, 2]
        await press(pilot, "g")
        assert "Enter goes there" in str(app.screen.query_one(OptionList).border_subtitle)

    drive(link, script)


def test_the_pace_counts_what_has_been_told(drive: Callable[..., Talk]) -> None:
    """The set stage is one step of seven, the summary the end; a stage that is set anew takes nothing away."""
    link = played("one", "two")

    async def script(pilot: Pilot[int], app: Talk) -> None:
        assert app.stand.desk.done == pytest.approx(1 / 7)
        await press(pilot, "n", "n")
        assert app.stand.desk.done == pytest.approx(5 / 7)
        link.fail(("failed", LabError("the roof fell in", "").to_dict()))
        await press(pilot, "x", "r")
        assert app.stand.desk.done == pytest.approx(5 / 7)
        await press(pilot, "n")
        assert "What the kernel said" in shown(app, "title")
        assert app.stand.desk.done == 1
        await press(pilot, "space")
        assert "The claims of this talk" in shown(app, "title")

    drive(link, script)


@pytest.mark.parametrize(
    ("verdict", "said"),
    [(FAILED, "The kernel contradicted this claim"), (UNKNOWN, "This could not be tested: seen it")],
)
def test_a_step_that_fails_says_why_and_offers_the_recorded_run(
    drive: Callable[..., Talk], verdict: beats.Word, said: str
) -> None:
    """One sentence, the keys for again and recorded; the recorded run is labelled with its day, and V closes it."""

    async def script(pilot: Pilot[int], app: Talk) -> None:
        await press(pilot, "n", "n")
        assert shown(app, "trouble") == ""
        await press(pilot, "space")
        assert said in shown(app, "trouble")
        assert "R again   V recorded run" in shown(app, "bar")
        await press(pilot, "v")
        assert "recorded on 2026-11-26, Linux 6.18" in shown(app, "lower")
        assert "claim of two, first" in shown(app)
        assert shown(app, "trouble") == ""
        await press(pilot, "space")
        assert "claim of two, second" in shown(app)
        await press(pilot, "v")
        assert said in shown(app, "trouble")

    drive(played("one", "two", verdict=verdict), script)


def test_a_stage_that_is_gone_can_be_set_anew(drive: Callable[..., Talk]) -> None:
    """Its last words are shown; R sets a new stage and goes to the story that was on."""
    link = played("one", "two")

    async def script(pilot: Pilot[int], app: Talk) -> None:
        await press(pilot, "n", "n")
        link.fail(("failed", LabError("the roof fell in", "").to_dict()))
        await press(pilot, "x")
        assert "the roof fell in" in shown(app, "trouble")
        assert "R again, on a new stage" in shown(app, "bar")
        await press(pilot, "r")
        assert link.starts == 2
        assert "$ touch two-first" in shown(app)
        assert shown(app, "trouble") == ""

    drive(link, script)


def test_a_stage_that_cannot_be_set_ends_the_talk(drive: Callable[..., Talk]) -> None:
    """Before the first beat there is nothing to show: the error is the talk's."""
    link = Played([])

    async def script(pilot: Pilot[int], app: Talk) -> None:
        link.fail(("failed", CannotStart("another run of the lab is on").to_dict()))
        await until(pilot, lambda: app.stand.desk.ended)

    app = drive(link, script)
    assert app.return_code == 0
    assert app.stand.desk.failure
    assert app.stand.desk.failure.message == "another run of the lab is on"


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_quitting_asks_once(drive: Callable[..., Talk], key: str) -> None:
    """Any other key means no; the second time the stage is told, and the talk ends when it has."""
    link = played("one", "two")

    async def script(pilot: Pilot[int], app: Talk) -> None:
        await press(pilot, key)
        assert "Quit, and restore everything?" in shown(app, "bar")
        await press(pilot, "z")
        assert "Quit" not in shown(app, "bar")
        await press(pilot, key, "space")
        assert "Quit" not in shown(app, "bar")
        assert ("quit", None) not in link.sent
        await press(pilot, key, key)
        await until(pilot, lambda: app.stand.desk.ended)

    assert drive(link, script).return_value == 0
    assert link.sent[-1] == ("quit", None)


def test_a_stage_at_work_is_interrupted_by_quitting_and_the_screen_stays_awake(drive: Callable[..., Talk]) -> None:
    """While the stage is at work the bar says so, back works, and quitting does not wait for the next stop."""
    link = played("one", "two")

    async def script(pilot: Pilot[int], app: Talk) -> None:
        await press(pilot, "space", "space")
        link.slow = 60
        await press(pilot, "space")
        link.sent.clear()
        await until(pilot, lambda: "at work" in shown(app, "bar"))
        await press(pilot, "space", "left")
        assert link.sent == []
        assert "seen before" in shown(app, "lower")
        await press(pilot, "exclamation_mark", "q", "q")
        assert link.sent == [("interrupt", None)]
        assert "taking everything back" in shown(app, "bar")
        await press(pilot, "ctrl+c")

    drive(link, script)


def test_keys_without_a_meaning_do_nothing(drive: Callable[..., Talk]) -> None:
    """Letters, function keys, and Textual's own command palette change nothing on the screen."""
    link = played("one", "two")

    async def script(pilot: Pilot[int], app: Talk) -> None:
        await press(pilot, "space")
        before = [shown(app, name) for name in ("step", "lower", "bar", "trouble", "notes")]
        await press(pilot, "a", "ctrl+p", "f5", "ctrl+d", "escape", "shift+tab", "1", "home", "ctrl+s")
        assert [shown(app, name) for name in ("step", "lower", "bar", "trouble", "notes")] == before
        assert len(app.screen_stack) == 1
        assert link.sent == [("on", None)]

    drive(link, script)


def test_the_card_can_be_shown_before_it_is_due(drive: Callable[..., Talk]) -> None:
    """C shows a recorded card, labelled, until the talk's own has been seen; C again closes it."""

    async def script(pilot: Pilot[int], app: Talk) -> None:
        await press(pilot, "space", "c")
        assert "auid  x" in shown(app)
        assert "recorded on 2026-11-26" in shown(app, "lower")
        await press(pilot, "c")
        assert "$ touch one-first" in shown(app)
        await press(pilot, *["space"] * 4, "left", "left", "c")
        assert "auid  x" in shown(app)
        assert "the card of this story" in shown(app, "lower")

    drive(played("one", "two"), script)


def test_a_new_size_is_drawn_at_once(drive: Callable[..., Talk]) -> None:
    """Each part is as wide as the terminal, and the bar is on its last line."""

    async def script(pilot: Pilot[int], app: Talk) -> None:
        await press(pilot, "space", "space")
        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
            rule = "─" * width
            await until(pilot, partial(lambda rule: shown(app, "upper") == rule, rule))
            assert app.stand.query_one("#bar").region.bottom == height
            assert "claim of one, first" in shown(app)

    drive(played("one", "two"), script)


def test_a_step_that_is_too_long_is_read_page_by_page(drive: Callable[..., Talk]) -> None:
    """The rule says how many lines are below; Space shows them before the stage goes on."""
    link = played("one", "two")
    long = [beats.Say(Text(f"line {number}")) for number in range(40)]
    place = next(place for place, moment in enumerate(link.moments) if isinstance(moment.beat, beats.Say))
    link.moments[place:place] = [Moment(0, 0, beat) for beat in long]

    async def script(pilot: Pilot[int], app: Talk) -> None:
        await press(pilot, "space")
        assert "↓ 23" in shown(app, "lower")
        await press(pilot, "space", "space")
        await until(pilot, lambda: "↓" not in shown(app, "lower"))
        assert link.sent == [("on", None)]
        await press(pilot, "space")
        assert link.sent == [("on", None)] * 2

    drive(link, script)


def test_the_board_shows_place_clock_notes_and_what_comes(drive: Callable[..., Talk], tmp_path: Path) -> None:
    """A follower of the socket, which is root's alone, gets the next step's question and command as JSON lines."""
    found = []

    async def script(pilot: Pilot[int], app: Talk) -> None:
        assert (tmp_path / "talk.sock").stat().st_mode & 0o777 == 0o600
        await press(pilot, "space", "space")
        reader, writer = await asyncio.open_unix_connection(tmp_path / "talk.sock")
        found.append(await reader.readline())
        writer.close()

    drive(played("one", "two"), script)
    assert b'"place": "1/2 one \\u00b7 1/3"' in found[0]
    assert b'"next": "What one says in its second step\\nWhom?\\n$ touch one-second /etc/shadow"' in found[0]
    assert not (tmp_path / "talk.sock").exists()


def test_the_addresses_of_a_page_stand_on_the_first_screen(drive: Callable[..., Talk]) -> None:
    """They stand where the notes do, also without P, until the first story; Left comes back to them."""
    link = played("one", "two")

    async def script(pilot: Pilot[int], app: Talk) -> None:
        assert shown(app, "notes") == ""
        link.tell("page", "Your page: http://127.0.0.1/a/")
        await press(pilot, "x")
        assert "http://127.0.0.1/a/" in shown(app, "notes")
        await press(pilot, "space")
        assert shown(app, "notes") == ""
        await press(pilot, "left")
        assert "http://127.0.0.1/a/" in shown(app, "notes")

    drive(link, script)


def test_notes_are_for_steps_that_exist() -> None:
    """Each recorded story has notes for each of its steps, and a translation has the same steps."""
    folder = Path(talk_screen.__file__).parent.parent / "notes"
    files = sorted(folder.glob("*.toml"))
    assert {file.stem for file in files} == {file.stem for file in RECORDINGS.glob("*.jsonl")}
    for file in files:
        notes = notes_of(file.stem)
        assert set(notes) == set(range(1, Shipped().steps(file.stem) + 1)), file
        assert all(text.strip() for text in notes.values())
    for file in folder.glob("*/*.toml"):
        assert notes_of(file.stem, file.parent.name).keys() == notes_of(file.stem).keys(), file


def test_a_recording_s_user_has_a_name_while_it_is_shown(drive: Callable[..., Talk]) -> None:
    """Its records name its user, whom this machine need not have; afterwards the uid is this machine's again."""

    async def script(pilot: Pilot[int], app: Talk) -> None:
        await press(pilot, "space", "v")
        assert "auid=vera" in shown(app)
        await press(pilot, "v")
        assert name_of(STRANGER) == str(STRANGER)
        await press(pilot, "v", "c", "n")
        assert name_of(STRANGER) == str(STRANGER)

    drive(played("one", "two"), script)


def test_the_bar_offers_tab_where_it_shows_anything_else(drive: Callable[..., Talk]) -> None:
    """A step whose records and outputs are whole already has no Tab; where there is more, Tab also leads back."""
    link = played("one", "two")
    place = next(place for place, moment in enumerate(link.moments) if isinstance(moment.beat, beats.Output))
    link.moments[place] = Moment(0, 0, beats.Output("\n".join(map(str, range(9)))))

    async def script(pilot: Pilot[int], app: Talk) -> None:
        await press(pilot, "space")
        assert "Tab" not in shown(app, "bar")
        await press(pilot, "space")
        assert "Tab whole records" in shown(app, "bar")
        await press(pilot, "tab")
        assert "Tab short" in shown(app, "bar")

    drive(link, script)


def test_a_note_is_broken_where_the_screen_wants(tmp_path: Path) -> None:
    """A single end of a line in the file is a space; an empty line stays."""
    (tmp_path / "run.toml").write_text('1 = """\nfirst\nand second\n\nthird"""\n')
    assert notes_of("run", folder=tmp_path) == {1: "first and second\n\nthird"}


def test_notes_that_are_none_are_refused_by_name(tmp_path: Path) -> None:
    """A mistake in a file of notes is one sentence with the file's name; a story without a file has no notes."""
    (tmp_path / "run.toml").write_text("step one")
    with pytest.raises(LabError, match=r"run\.toml is no file of notes"):
        notes_of("run", folder=tmp_path)
    assert notes_of("shadow", folder=tmp_path) == {}


def test_the_bar_keeps_the_help_however_narrow() -> None:
    """What does not fit is left out from the end; the key for all keys stays."""
    entries = [
        *talk_keys.entries(
            pending=False, behind=False, trouble=False, recorded=True, ends=True, languages=2, tab="short"
        )
    ]
    for width in range(20, 120):
        line = talk_keys.bar(entries, Look(width))
        assert len(line) <= width
        assert line.plain.endswith("? keys")
    assert "L language" in talk_keys.bar(entries, Look(120)).plain


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_title_is_one_line_that_ends_with_the_clock(width: int) -> None:
    """A title that is too long is cut, and says so."""
    heading = beats.Heading(9, "attribution", Text("Can a daemon do better than nobody at all, or not?"))
    view = View((heading,), heading, 1)
    line = talk_screen.title(view, Look(width), "9/14 attribution · 1/8", "04:12").plain
    assert len(line) <= width
    assert line.endswith("9/14 attribution · 1/8  04:12")
    assert ("…" in line) == (width < 100)


def test_the_pace_is_told_from_the_steps_done() -> None:
    """Half of the steps in a third of the planned time is ahead of it."""
    assert talk_screen.pace(400, 1200, 0.5, Look()) == "06:40 of 20:00, 03:20 ahead"
    assert talk_screen.pace(700, 1200, 0.5, Look()) == "11:40 of 20:00, 01:40 behind"
    assert talk_screen.pace(700, 0, 0.5, Look()) == "11:40"


def test_a_new_opening_in_the_middle_of_a_step_begins_a_new_view() -> None:
    """A stage that is set anew performs an opening: it is no part of the step that was left."""
    audience = Collector()
    performance = Performance([audience])
    performed(performance, ["one"])
    cut = audience.moments[:6]
    reel = Reel()
    for moment in [*cut, audience.moments[0]]:
        reel.take(moment)
    assert [type(beat) for beat in reel.views[-1].beats] == [beats.Opening]
    assert reel.views[-1].story is None
