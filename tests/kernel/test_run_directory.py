"""/run/lab, from which the engines take their interpreter and filters, is root's alone.

Each test has an empty /run, in a new mount namespace.
"""

from __future__ import annotations

import subprocess

import pytest
from support import Podmanish

pytestmark = pytest.mark.needs("root")

EMPTY_RUN = "mount -t tmpfs -o mode=755 none /run\n"


def with_own_run(script: str, podmanish: Podmanish) -> subprocess.CompletedProcess[str]:
    """Run a shell script in which $P is the command podmanish."""
    words = ["unshare", "--mount", "sh", "-ec", EMPTY_RUN + script.replace("$P", " ".join(podmanish.command))]
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)


def test_no_umask_opens_it(podmanish: Podmanish) -> None:
    """A first run with umask 0 makes no directory that others may put an interpreter or a filter into."""
    script = "umask 0; $P run --rm host true; find /run -xdev -type d -perm /022; stat -c %a /run/lab/seccomp"
    done = with_own_run(script, podmanish)
    assert (done.stdout, done.returncode) == ("700\n", 0), done.stderr


def test_one_that_others_can_change_is_refused(podmanish: Podmanish) -> None:
    """A /run/lab that others can change is refused: root would run an interpreter that another user put there."""
    for script in ("mkdir -m 777 /run/lab", "mkdir -p /run/lab/interpreter; chown 65534 /run/lab/interpreter"):
        done = with_own_run(f"{script}; $P run --rm host true", podmanish)
        assert done.returncode == 125 and "can be changed by others" in done.stderr, done.stderr


def test_a_directory_in_place_of_the_mount(podmanish: Podmanish) -> None:
    """A directory in place of the read-only mount, or a mount that has become writable, is mounted over."""
    script = (
        "mkdir -p /run/lab/interpreter/usr/bin; cp -P /usr/bin/python3* /run/lab/interpreter/usr/bin\n"
        "timeout 10 $P run --rm host echo one\n"
        "mount -o remount,bind,rw /run/lab/interpreter/usr; timeout 10 $P run --rm host echo two"
    )
    done = with_own_run(script, podmanish)
    assert (done.stdout, done.returncode) == ("one\ntwo\n", 0), done.stderr


def test_an_empty_filter_in_the_cache_is_none(podmanish: Podmanish) -> None:
    """An empty file in the cache of filters does not leave the container without a filter."""
    script = "$P run --rm host true; for file in /run/lab/seccomp/*; do : > $file; done; "
    done = with_own_run(script + "$P run --rm host grep Seccomp: /proc/self/status", podmanish)
    assert done.stdout.split() == ["Seccomp:", "2"], done.stderr
