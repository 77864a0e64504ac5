"""The log of a container: a file of records, each with a time, a stream and the bytes that were written.

    8 bytes   nanoseconds since 1970, big-endian
    1 byte    1 standard output, 2 standard error
    3 bytes   zero
    4 bytes   length, big-endian
    length    the bytes, as the container wrote them
    4 bytes   the same length again, so that the file can be read backwards, too

A crash may cut the last record short; readers ignore such a record.
"""

from __future__ import annotations

import errno
import os
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    Record = tuple[int, int, int, bytes]  # offset, time in ns, stream, data
    Line = tuple[int, int, bytes, bool]  # time in ns, stream, data, whether a line begins here

HEADER, TRAILER = struct.Struct(">QB3xI"), struct.Struct(">I")
OVERHEAD = HEADER.size + TRAILER.size
STDOUT, STDERR = 1, 2
LONGEST_RECORD = 1 << 16  # bytes of data; a longer record is not one of ours
LONGEST_LINE = 16 << 10  # bytes that a reader keeps while it waits for a newline; dockerd cuts lines there, too
BLOCK = 1 << 17  # bytes read at once; more than a record has
PART = 1 << 12  # bytes split into lines at once, since each may be a newline
BATCH = 1 << 16  # cost of a batch: its bytes, and LINE_COST for each line
LINE_COST = 32


