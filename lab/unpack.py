"""A program that unpacks tars into a directory: python -IS unpack.py layers DIRECTORY IN:OUT..., or archive DIRECTORY.

The process makes the directory its root first, so that no path and no symlink in a tar leads to the host; Docker does
the same (moby, chrootarchive). An ordinary user gets the right to chroot(2) from a user namespace.

layers   each IN:OUT names two descriptors: a layer's tar, plain or compressed, and a file that gets the plain tar (-1:
         none). The layers are put over one another. For each the program prints the SHA-256 of the plain tar and the
         sum of the files' sizes.
archive  unpacks what `docker save` wrote, from standard input.

The reason for a failure comes on standard error.
"""

import hashlib
import os
import sys
import tarfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lab import syscalls, tars, whiteouts

CHUNK = 1 << 20
LONGEST_END = 1 << 20  # bytes behind the last member of a tar; tar(1) writes up to 10 KiB


class Copying:
    """A plain tar's bytes on their way to tarfile: hashed, and written to a file (-1: none)."""

    def __init__(self, stream: "tars.Readable", out: int) -> None:
        self.stream, self.out, self.digest = stream, out, hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.digest.update(data)
        rest = memoryview(data)
        while self.out >= 0 and rest:
            rest = rest[os.write(self.out, rest) :]
        return data

    def finish(self) -> None:
        """Read what is behind the last member: zeros, and the checksum of the compressed data."""
        left = LONGEST_END
        while data := self.read(CHUNK):
            left -= len(data)
            if left < 0:
                raise tarfile.ReadError(f"the tar goes on for more than {LONGEST_END >> 20} MiB behind its end")


def unpack_layer(source: int, out: int) -> tuple[str, int]:
    """Put one layer over those that are there: (SHA-256 of its plain tar, bytes of its files)."""
    copies = 1 if out < 0 else 2
    size, layer = 0, whiteouts.Layer()
    with open(source, "rb") as stream:
        plain = Copying(tars.decompressed(stream), out)
        for tar, member in tars.members(plain):
            tars.require_room(member.size * copies)
            size += layer.take(tar, member)
        plain.finish()
        while stream.read(CHUNK):  # a client may send more than the compressed data
            pass
    return plain.digest.hexdigest(), size


def main(verb: str, directory: str, *pairs: str) -> int:
    """Unpack into the directory; returns the exit code, 0 or 1."""
    tars.confine()
    if os.geteuid() != 0:
        _become_root_of_a_namespace()
    os.chdir(directory)
    tars.seal()
    os.chroot(".")
    os.umask(0o022)
    try:
        if verb == "archive":
            tars.unpack(sys.stdin.buffer, lambda member: not member.isdev())
            while sys.stdin.buffer.read(CHUNK):
                pass
        for source, _, out in (pair.partition(":") for pair in pairs):
            print(*unpack_layer(int(source), int(out)))
    except Exception as error:  # not a traceback, which would open source files in the image
        print(tars.reason(error), file=sys.stderr)
        return 1
    return 0


def _become_root_of_a_namespace() -> None:
    uid, gid = os.getuid(), os.getgid()
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
