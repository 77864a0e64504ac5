"""One layer's members, put over what the layers below have left: whiteouts, and what stands in the way.

https://github.com/opencontainers/image-spec/blob/main/layer.md. `.wh.NAME` removes NAME, `.wh..wh..opq` all that the
layers below have in its directory. Other names with `.wh..wh.` are the remains of AUFS. The working directory is the
root of the image and of this process, so that no name leads out of there; used in a separate process.
"""

import os
import stat
import tarfile

from lab import files

WHITEOUT, OPAQUE, AUFS = ".wh.", ".wh..wh..opq", ".wh..wh."
CAPABILITY = "security.capability"  # the only extended attribute that is kept
XATTR = "SCHILY.xattr."  # before the name of an attribute in a pax header


class Layer:
    """Takes the members of one layer's tar."""

    def __init__(self) -> None:
        self._names: set[str] = set()  # of this layer: an opaque whiteout spares them

    def take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> int:
        """Extract a member, or do what a whiteout says; returns the bytes of a file. Raises what tarfile raises."""
        path = os.path.normpath(f"/{member.name}").lstrip("/")
        folder, name = os.path.split(path)
        if name == OPAQUE:
            self._empty(folder)
        elif name.startswith(WHITEOUT) and not name.startswith(AUFS):
            _remove(_below(folder, _whited(name)))
        elif not name.startswith(WHITEOUT) and not member.isdev():  # the runtime makes /dev
            self._extract(tar, member, path)
            return member.size
        return 0

    def _extract(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
        member.name = path or "."
        if path:
            _clear(path, member.isdir())
        tar.extract(member, numeric_owner=True)
        while path and path not in self._names:
            self._names.add(path)
            path = os.path.dirname(path)
        capability = member.pax_headers.get(f"{XATTR}{CAPABILITY}")
        if capability and member.isreg():
            _set_capability(member.name, capability)

    def _empty(self, folder: str) -> None:
        waiting = [folder]
        while waiting:
            top = waiting.pop()
            if not _is_directory(top or "."):
                continue
            for name in os.listdir(top or "."):
                path = _below(top, name)
                if path not in self._names:
                    _remove(path)
                else:
                    waiting.append(path)


def _whited(name: str) -> str:
    """The name that a whiteout removes. Raises ReadError for one that would remove its directory, or the one above."""
    target = name.removeprefix(WHITEOUT)
    if target in ("", ".", ".."):
        raise tarfile.ReadError(f"{name} is no whiteout")
    return target


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _clear(path: str, directory: bool) -> None:
    """Remove what stands at the path, but for a directory in the place of a directory; moby's UnpackLayer()."""
    if not (directory and _is_directory(path)):
        _remove(path)


def _remove(path: str) -> None:
    if _is_directory(path):
        files.remove_tree(path)
        return
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        pass


def _set_capability(path: str, value: str) -> None:
    try:
        os.setxattr(path, CAPABILITY, value.encode(errors="surrogateescape"), follow_symlinks=False)
    except OSError:
        pass  # in a user namespace, or on a filesystem without attributes: the program has no capability then
