"""What goes into the guest and how: provision/vagrant.rb, provision/guest.sh's functions, tools/disk_image.py."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import tarfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import disk_image

PROVISION = Path(__file__).parent.parent / "provision"
PACK = "File.open(ARGV[1], 'wb') { |file| Lab.pack(ARGV[0], file) }"


def ruby(code: str, *arguments: str) -> str:
    """Run Ruby with provision/vagrant.rb loaded, as Vagrant's own Ruby would."""
    words = ["ruby", "-r", str(PROVISION / "vagrant.rb"), "-e", code, *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.needs("ruby")
def test_a_checkout_with_crlf_arrives_with_lf(tmp_path: Path) -> None:
    """Text has Linux's line ends in the guest, a file that begins with #! is a program, and other bytes stay."""
    checkout = tmp_path / "checkout"
    for folder in ("tools", ".git", ".venv/bin", "site", "lab/__pycache__"):
        (checkout / folder).mkdir(parents=True)
    (checkout / "tools/setup").write_bytes(b"#!/bin/bash\r\necho\r\n")
    (checkout / "tools/site").write_bytes(b"text\r\n")
    (checkout / "data").write_bytes(b"\0\r\n")
    for left in (".git/x", ".venv/bin/x", "site/x", "lab/__pycache__/x"):
        (checkout / left).touch()
    ruby(PACK, str(checkout), str(tmp_path / "tar"))
    with tarfile.open(tmp_path / "tar") as tar:
        found = {m.name: (m.mode, (tar.extractfile(m) or pytest.fail(m.name)).read()) for m in tar if m.isfile()}
    assert found == {
        "./tools/setup": (0o755, b"#!/bin/bash\necho\n"),
        "./tools/site": (0o644, b"text\n"),
        "./data": (0o644, b"\0\r\n"),
    }


@pytest.mark.needs("ruby")
def test_what_goes_into_the_guest_is_what_git_knows(tmp_path: Path) -> None:
    """tar, which tools/vm and tools/box use, and Ruby leave out the same files."""
    checkout = PROVISION.parent
    ruby(PACK, str(checkout), str(tmp_path / "ruby.tar"))
    subprocess.run(["tar", "-X", PROVISION / "not-copied", "-cf", tmp_path / "tar.tar", "."], cwd=checkout, check=True)
    names = []
    for path in ("ruby.tar", "tar.tar"):
        with tarfile.open(tmp_path / path) as tar:
            names.append({member.name for member in tar if member.isfile()})
    assert names[0] == names[1]
    assert {"./Vagrantfile", "./tools/site", "./tools/box", "./lab/spec.py"} <= names[0]


@pytest.mark.needs("ruby")
@pytest.mark.parametrize(
    ("vagrant", "virtualbox", "apple", "wanted"),
    [("2.3.4", "7.1.6r167084\n", "", "VirtualBox 7.1.6 needs Vagrant 2.4.2"),
     ("2.4.3", "7.2.0r1\n", "", "VirtualBox 7.2.0 needs Vagrant 2.4.9"),
     ("2.3.4", "7.0.20r1\n", "", None), ("2.4.10", "7.2.0r1\n", "", None), ("2.3.4", "", "", None),
     ("2.4.9", "7.1.4r165100\n", "apple", "VirtualBox 7.1.6 or later is needed, and this is VirtualBox 7.1.4"),
     ("2.4.1", "7.1.6r1\n", "apple", "VirtualBox 7.1.6 needs Vagrant 2.4.2"), ("2.4.2", "7.1.6r1\n", "apple", None)],
)  # fmt: skip
def test_a_virtualbox_that_does_not_fit(vagrant: str, virtualbox: str, apple: str, wanted: str | None) -> None:
    """VirtualBox 7.1 needs Vagrant 2.4.2, VirtualBox 7.2 needs 2.4.9, and Apple silicon needs VirtualBox 7.1.6."""
    shown = ruby("puts Lab.unfit(ARGV[0], ARGV[1], ARGV[2] != '').to_s", vagrant, virtualbox, apple).strip()
    assert bool(shown) == bool(wanted)
    assert not wanted or (wanted in shown and "--provider=NAME" in shown)


@pytest.mark.needs("ruby")
def test_the_provider_that_vagrant_will_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option decides, then the machine that was made, then the environment; else VirtualBox is the provider."""
    monkeypatch.setenv("VAGRANT_DEFAULT_PROVIDER", "")

    def provider(*words: str) -> str:
        return ruby("puts Lab.provider(ARGV[1..], ARGV[0])", str(tmp_path), *words).strip()

    assert provider("up") == "virtualbox"
    monkeypatch.setenv("VAGRANT_DEFAULT_PROVIDER", "hyperv")
    assert provider("up") == "hyperv"
    machine = tmp_path / ".vagrant/machines/lab/libvirt"
    machine.mkdir(parents=True)
    assert provider("reload") == "hyperv"  # a folder without an id: this machine was destroyed
    (machine / "id").touch()
    assert provider("reload", "lab") == "libvirt"
    assert provider("up", "--provider", "parallels") == provider("up", "--provider=parallels") == "parallels"


UNFIT = """
module Vagrant
  VERSION = "2.3.4"
  def self.require_version(_) = nil
end
def Lab.virtualbox = "7.2.0r1"
Lab.check_versions
puts "goes on"
"""


@pytest.mark.needs("ruby")
@pytest.mark.parametrize(
    ("words", "goes_on"),
    [("up", False), ("reload", False), ("--debug provision lab", False), ("status", True), ("ssh lab -c up", True),
     ("up --provider=libvirt", True)],
)  # fmt: skip
def test_only_who_starts_virtualbox_is_stopped(
    words: str, goes_on: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A VirtualBox that does not fit stops `vagrant up`, `reload` and `provision`, unless another provider is used."""
    monkeypatch.setenv("VAGRANT_DEFAULT_PROVIDER", "virtualbox")
    (tmp_path / "provision").mkdir()  # a checkout without a machine, which this one may have
    for name in ("vagrant.rb", "not-copied"):
        shutil.copy(PROVISION / name, tmp_path / "provision")
    script = UNFIT.replace("Lab.check_versions", f"ARGV.replace(%w[{words}])\nLab.check_versions")
    command = ["ruby", "-r", str(tmp_path / "provision/vagrant.rb"), "-e", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout == "goes on\n") == goes_on
    assert ("needs Vagrant 2.4.9" in done.stderr, done.returncode) == ((not goes_on), int(not goes_on))


@pytest.mark.needs("ruby")
def test_the_sum_of_a_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LAB_BOX_SHA256 is the sum of a file or a URL; without that, the sum beside a file is taken."""
    monkeypatch.delenv("LAB_BOX_SHA256", raising=False)
    box, show = tmp_path / "lab.box", "puts Lab.box_sum(ARGV[0]).inspect"
    assert ruby(show, str(box)) == ruby(show, "https://example.org/lab.box") == "nil\n"
    (tmp_path / "lab.box.sha256").write_text("abc  lab.box\n")
    assert ruby(show, str(box)) == '"abc"\n'
    monkeypatch.setenv("LAB_BOX_SHA256", "def")
    assert ruby(show, str(box)) == ruby(show, "https://example.org/lab.box") == '"def"\n'


@pytest.mark.needs("ruby")
def test_the_address_of_a_box(tmp_path: Path) -> None:
    """A file becomes a whole path and an address stays; what is neither stops `vagrant up`, and no other command."""
    box, show = tmp_path / "lab.box", "box = ARGV.shift; puts Lab.box_url(box)"
    box.touch()
    assert ruby(show, os.path.relpath(box), "up") == f"{box}\n"
    assert ruby(show, "https://example.org/lab.box", "up") == "https://example.org/lab.box\n"
    assert ruby(show, "box/absent.box", "halt") == "box/absent.box\n"
    with pytest.raises(subprocess.CalledProcessError) as caught:
        ruby(show, "box/absent.box", "up")
    assert "no such file" in caught.value.stderr
    assert "make box" in caught.value.stderr


def test_the_wheels_of_a_box_are_those_of_a_venv() -> None:
    """tools/box takes along what `tools/setup venv dev` installs, which has no network in the guest."""
    read = 'source <(sed -n "/^requirements() {/,/^}/p" tools/box); requirements'
    command = ["bash", "-c", read]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=PROVISION.parent)
    project = tomllib.loads((PROVISION.parent / "pyproject.toml").read_text())["project"]
    extras = re.findall(r'-e "\.\[(\w+)\$\{1:\+,\$1\}\]"', (PROVISION.parent / "tools/setup").read_text())
    assert extras == ["stage"]
    wanted = {*project["dependencies"]}.union(*(project["optional-dependencies"][extra] for extra in (*extras, "dev")))
    assert wanted <= set(done.stdout.splitlines())


def guest(code: str, **env: str) -> str:
    """Run functions of provision/guest.sh, which does nothing when it is only read."""
    return subprocess.run(
        ["bash", "-c", f". {PROVISION}/guest.sh; {code}"], capture_output=True, text=True, check=True, timeout=60,
        env={"PATH": "/usr/bin:/bin:/usr/sbin", **env},
    ).stdout  # fmt: skip


def test_ubuntus_restriction_of_user_namespaces(tmp_path: Path) -> None:
    """Where the kernel has Ubuntu's switch, it is turned off now and at each boot; elsewhere nothing is written."""
    env = {"PROC_SYS": str(tmp_path / "proc"), "SYSCTL_D": str(tmp_path / "sysctl.d")}
    assert guest("user_namespaces", **env) == ""
    assert not any(tmp_path.iterdir())
    (tmp_path / "proc/kernel").mkdir(parents=True)
    switch = tmp_path / "proc/kernel/apparmor_restrict_unprivileged_userns"
    switch.write_text("1\n")
    assert "wrote" in guest("user_namespaces", **env)
    assert switch.read_text() == "0\n"
    [file] = (tmp_path / "sysctl.d").iterdir()
    assert file.read_text() == "kernel.apparmor_restrict_unprivileged_userns = 0\n"
    assert guest("user_namespaces", **env) == ""


def test_a_login_starts_in_the_checkout(tmp_path: Path) -> None:
    """An interactive login shell starts in the checkout; a command that comes by ssh stays in the home directory."""
    guest(f"write() {{ cat >{tmp_path}/profile; }}; login '{tmp_path}/a b'")
    (tmp_path / "a b").mkdir()
    for option, wanted in (("-i", "a b"), ("-l", "")):
        shown = subprocess.run(
            ["bash", "--norc", "--noprofile", option, "-c", f". {tmp_path}/profile; pwd"],
            capture_output=True, text=True, check=True, cwd=tmp_path, env={"HOME": str(tmp_path)},
        ).stdout  # fmt: skip
        assert shown.strip() == str(tmp_path / wanted).rstrip("/")


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], subprocess.CompletedProcess[str]]:
    """labd-fresh.sh in a machine where `systemctl restart` is noted, and starts labd if its code says so."""
    for folder in ("lab", "daemon/wire"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "daemon/wire/front.py").write_text("good")
    script = (PROVISION / "labd-fresh.sh").read_text().replace("/run/", f"{tmp_path}/")
    (tmp_path / "fresh").write_text(script)
    (tmp_path / "systemctl").write_text(
        f"#!/bin/sh\necho $1\n[ $1 != restart ] || {{ touch {tmp_path}/labd.started; grep -q good daemon/wire/*; }}\n"
    )
    (tmp_path / "systemctl").chmod(0o755)
    return lambda: subprocess.run(
        ["bash", tmp_path / "fresh", tmp_path], capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )  # fmt: skip


