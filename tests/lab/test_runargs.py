"""The command line, as docker and podman read it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.commandline import HelpWanted
from lab.errors import InvalidArgument, LabError, NotImplementedHere
from lab.limits import ABSENT
from lab.runargs import EXEC, LOGS, PS, RUN, RUN_FORKED, RunOptions, parse_exec, parse_run, resolve_env


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
    with pytest.raises(InvalidArgument, match="invalid value"):
        parse_run(["--rm=maybe", "host"])


def test_two_dashes_end_the_options() -> None:
    """-- ends the options; a single dash is a plain word."""
    assert parse_run(["--", "host", "-x"]).command == ["-x"]
    assert PS.parse(["-"]) == ({"all": False, "quiet": False, "no_trunc": False}, ["-"])


def test_entrypoint_may_be_empty() -> None:
    """--entrypoint "" clears the image's; not given is not the same."""
    assert parse_run(["--entrypoint", "sh", "host"]).entrypoint == ["sh"]
    assert parse_run(["--entrypoint", "", "host"]).entrypoint == []
    assert parse_run(["host"]).entrypoint is None


@pytest.mark.parametrize(
    "argv", [[], ["--rm"], ["--name"], ["--nonsense", "host"], ["-Z", "host"], ["-e", "=x", "host"]]
)
def test_refusals(argv: list[str]) -> None:
    """A missing image, a missing value and an unknown flag are errors of the caller."""
    with pytest.raises(InvalidArgument):
        parse_run(argv)


@pytest.mark.parametrize(
    ("text", "size"),
    [("20m", 20 << 20), ("6MB", 6 << 20), ("1.5g", 3 << 29), ("512 KiB", 512 << 10), ("7000000", 7_000_000), ("8b", 8)],
)
def test_memory_in_dockers_units(text: str, size: int) -> None:
    """b, k, m and g, in either case, with or without B and iB."""
    assert parse_run(["-m", text, "host"]).resources == {"memory": size}


def test_processors_and_processes() -> None:
    """--cpus is a decimal number, --pids-limit a whole one."""
    options = parse_run(["--cpus", "1.5", "--pids-limit=-1", "host"])
    assert options.resources == {"nano_cpus": 1_500_000_000, "pids_limit": -1}
    assert parse_run(["--cpus", ".25", "host"]).resources == {"nano_cpus": 250_000_000}


def test_limits_of_a_process() -> None:
    """--ulimit takes NAME=SOFT[:HARD], and -1 for no limit; soft may not be above hard."""
    options = parse_run(["--ulimit", "nofile=64:128", "--ulimit=core=0", "--ulimit", "nproc=-1", "host"])
    assert options.rlimits == [("nofile", 64, 128), ("core", 0, 0), ("nproc", -1, -1)]
    for wrong in ("nofile", "nofile=", "files=5", "nofile=9:5", "nofile=-1:5", "nofile=a", "=5"):
        with pytest.raises(InvalidArgument, match="ulimit"):
            parse_run(["--ulimit", wrong, "host"])


def test_mounts_in_memory_and_settings() -> None:
    """--tmpfs, --shm-size, --sysctl, --group-add, --oom-score-adj and --domainname, in docker's notation."""
    words = ["--tmpfs", "/t:size=1m,mode=700", "--tmpfs=/u", "--shm-size", "1m", "--sysctl", "kernel.sem=1 2 3 4"]
    options = parse_run(
        [*words, "--group-add", "audio", "--group-add=7", "--oom-score-adj=-5", "--domainname", "d", "x"]
    )
    assert options.tmpfs == {"/t": "size=1m,mode=700", "/u": ""}
    assert (options.shm_size, options.sysctl) == (1 << 20, {"kernel.sem": "1 2 3 4"})
    assert (options.groups, options.oom_score_adj, options.domainname) == (["audio", "7"], -5, "d")
    for wrong in (["--sysctl", "x"], ["--sysctl", "=x"], ["--shm-size", "big"], ["--oom-score-adj", "x"]):
        with pytest.raises(InvalidArgument):
            parse_run([*wrong, "host"])


