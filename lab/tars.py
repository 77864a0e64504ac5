"""Read tars that are not trusted: in bounded memory, and only while the disk has room; used in a separate process.

That process has made the image or the container its root. So it must import nothing any more: an import would find
the image's files (CVE-2019-14271).
"""

import bz2
import encodings.unicode_escape  # noqa: F401 (a codec that reason() looks up after seal())
import gzip
import lzma
import os
import resource
import tarfile

from lab import sealed
from lab.shown import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    class Readable(Protocol):
        def read(self, size: int, /) -> bytes: ...


ADDRESS_SPACE = 512 << 20  # bytes; an ordinary tar.xz needs 100 MiB, one of `xz -9` 160 MiB
LONGEST_HEADER = (
    256 << 10
)  # bytes; tarfile reads a header whole. Linux has names below 4 KiB and attributes below 64 KiB
LONGEST_REASON = 1000
MOST_MEMBERS = 500_000
ROOM = 1 << 30  # bytes that stay free, or a twentieth of a small filesystem; and a twentieth of the inodes
LONG_HEADERS = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip
ZSTD = b"\x28\xb5\x2f\xfd"
MAGIC: "tuple[tuple[bytes, Callable[[Any], Readable]], ...]" = (
    (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file, mode="rb")),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\0", lzma.LZMAFile),
)


def confine() -> None:
    """Limit the memory of this process to what an ordinary tar needs; call this before the root is changed."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def seal() -> None:
    """Call lab.sealed.seal(), and stop tarfile from asking the C library for names."""
    sealed.seal()
    # The C library would load NSS modules from the container.
    tarfile.pwd = tarfile.grp = None  # type: ignore[attr-defined]


class Member(tarfile.TarInfo):
    """A header. It is refused where tarfile would take it for the end of the archive, or read too much into memory.

    Debian 13's Python calls neither frombuf() nor, for the header after a long one, fromtarfile(). Every Python calls
    _proc_member() for each header; the comments in tarfile.py name that method as one to override.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "Member":
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError):  # type: ignore[attr-defined]
            raise tarfile.ReadError("the tar ends too early") from None
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from None

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size < 0 or (self.type in LONG_HEADERS and self.size > LONGEST_HEADER):
            raise tarfile.ReadError(f"a header has {self.size} bytes; at most {LONGEST_HEADER} are allowed")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found


class Tar(tarfile.TarFile):
    """A hard link to a missing file is an error; tarfile would read to the end of the archive to find the file."""

    tarinfo = Member

    def makelink(self, tarinfo: tarfile.TarInfo, targetpath: "Any") -> None:
        if tarinfo.issym():
            super().makelink(tarinfo, targetpath)
        else:
            os.link(tarinfo.linkname, targetpath)

    def makelink_with_filter(
        self, tarinfo: tarfile.TarInfo, targetpath: "Any", filter_function: "Any", extraction_root: "Any"
    ) -> None:
        """What Python calls instead of makelink() since the releases of June 2025 (CVE-2025-4330)."""
        if tarinfo.issym():
            super().makelink_with_filter(tarinfo, targetpath, filter_function, extraction_root)
        else:
            os.link(tarinfo.linkname, targetpath)


class Rest:
    """A stream whose first bytes have been read already; read() gives these first."""

    def __init__(self, head: bytes, stream: "Readable") -> None:
        self.head, self.stream = head, stream

    def read(self, size: int) -> bytes:
        if self.head:
            data, self.head = self.head[:size], self.head[size:]
            return data
        return self.stream.read(size)


def unpack(stream: "Readable", wanted: "Callable[[tarfile.TarInfo], bool]") -> int:
    """Unpack a tar, plain or compressed, in the working directory; returns the sum of the files' sizes in bytes.

    Raises what tarfile and the decompressors raise, and ReadError for a tar that is too large.
    """
    size, data = 0, decompressed(stream)
    for tar, member in members(data):
        if wanted(member):
            require_room(member.size)
            tar.extract(member, numeric_owner=True)
            size += member.size
    data.read(1 << 20)  # the checksum is at the end of the compressed data
    return size


def members(data: "Readable") -> "Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]":
    """Each member of a plain tar, in turn, with the archive from which it can be extracted."""
    with Tar.open(fileobj=data, mode="r|") as tar:  # type: ignore[call-overload]
        tar.extraction_filter = lambda member, path: member  # the changed root is the filter
        for number, member in enumerate(iter(tar.next, None)):
            tar.members.clear()  # tarfile would keep a kilobyte for each member
            if number >= MOST_MEMBERS:
                raise tarfile.ReadError(f"the tar has more than {MOST_MEMBERS} members")
            yield tar, member


def decompressed(stream: "Readable") -> "Readable":
    """Decompress with Python's file classes: tarfile's reader would unpack 10 KiB of bzip2 into gigabytes at once."""
    head = stream.read(6)
    if head.startswith(ZSTD):
        raise tarfile.ReadError("it is compressed with zstd, which Python cannot read: use gzip, bzip2, xz or none")
    rest = Rest(head, stream)
    for magic, opened in MAGIC:
        if head.startswith(magic):
            return opened(rest)
    return rest


def require_room(size: int) -> None:
    found = os.statvfs(".")
    spare = min(ROOM, found.f_blocks * found.f_frsize // 20)
    if found.f_bavail * found.f_frsize - size < spare:
        raise tarfile.ReadError(f"the filesystem would have less than {spare >> 20} MiB left")
    if found.f_files and found.f_favail < found.f_files // 20:
        raise tarfile.ReadError("the filesystem has less than a twentieth of its inodes left")


def reason(error: BaseException) -> str:
    """Why a tar could not be unpacked, in one line of bounded length without control characters."""
    return printable(_reason(error)[:LONGEST_REASON])


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"reading the tar takes more than {ADDRESS_SPACE >> 20} MiB of memory"
    if isinstance(error, RecursionError):
        return "the headers or directories of the tar are nested too deep"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__
