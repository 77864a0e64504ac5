"""/containers/ID/attach, /containers/ID/logs and /exec/...: the streams of processes."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, aclosing
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from daemon.containers import Container
from daemon.models import ExecCreate, ExecStart
from daemon.routes import container_views
from daemon.routes.deps import ApiVersion, Switch, TheContainer, TheEngine, TheExec
from daemon.routes.log_stream import THREAD, LogQuery, log_stream
from daemon.routes.strict import StrictRoute
from daemon.wire.answers import Json, Streamed
from daemon.wire.attach import DEFAULT_DETACH_KEYS, MULTIPLEXED, RAW, AttachedClient, DetachKeys, Session
from daemon.wire.hijack import Connection, HijackedResponse
from lab import frames
from lab.errors import InvalidArgument, LabError
from lab.logs import STDOUT

router = APIRouter(route_class=StrictRoute)
MULTIPLEXED_SINCE = (1, 42)
DOCKER_PY_PAUSE = 0.05  # seconds: docker-py drops data that arrives together with the 101 (its issue 3332)
Keys = Annotated[str, Query(max_length=200)]
Tail = Annotated[str, Query(max_length=20, pattern="^(all|-?[0-9]*)$")]
Moment = Annotated[float, Query(ge=-1e12, le=1e12)]


@router.post("/containers/{reference}/attach")
async def attach(
    request: Request, container: TheContainer, version: ApiVersion, *,
    stream: Switch = False, stdin: Switch = False, stdout: Switch = False, stderr: Switch = False,
    logs: Switch = False, detachKeys: Keys = "",
) -> Response:  # fmt: skip
    """docker attach, and the streams of docker run"""
    await container.end_recorded()  # or it would be attached to the run that is over, and not to the next one
    tty, run = container.spec.tty, container.run
    session = Session(
        AttachedClient(tty=tty, stdout=stdout, stderr=stderr), run.output,
        run.stdin if stdin and container.body["OpenStdin"] else None,
        close_stdin=container.body["StdinOnce"] and not tty,
        keys=DetachKeys(detachKeys or DEFAULT_DETACH_KEYS) if tty and stdin else None,
        before=_Before(request, container if logs else None, stdout, stderr), live=stream,
    )  # fmt: skip
    container.event("attach")
    return HijackedResponse(_media_type(tty, version), session.serve, session.listening())


class _Before:
    """What comes before the live output: a pause for docker-py, the log for `logs=1`."""

    def __init__(self, request: Request, container: Container | None, stdout: bool, stderr: bool) -> None:
        self.pause = "docker-sdk-python" in request.headers.get("user-agent", "")
        self.container, self.stdout, self.stderr = container, stdout, stderr

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        await writer.drain()
        if self.pause:
            await asyncio.sleep(DOCKER_PY_PAUSE)
        if self.container:
            query = LogQuery(self.stdout, self.stderr, False, False, None, 0, 0)
            async with aclosing(log_stream(self.container, query)) as chunks:
                async for chunk in chunks:
                    writer.write(chunk)
                    await writer.drain()


def _media_type(tty: bool, version: tuple[int, int]) -> str:
    return RAW if tty or version < MULTIPLEXED_SINCE else MULTIPLEXED


@router.get("/containers/{reference}/logs")
async def container_logs(
    container: TheContainer, version: ApiVersion, *,
    follow: Switch = False, stdout: Switch = False, stderr: Switch = False, timestamps: Switch = False,
    tail: Tail = "all", since: Moment = 0.0, until: Moment = 0.0, details: Switch = False,
) -> Response:  # fmt: skip
    """docker logs"""
    if not (stdout or stderr):
        raise InvalidArgument("Bad parameters: you must choose at least one stream", "add stdout=1 or stderr=1")
    if follow:
        await container.settled()  # or there would be nothing to follow
    lines = int(tail) if tail.isascii() and tail.isdigit() else None
    query = LogQuery(stdout, stderr, follow, timestamps, lines, _absolute(since), _absolute(until), details)
    reader, held = query.lines(container), AsyncExitStack()
    reader.open()  # a client that has the answer's head may remove the container before the first line is read
    held.callback(THREAD.submit, reader.close)
    return Streamed(log_stream(container, query, reader), _media_type(container.spec.tty, version), held=held)


def _absolute(moment: float) -> float:
    """docker sends seconds since 1970; a negative number counts from now."""
    return time.time() + moment if moment < 0 else moment


@router.post("/containers/{reference}/exec")
async def create_exec(engine: TheEngine, container: TheContainer, body: ExecCreate) -> Response:
    """docker exec, its first request"""
    return Json({"Id": engine.create_exec(container, body).id}, 201)


@router.get("/exec/{exec_id}/json")
async def inspect_exec(found: TheExec) -> Response:
    """docker inspect of an exec: its exit code"""
    return Json(container_views.inspect_exec(found))


@router.post("/exec/{exec_id}/resize")
async def resize_exec(
    found: TheExec, h: Annotated[int, Query(ge=0, le=65535)] = 0, w: Annotated[int, Query(ge=0, le=65535)] = 0
) -> Response:
    """docker exec -t, when the window's size changes; it waits for a start that is under way, as dockerd's does"""
    async with found.beginning:
        pass
    found.run.resize(h, w)
    return Response(status_code=200)


@router.post("/exec/{exec_id}/start")
async def start_exec(
    request: Request, engine: TheEngine, found: TheExec, body: ExecStart, version: ApiVersion
) -> Response:
    """docker exec, its second request: with Detach an ordinary answer, else the process's streams"""
    asker = engine.attribution.of(request.scope["socket"], f"exec in {found.container.name}")
    found.body.ConsoleSize = body.ConsoleSize or found.body.ConsoleSize
    if body.Detach:
        found.claim()
        await found.start(asker.loginuid)
        return Response(status_code=200)
    create = found.body
    session = Session(
        AttachedClient(tty=body.Tty, stdout=create.AttachStdout, stderr=create.AttachStderr), found.run.output,
        found.run.stdin if create.AttachStdin else None, close_stdin=not create.Tty,
        keys=DetachKeys(create.DetachKeys or DEFAULT_DETACH_KEYS) if create.Tty and create.AttachStdin else None,
        before=_Before(request, None, False, False),
    )  # fmt: skip
    found.claim()  # only now: what is claimed counts as running

    async def start_and_serve(connection: Connection) -> None:
        try:
            await found.start(asker.loginuid)
        except LabError as error:  # in the stream, as in dockerd: the 101 has been sent
            message = f"OCI runtime exec failed: {error.message}\r\n".encode()
            connection[1].write(message if body.Tty else frames.header(STDOUT, len(message)) + message)
        else:
            await session.serve(connection)

    return HijackedResponse(_media_type(body.Tty, version), start_and_serve, session.listening())
