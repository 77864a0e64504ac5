"""Beats, their order and their files: what every audience relies on."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import get_args

import pytest
from collecting import Collector
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lab.errors import InvalidArgument
from lab.identity import UNSET, name_of
from scenarios.audiences.terminal import Terminal
from scenarios.performance import beats, recording
from scenarios.performance.beats import HELD, Beat, Command, Contrast, Heading, Moment, Say, Stop, Verdict, pages
from scenarios.performance.performance import Performance
from scenarios.performance.text import Text

LINE = "type=SYSCALL msg=audit(1795654321.123:77): arch=c000003e syscall=257 auid=4294967295 ses=4294967295 uid=0"


def verdict(claim: str = "claim") -> Verdict:
    """A verdict that held."""
    return Verdict(Text(claim), HELD, Text("seen"))


def played(*told: Beat) -> list[Moment]:
    """The moments of a performance of these beats."""
    audience = Collector()
    performance = Performance([audience])
    for beat in told:
        performance.perform(beat)
    return audience.moments


texts = st.recursive(
    st.builds(Text, st.just("{a} and {b}"), st.fixed_dictionaries({"a": st.text(), "b": st.integers()})),
    lambda inner: st.builds(Text, st.just("({a})"), st.fixed_dictionaries({"a": inner})),
    max_leaves=4,
)


st.register_type_strategy(Text, texts)


@given(st.builds(Moment, st.integers(0), st.floats(0, 1e6), st.one_of(*map(st.from_type, get_args(Beat)))))
def test_a_moment_survives_json(moment: Moment) -> None:
    """Each beat becomes one line of JSON, and the same beat again."""
    line = beats.to_json(moment)
    assert "\n" not in line
    assert beats.from_json(line) == moment


@given(texts)
def test_a_text_is_told_with_its_arguments(text: Text) -> None:
    """Braces in an argument are no placeholders; a language changes the message alone."""
    assert beats.from_json(beats.to_json(Moment(0, 0, Say(text)))).beat == Say(text)
    assert str(text) == text.told()
    assert text.told(lambda message: message.replace(" and ", " und ")).count(" und ") >= str(text).count(" und ")


def test_every_beat_has_a_kind_of_its_own() -> None:
    """The kind tells the beats of a recording apart."""
    kinds = [beat.kind for beat in get_args(Beat)]
    assert len(set(kinds)) == len(kinds)
    with pytest.raises(ValidationError):
        beats.from_json(json.dumps({"number": 0, "at": 0, "beat": {"kind": "no such kind"}}))


def test_a_stop_is_before_each_command_step_story_and_summary() -> None:
    """A step ends behind its verdicts, where the next one speaks; a card has a step to itself."""
    story: list[Beat] = [
        Heading(1, "run", Text("title")),
        Say(Text("question")),
        Command("true"),
        beats.Output("1"),
        verdict(),
    ]
    card = Contrast(Text("card"), (Text(""), Text("a")), ((Text("row"), Text("1")),))
    moments = played(*story, verdict(), Say(Text("next")), Command("false"), verdict(), card, *story, beats.Summary(()))
    stops = [(moment.beat.before, moments[n + 1].beat.kind) for n, moment in enumerate(moments[:-1])
             if isinstance(moment.beat, Stop)]  # fmt: skip
    assert stops == [
        ("command", "output"), ("step", "say"), ("command", "verdict"), ("step", "contrast"), ("story", "heading"),
        ("command", "output"), ("summary", "summary"),
    ]  # fmt: skip
    assert [len(page) for page in pages(moments)] == [7, 4, 1, 6, 1]


def test_an_answer_without_a_command_waits_for_the_audience_too() -> None:
    """Between a question and the record that answers it there is one stop; with a command it is that before the run."""
    asked = beats.Predict(Text("Is it on record?"), (Text("yes"), Text("no")))
    record = beats.Evidence((LINE,))
    without = played(asked, record, record, verdict())
    assert [moment.beat.kind for moment in without] == ["predict", "stop", "evidence", "evidence", "verdict"]
    with_one = played(asked, Command("true"), record, verdict())
    assert [moment.beat.kind for moment in with_one] == ["predict", "command", "stop", "evidence", "verdict"]


def test_beats_are_numbered_in_their_order() -> None:
    """The number that perform() returns is that of the beat, stops counted."""
    audience = Collector()
    performance = Performance([audience])
    numbers = [performance.perform(beat) for beat in (Say(Text("a")), Command("true"), beats.Output("1"))]
    assert numbers == [0, 1, 3]
    assert performance.evidence == [3]
    assert [moment.number for moment in audience.moments] == [0, 1, 2, 3]


def test_an_event_comes_back_from_its_lines() -> None:
    """The lines of an audit log that a beat keeps are parsed by the same code as the kernel's records."""
    event = beats.Evidence((LINE,)).event
    assert (event.auid, event.ses, event.serial) == (UNSET, UNSET, 77)
    assert event.records[0].to_line() == LINE


def recorded(tmp_path: Path, *told: Beat) -> Path:
    """A recording of these beats."""
    file = io.StringIO()
    recorder = recording.Recorder(file)
    for moment in played(*told):
        recorder.take(moment)
    path = tmp_path / "run.jsonl"
    path.write_text(file.getvalue())
    return path


def test_a_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    """All moments but those that only say that the lab is busy."""
    path = recorded(tmp_path, Say(Text("{a}", {"a": "ä\n{"})), beats.Busy(Text("busy")), Command("true"))
    assert [moment.beat.kind for moment in recording.read(path)] == ["say", "command", "stop"]


def test_a_recording_that_a_crash_cut_short_is_read_to_there(tmp_path: Path) -> None:
    """A last line without its end is left out; the same line in the middle is an error with its number."""
    path = recorded(tmp_path, Say(Text("a")), Say(Text("b")))
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    assert len(list(recording.read(path))) == 1
    path.write_bytes(whole[:-9] + b"\n")
    with pytest.raises(InvalidArgument, match="line 3 is no beat"):
        list(recording.read(path))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "first line is not a recording's header"),
        (b"[]\n", "first line is not a recording's header"),
        (b"\xff\xfe\n", "first line is not a recording's header"),
        (b'{"format": "loginuid-lab recording", "version": 99}\n', "it has version 99"),
        (b"x" * (recording.LONGEST_LINE + 1), "a line is longer than"),
    ],
)
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """A file from elsewhere may be anything: the error says what is wrong with it."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InvalidArgument, match=reason):
        list(recording.read(path))


def test_the_last_recordings_are_kept(tmp_path: Path) -> None:
    """Twenty, the newest among them; root alone can read one."""
    for number in range(25):
        (tmp_path / f"2026-01-{number:02}.jsonl").touch()
    with recording.new_file(tmp_path) as file:
        made = Path(file.name)
    assert made.stat().st_mode & 0o777 == 0o600
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == recording.KEPT and left[0] == "2026-01-06.jsonl" and made.exists()


def test_reading_a_recording_renames_nobody(tmp_path: Path) -> None:
    """A talk draws live records, and may read a shipped recording meanwhile; an audience that shows one introduces."""
    uid = 3_000_000_000  # no machine's
    opening = beats.Opening("", "", "", "eve", uid, 1, "", (), (), ())
    (moment,) = recording.read(recorded(tmp_path, opening))
    assert name_of(uid) == str(uid)
    Terminal().take(moment)
    assert name_of(uid) == "eve"
