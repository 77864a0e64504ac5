"""--change of import and commit: what docker refuses is refused, and the rest is written as docker writes it."""

from __future__ import annotations

from typing import Any

import pytest

from lab.errors import InvalidArgument
from lab.images.changes import changed


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("EXPOSE 80 53/UDP", {"ExposedPorts": {"80/tcp": {}, "53/udp": {}}}),
        ("EXPOSE 1-3/sctp", {"ExposedPorts": {"1/sctp": {}, "2/sctp": {}, "3/sctp": {}}}),
        ("STOPSIGNAL int", {"StopSignal": "int"}),
        ("WORKDIR ../..", {"WorkingDir": "/"}),
        ("WORKDIR a//b/\nWORKDIR ../c", {"WorkingDir": "/a/c"}),
        ("WORKDIR //x", {"WorkingDir": "/x"}),
    ],
)
def test_what_a_change_sets(change: str, expected: dict[str, Any]) -> None:
    """A range of ports is each of them; a directory is written in its shortest form."""
    assert changed({}, [change]) == expected


@pytest.mark.parametrize(
    "change",
    ["EXPOSE -5", "EXPOSE 99999", "EXPOSE 80/xyz", "EXPOSE 3-1", "EXPOSE 1-", "EXPOSE x", "EXPOSE ²", "STOPSIGNAL X"],
)
def test_what_no_container_could_have(change: str) -> None:
    """No image is made that says what is no port and no signal: its containers could not be made, or not be stopped."""
    with pytest.raises(InvalidArgument, match=r"no such port|Invalid signal"):
        changed({}, [change])
