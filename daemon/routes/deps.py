"""What handlers depend on: the engine, the API version asked for, query values in Go's notation, strict JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypedDict

from fastapi import Depends, HTTPException, Path, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BeforeValidator

from daemon import fields
from daemon.containers import Container
from daemon.engine import Engine
from daemon.execs import Exec
from daemon.fields import go_bool
from daemon.routes.host import ARCHITECTURES
from lab.errors import InvalidArgument, NoSuchImage


class State(TypedDict):
    """The lifespan's state."""

    engine: Engine


async def _engine(request: Request) -> Engine:
    engine: Engine = request.state.engine
    return engine


TheEngine = Annotated[Engine, Depends(_engine)]


async def _container(engine: TheEngine, reference: Annotated[str, Path(max_length=300)]) -> Container:
    return engine.find(reference)


async def _exec(engine: TheEngine, exec_id: Annotated[str, Path(max_length=300)]) -> Exec:
    return engine.find_exec(exec_id)


async def _api_version(request: Request) -> tuple[int, int]:
    version: tuple[int, int] = request.scope["api_version"]
    return version


TheContainer = Annotated[Container, Depends(_container)]
TheExec = Annotated[Exec, Depends(_exec)]
ApiVersion = Annotated[tuple[int, int], Depends(_api_version)]


Switch = Annotated[
    bool,
    BeforeValidator(lambda value: go_bool(value) if isinstance(value, str) else value, json_schema_input_type=str),
]


async def refuse_query(request: Request) -> None:
    """For every route: what Docker's API has and the handler does not read is refused by name."""
    route = f"{request.method} {request.scope['route'].path}"
    fields.refuse_query(route, request.query_params.multi_items())


async def _platform(platform: Annotated[str, Query(max_length=100)] = "") -> str:
    """os[/arch[/variant]], as `--platform` has it. Raises InvalidArgument, and NoSuchImage for another machine's."""
    if not platform:
        return ""
    here = ("linux", ARCHITECTURES.get(os.uname().machine, os.uname().machine))
    system, _, architecture = platform.lower().partition("/")
    architecture = ARCHITECTURES.get(architecture, architecture).removesuffix("/v8")
    if not re.fullmatch(r"[a-z0-9_]+(/[a-z0-9_]+){0,2}", platform.lower(), re.ASCII):
        raise InvalidArgument(f"invalid platform: {platform[:40]!a}", f"write {'/'.join(here)}")
    if (system, architecture or here[1]) != here and platform.lower() != here[1]:
        raise NoSuchImage(
            f"no image is for the platform {platform[:40]}", f"this machine and all images are {'/'.join(here)}"
        )
    return platform


Platform = Annotated[str, Depends(_platform)]


async def _filters(filters: Annotated[str, Query(max_length=1 << 16)] = "") -> dict[str, list[str]]:
    """`filters={"status":{"running":true}}` or the older {"status":["running"]}."""
    if not filters:
        return {}
    found = strict_json(filters.encode(errors="surrogatepass"))
    if not isinstance(found, dict) or not all(isinstance(value, dict | list) for value in found.values()):
        raise HTTPException(400, "invalid filters: expected a JSON object of lists")
    return {str(key): [str(item) for item in value] for key, value in found.items()}


Filters = Annotated[dict[str, list[str]], Depends(_filters)]


def check_filters(filters: dict[str, list[str]], *known: str) -> None:
    """Raises InvalidArgument for a filter that Docker has not got here."""
    for name in filters:
        if name not in known:
            raise InvalidArgument(f"invalid filter '{name[:40]}'", f"known are {', '.join(sorted(known))}")


def strict_json(data: bytes) -> Any:
    """Parse, refusing what Python's decoder lets pass: NaN, a name given twice. Raises HTTPException 400."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name is given twice")
        return found

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    try:
        text = data.decode()  # json.loads() would take halves of surrogate pairs, and UTF-16
        found = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
        if b"\\ud" in data.lower():  # half a surrogate pair is no character: nothing could be done with it
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except RecursionError:
        raise HTTPException(400, "invalid JSON: too deep") from None
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
