"""The containers' logs: records on disk, lines out of them, from the beginning or from the end."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lab import logs

written = st.lists(st.tuples(st.sampled_from([1, 1, 2]), st.text("ab\n", min_size=1, max_size=9)), max_size=12)


def write(path: str, *records: tuple[int, bytes]) -> None:
    """A log of these records."""
    writer = logs.LogWriter(path)
    for stream, data in records:
        writer.append(stream, data)
    writer.close()


def shown(path: str, **options: Any) -> list[tuple[int, bytes]]:
    """(stream, data) of all that there is to see."""
    lines, found = logs.Lines(path, **options), []
    while (batch := lines.read()) is not None:
        found += batch
    found += lines.rest()
    lines.close()
    return [(stream, data) for _, stream, data, _ in found]


def last_lines(records: list[tuple[int, bytes]], count: int) -> list[tuple[int, bytes]]:
    """The last lines in the order in which they end, worked out byte by byte."""
    position, ended = 0, []
    begun: dict[int, tuple[int, bytes]] = {}
    for stream, data in records:
        for byte in data:
            position += 1
            line = begun.pop(stream, (0, b""))[1] + bytes([byte])
            if byte == ord("\n"):
                ended.append((position, stream, line))
            else:
                begun[stream] = (position, line)
    ended += [(position, stream, line) for stream, (position, line) in begun.items()]
    ended.sort()
    return [(stream, line) for _, stream, line in ended[max(0, len(ended) - count) :]]


def test_log_records_come_back(tmp_path: Path) -> None:
    """What is appended is read, stream by stream, lines with their newlines."""
    path = str(tmp_path / "log")
    write(path, (1, b"one\ntwo"), (2, b"bad\0\xff\n"))
    assert shown(path, whole=False) == [(1, b"one\ntwo"), (2, b"bad\0\xff\n")]
    assert shown(path) == [(1, b"one\n"), (2, b"bad\0\xff\n"), (1, b"two")]
    assert shown(path, streams=[2]) == [(2, b"bad\0\xff\n")]
    assert shown(path, tail=1) == [(2, b"bad\0\xff\n")]
    assert shown(path, tail=0) == []
    assert shown(str(tmp_path / "none")) == []


def test_an_open_log_outlives_its_file(tmp_path: Path) -> None:
    """A log that was opened is read to its end after its container was removed; one that is not there is no error."""
    path = tmp_path / "log"
    lines = logs.Lines(str(path))
    assert not lines.open() and lines.read() is None
    write(str(path), (1, b"last words\n"))
    assert lines.open()
    path.unlink()
    read = lines.read()
    assert read and [data for *_, data, _ in read] == [b"last words\n"]
    lines.close()


def test_a_log_cut_short_ends_there(tmp_path: Path) -> None:
    """A crash may leave half a record at the end; the whole ones before it are read, from either side."""
    path = str(tmp_path / "log")
    write(path, (1, b"whole"), (1, b"torn apart"))
    size = Path(path).stat().st_size
    for length in range(size - 1, size - logs.OVERHEAD - len(b"torn apart"), -1):
        os.truncate(path, length)
        assert shown(path) == shown(path, tail=1) == [(1, b"whole")]


def test_what_is_no_log_has_no_lines(tmp_path: Path) -> None:
    """A file that is no log is read without an error, and shows no line."""
    path = tmp_path / "log"
    for content in (b"\xff" * (1 << 20), b"\0" * 11, os.urandom(1 << 18)):
        path.write_bytes(content)
        assert shown(str(path)) == []
        shown(str(path), tail=3)


@given(records=written, count=st.integers(0, 8))
def test_a_tail_is_the_last_lines(records: list[tuple[int, str]], count: int) -> None:
    """`tail` shows the lines that ended last, each as a whole, in whatever pieces they were written."""
    with tempfile.TemporaryDirectory() as folder:
        pieces = [(stream, text.encode()) for stream, text in records]
        write(f"{folder}/log", *pieces)
        assert sorted(shown(f"{folder}/log", tail=count)) == sorted(last_lines(pieces, count))
        assert sorted(shown(f"{folder}/log")) == sorted(last_lines(pieces, 1000))


def test_pieces_of_a_line_have_the_time_of_the_first(tmp_path: Path) -> None:
    """`since` and `until` are compared with the time at which a line began, even if its end came later."""
    path = str(tmp_path / "log")
    write(path, (1, b"old and "), (1, b"new\nlast\n"))
    lines = logs.Lines(path)
    (first, _, line, _), (second, *_) = lines.read() or []
    lines.close()
    assert line == b"old and new\n" and first < second
    assert shown(path, since=second) == [(1, b"last\n")]
    assert shown(path, until=first) == [(1, b"old and new\n")]


def test_a_long_line_comes_in_pieces_of_which_one_begins_it(tmp_path: Path) -> None:
    """The reader keeps at most LONGEST_LINE of a line, and only the first piece is marked as a beginning."""
    path = str(tmp_path / "log")
    write(path, *[(1, b"x" * 50_000)] * 4, (1, b"\nshort\n"))
    lines, found = logs.Lines(path), []
    while (batch := lines.read()) is not None:
        found += batch
    lines.close()
    assert b"".join(data for _, _, data, _ in found) == b"x" * 200_000 + b"\nshort\n"
    assert max(len(data) for _, _, data, _ in found) < logs.LONGEST_LINE + logs.PART
    assert [begins for *_, begins in found] == [True] + [False] * (len(found) - 2) + [True]
    assert shown(path, tail=1) == [(1, b"short\n")]
    assert b"".join(data for _, data in shown(path, tail=2)) == b"x" * 200_000 + b"\nshort\n"


def test_a_batch_is_bounded_whatever_was_written(tmp_path: Path) -> None:
    """A record of nothing but newlines comes in many batches, so that others have their turn between them."""
    path = str(tmp_path / "log")
    write(path, (1, b"\n" * 65536), (1, b"\n" * 65536))
    lines, sizes = logs.Lines(path), []
    while (batch := lines.read()) is not None:
        sizes.append(len(batch))
    lines.close()
    assert sum(sizes) == 131072 and max(sizes) <= logs.PART
