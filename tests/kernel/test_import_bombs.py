"""Tars made to exhaust their reader: memory and disk stay bounded, the error is one sentence, nothing is left."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import CHECKOUT, add, lab_python, stored

from lab.errors import InvalidArgument
from lab.files import remove_tree
from lab.images import Images

pytestmark = pytest.mark.needs("root")

# Imports standard input; prints what came of it, and the unpacker's peak of resident memory in MiB.
IMPORT = """
import resource, sys
from lab.errors import LabError
from lab.images import Images
try:
    print(Images(sys.argv[1]).import_tar("bomb", sys.stdin.buffer).id)
except LabError as error:
    print(type(error).__name__, error.message)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
"""
MIB = 1 << 20


def bombed(place: Path, tar: bytes) -> tuple[str, int]:
    """What the import said, and its peak of memory in MiB; after a refusal nothing may be left."""
    with tempfile.TemporaryFile() as file:
        file.write(tar)
        file.seek(0)
        said, peak = lab_python(IMPORT, str(place), stdin=file).split("\n")
    if not said.startswith("sha256"):
        assert stored(place) == []
        assert said.startswith("InvalidArgument cannot import: ")
    return said, int(peak)


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A member's header, whatever size it tells."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


def gzipped(*parts: tuple[bytes, int]) -> bytes:
    """A gzip of (block, how many times), made in no time: each block is compressed once, and its bytes repeated."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    for block, count in parts:
        first = compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
        again = compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
        data += first + again * (count - 1)
    return data + compressor.flush() + bytes(8)  # the checksum is wrong: none of these is read to the end


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 64 MiB and 2,000 inodes."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=2000", "lab-test", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGLINK, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_long_header_is_not_read(tmp_path: Path, kind: bytes) -> None:
    """A name, or pax header, of 1.5 GiB in a few MiB of gzip: refused by its length, which a header tells."""
    said, peak = bombed(tmp_path, gzipped((header("x", 1536 * MIB, kind), 1), (b"a" * MIB, 1536)))
    assert "a header has 1610612736 bytes" in said
    assert peak < 100


def test_headers_upon_headers(tmp_path: Path) -> None:
    """100,000 long names for one member are refused as nested too deep."""
    said, peak = bombed(
        tmp_path, gzipped((header("x", 5, tarfile.GNUTYPE_LONGNAME) + b"name\0".ljust(512, b"\0"), 10**5))
    )
    assert "nested too deep" in said
    assert peak < 100


