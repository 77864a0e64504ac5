"""The comments of an exercise's files, in the student's language; the code between them stays.

They are translated where a student begins with them, and where a solution is shown. A check and a grader take the files
as they lie there.

A comment is a message of the catalogue: lines that follow one another and begin with #, or what stands behind code, two
blanks and a #, or a docstring. The files are Python, sh, TOML and audit rules, so they are read by their lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from scenarios.performance.text import Translate

DOCSTRING = re.compile(r'^(?P<blanks> *)"""(?P<text>.+?)(?P<end>\n *)?"""', re.MULTILINE | re.DOTALL)
LINES = re.compile(r"^(?P<blanks> *)# .+(\n(?P=blanks)#.*)*", re.MULTILINE)
BEHIND_CODE = re.compile(r"(?<=\S)  +# (?P<text>.+ .+)$", re.MULTILINE)  # one word is a name, such as linux/mount.h


def in_language(files: Mapping[str, bytes], translate: Translate) -> dict[str, bytes]:
    """The files by name, their comments translated; what has no translation stays in English."""
    return {name: translated(data.decode(), translate).encode() for name, data in files.items()}


def translated(text: str, translate: Translate) -> str:
    """A file's text, its comments translated."""

    def docstring(found: re.Match[str]) -> str:
        told = _indented(translate(_flush(found["text"], found["blanks"])), found["blanks"])
        return f'{found["blanks"]}"""{told.lstrip()}{found["end"] or ""}"""'

    def lines(found: re.Match[str]) -> str:
        return _indented(translate(re.sub(r"^ *# ?", "", found[0], flags=re.MULTILINE)), f"{found['blanks']}# ")

    def behind_code(found: re.Match[str]) -> str:
        return found[0].removesuffix(found["text"]) + translate(found["text"])

    for pattern, told in ((DOCSTRING, docstring), (LINES, lines), (BEHIND_CODE, behind_code)):
        text = pattern.sub(told, text)
    return text


def _flush(text: str, blanks: str) -> str:
    return text.replace(f"\n{blanks}", "\n")


def _indented(text: str, before: str) -> str:
    return "\n".join(f"{before}{line}".rstrip() for line in text.splitlines())
