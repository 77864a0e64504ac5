"""Mount points as the kernel tells them: names of any bytes."""

from __future__ import annotations

import os

import pytest

from lab.mountpoints import mount_points, unescaped


@pytest.mark.parametrize("name", ["plain", "two words", "tab\tline\n", "back\\slash", "\\040", "größe", "音", "\udcff"])
def test_a_name_is_read_back(name: str) -> None:
    """As seq_path(9) escapes it: octal for what would end the field, other bytes unchanged."""
    field = b"".join(b"\\%03o" % byte if byte in b" \t\n\\" else bytes([byte]) for byte in os.fsencode(name))
    assert unescaped(field) == name


def test_the_root_and_proc_are_mount_points() -> None:
    """They are mounted wherever the tests run."""
    assert {"/", "/proc"} <= set(mount_points())
