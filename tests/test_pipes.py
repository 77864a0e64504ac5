"""The pipes of a command that a story looks at while it runs."""

from __future__ import annotations

import subprocess
from contextlib import suppress

import pytest

from scenarios.stage.pipes import Pipes


@pytest.mark.parametrize("read", [False, True])
def test_a_story_that_is_broken_off_ends_its_command(read: bool) -> None:
    """Ctrl-C while the command waits for the end of its input closes that input, and leaves no descriptor open."""
    with suppress(KeyboardInterrupt), Pipes(20) as pipes:
        words = ["sh", "-c", "echo ready; exec cat"]
        command = subprocess.Popen(words, stdin=pipes.child_input, stdout=pipes.child_output)
        if read:
            assert pipes.first_line() == "ready\n"
        raise KeyboardInterrupt
    try:
        assert command.wait(10) in (0, -13)  # cat ends with its input, echo without a reader by SIGPIPE
    finally:
        command.kill()


def test_a_command_is_read_to_its_end() -> None:
    """first_line() gives a line, rest() ends the input and gives what is left."""
    with Pipes(20) as pipes:
        words = ["sh", "-c", "echo first; cat; echo last"]
        with subprocess.Popen(words, stdin=pipes.child_input, stdout=pipes.child_output):
            assert (pipes.first_line(), pipes.rest()) == ("first\n", "last\n")
