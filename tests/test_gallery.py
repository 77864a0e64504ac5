"""The story gallery's predictions: what a PAM stack says of the loginuid."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.props import launchers


@pytest.mark.parametrize(
    "files, expected",
    [
        ({"login": "session required pam_loginuid.so\n"}, True),
        ({"login": "# session required pam_loginuid.so\n"}, False),
        ({"login": "@include common\n", "common": "session required pam_loginuid.so\n"}, True),
        ({"login": "session substack common\n", "common": "session required pam_loginuid.so\n"}, True),
        ({"login": "session include common\n", "common": "session required pam_unix.so\n"}, False),
        ({"other": "session required pam_loginuid.so\n"}, True),
        ({"login": "session required pam_unix.so\n", "other": "session required pam_loginuid.so\n"}, False),
        ({}, False),
    ],
)
def test_a_stack_with_pam_loginuid(
    files: dict[str, str], expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own lines count and the included ones; a service without a file has that of `other`; pam.conf(5)."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(launchers, "PAM", (tmp_path / "none", tmp_path))
    assert ("pam_loginuid" in launchers.pam_stack("login")) == expected
