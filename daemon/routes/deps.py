"""What handlers depend on: the engine, the container or exec that a path names, the API version, query values."""

from __future__ import annotations

import re
from typing import Annotated, TypedDict

from fastapi import Depends, Path, Query, Request
from pydantic import BeforeValidator

from daemon import fields
from daemon.containers import Container
from daemon.engine import Engine
from daemon.execs import Exec
from daemon.fields import go_bool
from lab.errors import InvalidArgument, NoSuchImage
from lab.images.config import ARCHITECTURES, architecture


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
    """For every route: a parameter of Docker's API that the handler does not read is refused by name."""
    route = f"{request.method} {request.scope['route'].path}"
    fields.refuse_query(route, request.query_params.multi_items())


async def _platform(platform: Annotated[str, Query(max_length=100)] = "") -> str:
    """os[/arch[/variant]], as in `--platform`. Raises InvalidArgument; NoSuchImage for another kind of machine."""
    if not platform:
        return ""
    here = ("linux", architecture())
    system, _, machine = platform.lower().partition("/")
    machine = ARCHITECTURES.get(machine, machine).removesuffix("/v8")
    if not re.fullmatch(r"[a-z0-9_]+(/[a-z0-9_]+){0,2}", platform.lower(), re.ASCII):
        raise InvalidArgument(f"invalid platform: {platform[:40]!a}", f"write {'/'.join(here)}")
    if (system, machine or here[1]) != here and platform.lower() != here[1]:
        raise NoSuchImage(
            f"no image is for the platform {platform[:40]}", f"this machine and all images are {'/'.join(here)}"
        )
    return platform


Platform = Annotated[str, Depends(_platform)]