@pytest.mark.parametrize(
    "option",
    ["-m=abc", "-m=-1", "-m=1x", "-m=1ib", "-m=m", "-m=1.2.3", "-m=" + "9" * 400, "--cpus=x", "--cpus=.", "--cpus=-1",
     "--cpus=1e3", "--cpus=0.0000000001", "--pids-limit=x", "--pids-limit=-", "--pids-limit=1-2", "--device=null",
     "--device=/dev/../etc", "--device=/dev/null:null", "--device=/dev/null:/dev/x:q", "--device="],
)  # fmt: skip
def test_limits_and_devices_that_are_none(option: str) -> None:
    """A malformed size, number or device is the caller's mistake."""
    with pytest.raises(InvalidArgument):
        parse_run([option, "host"])


@pytest.mark.parametrize(
    ("text", "source", "target"),
    [("/dev/fuse", "/dev/fuse", "/dev/fuse"), ("/dev/fuse:/dev/f", "/dev/fuse", "/dev/f"),
     ("/dev/fuse:rwm", "/dev/fuse", "/dev/fuse"), ("/dev/fuse:/dev/f:mrw", "/dev/fuse", "/dev/f")],
)  # fmt: skip
def test_devices(text: str, source: str, target: str) -> None:
    """--device takes SOURCE[:TARGET][:rwm]; other permissions are refused by name."""
    (device,) = parse_run(["--device", text, "host"]).devices
    assert (device.source, device.target) == (source, target)
    with pytest.raises(NotImplementedHere, match='the permissions "r"'):
        parse_run(["--device", f"{source}:/dev/x:r", "host"])


def test_what_docker_has_and_the_lab_has_not() -> None:
    """An option of docker's or podman's is named, with a way round it; it is not called unknown."""
    with pytest.raises(NotImplementedHere, match="--publish is not part of this lab") as failure:
        parse_run(["--publish", "80:80", "host"])
    assert "the host's network" in failure.value.hint
    known = {name for option in RUN_FORKED.options for name in option.names}
    for flags in ABSENT.values():
        for flag in flags.split():
            assert flag not in known
            with pytest.raises(NotImplementedHere, match=f"{flag} is not part"):
                parse_run([flag, "x", "host"], RUN_FORKED)


def test_options_cannot_be_misspelt() -> None:
    """RunOptions refuses a name that it does not know."""
    with pytest.raises(TypeError, match="read_olny"):
        RunOptions("host", [], read_olny=True)  # type: ignore[call-arg]  # the mistake is the test


def test_exec_needs_two_words() -> None:
    """exec takes a container and a command."""
    assert parse_exec(["-u", "1", "box", "id", "-u"]).command == ["id", "-u"]
    with pytest.raises(InvalidArgument):
        parse_exec(["box"])


def test_help_names_every_option() -> None:
    """--help names each option, and wins over a mistake that follows it."""
    with pytest.raises(HelpWanted):
        parse_run(["--help", "--nonsense"])
    for command in (RUN, EXEC, LOGS):
        text = command.help("podmanish")
        assert all(name in text for option in command.options for name in option.names)


def test_environment_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """-e NAME takes the caller's value, and nothing if there is none."""
    monkeypatch.setenv("GIVEN", "1")
    monkeypatch.delenv("ABSENT", raising=False)
    assert resolve_env(["GIVEN", "ABSENT", "B=", "C=d=e"]) == ["GIVEN=1", "B=", "C=d=e"]


WORDS = st.sampled_from([name for option in RUN.options for name in option.names]) | st.text(max_size=12)


@given(st.lists(WORDS, max_size=8))
def test_any_line_is_parsed_or_refused(argv: list[str]) -> None:
    """Whatever the words, flags among them: options come out, or an error of the lab's; never another exception."""
    with suppress(LabError, HelpWanted):
        assert parse_run(argv).image in argv