def test_global_headers_upon_global_headers(tmp_path: Path) -> None:
    """Global headers are kept in memory for all members: too many of them are refused."""
    blocks = []
    for number in range(4):
        records = b"".join(b"%d %d.%05d=%s\n" % (1013, number, n, b"v" * 1000) for n in range(240))
        blocks.append(header("g", len(records), tarfile.XGLTYPE) + records.ljust(-(-len(records) // 512) * 512, b"\0"))
    said, peak = bombed(tmp_path, gzipped((b"".join(blocks), 1000)))
    assert "nested too deep" in said or "memory" in said or "header" in said
    assert peak < 600


def test_two_gibibytes_of_zeros(small_disk: Path) -> None:
    """A file for which there is no room is refused before it is written."""
    bomb = gzipped((header("zeros", 2048 * MIB), 1), (bytes(MIB), 2048))
    assert len(bomb) < 4 * MIB
    place = small_disk / "images"
    place.mkdir()
    said, peak = bombed(place, bomb)
    assert "the filesystem would have less than 3 MiB left" in said
    assert peak < 100


def test_a_bomb_in_a_layer(small_disk: Path) -> None:
    """A layer of 2 GiB of zeros in an archive of `docker save`: refused before it is written, nothing is left."""
    place = small_disk / "images"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        add(tar, "layer", gzipped((header("zeros", 2048 * MIB), 1), (bytes(MIB), 2048)))
        config = {"rootfs": {"diff_ids": ["sha256:" + "0" * 64]}}
        add(tar, "config", json.dumps(config).encode())
        add(tar, "manifest.json", json.dumps([{"Config": "config", "Layers": ["layer"]}]).encode())
    buffer.seek(0)
    with pytest.raises(InvalidArgument, match="the filesystem would have less than 3 MiB left"):
        list(Images(str(place)).load(buffer))
    assert stored(place) == []
    found = os.statvfs(small_disk)
    assert found.f_bavail * found.f_frsize > 63 * MIB


def test_many_files_that_fill_the_disk(small_disk: Path) -> None:
    """Files of 1 MiB each, one more than there is room for: some of the disk stays free, then all is free again."""
    place = small_disk / "images"
    place.mkdir()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number in range(80):
            add(tar, f"file{number}", b"x" * MIB)
    said, _ = bombed(place, buffer.getvalue())
    assert "would have less than 3 MiB left" in said
    found = os.statvfs(small_disk)
    assert found.f_bavail * found.f_frsize > 63 * MIB


def test_more_files_than_there_are_inodes(small_disk: Path) -> None:
    """A million empty files: some inodes stay free, then all are free again."""
    place = small_disk / "images"
    place.mkdir()
    names = b"".join(header(f"d{number}", 0) for number in range(4096))
    said, peak = bombed(place, gzipped((names, 250)))
    assert "a twentieth of its inodes" in said
    assert peak < 100


@pytest.mark.stress
def test_a_million_members(tmp_path: Path) -> None:
    """The same file a million times takes neither inodes nor disk: the members are counted."""
    said, peak = bombed(tmp_path, gzipped((header("same", 0) * 4096, 250)))
    assert "more than 500000 members" in said
    assert peak < 100


def test_a_bzip2_of_gigabytes(small_disk: Path) -> None:
    """Some kilobytes of bzip2 hold gigabytes: they are unpacked in small pieces."""
    place = small_disk / "images"
    place.mkdir()
    compressor = bz2.BZ2Compressor(9)
    bomb = compressor.compress(header("zeros", 300 * MIB))
    for _ in range(300):
        bomb += compressor.compress(bytes(MIB))
    bomb += compressor.flush()
    assert len(bomb) < 4096
    said, peak = bombed(place, bomb)
    assert "would have less than" in said
    assert peak < 100


def test_an_xz_that_needs_a_large_dictionary(tmp_path: Path) -> None:
    """`xz --lzma2=dict=3GiB` asks its reader for as much memory, and is refused."""
    small = lzma.compress(header("x", 0) + bytes(1024), filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 4096}])
    # The dictionary's size is one byte of the block header: 39 means 3 GiB; the header's CRC follows.
    at = 12
    length = (small[at] + 1) * 4
    block = bytearray(small[at : at + length])
    block[block.index(b"\x21\x01") + 2] = 39
    block[-4:] = zlib.crc32(bytes(block[:-4])).to_bytes(4, "little")
    said, peak = bombed(tmp_path, small[:at] + bytes(block) + small[at + length :])
    assert "more than 512 MiB of memory" in said
    assert peak < 100


def test_what_an_honest_tar_needs_is_there(tmp_path: Path) -> None:
    """A tar of `xz -9e` with long names and extended attributes is imported."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("/".join(["n" * 200] * 15))
        member.pax_headers = {"SCHILY.xattr.user.large": "v" * 60_000}
        tar.addfile(member)
        add(tar, "random", os.urandom(MIB))
    said, peak = bombed(tmp_path, lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME))
    assert said.startswith("sha256:")
    assert peak < 200


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_stream_cut_anywhere(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    """A tar that is cut between members, in a header, in a file or in its checksum is refused; nothing is left."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number in range(4):
            add(tar, f"file{number}", os.urandom(600))
    tar_end = 4 * (512 + 1024)
    data = compress(buffer.getvalue())
    images = Images(str(tmp_path / "images"))
    cuts = [512, 700, 1536, 1537, 3072, tar_end - 1, tar_end] if compress is bytes else []
    cuts += [] if compress is bytes else [7, len(data) // 2, len(data) - 9, len(data) - 1]
    for cut in cuts:
        with pytest.raises(InvalidArgument, match="cannot import"):
            images.import_tar("cut", io.BytesIO(data[:cut]))
        assert stored(Path(images.root)) == [], cut
    assert images.import_tar("whole", io.BytesIO(data)).size == 2400


def test_a_hard_link_to_nothing(tmp_path: Path) -> None:
    """A hard link to a missing member is an error at once: the rest of the tar is not searched for it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        add(tar, "link", kind=tarfile.LNKTYPE, link="nothing")
        add(tar, "file", b"x")
    said, _ = bombed(tmp_path, buffer.getvalue())
    assert "No such file" in said


def deep_tar(levels: int) -> bytes:
    """A tree deeper than PATH_MAX, by symlinks to where the last member ended."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        base, target = "", ""
        for number in range(levels):
            path = base + "/".join(["d"] * 400)
            add(tar, path, kind=tarfile.DIRTYPE, mode=0o755)
            target = path
            add(tar, f"s{number}", kind=tarfile.SYMTYPE, link=target)
            base = f"s{number}/"
    return buffer.getvalue()


def test_a_tree_deeper_than_a_path(tmp_path: Path) -> None:
    """An image with 4,000 directories in one another can be removed."""
    images = Images(str(tmp_path / "images"))
    images.import_tar("deep", io.BytesIO(deep_tar(10)))
    images.remove("deep")
    assert stored(Path(images.root)) == []


def test_removal_follows_no_symlink(tmp_path: Path) -> None:
    """remove_tree() follows neither a symlink in the tree, nor one in place of the tree."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    tree = tmp_path / "tree/a/b"
    tree.mkdir(parents=True)
    (tree / "way").symlink_to(precious)
    (tmp_path / "tree/way").symlink_to(precious)
    remove_tree(str(tmp_path / "tree"))
    (tmp_path / "tree").symlink_to(precious)
    with pytest.raises(OSError, match="tree"):
        remove_tree(str(tmp_path / "tree"))
    assert (precious / "file").exists()


def start_import(place: Path, name: str) -> subprocess.Popen[bytes]:
    """An import that reads its tar from a pipe."""
    code = f"""
import sys; sys.path.insert(0, {str(CHECKOUT)!r})
from lab.images import Images
print(Images(sys.argv[1]).import_tar(sys.argv[2], sys.stdin.buffer).name)
"""
    command = [sys.executable, "-ISc", code, str(place), name]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def partial(place: Path, count: int) -> None:
    """Return when `count` imports have unpacked their first file."""
    deadline = time.monotonic() + 20
    while len(list(place.glob(".*/rootfs/file0"))) != count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_import_is_swept_and_a_running_one_is_not(tmp_path: Path) -> None:
    """The next import removes what a killed one left, and leaves alone what another is still writing."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number in range(10):
            add(tar, f"file{number}", os.urandom(MIB))
    data, place = buffer.getvalue(), tmp_path / "images"
    with start_import(place, "killed") as killed, start_import(place, "slow") as slow:
        assert killed.stdin and slow.stdin and slow.stdout
        for process in (killed, slow):
            assert process.stdin
            process.stdin.write(data[: 3 * MIB])
            process.stdin.flush()
        partial(place, 2)
        killed.kill()
        killed.wait()
        deadline = time.monotonic() + 20
        while len([path for path in place.iterdir() if path.name.startswith(".")]) > 1:
            assert time.monotonic() < deadline  # the killed import's unpacker ends at the end of its input
            Images(str(place)).import_tar("quick", io.BytesIO(data))
            Images(str(place)).remove("quick")
        partial(place, 1)
        slow.stdin.write(data[3 * MIB :])
        slow.stdin.close()
        assert slow.stdout.read() == b"slow\n"
    (image,) = (found for found in Images(str(place)).list() if not found.is_host)
    assert stored(place) == sorted([image.id[7:], *image.layers, "slow"])


def test_two_imports_of_one_name(tmp_path: Path) -> None:
    """Of two imports of one name, the slower one gets it; the other image has no name any more."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        add(tar, "file0", b"x")
        add(tar, "file1", b"x" * MIB)

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() == 0:
                Images(str(tmp_path)).import_tar("name", io.BytesIO(buffer.getvalue()))
            return super().read(size)

    slower = Images(str(tmp_path)).import_tar("name", Slow(buffer.getvalue()))
    found = Images(str(tmp_path)).list()
    assert [image.tags for image in found] == [["host"], ["name"], []] and found[1].id == slower.id
