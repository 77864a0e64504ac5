"""The catalogues of translations: what the code and the recordings say, compared with what is translated.

    python -m tools.messages update     put new messages into the catalogues, remove those that nothing says any more
    python -m tools.messages missing    print what is not translated yet, as a .po to fill in
    python -m tools.messages fill FILE  put the translations of such a .po into the catalogue
    python -m tools.messages check      say what is wrong; exit status 1 if anything is

The messages are found by tools/extract.py, and in the shipped recordings, which hold what every story performs.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from scenarios.audiences.talk_reel import RECORDINGS
from scenarios.languages.choice import FOLDER, LANGUAGES
from scenarios.needs import PROGRAMS
from scenarios.props.real_engines import LABS, REAL
from tools.extract import CHECKOUT, WORD, of_comments, of_exercise, of_python, of_template, of_tests

ROOMS = ("scenarios", "lab/audit")
MODULES = (
    "lab/identity.py",
    "lab/images/names.py",
    "lab/images/store.py",
    "lab/images/making.py",
    "lab/images/old.py",
    "lab/images/removal.py",
    "lab/interpreter.py",
    "lab/tars.py",
)  # what else `lab` itself raises from
# The same in every language; so is what is a command, a page, a path or a field to its last word, and no sentence.
WORDS = ("auid", "ses", "uid", "tty", "comm", "exe", "key", "pid", "labd", "systemd", "cgroups", "python3-venv")
NAMES = {*LABS, *REAL, *WORDS}
COMMAND = re.compile(
    r"sudo (apt-get|auditctl|chmod|chown|lab|loginctl|make|service|ssh-copy-id|sysctl|\.venv/\S+)\b[^:,]*|lab[-.]\S+"
    r"|[A-Za-z]\w*=\S*( \w+=\S*)*|/\S*|(--[\w-]+(, )?)+|which \S+|([\w.,-]+\(\d\)(, )?)+"
    r"|([a-z]+, )+[a-z]+|\{\w+\} python3-venv|[\w./-]+\.(md|py|sh|toml|txt)(#\S+|, `\w+`)?|lab exercise reset \d"
    r"|lab (restore|talk)|moment|finished|waiting|page"  # the last are words between the talk's processes
)
PLACEHOLDER = re.compile(r"\{\w+\}")
HEADER = """\
# {name} messages of loginuid lab. docs/translating.md says how to change them.
# Copyright (C) 2026 the authors of loginuid lab; Apache-2.0, as the lab.
#"""


def messages() -> dict[str, list[str]]:
    """Every message, with the files that say it, in their order."""
    found: dict[str, list[str]] = {}
    for source, said in _sources():
        for one in said:
            if not is_name(one) and source not in found.setdefault(one, []):
                found[one].append(source)
    return found


def _sources() -> Iterator[tuple[str, Sequence[str]]]:
    folders = [CHECKOUT / room for room in ROOMS]
    modules = [*(CHECKOUT / name for name in MODULES), *(path for folder in folders for path in folder.rglob("*.py"))]
    for path in sorted(modules):
        yield str(path.relative_to(CHECKOUT)), of_python(path)
    for path in sorted((CHECKOUT / "scenarios").rglob("*.html")):
        yield str(path.relative_to(CHECKOUT)), of_template(path)
    for path in sorted((CHECKOUT / "exercises").glob("*/exercise.toml")):
        yield str(path.relative_to(CHECKOUT)), of_exercise(path)
    for folder in ("start", "solution"):
        for path in sorted((CHECKOUT / "exercises").glob(f"*/{folder}/*")):
            yield str(path.relative_to(CHECKOUT)), of_comments(path)
    for path in sorted((CHECKOUT / "exercises").glob("*/test_*.py")):
        yield str(path.relative_to(CHECKOUT)), [*of_tests(path), *of_python(path)]
    for path in sorted(RECORDINGS.glob("*.jsonl")):
        yield str(path.relative_to(CHECKOUT)), of_recording(path)


def is_name(message: str) -> bool:
    """Whether it is the same in every language."""
    return (
        message in NAMES
        or message.startswith("\n")
        or not WORD.search(PLACEHOLDER.sub("", message))
        or bool(COMMAND.fullmatch(message))
    )


