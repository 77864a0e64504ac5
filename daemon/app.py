"""The application: routes, error handlers, and the engine in the lifespan's state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from daemon.engine import Engine
from daemon.routes import absent, archive, containers, image_archives, images, networks, streams, system, volumes
from daemon.routes.deps import State, refuse_query
from daemon.wire import answers
from daemon.wire.front import Front


def create_app(engine: Engine) -> FastAPI:
    """The Engine API for this engine, which starts and stops with the application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[State]:
        await engine.start()
        yield {"engine": engine}
        await engine.close()

    app = FastAPI(
        title="labd", summary="A subset of Docker's Engine API", docs_url=None, redoc_url=None, lifespan=lifespan,
        dependencies=[Depends(refuse_query)],
    )  # fmt: skip
    for module in (system, containers, streams, archive, image_archives, images, networks, volumes, absent):
        app.include_router(module.router)
    answers.install(app)
    app.add_middleware(Front)
    return app
