"""`make class-kit`: the lab as two archives, one for students and one for their teacher; the same bytes each time.

    python -m tools.class_kit [DIR]    into DIR, default kit: two .tar.gz, and SHA256SUMS

Students get everything but the solutions, the wrong ways, the teacher's pages and the tests. The teacher gets
everything, and a page with the wrong ways of all exercises. In a checkout of git, what git knows is packed, as it is
there; without git, all files but those that .gitignore names.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

from scenarios.classroom.exercise import Exercise, every

CHECKOUT = Path(__file__).parent.parent
TOP = "loginuid-lab"
TEACHERS = re.compile(
    r"exercises/[^/]+/(solution|wrong)/.*|docs/teacher\.md|docs/class/(quiz(\.[\w-]+)?\.html|wrong-answers\.md)|tests/.*"
)
ANSWERS = "docs/class/wrong-answers.md"  # written for the teacher's archive alone


def main() -> None:
    """Write both archives and their sums."""
    folder = Path(sys.argv[1] if sys.argv[1:] else "kit")
    folder.mkdir(exist_ok=True)
    sums = ""
    for name, data in archives(CHECKOUT).items():
        (folder / name).write_bytes(data)
        sums += f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        print(f"{folder / name}: {len(data) / 1024:.0f} KiB")
    (folder / "SHA256SUMS").write_text(sums)


def archives(checkout: Path) -> dict[str, bytes]:
    """Both, by file name."""
    files = {name: (checkout / name).read_bytes() for name in known(checkout)}
    for_students = {name: data for name, data in files.items() if not TEACHERS.fullmatch(name)}
    for_teacher = {**files, ANSWERS: wrong_answers(every()).encode()}
    both = {"students": for_students, "teacher": for_teacher}
    programs = {name for name in files if os.access(checkout / name, os.X_OK)}
    return {f"{TOP}-{who}.tar.gz": packed(own, programs, moment(checkout)) for who, own in both.items()}


def known(checkout: Path) -> list[str]:
    """The files of the lab, as paths below the checkout, in the order of their names."""
    if (checkout / ".git").exists():
        words = ["git", "-c", f"safe.directory={checkout}", "ls-files", "-z"]
        said = subprocess.run(words, cwd=checkout, check=True, capture_output=True, text=True).stdout
        found = [name for name in said.split("\0") if name]
    else:
        found = [path.relative_to(checkout).as_posix() for path in _walked(checkout, _ignored(checkout))]
    return sorted(name for name in found if (checkout / name).is_file())


def _ignored(checkout: Path) -> list[str]:
    lines = (checkout / ".gitignore").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _walked(folder: Path, ignored: list[str]) -> Iterator[Path]:
    for path in folder.iterdir():
        folder_of_files = path.is_dir() and not path.is_symlink()
        name = f"{path.name}/" if folder_of_files else path.name
        if any(fnmatch(path.name, pattern) or fnmatch(name, pattern) for pattern in ignored):
            continue
        if folder_of_files:
            yield from _walked(path, ignored)
        else:
            yield path


def moment(checkout: Path) -> int:
    """Seconds since 1970: SOURCE_DATE_EPOCH, else the last commit's time; without git, that of CHANGELOG.md."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    if not (checkout / ".git").exists():
        return int((checkout / "CHANGELOG.md").stat().st_mtime)
    words = ["git", "-c", f"safe.directory={checkout}", "log", "-1", "--format=%ct"]
    return int(subprocess.run(words, cwd=checkout, check=True, capture_output=True, text=True).stdout)


def packed(files: Mapping[str, bytes], programs: set[str], when: int) -> bytes:
    """A tar.gz without a trace of the machine, the user or the hour: reproducible-builds.org/docs/archives."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(files):
            entry = tarfile.TarInfo(f"{TOP}/{name}")
            entry.size, entry.mtime, entry.mode = len(files[name]), when, 0o755 if name in programs else 0o644
            tar.addfile(entry, io.BytesIO(files[name]))
    return gzip.compress(data.getvalue(), mtime=when)


def wrong_answers(exercises: list[Exercise]) -> str:
    """A page for the teacher: each wrong way of each exercise, what it takes for true, and what the check says of it.

    wrong/ways.toml of an exercise says what the student thinks, by the name of the way.
    """
    text = (
        "# Common wrong answers\n\nEach is a folder in `exercises/`, and the tests try that its check refuses it so.\n"
    )
    for one in exercises:
        path = one.folder / "wrong/ways.toml"
        thought = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        text += f"\n## {one.number}. {one.about.title} ({one.about.minutes} minutes)\n\n"
        text += "| wrong way | the student thinks | the check says |\n|---|---|---|\n"
        for way in one.wrong():
            said = " ".join(one.expected(way).split()).replace("|", "\\|")
            text += f"| {way.replace('-', ' ')} | {thought.get(way, '')} | {said} |\n"
    return text


if __name__ == "__main__":
    main()