class LogWriter:
    """Appends records to the log at path, each with one write(2), so that a reader sees whole records."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def append(self, stream: int, data: bytes) -> None:
        """Append one record of at most LONGEST_RECORD bytes. Raises OSError when the disk is full."""
        length = len(data)
        written = os.writev(self.fd, [HEADER.pack(time.time_ns(), stream, length), data, TRAILER.pack(length)])
        if written < OVERHEAD + length:
            os.ftruncate(self.fd, os.fstat(self.fd).st_size - written)  # half a record would spoil all records after it
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        os.close(self.fd)


class Lines:
    """The lines of a log in batches of bounded size. A log that grows can be read on from where the last batch ended.

    A process may write a line in pieces: they are put together, and the line has the time of its first piece. A line
    longer than LONGEST_LINE comes in several pieces.

    whole          False: give the pieces as they were written
    tail           begin with the last lines, this many; None: with the first line
    since, until   leave out lines of other times, in ns since 1970; 0: no limit
    """

    def __init__(
        self,
        path: str,
        streams: Sequence[int] = (STDOUT, STDERR),
        *,
        whole: bool = True,
        tail: int | None = None,
        since: int = 0,
        until: int = 0,
    ) -> None:
        self.path, self.whole, self.tail, self.since, self.until = path, whole, tail, since, until
        self.fd = -1
        self._begins = dict.fromkeys(streams, 0)  # the offset in the file of the first byte to be shown
        self._unfinished: dict[int, tuple[int, bytes, bool]] = {}
        self._batches = self._run()

    def open(self) -> bool:
        """Open the log, which can then be read even if its file is removed; False if there is none yet."""
        if self.fd < 0:
            try:
                self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
        return True

    def read(self) -> list[Line] | None:
        """The next batch, which may be empty; None: the end of the log has been reached for now."""
        return next(self._batches)

    def rest(self) -> list[Line]:
        """The last lines, those without a newline."""
        left = [(moment, stream, data, begins) for stream, (moment, data, begins) in self._unfinished.items() if data]
        self._unfinished = {}
        return [line for line in left if self._wants(line[0])]

    def close(self) -> None:
        self._batches.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _run(self) -> Generator[list[Line] | None, None, None]:
        while not self.open():
            yield None
        offset = 0
        if self.tail is not None:
            offset = yield from self._find_tail(self.tail)
        while True:
            batch: list[Line] = []
            cost = 0
            for begin, moment, stream, data in forward(self.fd, offset):
                offset = begin + OVERHEAD + len(data)
                for piece in self._shown(begin, stream, data):
                    lines = self._split(moment, stream, piece) if self.whole else [(moment, stream, piece, True)]
                    batch += [line for line in lines if self._wants(line[0])]
                    cost += len(piece) + LINE_COST * len(lines)
                    if cost >= BATCH:
                        yield batch
                        batch, cost = [], 0
                cost += OVERHEAD
            if batch:
                yield batch
            yield None

    def _shown(self, begin: int, stream: int, data: bytes) -> Iterator[bytes]:
        """The bytes of a record that are to be shown, in parts that are short enough to be split into lines."""
        if stream not in self._begins:
            return
        first = max(0, self._begins[stream] - begin - HEADER.size)
        step = PART if self.whole else LONGEST_RECORD
        for start in range(first, len(data), step):
            yield data[start : start + step]

    def _split(self, moment: int, stream: int, data: bytes) -> list[Line]:
        begun, before, begins = self._unfinished.pop(stream, (moment, b"", True))
        *whole, last = data.split(b"\n")
        lines: list[Line] = []
        if whole:
            lines.append((begun, stream, before + whole[0] + b"\n", begins))
            lines += [(moment, stream, line + b"\n", True) for line in whole[1:]]
            begun, before, begins = moment, b"", True
        last = before + last
        if len(last) >= LONGEST_LINE:
            lines.append((begun, stream, last, begins))
            last, begins = b"", False
        if last or not begins:
            self._unfinished[stream] = (begun, last, begins)
        return lines

    def _wants(self, moment: int) -> bool:
        return moment >= self.since and (not self.until or moment <= self.until)

    def _find_tail(self, count: int) -> Generator[list[Line] | None, None, int]:
        """Find the last `count` lines; returns the offset to read from. Yields empty batches meanwhile."""
        tail = _Tail(self._begins, count, whole_end(self.fd))
        for walked, (offset, _, stream, data) in enumerate(backward(self.fd, tail.offset)):
            if tail.is_found():
                break
            if walked % 256 == 255:
                yield []
            if stream in self._begins:
                tail.take(offset, stream, data)
        else:
            tail.reach_start()
        self._begins = tail.begins
        return tail.offset


class _Tail:
    """Finds where the last lines of a log begin. It takes the records from the last one backwards.

    Lines count in the order in which they end; an unfinished one counts, too.

    count     lines whose end has not been met yet
    open      streams of whose first shown line the end has been met, but not the beginning
    begins    by stream: the offset in the file of the first byte to be shown
    offset    of the first record that contains such a byte
    """

    def __init__(self, streams: Iterable[int], count: int, end: int) -> None:
        self.count, self.offset, self.begins = count, end, dict.fromkeys(streams, end)
        self.open: set[int] = set()
        self._met: set[int] = set()

    def is_found(self) -> bool:
        return not self.count and not self.open

    def take(self, offset: int, stream: int, data: bytes) -> None:
        """The record before the last one taken."""
        if stream not in self._met and self.count and not data.endswith(b"\n"):
            self._meet_end(stream)
        self._met.add(stream)
        newlines = data.count(b"\n")
        if newlines < self.count:  # each of them ends a line that is shown
            self.count -= newlines
            if newlines:
                self.open.add(stream)
            return
        at = len(data)
        while (self.count or stream in self.open) and (at := data.rfind(b"\n", 0, at)) >= 0:
            if stream in self.open:
                self.begins[stream], self.offset = offset + HEADER.size + at + 1, offset
                self.open.discard(stream)
            if self.count:
                self._meet_end(stream)

    def reach_start(self) -> None:
        """There are no more records: the open lines begin with the file."""
        for stream in self.open:
            self.begins[stream] = self.offset = 0

    def _meet_end(self, stream: int) -> None:
        self.count -= 1
        self.open.add(stream)


def forward(fd: int, offset: int) -> Iterator[Record]:
    """Each whole record from this offset on."""
    block, at, looked = b"", offset, -1
    while len(block) > looked:
        position = 0
        while len(block) - position >= OVERHEAD:
            moment, stream, length = HEADER.unpack_from(block, position)
            end = position + OVERHEAD + length
            if length > LONGEST_RECORD or end > len(block):
                break
            yield at + position, moment, stream, block[position + HEADER.size : end - TRAILER.size]
            position = end
        at, looked = at + position, len(block) - position
        block = os.pread(fd, BLOCK, at)


def backward(fd: int, end: int) -> Iterator[Record]:
    """Each record before the offset `end`, the last one first. A record must end there."""
    while end > 0:
        start = max(0, end - BLOCK)
        block = os.pread(fd, end - start, start)
        size = len(block)
        while size >= OVERHEAD:
            (length,) = TRAILER.unpack_from(block, size - TRAILER.size)
            begin = size - OVERHEAD - length
            if begin < 0:
                break
            moment, stream, _ = HEADER.unpack_from(block, begin)
            yield start + begin, moment, stream, block[begin + HEADER.size : size - TRAILER.size]
            size = begin
        if start + size == end:  # no whole record was found here
            return
        end = start + size


def whole_end(fd: int) -> int:
    """The offset at which the last whole record ends; mostly that is the size of the file."""
    size = os.fstat(fd).st_size
    if size >= OVERHEAD:
        (length,) = TRAILER.unpack(os.pread(fd, TRAILER.size, size - TRAILER.size))
        if length <= min(LONGEST_RECORD, size - OVERHEAD):
            _, _, head_length = HEADER.unpack(os.pread(fd, HEADER.size, size - OVERHEAD - length))
            if head_length == length:
                return size
    end = 0
    for offset, _, _, data in forward(fd, 0):
        end = offset + OVERHEAD + len(data)
    return end
