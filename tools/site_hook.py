"""What mkdocs.yml adds to MkDocs: pages from the checkout's root, and a page for each linked source file.

The documents are written for the checkout: `[process.py](../lab/runtime/process.py)`. In the site, such a link leads to
a page with the highlighted file, or with the directory's list. A link to what does not exist stays as it was, and
`mkdocs build --strict` fails on it. Events: https://www.mkdocs.org/dev-guide/plugins/#events
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

CHECKOUT = Path(__file__).resolve().parent.parent
# Documents of the checkout's root that are in the site; others from outside docs/ come in where one links to them.
FROM_ROOT = ("README.md", "README.zh-TW.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
PICTURES = (".png", ".svg", ".gif", ".webp", ".jpg")
ASSETS = CHECKOUT / "tools/site_assets"
MERMAID = CHECKOUT / ".venv/share/mermaid.min.js"  # tools/site fetches it if a page has a diagram
LINK = re.compile(r'(?P<before>\]\(|\b(?:src|srcset|href)=")(?P<path>[^)\s"#?]+)(?P<after>[^)"]*[)"])')
FENCE = re.compile(r"^(?P<fence>```+|~~~+).*?^(?P=fence)", re.MULTILINE | re.DOTALL)
LANGUAGES = {".py": "python", ".sh": "bash", ".yml": "yaml", ".yaml": "yaml", ".toml": "toml", ".json": "json",
             ".js": "javascript", ".service": "ini", ".socket": "ini"}  # fmt: skip


def origin(page: str) -> str:
    """Where the document of a page of the site lies in the checkout."""
    if page == "index.md":
        return "README.md"
    return f"docs/{page}" if (CHECKOUT / "docs" / page).is_file() else page


def place(path: str) -> str:
    """Where in the site a file or directory of the checkout is to be found: a document and a picture as they are."""
    if path == "README.md":
        return "index.md"
    return path.removeprefix("docs/") if path.endswith((".md", *PICTURES)) else f"source/{path}.md"


def targets(page: str, text: str) -> Iterator[tuple[re.Match[str], str]]:
    """The links of a document to what exists in this checkout, and nothing in fenced code."""
    folder = posixpath.dirname(origin(page))
    code = [match.span() for match in FENCE.finditer(text)]
    for match in LINK.finditer(text):
        path = posixpath.normpath(posixpath.join(folder, unquote(match["path"])))
        inside = any(begin <= match.start() < end for begin, end in code)
        if not inside and ":" not in path and not path.startswith(("/", "..")) and (CHECKOUT / path).exists():
            yield match, path


def rewrite(page: str, text: str) -> str:
    """The document with its links turned into the site's."""
    parts, end = [], 0
    for match, path in targets(page, text):
        there = posixpath.relpath(place(path), posixpath.dirname(page) or ".")
        after = re.sub(r"^#L(\d+)(-L?\d+)?", r"#__codelineno-0-\1", match["after"])
        parts += [text[end : match.start()], match["before"], there, after]
        end = match.end()
    return "".join(parts) + text[end:]


def source_page(path: str) -> str:
    """The Markdown of the page that shows a file, or lists a directory."""
    head = f"---\ntitle: {path}\nhide: [navigation, toc]\nsearch:\n  exclude: true\n---\n\n# {path}\n\n"
    full = CHECKOUT / path
    if full.is_dir():
        names = sorted(entry.name for entry in full.iterdir() if entry.is_file() and entry.suffix in LANGUAGES)
        return head + "".join(f"- [{name}]({posixpath.basename(path)}/{name}.md)\n" for name in names)
    text = full.read_text(encoding="utf-8")
    language = LANGUAGES.get(full.suffix) or ("bash" if text.startswith("#!/bin/") else "text")
    fence = "`" * max(4, *(len(run) + 1 for run in re.findall("`+", text) or [""]))
    return f'{head}{fence} {{.{language} linenums="1"}}\n{text.rstrip()}\n{fence}\n'


def linked(pages: dict[str, str]) -> set[str]:
    """All that these pages, and the documents that they lead to, show of the checkout outside docs/."""
    found, queue = set[str](), list(pages.items())
    while queue:
        for _, path in targets(*queue.pop()):
            if path in found or place(path) in pages or (CHECKOUT / "docs" / place(path)).is_file():
                continue
            found.add(path)
            if path.endswith(".md"):
                queue.append((place(path), (CHECKOUT / path).read_text(encoding="utf-8")))
            elif (CHECKOUT / path).is_dir():
                found |= {f"{path}/{entry.name}" for entry in (CHECKOUT / path).iterdir() if entry.suffix in LANGUAGES}
    return found


def on_files(files: Any, config: Any) -> Any:
    """Add what does not lie in docs/."""
    from mkdocs.structure.files import File

    for name in FROM_ROOT:
        files.append(File.generated(config, place(name), abs_src_path=str(CHECKOUT / name)))
    pages = {file.src_uri: file.content_string for file in files.documentation_pages()}
    for path in sorted(linked(pages)):
        if place(path).startswith("source/"):
            files.append(File.generated(config, place(path), content=source_page(path)))
        else:
            files.append(File.generated(config, place(path), abs_src_path=str(CHECKOUT / path)))
    for asset in [*sorted(ASSETS.iterdir()), MERMAID]:
        if asset.exists():
            files.append(File.generated(config, f"assets/{asset.name}", abs_src_path=str(asset)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead the links of a document to the site's pages."""
    uri = page.file.src_uri
    return markdown if uri.startswith("source/") else rewrite(uri, markdown)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Load Mermaid from the site itself, on pages that have a diagram; Material would fetch it from a CDN."""
    if 'class="mermaid"' not in output:
        return output
    if not MERMAID.exists():
        raise FileNotFoundError(f"{MERMAID}: {page.file.src_uri} has a diagram; build the site with make docs")
    script = posixpath.relpath("assets/mermaid.min.js", posixpath.dirname(page.file.dest_uri) or ".")
    return output.replace("</head>", f'<script src="{script}"></script></head>', 1)
