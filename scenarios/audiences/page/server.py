"""The page's server, a process of its own: python -m scenarios.audiences.page.server FD

FD is the listening socket. Standard input brings a line with the settings, {"viewer", "speaker", "port", "place",
"language"}, and then the moments of a performance, one a line; its end is the end of the run. On standard output go
`ready`, and then the keys that the speaker presses. Before the first request is read the process becomes nobody, if it
was root.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

import uvicorn
import uvicorn.lifespan.off
import uvicorn.loops.asyncio
import uvicorn.protocols.http.h11_impl
from starlette.types import ASGIApp, Message

from scenarios.audiences.look import Look
from scenarios.audiences.page.app import create_app
from scenarios.audiences.page.house import House
from scenarios.audiences.page.rendering import Renderer
from scenarios.languages.choice import LANGUAGES, others_after
from scenarios.performance.beats import Moment, Say, from_json
from scenarios.performance.text import Text

LONGEST_LINE = 8 << 20  # bytes
ENDING = 1.0  # seconds that the viewers have to hear of the end


def main(listener: int) -> None:
    """Serve until standard input ends."""
    settings = json.loads(sys.stdin.buffer.readline())
    languages = others_after(LANGUAGES[settings["language"]])
    renderers = {one.code: Renderer(Look(translate=one.translate), one) for one in languages}
    asyncio.run(_serve(socket.socket(fileno=listener), renderers, settings))


async def _serve(listener: socket.socket, renderers: Mapping[str, Renderer], settings: dict[str, Any]) -> None:
    house = House(renderers, settings["place"])
    tokens = settings["viewer"], settings["speaker"]
    app = create_app(house, renderers, tokens, settings["port"], _press)
    config = uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_level="critical", timeout_keep_alive=30)
    config.load()
    await _warm_up(renderers)
    become_nobody()
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    print("ready", flush=True)
    await _take_all(house, sys.stdin.buffer)
    house.end()
    await asyncio.sleep(ENDING)
    server.should_exit = True
    await serving


async def _warm_up(renderers: Mapping[str, Renderer]) -> None:
    """Answer one request of each kind: what is read or imported late must be so while the checkout may be read."""
    house = House(renderers)
    house.take(Moment(0, 0, Say(Text(""))))
    house.end()
    app = create_app(house, renderers, ("viewer", "speaker"), 0, lambda key: None)
    for path in ("viewer/", "viewer/page.js", "viewer/none", "none"):
        await _ask(app, "GET", path)
    for code in renderers:
        await _ask(app, "GET", "viewer/events", query=f"lang={code}")
    for body in (b'{"step": null}', b"{}"):
        await _ask(app, "POST", "speaker/at", body)


async def _ask(app: ASGIApp, method: str, path: str, body: bytes = b"", query: str = "") -> None:
    """Send a request to the application, without a connection; https://asgi.readthedocs.io/en/latest/specs/www.html"""
    headers = [(b"host", b"127.0.0.1:0"), (b"origin", b"http://127.0.0.1:0"), (b"content-type", b"application/json")]
    incoming: list[Message] = [{"type": "http.request", "body": body}]

    async def receive() -> Message:
        if incoming:
            return incoming.pop()
        await asyncio.sleep(60)  # nobody hangs up
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        """The answer is not wanted."""

    await app(
        {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": method,
         "scheme": "http", "path": f"/{path}", "raw_path": f"/{path}".encode(), "query_string": query.encode(),
         "root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 0)},
        receive,
        send,
    )  # fmt: skip


def become_nobody() -> None:
    """Give up root, its groups and the way back. setresuid(2) also clears the capabilities."""
    if os.geteuid() != 0:
        return
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setresgid(nobody.pw_gid, nobody.pw_gid, nobody.pw_gid)
    os.setresuid(nobody.pw_uid, nobody.pw_uid, nobody.pw_uid)


async def _take_all(house: House, source: IO[bytes]) -> None:
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
    while line := await reader.readline():
        house.take(from_json(line))


def _press(key: str) -> None:
    """Tell the performance; where nobody reads the keys, they are dropped."""
    os.set_blocking(1, False)
    with suppress(BlockingIOError):
        os.write(1, f"{key}\n".encode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
