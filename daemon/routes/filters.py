"""The `filters` of a query, as they are read."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, HTTPException, Query

from daemon.routes.strict import strict_json


async def _filters(filters: Annotated[str, Query(max_length=1 << 16)] = "") -> dict[str, list[str]]:
    """`filters={"status":{"running":true}}` or the older {"status":["running"]}."""
    if not filters:
        return {}
    found = strict_json(filters.encode(errors="surrogatepass"))
    if not isinstance(found, dict) or not all(isinstance(value, dict | list) for value in found.values()):
        raise HTTPException(400, "invalid filters: expected a JSON object of lists")
    return {str(key): [str(item) for item in value] for key, value in found.items()}


Filters = Annotated[dict[str, list[str]], Depends(_filters)]
