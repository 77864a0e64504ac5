"""What both clients show, in one form: times, ages, tables, the rows of `ps` and `images`, errors on the way."""

from __future__ import annotations

import json
import sys
import time

from lab.errors import InvalidArgument, LabError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PS_COLUMNS = ("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES")
LONG_ID, SHORT_ID, LONGEST_COMMAND = 64, 12, 20
SECOND = 10**9  # in ns
FIRST, LAST = -62_135_596_800 * SECOND, 253_402_300_800 * SECOND - 1  # the years 1 to 9999, in ns since 1970
UNITS = {"h": 3600, "m": 60, "s": 1}


def printable(text: str) -> str:
    """The text with control and format characters as escapes: what a container is named cannot move the cursor.

    A format character such as U+202E would reverse the text behind it.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns of equal width."""
    table = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    for row in table:
        print("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def ps_row(
    container_id: str, image: str, command: str, created: int, status: str, name: str, *, whole: bool
) -> tuple[str, ...]:
    """A row under PS_COLUMNS. created is in ns since 1970; whole: neither id nor command is cut (--no-trunc)."""
    if not whole and len(command) > LONGEST_COMMAND:
        command = command[: LONGEST_COMMAND - 1] + "\N{HORIZONTAL ELLIPSIS}"
    length = LONG_ID if whole else SHORT_ID
    return container_id[:length], image, json.dumps(command, ensure_ascii=False), f"{ago(created)} ago", status, name


def image_row(name: str, image_id: str, size: int, damage: str = "", *, whole: bool = False) -> str:
    """A row of `images`. size is in bytes; damage says why the image cannot be used, "" if nothing is wrong.

    whole: the id is not cut (--no-trunc).
    """
    about = f"damaged: {damage}" if damage else f"{size / 1e6:8.1f} MB"
    shown = image_id if whole else image_id.removeprefix("sha256:")[:SHORT_ID]
    return f"{printable(name):30} {shown}  {printable(about)}"


def ago(moment: int) -> str:
    """How long ago a time in ns since 1970 is, in its largest unit: "3 hours"."""
    seconds = max(0, time.time_ns() - moment) // SECOND
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return _counted(seconds // length, unit)
    return _counted(seconds, "second")


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def rfc3339(moment: int) -> str:
    """2018-02-06T12:00:00.000000000Z for ns since 1970; year 1 for 0, as Go prints its zero time.

    RFC 3339 knows the years 0 to 9999; the time of a file may lie outside of them.
    """
    if not moment or moment < FIRST:
        return "0001-01-01T00:00:00Z"
    seconds, nanoseconds = divmod(min(moment, LAST), SECOND)
    parts = time.gmtime(seconds)
    return f"{parts.tm_year:04}{time.strftime('-%m-%dT%H:%M:%S', parts)}.{nanoseconds:09}Z"


def parse_time(text: str) -> int:
    """A time as --since has it, in ns since 1970. Raises InvalidArgument.

    Seconds since 1970 (1700000000.5), how long ago (10m, 1h30m), or RFC 3339 (2018-02-06T12:00:00Z).
    """
    import re

    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text, re.ASCII):
        whole, _, part = text.partition(".")
        return int(whole) * SECOND + int(part.ljust(9, "0"))
    if text and re.fullmatch(r"(\d{1,6}h)?(\d{1,6}m)?(\d{1,9}s)?", text, re.ASCII):
        seconds = sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([hms])", text))
        return time.time_ns() - seconds * SECOND
    if re.match(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        return _calendar_time(text)
    raise _invalid_time(text)


def _calendar_time(text: str) -> int:
    """A date or a date and time; without an offset it is local, as docker-logs(1) has it."""
    import datetime

    try:
        return int(datetime.datetime.fromisoformat(text).timestamp() * 10**6) * 1000
    except (ValueError, OverflowError):
        raise _invalid_time(text) from None


def _invalid_time(text: str) -> InvalidArgument:
    return InvalidArgument(
        f"invalid time {text[:40]!a}", "write seconds since 1970, how long ago (10m, 1h30m), or 2018-02-06T12:00:00Z"
    )


def each(program: str, references: Sequence[str], act: Callable[[str], object]) -> int:
    """Act on everything that was named, and print what act returns. After an error go on with the next.

    Returns the last error's exit code, 0 without one.
    """
    code = 0
    for reference in references:
        try:
            print(act(reference))
        except LabError as error:
            print(error.told_by(program), file=sys.stderr)
            code = error.exit_code
    return code


def agreed(what: str) -> bool:
    """Whether the user agrees that this is removed, as docker asks."""
    print(f"WARNING! This will remove {what}.\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
