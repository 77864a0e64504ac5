"""The detach keys and the frames of attached clients."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.stdio import Output
from daemon.wire.attach import DetachKeys
from lab.errors import InvalidArgument


def fed(keys: str, *chunks: bytes) -> tuple[bytes, bool]:
    """What passes through to the process, and whether the keys to detach were in it."""
    scanner, passed = DetachKeys(keys), b""
    for chunk in chunks:
        data, detach = scanner.feed(chunk)
        passed += data
        if detach:
            return passed, True
    return passed, False


@pytest.mark.parametrize(
    ("keys", "chunks", "expected"),
    [
        ("ctrl-p,ctrl-q", (b"ab\x10\x11cd",), (b"ab", True)),
        ("ctrl-p,ctrl-q", (b"ab\x10", b"\x11"), (b"ab", True)),
        ("ctrl-p,ctrl-q", (b"\x10x",), (b"\x10x", False)),
        ("ctrl-p,ctrl-q", (b"\x10\x10\x11",), (b"\x10", True)),
        ("a", (b"xa",), (b"x", True)),
        ("ctrl-@,ctrl-[", (b"\x00\x1b",), (b"", True)),
    ],
)
def test_detach_keys(keys: str, chunks: tuple[bytes, ...], expected: tuple[bytes, bool]) -> None:
    """The sequence is found across reads; a beginning that leads nowhere reaches the process."""
    assert fed(keys, *chunks) == expected


@given(st.binary().filter(lambda data: b"\x10" not in data), st.integers(1, 5))
def test_other_bytes_pass_untouched(data: bytes, step: int) -> None:
    """However the input is cut, what holds no detach key arrives as it was."""
    chunks = [data[start : start + step] for start in range(0, len(data), step)]
    assert fed("ctrl-p,ctrl-q", *chunks) == (data, False)


@pytest.mark.parametrize("keys", ["", "ctrl-", "ctrl-pp", "meta-x", "ctrl-\xe9", "a,,b"])
def test_unknown_keys_are_refused(keys: str) -> None:
    """What is neither a character nor ctrl-X is the caller's mistake."""
    with pytest.raises(InvalidArgument):
        DetachKeys(keys)


def test_an_output_ends_with_its_process_not_with_its_pipes() -> None:
    """A pipe that a stranger holds open does not keep an output going once the process has ended and it is empty."""
    import os

    class Collector:
        received = b""

        async def send(self, stream: int, data: bytes) -> None:
            self.received += data

    async def scenario() -> bytes:
        reading, writing = os.pipe()
        output, collector = Output(), Collector()
        output.receivers.add(collector)
        output.start((reading, 1))
        os.write(writing, b"last words")
        output.process_ended()
        await asyncio.wait_for(output.finished.wait(), 5)
        os.close(writing)
        return collector.received

    assert asyncio.run(scenario()) == b"last words"
