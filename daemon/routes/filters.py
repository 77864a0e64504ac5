"""The `filters` of a query: how they are read, and what their values may be."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, HTTPException, Query

from daemon.routes.strict import strict_json
from lab.errors import InvalidArgument

TRUTH = ("true", "false", "1", "0", "True", "False")


async def _filters(filters: Annotated[str, Query(max_length=1 << 16)] = "") -> dict[str, list[str]]:
    """`filters={"status":{"running":true}}` or the older {"status":["running"]}."""
    if not filters:
        return {}
    found = strict_json(filters.encode(errors="surrogatepass"))
    if not isinstance(found, dict) or not all(isinstance(value, dict | list) for value in found.values()):
        raise HTTPException(400, "invalid filters: expected a JSON object of lists")
    return {str(key): [str(item) for item in value] for key, value in found.items()}


Filters = Annotated[dict[str, list[str]], Depends(_filters)]


def check_names(filters: dict[str, list[str]], *known: str) -> None:
    """Raises InvalidArgument for a filter that Docker does not have here."""
    for name in filters:
        if name not in known:
            raise InvalidArgument(f"invalid filter '{name[:40]}'", f"known are {', '.join(sorted(known))}")


def one_of(words: tuple[str, ...], name: str, value: str) -> str:
    """The value of a filter that has a few possible values. Raises InvalidArgument."""
    if value not in words:
        raise InvalidArgument(f"invalid filter '{name}={value[:40]}'", f"write one of {', '.join(words)}")
    return value


def flag(name: str, value: str) -> bool:
    """The value of a filter that is true or false. Raises InvalidArgument."""
    return one_of(TRUTH, name, value).lower() in ("1", "true")
