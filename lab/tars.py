"""Tars from strangers: read in bounded memory, and unpacked only while there is room, in a process of its own.

The process has made the image or the container its root by then. So from that moment on it must import nothing: what
it would find is the image's own (CVE-2019-14271).
"""

import bz2
import encodings.unicode_escape  # noqa: F401 (a codec that reason() looks up when imports have ended)
import gzip
import lzma
import os
import resource
import tarfile

from lab import sealed
from lab.shown import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Readable(Protocol):
        def read(self, size: int, /) -> bytes: ...


ADDRESS_SPACE = 512 << 20  # an ordinary tar.xz takes 100 MiB of it, one packed with `xz -9` 160
LONGEST_HEADER = 256 << 10  # tarfile reads it whole. Linux has names below 4 KiB, a file's attributes below 64 KiB
LONGEST_REASON = 1000
MOST_MEMBERS = 500_000
ROOM = 1 << 30  # bytes that stay free; on a small filesystem a twentieth of it, and so of its inodes
LONG_HEADERS = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip
MAGIC: "tuple[tuple[bytes, Callable[[Any], Readable]], ...]" = (
    (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file, mode="rb")),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\0", lzma.LZMAFile),
)


def confine() -> None:
    """Before the root is changed: this process gets no more memory than an honest tar needs."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def seal() -> None:
    """lab.sealed.seal(), and what tarfile does beside imports."""
    sealed.seal()
    # tarfile would ask the C library for names, and that would load the container's NSS modules.
    tarfile.pwd = tarfile.grp = None  # type: ignore[attr-defined]


class Member(tarfile.TarInfo):
    """A header, refused where tarfile would take it for the end of the archive, or read it whole into memory."""

    @classmethod
    def frombuf(cls, buf: "Any", encoding: str, errors: str) -> "Member":
        try:
            member = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError("it ends too early" if len(buf) < tarfile.BLOCKSIZE else str(error)) from None
        if member.size < 0 or (member.type in LONG_HEADERS and member.size > LONGEST_HEADER):
            raise tarfile.ReadError(f"a header of {member.size} bytes; at most {LONGEST_HEADER} are taken")
        return member


class Tar(tarfile.TarFile):
    tarinfo = Member

    def makelink(self, tarinfo: tarfile.TarInfo, targetpath: "Any") -> None:
        """A hard link to what is not there is an error; tarfile would read on to the end in search of it."""
        if tarinfo.issym():
            super().makelink(tarinfo, targetpath)
        else:
            os.link(tarinfo.linkname, targetpath)


class Rest:
    """A stream of which the first bytes have been read."""

    def __init__(self, head: bytes, stream: "Readable") -> None:
        self.head, self.stream = head, stream

    def read(self, size: int) -> bytes:
        if self.head:
            data, self.head = self.head[:size], self.head[size:]
            return data
        return self.stream.read(size)


def unpack(stream: "Readable", wanted: "Callable[[tarfile.TarInfo], bool]") -> int:
    """Unpack a tar, plain or compressed, in the working directory; the sum of the files' sizes.

    Raises what tarfile and the decompressors raise, and ReadError for what is too large.
    """
    size, data = 0, _decompressed(stream)
    with Tar.open(fileobj=data, mode="r|") as tar:  # type: ignore[call-overload]
        tar.extraction_filter = lambda member, path: member  # the root is the filter; older Pythons have no other
        for number, member in enumerate(iter(tar.next, None)):
            tar.members.clear()  # a kilobyte each
            if number >= MOST_MEMBERS:
                raise tarfile.ReadError(f"it has more than {MOST_MEMBERS} members")
            if wanted(member):
                _require_room(member.size)
                tar.extract(member, numeric_owner=True)
                size += member.size
    data.read(1 << 20)  # to the end of what compresses it, where the checksum is
    return size


def _decompressed(stream: "Readable") -> "Readable":
    """By Python's file classes: tarfile's own reader would unpack 10 KiB of bzip2 into gigabytes at once."""
    head = stream.read(6)
    rest = Rest(head, stream)
    for magic, opened in MAGIC:
        if head.startswith(magic):
            return opened(rest)
    return rest


def _require_room(size: int) -> None:
    found = os.statvfs(".")
    spare = min(ROOM, found.f_blocks * found.f_frsize // 20)
    if found.f_bavail * found.f_frsize - size < spare:
        raise tarfile.ReadError(f"the filesystem would have less than {spare >> 20} MiB left")
    if found.f_files and found.f_favail < found.f_files // 20:
        raise tarfile.ReadError("the filesystem has less than a twentieth of its inodes left")


def reason(error: BaseException) -> str:
    """Why a tar could not be unpacked, in a line of bounded length; what the tar has chosen cannot steer a terminal."""
    return printable(_reason(error)[:LONGEST_REASON])


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"it takes more than {ADDRESS_SPACE >> 20} MiB of memory to read"
    if isinstance(error, RecursionError):
        return "its headers or directories are nested too deep"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__
