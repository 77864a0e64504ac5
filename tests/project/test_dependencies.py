"""What the project needs of others: pinned, and listed with its licence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import licences

CHECKOUT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.needs("mkdocs")  # of the extra `docs`, for whose packages the metadata must be there


def needed() -> set[str]:
    """All packages that one of pyproject.toml's requirements leads to."""
    return {name for extra in licences.USES for name in licences.closure(licences.wanted(extra))}


def test_every_package_is_pinned_and_every_pin_is_needed() -> None:
    """constraints.txt names the packages that are installed for the project, each in one version, and no other."""
    pins = [Requirement(line) for line in (CHECKOUT / "constraints.txt").read_text().splitlines() if line[:1] != "#"]
    assert all(re.fullmatch(r"==[^,*]+", str(pin.specifier)) for pin in pins)
    assert {canonicalize_name(pin.name) for pin in pins} == needed()


def test_the_page_of_licences_is_what_is_installed() -> None:
    """docs/licences.md is written from the packages' own metadata."""
    assert licences.PAGE.read_text() == licences.page()


def test_no_licence_is_unknown() -> None:
    """Each row of the page has an SPDX expression, made of identifiers without spaces."""
    rows = [row.split(" | ") for row in licences.page().splitlines() if row.endswith(" |")][1:]
    assert len(rows) == len(needed())
    for name, licence, _ in rows:
        assert re.fullmatch(r"[A-Za-z0-9.\-]+( (AND|OR) [A-Za-z0-9.\-]+)*", licence), f"{name}: {licence}"