def test_labd_is_restarted_when_its_code_has_changed(
    tmp_path: Path, fresh: Callable[[], subprocess.CompletedProcess[str]]
) -> None:
    """labd is restarted once for a change, also after a change with which it did not start; status 1 says that."""

    def changed(text: str, seconds: int) -> tuple[int, int]:
        (tmp_path / "daemon/wire/front.py").write_text(text)
        later = time.time() + seconds
        os.utime(tmp_path / "daemon/wire/front.py", (later, later))
        done = fresh()
        return done.stdout.count("restart\n"), done.returncode

    (tmp_path / "labd.started").touch()
    assert changed("good", -9) == (0, 0)
    os.utime(tmp_path / "labd.started", (1, 1))
    assert changed("good", -9) == (1, 0)
    assert fresh().stdout == ""
    os.utime(tmp_path / "labd.started", (1, 1))
    assert changed("bad", -9) == (1, 1)
    os.utime(tmp_path / "labd.started", (1, 1))
    assert changed("good", -9) == (1, 0)


def test_the_partition_table() -> None:
    """One bootable Linux partition goes from 1 MB to the end of the disk; the BIOS's signature ends the sector."""
    table = disk_image.partition_table(100)
    assert len(table) == 66
    status, kind, first, count = struct.unpack("<B3xB3xII", table[:16])
    assert (status, kind, first * 512, (first + count) * 512) == (0x80, 0x83, 2**20, 100 * 2**20)
    assert table[16:] == bytes(48) + b"\x55\xaa"


@pytest.mark.parametrize("number", [b"46cacd55", b"7"])
def test_the_id_of_a_vmdk_file(number: bytes) -> None:
    """The same number stands in each file, and no byte after the text moves, however long the old number was."""
    text = b"# Disk DescriptorFile\nversion=1\nCID=%s\nparentCID=ffffffff\n"
    head = bytes(512) + (text % number).ljust(20 * 512, b"\0")
    assert disk_image.same_id(head) == bytes(512) + (text % disk_image.ID).ljust(20 * 512, b"\0")
