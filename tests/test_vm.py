"""tools/vm: the lab's disk under QEMU. Scripts stand in for QEMU and ssh; the real ones are tried by hand."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.pidfd import ended

pytestmark = pytest.mark.needs("ssh-keygen")

TOOLS = Path(__file__).parent.parent / "tools"
QEMU = """#!/bin/bash
printf '%s\\n' "$@" >qemu-arguments
sleep 60 >/dev/null 2>&1 & echo $! >.qemu/pid
"""
SSH = "#!/bin/bash\nprintf '<%s>' \"${@: -2}\" >>ssh-arguments; cat >>ssh-input\n"
IMG = '#!/bin/bash\ntouch "${@: -1}"\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A checkout with a disk, where QEMU is a process that sleeps."""
    for folder in ("bin", "box", "provision", "tools"):
        (tmp_path / folder).mkdir()
    shutil.copy(TOOLS / "vm", tmp_path / "tools")
    shutil.copy(TOOLS.parent / "provision/not-copied", tmp_path / "provision")
    for name, script in (("qemu-system-x86_64", QEMU), ("ssh", SSH), ("qemu-img", IMG)):
        (tmp_path / "bin" / name).write_text(script)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "box/lab.qcow2").touch()
    yield tmp_path
    vm(tmp_path, "destroy", PATIENCE="1")


def vm(checkout: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run tools/vm."""
    return subprocess.run(
        ["tools/vm", *words], cwd=checkout, env={"PATH": f"{checkout}/bin:{os.environ['PATH']}", "ACCEL": "tcg", **env},
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip


def test_the_machine_trusts_a_key_that_was_made_here(checkout: Path) -> None:
    """The key reaches both users as a credential in the SMBIOS tables; ssh listens on this machine alone."""
    assert vm(checkout, "up", PORT="2345").returncode == 0
    arguments = (checkout / "qemu-arguments").read_text().splitlines()
    assert any("hostfwd=tcp:127.0.0.1:2345-:22" in argument for argument in arguments)
    [credential] = [argument for argument in arguments if argument.startswith("type=11,")]
    lines = base64.b64decode(credential.split("tmpfiles.extra=")[1]).decode().splitlines()
    files = [line.split() for line in lines if line.startswith("f~")]
    assert [file[1] for file in files] == [f"/home/{user}/.ssh/authorized_keys" for user in ("vagrant", "dwalsh")]
    key = (checkout / ".qemu/key.pub").read_bytes()
    assert {base64.b64decode(file[-1]) for file in files} == {key}
    assert (checkout / ".qemu/key").stat().st_mode & 0o077 == 0


def test_a_command_finds_the_checkout_as_it_is_here(checkout: Path) -> None:
    """Before the command, the checkout is copied, without what belongs to this machine alone."""
    vm(checkout, "up")
    (checkout / "new").write_text("new")
    for name in ("ssh-input", "ssh-arguments"):
        (checkout / name).unlink()
    assert vm(checkout, "run", "the command").returncode == 0
    assert (checkout / "ssh-arguments").read_text().endswith("<vagrant@127.0.0.1><the command>")
    listed = subprocess.run(["tar", "-t"], input=(checkout / "ssh-input").read_bytes(), capture_output=True, check=True)
    names = listed.stdout.decode().split()
    assert "./new" in names
    assert not [name for name in names if name.startswith(("./.qemu", "./box"))]


def test_a_machine_that_is_not_up(checkout: Path) -> None:
    """Without a disk or a running machine, status 125 and what to paste."""
    for words, wanted in ((("run", "x"), "tools/vm up"), (("ssh",), "tools/vm up")):
        done = vm(checkout, *words)
        assert (done.returncode, wanted in done.stderr) == (125, True)
    (checkout / "box/lab.qcow2").unlink()
    done = vm(checkout, "up")
    assert (done.returncode, "sudo make disk" in done.stderr) == (125, True)


def test_forget_the_machine(checkout: Path) -> None:
    """`destroy` ends the machine, also one that does not shut itself down, and forgets its disk and key."""
    vm(checkout, "up")
    process = os.pidfd_open(int((checkout / ".qemu/pid").read_text()))
    assert vm(checkout, "destroy", PATIENCE="1").returncode == 0
    assert not (checkout / ".qemu").exists()
    assert ended(process, 10)  # it was sent a signal, and may take a moment
    os.close(process)
