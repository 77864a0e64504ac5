"""A program that unpacks a tar from standard input into a directory: python -IS unpack.py DIRECTORY.

The process makes the directory its root first, so that no path and no symlink in the tar leads to the host; Docker does
the same (moby, chrootarchive). An ordinary user gets the right to chroot(2) from a user namespace. The program prints
the SHA-256 of the bytes read and the sum of the files' sizes, or the reason for its failure on standard error.
"""

import hashlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lab import syscalls, tars


class HashingReader:
    """Standard input, and the SHA-256 of all bytes that were read from it."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = sys.stdin.buffer.read(size)
        self.digest.update(data)
        return data


def main(directory: str) -> int:
    """Unpack into the directory; returns the exit code, 0 or 1."""
    tars.confine()
    if os.geteuid() != 0:
        _become_root_of_a_namespace()
    os.chdir(directory)
    tars.seal()
    os.chroot(".")
    os.umask(0o022)
    reader = HashingReader()
    try:
        size = tars.unpack(reader, lambda member: not member.isdev())  # the runtime makes /dev
        while reader.read(1 << 20):
            pass
    except Exception as error:  # not a traceback, which would open source files in the image
        print(tars.reason(error), file=sys.stderr)
        return 1
    print(reader.digest.hexdigest(), size)
    return 0


def _become_root_of_a_namespace() -> None:
    uid, gid = os.getuid(), os.getgid()
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
