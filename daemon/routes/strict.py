"""Requests whose JSON is read strictly, where Python's decoder accepts more than the standard."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute


def strict_json(data: bytes) -> Any:
    """Parse; NaN and a name given twice are refused, which Python's decoder accepts. Raises HTTPException 400."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name is given twice")
        return found

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    try:
        text = data.decode()  # json.loads(bytes) would accept UTF-16 and half a surrogate pair
        found = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
        if b"\\ud" in data.lower():  # half a surrogate pair is no character: it could not be encoded again
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except RecursionError:
        raise HTTPException(400, "invalid JSON: it is nested too deeply") from None
    except ValueError as error:
        raise HTTPException(400, f"invalid JSON: {error}") from None


class StrictRequest(Request):
    """A request whose JSON is read strictly."""

    async def json(self) -> Any:
        return strict_json(await self.body())


class StrictRoute(APIRoute):
    """Hands its handler a StrictRequest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strict
