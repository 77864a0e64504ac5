"""What a page names exists: the files that it links to, the paths in back ticks, the names of the code.

Not looked at: blocks of output, and CHANGELOG.md, which tells of what was.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
PAGES = sorted([*(CHECKOUT / name for name in ("README.md", "README.zh-TW.md", "SECURITY.md", "CONTRIBUTING.md")),
                *(CHECKOUT / "docs").rglob("*.md")])  # fmt: skip
ROOMS = ("lab", "daemon", "client", "scenarios")
# What the rooms are: a path that begins with one of these is a path of the checkout.
FOLDERS = (*ROOMS, "bench", "docs", "provision", "tests", "tools", ".ci")

BLOCK = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
TICKS = re.compile(r"`([^`]+)`")
PATH = re.compile(r"\.?[\w-][\w.-]*(/[\w.-]+)*/?")
MODULE = re.compile(rf"({'|'.join(ROOMS)})(\.\w+)+")
METHOD = re.compile(r"[A-Z]\w*\.[a-z_]\w*")
# A link to a module, then one name after the other: "[lab/x.py](../lab/x.py), `Class.method` and `function`".
NAMED = re.compile(r"\]\(([^)\s]+\.py)\)((?:(?:,| and|, and)\s+`\w+(?:\.\w+)?`)+)")


def prose(page: Path) -> str:
    """The page without its blocks of output."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What may stand behind `page.md#`, as GitHub makes it of the headings, or written as <a id="...">."""
    text = prose(page)
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


@cache
def names(module: Path) -> frozenset[str]:
    """The functions, classes and constants of a module, and `Class.method` for each method."""
    found = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
            found |= {f"{node.name}.{method.name}" for method in methods}
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(found)


def everywhere() -> set[str]:
    """The names of all modules of the four rooms."""
    return {name for room in ROOMS for module in (CHECKOUT / room).rglob("*.py") for name in names(module)}


def broken_links(page: Path) -> Iterator[str]:
    """Links that lead to no file, or to no heading of it; addresses of the web are not looked at."""
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if ":" not in link and not (target.exists() and (not anchor or anchor in anchors(target))):
            yield link


def missing_paths(page: Path) -> Iterator[str]:
    """Paths and modules in back ticks that the checkout does not have."""
    for words in TICKS.findall(prose(page)):
        if MODULE.fullmatch(words):
            path = CHECKOUT / words.replace(".", "/")
            there = path.is_dir() or path.with_suffix(".py").is_file()
        elif PATH.fullmatch(words) and "/" in words and (words.endswith(".py") or words.split("/")[0] in FOLDERS):
            there = (CHECKOUT / words).exists()
        elif PATH.fullmatch(words) and words.endswith(".py"):
            there = any(found for folder in FOLDERS for found in (CHECKOUT / folder).rglob(words))
        else:
            continue
        if not there:
            yield words


def missing_names(page: Path) -> Iterator[str]:
    """`Class.method` that no room has; and names directly behind a link to a module that the module does not have."""
    text = prose(page)
    known = everywhere()
    methods = [words for words in TICKS.findall(text) if METHOD.fullmatch(words) and not (CHECKOUT / words).exists()]
    yield from (method for method in methods if method not in known)
    for link, following in NAMED.findall(text):
        module = page.parent / link
        yield from (f"{link}: {name}" for name in TICKS.findall(following) if name not in names(module))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    """A relative link leads to a file of the checkout, and its anchor to a heading there."""
    assert not list(broken_links(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_every_path_exists(page: Path) -> None:
    """`lab/forker/engine.py`, `daemon/routes/`, `lab.forker` and the like are there."""
    assert not list(missing_paths(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_every_name_is_in_the_code(page: Path) -> None:
    """`Forker.run` is a method of the code, and what is named behind a link to a module is in that module."""
    assert not list(missing_names(page))


def test_a_storys_calls_exist() -> None:
    """Each `stage.call(...)` in the developer's table is a method of Stage."""
    calls = re.findall(r"^\| `(?:with )?stage\.(\w+)\(", prose(CHECKOUT / "docs/developer.md"), re.MULTILINE)
    assert calls
    room = CHECKOUT / "scenarios/stage"
    known = {*names(room / "stage.py"), *names(room / "commands.py")}  # Stage is a Commands
    assert not [call for call in calls if not {f"Stage.{call}", f"Commands.{call}"} & known]


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    """A file, a heading, a path, a module, a method and a function that are not there are each told."""
    page = tmp_path / "page.md"
    (tmp_path / "code.py").write_text("def there() -> None: ...\n")
    page.write_text(
        "# A heading\n[good](code.py) [bad](gone.py) [good](#a-heading) [bad](#no-heading) [web](https://gone.example)\n"
        "`lab/forker/engine.py` `lab/forker/gone.py` `gone.py` `engine.py` `lab.forker` `lab.forker.gone`\n"
        "`Forker.run` `Forker.gone` [code](code.py), `there` and `gone`.\n```\n[not looked at](gone.py)\n```\n"
    )
    assert list(broken_links(page)) == ["gone.py", "#no-heading"]
    assert list(missing_paths(page)) == ["lab/forker/gone.py", "gone.py", "lab.forker.gone"]
    assert list(missing_names(page)) == ["Forker.gone", "code.py: gone"]