def of_recording(path: Path) -> list[str]:
    """The messages that a recorded run performed, without the names that stood for an argument."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [text for line in lines for text in _texts(line)]
    values = {str(value) for text in texts for value in text["arguments"].values()}
    users = {line["beat"]["user"] for line in lines if line.get("beat", {}).get("kind") == "opening"}
    return [text["message"] for text in texts if text["message"] not in {*values, *users, *PROGRAMS}]


def _texts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.keys() == {"message", "arguments"}:
            yield value
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def catalogues() -> dict[str, Catalog]:
    """The catalogue of each language but English, by its code."""
    found = {}
    for code, language in LANGUAGES.items():
        path = FOLDER / f"{code}.po"
        if code == "en":
            continue
        text = path.read_bytes() if path.exists() else b""
        found[code] = read_po(io.BytesIO(text), locale=code.replace("-", "_"), charset="utf-8")
        found[code].header_comment = HEADER.format(name=language.tag)
    return found


def write(code: str, catalog: Catalog) -> None:
    """The catalogue as a file that two translators can merge: without dates and without numbers of lines."""
    catalog.project, catalog.version = "loginuid lab", ""
    output = io.BytesIO()
    write_po(output, catalog, width=0, include_lineno=False, ignore_obsolete=True)
    kept = [line for line in output.getvalue().decode().splitlines() if not _drifts(line)]
    (FOLDER / f"{code}.po").write_text("\n".join(kept).rstrip() + "\n", encoding="utf-8")


def _drifts(line: str) -> bool:
    return line.startswith(('"POT-Creation-Date', '"PO-Revision-Date', '"Generated-By', '"Last-Translator', '"Report-'))


def updated(catalog: Catalog, wanted: Mapping[str, Sequence[str]]) -> Catalog:
    """The catalogue with these messages and no others, in the order of their files."""
    fresh = Catalog(catalog.locale, header_comment=catalog.header_comment, charset="utf-8", fuzzy=False)
    for english, files in wanted.items():
        known = catalog.get(english)
        kept = (known.string, known.flags & {"fuzzy"}, known.user_comments) if known else ("", set(), [])
        string, flags, comments = kept
        fresh.add(english, string, [(file, 0) for file in files[:3]], flags=flags, user_comments=comments)
    return fresh


def problems(catalog: Catalog, wanted: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What is missing, unused, fuzzy, or has other placeholders than the message."""
    known = {str(one.id): one for one in catalog if one.id}
    yield from (f"not in the catalogue: {english!r} ({wanted[english][0]})" for english in wanted.keys() - known.keys())
    yield from (f"unused: {english!r}" for english in known.keys() - wanted.keys())
    for english, one in known.items():
        if not one.string:
            yield f"not translated: {english!r}"
        elif one.fuzzy:
            yield f"fuzzy: {english!r}"
        elif sorted({*PLACEHOLDER.findall(str(one.string))}) != sorted({*PLACEHOLDER.findall(english)}):
            yield f"other placeholders: {english!r}: {one.string!r}"


def fill(path: Path) -> None:
    """Take the translations of this .po."""
    with path.open("rb") as file:
        given = read_po(file, charset="utf-8")
    for code, catalog in catalogues().items():
        for one in given:
            if one.id and one.string and one.id in catalog:
                catalog[one.id].string = one.string
        write(code, catalog)


def main(words: Sequence[str]) -> int:
    """One of the verbs above."""
    match words:
        case ["update"]:
            wanted = messages()
            for code, catalog in catalogues().items():
                write(code, fresh := updated(catalog, wanted))
                missing = sum(not one.string for one in fresh if one.id)
                print(f"{code}: {len(wanted)} messages, {missing} of them not translated")
        case ["missing"]:
            for catalog in catalogues().values():
                for one in catalog:
                    if one.id and not one.string:
                        print(f'#: {one.locations[0][0]}\nmsgid {json.dumps(one.id, ensure_ascii=False)}\nmsgstr ""\n')
        case ["fill", file]:
            fill(Path(file))
        case ["check"]:
            wanted = messages()
            found = [f"{code}: {one}" for code, catalog in catalogues().items() for one in problems(catalog, wanted)]
            print("\n".join(found) or "all messages are translated")
            return 1 if found else 0
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
