"""A process that has moved into an image's or a container's root imports no module: it would be a hostile one."""

from __future__ import annotations

import bz2
import io
import lzma
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from private_labd import CHECKOUT, Labd
from support import add, lab_python

pytestmark = pytest.mark.needs("root")

STANDARD_LIBRARY = Path(sysconfig.get_paths()["stdlib"])
TRAP = b"open('/sprung', 'a').write(__name__ + '\\n')\n"
# Python shows a failure's source lines, and for that decodes the file in the encoding that it names.
SOURCE = b"# -*- coding: trap -*-\n" + b"\n" * 3000
MODULES = ("bz2", "lzma", "gzip", "_compression", "tarfile", "copy", "socket", "traceback", "linecache", "tokenize",
           "json", "warnings", "encodings/trap", "encodings/idna", "encodings/cp437", "encodings/__init__")  # fmt: skip


def add_traps(tar: tarfile.TarFile) -> None:
    """Add hostile modules in every place where the host's Python would look for its own."""
    for module in MODULES:
        add(tar, str(STANDARD_LIBRARY / f"{module}.py").lstrip("/"), TRAP)
    for path in (CHECKOUT / "lab").rglob("*.py"):
        add(tar, str(path).lstrip("/"), SOURCE)
    for path in (CHECKOUT / "daemon").rglob("*.py"):
        add(tar, str(path).lstrip("/"), SOURCE)
    add(tar, str(STANDARD_LIBRARY / "tarfile.py").lstrip("/"), SOURCE)


def tar_with(*ends: bytes, traps: bool = False) -> bytes:
    """A tar, with traps on request, and with other bytes where its end should be."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        if traps:
            add_traps(tar)
        add(tar, "file", b"x")
        offset = tar.offset
    return buffer.getvalue()[:offset] + b"".join(ends)


def long_names(count: int) -> bytes:
    """A number of headers with a long name, all for one member."""
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 5
    return (member.tobuf(tarfile.GNU_FORMAT) + b"name\0".ljust(512, b"\0")) * count


ENDS = {
    "cut": b"",
    "garbage": b"g" * 5120,
    "nested": long_names(2000),
    "long": tarfile.TarInfo("y" * 99).tobuf(tarfile.GNU_FORMAT).replace(b"0" * 11 + b"\0", b"7" * 11 + b"\0", 1),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_a_failing_import_runs_nothing_of_the_image(tmp_path: Path, end: bytes) -> None:
    """The unpacker reports any failure in one line, and imports nothing for it."""
    command = [sys.executable, "-IS", str(CHECKOUT / "lab/unpack.py"), "layers", str(tmp_path), "0:-1"]
    done = subprocess.run(command, input=tar_with(end, traps=True), capture_output=True, check=False, timeout=60)
    assert (tmp_path / "file").exists()
    assert not (tmp_path / "sprung").exists()
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1, done.stderr


IMPORTS = """
import os, sys
from lab import tars
os.chroot(sys.argv[1])
os.chdir("/")
tars.confine()
tars.seal()
tried = {"socket", "encodings.trap", "html", "sqlite3", "_socket", "this", "multiprocessing"} - set(sys.modules)
for name in sorted(tried):
    try:
        __import__(name)
    except ImportError as error:
        assert "after seal()" in str(error), error
    else:
        print(name)
try:
    "x".encode("trap")
except LookupError:
    pass
else:
    print("codec")
"""


def test_nothing_can_be_imported_after_the_seal(tmp_path: Path) -> None:
    """After the seal no module can be imported: no file of the container, no built-in, frozen or C module."""
    with tarfile.open(fileobj=io.BytesIO(tar_with(bytes(1024), traps=True))) as tar:
        tar.extraction_filter = lambda member, path: member  # Python before 3.11.4 knows no argument for that
        tar.extractall(tmp_path)
    assert lab_python(IMPORTS, str(tmp_path)) == ""
    assert not (tmp_path / "sprung").exists()


@pytest.fixture(scope="module")
def trapped(labd: Labd, rootfs_tar: bytes) -> Iterator[str]:
    """An image with a shell and traps."""
    buffer = io.BytesIO(rootfs_tar)
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        add_traps(tar)
    status, answer = labd.request("POST", "/images/create?fromSrc=-&repo=trapped", buffer.getvalue())
    assert status == 200, answer
    yield "trapped"
    labd.request("DELETE", "/images/trapped")  # other tests count the images of this daemon


UPLOADS = {
    "plain": tar_with(bytes(1024)),
    "bz2": bz2.compress(tar_with(bytes(1024))),
    "xz": lzma.compress(tar_with(bytes(1024))),
    "no bz2": b"BZh9" + b"garbage" * 100,
    "no xz": b"\xfd7zXZ\0" + b"garbage" * 100,
    "no gzip": b"\x1f\x8b" + b"garbage" * 100,
    **{name: tar_with(end) for name, end in ENDS.items()},
}


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_docker_cp_runs_nothing_of_the_container(labd: Labd, trapped: str, running: bool) -> None:
    """Good uploads are taken and bad ones refused with a 400; none springs a trap of the container."""
    done = labd.dockerish("run", "-d", "--name", "trap", trapped, "sleep", "100" if running else "0")
    assert done.returncode == 0, done.stderr
    if not running:
        labd.request("POST", "/containers/trap/wait")
    codes = {name: labd.request("PUT", "/containers/trap/archive?path=/tmp", data)[0] for name, data in UPLOADS.items()}
    assert codes == {name: 200 if name in ("plain", "bz2", "xz") else 400 for name in UPLOADS}
    assert labd.request("GET", "/containers/trap/archive?path=/tmp/file")[0] == 200
    assert labd.request("GET", "/containers/trap/archive?path=/sprung")[0] == 404
    assert labd.request("DELETE", "/containers/trap?force=1")[0] == 204


def test_docker_cp_refuses_bombs(labd: Labd, trapped: str) -> None:
    """A header of gigabytes is refused by its length; the container's other files are what they were."""
    assert labd.dockerish("create", "--name", "bombed", trapped, "true").returncode == 0
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.GNUTYPE_LONGLINK, 3 << 30
    data = member.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)
    status, answer = labd.request("PUT", "/containers/bombed/archive?path=/tmp", data)
    assert status == 400 and "a header has 3221225472 bytes" in answer["message"]
    member.type, member.size = tarfile.REGTYPE, 7 << 40
    status, answer = labd.request("PUT", "/containers/bombed/archive?path=/tmp", member.tobuf(tarfile.GNU_FORMAT))
    assert status == 400 and "the filesystem would have less than" in answer["message"]
    assert labd.request("DELETE", "/containers/bombed")[0] == 204
