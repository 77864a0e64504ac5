"""Unpack a tar from standard input into a directory, as a process of its own: python -IS unpack.py DIRECTORY.

The process makes the directory its root first, so that what the tar says of paths and symlinks cannot reach the host;
Docker does the same (moby, chrootarchive). An ordinary user gets the right to chroot(2) from a user namespace.
Prints the SHA-256 of the bytes read and the sum of the files' sizes; or, on standard error, why not.
"""

import hashlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lab import syscalls, tars


class HashingReader:
    """Standard input, with a SHA-256 of all that went through."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = sys.stdin.buffer.read(size)
        self.digest.update(data)
        return data


def main(directory: str) -> int:
    """Exit status 0, or 1."""
    tars.confine()
    if os.geteuid() != 0:
        _become_root_of_a_namespace()
    os.chdir(directory)
    tars.seal()
    os.chroot(".")
    os.umask(0o022)
    reader = HashingReader()
    try:
        size = tars.unpack(reader, lambda member: not member.isdev())  # the runtime makes its own /dev
        while reader.read(1 << 20):
            pass
    except Exception as error:  # a traceback would look for source files, and for their encodings, in the image
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
