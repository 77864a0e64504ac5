"""The commands that the pages tell a reader to type. `python tests/kernel/docs_commands.py` prints those for the guest.

Translated pages have the same commands: tests/test_translated_pages.py.

A command is each line of a fenced block that is no output, and each cell of a table, or part of it in back ticks, that
begins with a program. Before a block, a comment may say how its commands are to be taken:

    <!-- guest: WHY -->    they run in the lab's virtual machine only
    <!-- guest: WHY; background -->    likewise, and the last of them goes on until the page ends it
    <!-- lab shell -->     they are typed in a `lab shell`
    <!-- fails -->         the page says that they fail
    <!-- later -->         they end what the page has started: they come last
    <!-- x86-64 -->        they are for that machine; likewise arm64
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PAGES = sorted([*(CHECKOUT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md")),
                *(page for page in (CHECKOUT / "docs").rglob("*.md") if page.parent.name != "zh-TW")])  # fmt: skip
BLOCK = re.compile(r"(?:^ *<!-- ([^>]+) -->\n)?^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(r"\A |^type=|✔|✘", re.MULTILINE)
# Programs that pages name and this machine may lack.
ELSEWHERE = {
    "auditctl",
    "ausearch",
    "ctr",
    "docker",
    "docker-compose",
    "git",
    "less",
    "make",
    "podman",
    "ps",
    "vagrant",
}


@dataclass(frozen=True)
class Command:
    """A line to type, on that page; mark is what the comment before its block says, else ""."""

    page: str
    text: str
    mark: str = ""


def commands(page: Path) -> Iterator[Command]:
    """The page's commands in their order; those marked `later` come last."""
    text = page.read_text(encoding="utf-8")
    name = page.relative_to(CHECKOUT).as_posix()
    found = [(match.start(), match[1] or "", line) for match in BLOCK.finditer(text) for line in _typed(match)]
    found += [(start, "", line) for start, line in _cells(BLOCK.sub(lambda match: "\n" * len(match[0]), text))]
    for _, mark, line in sorted(found, key=lambda item: ("later" in item[1], item[0])):
        yield Command(name, line, mark)


def _typed(match: re.Match[str]) -> Iterator[str]:
    """The lines of a block of commands; a line that ends in a backslash goes on in the next."""
    indent, language, body = match[2], match[3], match[4]
    body = "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
    if language not in ("", "sh") or OUTPUT.search(body):
        return
    for line in body.replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            yield re.sub(r"\s+# .*$", "", line)


def _cells(text: str) -> Iterator[tuple[int, str]]:
    """Code in table rows that begins with a program and has at least one more word."""
    for row in re.finditer(r"^\|.*\|$", text, re.MULTILINE):
        for span in re.finditer(r"`([^`]+)`", row[0].replace("\\|", "|")):
            words = _split(span[1])
            program = next((word for word in words if word != "sudo"), "")
            if len(words) > 1 and (program in ELSEWHERE or program.startswith(".venv/bin/") or known(program)):
                yield row.start() + span.start(), span[1]


def known(program: str) -> bool:
    """Whether this machine has the program, or it is a file of the checkout."""
    return bool(shutil.which(program)) or (CHECKOUT / program).is_file()


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # an unclosed quotation is no command
        return []


if __name__ == "__main__":
    for page in PAGES:
        for command in commands(page):
            if command.mark.startswith("guest"):
                print(f"{command.page}\t{command.mark}\t{command.text}")
