"""Docker's frames, written and read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lab.frames import FrameReader, header

FRAMES = st.lists(st.tuples(st.sampled_from((1, 2)), st.binary(max_size=40)), max_size=8)


@given(FRAMES, st.integers(1, 20))
def test_frames_can_be_cut_anywhere(frames: list[tuple[int, bytes]], step: int) -> None:
    """However a connection cuts the bytes, each stream's data arrives whole and in order."""
    sent = b"".join(header(stream, len(data)) + data for stream, data in frames)
    reader, received = FrameReader(), {1: b"", 2: b""}
    for start in range(0, len(sent), step):
        for stream, piece in reader.feed(sent[start : start + step]):
            received[stream] += piece
    for stream in (1, 2):
        assert received[stream] == b"".join(data for told, data in frames if told == stream)


def test_a_header_is_dockers() -> None:
    """One byte for the stream, three of zero, four for the length, big-endian."""
    assert header(2, 258) == b"\x02\0\0\0\0\0\x01\x02"
