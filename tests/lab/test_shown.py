"""What both clients show: times, ages and rows."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import InvalidArgument
from lab.shown import SECOND, ago, parse_time, ps_row, rfc3339


@pytest.mark.parametrize("text", ["", "x", "1.2.3", "9" * 400, "-1", "1d", "m", "2018-02-31T00:00:00Z", "2018-13-01"])
def test_no_times(text: str) -> None:
    """A time is seconds since 1970, how long ago in h, m and s, or a date of RFC 3339."""
    with pytest.raises(InvalidArgument):
        parse_time(text)


def test_times() -> None:
    """The three forms of docker-logs(1)'s --since."""
    assert parse_time("1517918400.000000001") == 1_517_918_400 * SECOND + 1
    assert parse_time("2018-02-06T12:00:00Z") == parse_time("2018-02-06T13:00:00+01:00") == 1_517_918_400 * SECOND
    assert abs(time.time_ns() - 5400 * SECOND - parse_time("1h30m")) < 60 * SECOND


@given(st.integers(1, 4 * 10**9))
def test_rfc3339_is_read_as_it_is_written(seconds: int) -> None:
    """parse_time() takes what rfc3339() gives, to the microsecond."""
    assert parse_time(rfc3339(seconds * SECOND)) == seconds * SECOND


def test_rfc3339_as_go_prints_it() -> None:
    """Nanoseconds, UTC; Go's zero time for "never"."""
    assert rfc3339(1_517_918_400_000_000_001) == "2018-02-06T12:00:00.000000001Z"
    assert rfc3339(0) == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 seconds"), (1, "1 second"), (60, "1 minute"), (7199, "1 hour"), (7200, "2 hours"), (90000, "1 day")],
)
def test_ages(seconds: int, text: str) -> None:
    """An age is told in its largest unit."""
    assert ago(time.time_ns() - seconds * SECOND - SECOND // 2) == text


def test_a_row_is_cut_unless_it_is_to_be_whole() -> None:
    """12 digits of the id and 20 characters of the command, or all with --no-trunc."""
    row = "0" * 64, "host", "x" * 30, time.time_ns(), "Up", "name"
    assert ps_row(*row, whole=False)[:3] == ("0" * 12, "host", '"' + "x" * 19 + '\N{HORIZONTAL ELLIPSIS}"')
    assert ps_row(*row, whole=True)[:3] == ("0" * 64, "host", '"' + "x" * 30 + '"')
