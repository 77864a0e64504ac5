"""The documentation's site: links to sources work, a broken link fails the build, and the pages ask no other host."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tools import site_hook

CHECKOUT = Path(__file__).parent.parent.parent


def build(checkout: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """mkdocs build --strict."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    target = tmp_path_factory.mktemp("docs") / "site"
    done = build(CHECKOUT, target)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


class Page(HTMLParser):
    """What a page leads to, and what a browser loads for it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links, self.loaded = list[str](), list[str]()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note where the tag leads."""
        found = dict(attributes)
        if tag == "a":
            self.links.append(found.get("href") or "")
        elif tag == "link" and "canonical" not in (found.get("rel") or ""):
            self.loaded.append(found.get("href") or "")
        elif tag in ("script", "img", "iframe", "source", "video", "audio"):
            self.loaded.append(found.get("src") or "")


@pytest.mark.parametrize(
    ("page", "before", "after"),
    [
        ("why.md", "[x](../lab/spec.py)", "[x](source/lab/spec.py.md)"),
        ("index.md", "[x](docs/why.md#a)", "[x](why.md#a)"),
        ("index.md", "[x](lab/runtime)", "[x](source/lab/runtime.md)"),
        ("stories/run.md", "[x](../../SECURITY.md)", "[x](../SECURITY.md)"),
        ("stories/run.md", "[x](run.txt)", "[x](../source/docs/stories/run.txt.md)"),
        ("why.md", "[x](../lab/spec.py#L7)", "[x](source/lab/spec.py.md#__codelineno-0-7)"),
        ("why.md", "[x](../README.md)", "[x](index.md)"),
    ],
)
def test_a_link_of_the_checkout_becomes_one_of_the_site(page: str, before: str, after: str) -> None:
    """Documents link as GitHub shows them; the site has its own places."""
    assert site_hook.rewrite(page, f"a {before} b") == f"a {after} b"


def test_what_a_linked_document_links_is_shown_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document outside docs/ is a page like any other, a picture is a file, a directory brings its sources."""
    monkeypatch.setattr(site_hook, "CHECKOUT", tmp_path)
    for name, text in {"docs/a.md": "[b](../task/b.md)", "task/b.md": "[c](code) ![d](d.svg)"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "task/d.svg").touch()
    (tmp_path / "task/code").mkdir()
    for name in ("e.py", "f.pyc"):
        (tmp_path / "task/code" / name).touch()
    found = site_hook.linked({"a.md": "[b](../task/b.md)"})
    assert found == {"task/b.md", "task/d.svg", "task/code", "task/code/e.py"}
    assert site_hook.place("task/b.md") == "task/b.md"
    assert site_hook.rewrite("task/b.md", "[c](code)") == "[c](../source/task/code.md)"


@pytest.mark.parametrize(
    "text", ["[x](../lab/nothing.py)", "[x](https://lab/spec.py)", "```\n[x](../lab/spec.py)\n```", "[x](../../../etc)"]
)
def test_other_links_stay(text: str) -> None:
    """What does not exist, what lies elsewhere and what is code is left to MkDocs."""
    assert site_hook.rewrite("why.md", text) == text


@pytest.mark.needs("mkdocs")
def test_every_link_leads_somewhere(site: Path) -> None:
    """Each relative link and each loaded file of each page is in the site."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    for path in pages:
        page = Page(path)
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.path and not parts.scheme and not (path.name == "404.html" and parts.path.startswith("/")):
                assert (path.parent / unquote(parts.path)).exists(), f"{path.relative_to(site)}: {link}"


@pytest.mark.needs("mkdocs")
def test_no_other_host_is_asked(site: Path) -> None:
    """Fonts, styles, scripts and pictures come from the site itself, Mermaid's script too."""
    for path in site.rglob("*.html"):
        for link in Page(path).loaded:
            assert not urlsplit(link).netloc, f"{path.relative_to(site)}: {link}"
    for path in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()[\s\"']*(https?:)?//", path.read_text(encoding="utf-8")), path


@pytest.mark.needs("mkdocs")
def test_a_linked_source_is_shown_whole(site: Path) -> None:
    """The page of a source file ends with the file's last line; README's links lead to some of them."""
    pages = sorted((site / "source").rglob("*.py.html"))
    assert len(pages) > 20
    for path in pages:
        source = CHECKOUT / path.relative_to(site / "source").with_suffix("")
        last = source.read_text(encoding="utf-8").splitlines()[-1].strip()
        assert last in html.unescape(re.sub(r"<[^>]*>", "", path.read_text(encoding="utf-8"))), path


@pytest.mark.needs("mkdocs")
def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    """A document may not link a file that is not there."""
    copy = tmp_path / "checkout"
    ignored = shutil.ignore_patterns(".*", "site", "__pycache__", "tests")
    shutil.copytree(CHECKOUT, copy, ignore=ignored)
    (copy / ".venv").symlink_to(Path(sys.executable).parent.parent)
    with (copy / "docs/why.md").open("a") as file:
        file.write("\n[gone](../lab/nothing.py)\n")
    done = build(copy, tmp_path / "site")
    assert done.returncode == 1
    assert "nothing.py" in done.stdout + done.stderr
