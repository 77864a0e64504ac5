"""The command line, as docker and podman read it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import InvalidArgument, LabError, NotImplementedHere
from lab.runargs import EXEC, LOGS, PS, RUN, HelpWanted, parse_exec, parse_run, parse_volume, resolve_env


def test_options_end_at_the_image() -> None:
    """What follows the image is the command's, dashes and all."""
    options = parse_run(["--rm", "-it", "host", "ls", "-l", "--rm", "--"])
    assert (options.image, options.command) == ("host", ["ls", "-l", "--rm", "--"])
    assert (options.rm, options.interactive, options.tty, options.detach) == (True, True, True, False)


@pytest.mark.parametrize(
    "argv", [["-e", "A=1"], ["-eA=1"], ["-e=A=1"], ["--env", "A=1"], ["--env=A=1"], ["-te", "A=1"], ["-teA=1"]]
)
def test_ways_to_give_a_value(argv: list[str]) -> None:
    """Long and short options take their value behind a space, a = or nothing, and short ones are bundled."""
    assert parse_run([*argv, "host"]).env == ["A=1"]


def test_flags_take_true_and_false() -> None:
    """--rm=false is off; --rm=maybe is refused."""
    assert parse_run(["--rm=true", "host"]).rm is True
    assert parse_run(["--rm=false", "host"]).rm is False
    with pytest.raises(InvalidArgument, match="expected true or false"):
        parse_run(["--rm=maybe", "host"])


def test_two_dashes_end_the_options() -> None:
    """-- ends the options; a single dash is a plain word."""
    assert parse_run(["--", "host", "-x"]).command == ["-x"]
    assert PS.parse(["-"]) == ({"all": False, "quiet": False, "no_trunc": False}, ["-"])


def test_entrypoint_may_be_empty() -> None:
    """--entrypoint "" clears the image's; not given is not the same."""
    assert parse_run(["--entrypoint", "sh", "host"]).entrypoint == "sh"
    assert parse_run(["--entrypoint", "", "host"]).entrypoint == ""
    assert parse_run(["host"]).entrypoint is None


@pytest.mark.parametrize(
    "argv", [[], ["--rm"], ["--name"], ["--nonsense", "host"], ["-Z", "host"], ["-e", "=x", "host"]]
)
def test_refusals(argv: list[str]) -> None:
    """A missing image, a missing value and an unknown flag are errors of the caller."""
    with pytest.raises(InvalidArgument):
        parse_run(argv)


def test_exec_needs_two_words() -> None:
    """exec takes a container and a command."""
    assert parse_exec(["-u", "1", "box", "id", "-u"]).command == ["id", "-u"]
    with pytest.raises(InvalidArgument):
        parse_exec(["box"])


def test_help_names_every_option() -> None:
    """--help shows the usage and each option; it wins over what is wrong behind it."""
    with pytest.raises(HelpWanted):
        parse_run(["--help", "--nonsense"])
    for command in (RUN, EXEC, LOGS):
        text = command.help("podmanish")
        assert all(name in text for option in command.options for name in option.names)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a:/b", "/a:/b"),
        ("/a:/b:ro", "/a:/b:ro"),
        ("/a:/b:rw", "/a:/b"),
        ("/a:/b:ro,z", "/a:/b:ro"),
        ("/:/x/", "/:/x"),
    ],
)
def test_volumes(text: str, expected: str) -> None:
    """SOURCE:TARGET[:ro|rw]."""
    assert str(parse_volume(text)) == expected


@pytest.mark.parametrize("text", ["", "/a", "/a:", "/a:b", ":/b", "/a:/b:ro:rw", "/a:/b:wx", "/a:/b/../../c"])
def test_volumes_that_are_none(text: str) -> None:
    """A target is absolute and has no `..`; an unknown option is named."""
    with pytest.raises(LabError):
        parse_volume(text)


def test_named_volumes_are_another_thing() -> None:
    """`-v name:/x` is Docker's named volume, which the lab has not."""
    with pytest.raises(NotImplementedHere, match="named volumes"):
        parse_volume("data:/x")


def test_environment_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """-e NAME takes the caller's value, and nothing if there is none."""
    monkeypatch.setenv("GIVEN", "1")
    monkeypatch.delenv("ABSENT", raising=False)
    assert resolve_env(["GIVEN", "ABSENT", "B=", "C=d=e"]) == ["GIVEN=1", "B=", "C=d=e"]


@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_line_is_parsed_or_refused(argv: list[str]) -> None:
    """Whatever the words: options come out, or an InvalidArgument; never another exception."""
    with suppress(LabError, HelpWanted):
        parse_run(argv)
