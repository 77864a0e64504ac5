"""The error tree: what its table says is what its classes do, and a pipe loses nothing of it."""

from __future__ import annotations

import re

import pytest

from lab import errors
from lab.errors import LabError, from_bytes


def classes(base: type[LabError] = LabError) -> list[type[LabError]]:
    """The class and all below it."""
    return [base, *(found for child in base.__subclasses__() for found in classes(child))]


@pytest.mark.parametrize("kind", [kind for kind in classes() if kind.__module__ == errors.__name__])
def test_the_drawn_tree_is_the_tree(kind: type[LabError]) -> None:
    """Each class stands in the module's drawing, with its codes or those of the class above it."""
    row = re.search(rf"\b{kind.__name__}\b *(\d+)? *(\d+)?", errors.__doc__ or "")
    assert row
    if row[1]:
        assert (int(row[1]), int(row[2])) == (kind.exit_code, kind.http_status)
    else:
        parent = kind.__mro__[1]
        assert issubclass(parent, LabError)
        assert (parent.exit_code, parent.http_status) == (kind.exit_code, kind.http_status)


@pytest.mark.parametrize("kind", [kind for kind in classes() if kind.__module__ == errors.__name__])
def test_a_pipe_keeps_the_kind(kind: type[LabError]) -> None:
    """from_bytes() gives back class, message and hint."""
    error = from_bytes(kind("what happened", "what to do").to_bytes())
    assert (type(error), error.message, error.hint) == (kind, "what happened", "what to do")


def test_a_hostile_message_survives_the_pipe() -> None:
    """A message with NUL bytes or lone surrogates, as a path may have, is still an error that can be shown."""
    assert isinstance(from_bytes(LabError("a\0b\0c", "d").to_bytes()), LabError)
    assert isinstance(from_bytes(LabError("\udcff").to_bytes()), LabError)
