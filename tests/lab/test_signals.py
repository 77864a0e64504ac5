"""Signals by name, as both engines take them."""

from __future__ import annotations

import signal

import pytest

from lab.errors import InvalidArgument
from lab.signals import SIGRTMAX, SIGRTMIN, signal_number


def test_every_name_of_this_system() -> None:
    """Each name of the C library, aliases too, leads to its number, in either case, with or without SIG."""
    for name, member in signal.Signals.__members__.items():
        short = name.removeprefix("SIG")
        assert {signal_number(text) for text in (name, short, short.lower())} == {member.value}, name


def test_real_time_signals() -> None:
    """RTMIN+n and RTMAX-n count from the ends of the C library's range."""
    assert (SIGRTMIN, SIGRTMAX) == (signal.SIGRTMIN, signal.SIGRTMAX)
    assert signal_number("SIGRTMIN+3") == signal.SIGRTMIN + 3
    assert signal_number("rtmax-2") == signal.SIGRTMAX - 2


@pytest.mark.parametrize("number", [1, 9, 64])
def test_numbers(number: int) -> None:
    """A number from 1 to 64 is itself."""
    assert signal_number(str(number)) == number


@pytest.mark.parametrize(
    "name",
    ["", "0", "65", "-9", "SIGNONSENSE", "9" * 5000, "\u0669", "SIGRTMIN+99", "SIG", "00099999", "SIGRTMIN+\xb2"],
)
def test_no_signals(name: str) -> None:
    """Any other text is refused, and the error says what is expected."""
    with pytest.raises(InvalidArgument, match="Invalid signal") as raised:
        signal_number(name)
    assert "signal(7)" in raised.value.hint
