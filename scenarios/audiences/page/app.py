"""The page over HTTP: for programs on this machine that know the address, and for one that may press keys."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from pydantic import BaseModel
from sse_starlette import EventSourceResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scenarios.audiences.page.house import House, Sent
from scenarios.audiences.page.rendering import ASSETS, Renderer

MOST_VIEWERS = 200
NOBODYS = "no such address: the lab prints the address when it starts"
TYPES = {".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Key(BaseModel):
    """A key of the speaker's; seen is the number of the last beat on that screen."""

    key: Literal["on", "next"]
    seen: int


class Place(BaseModel):
    """The step that the speaker shows; None for the newest."""

    step: int | None


class Guard:
    """Lets in only what was sent to this machine by name, and by no other site's page. A browser cannot forge either.

    Host stops DNS rebinding, Origin and Sec-Fetch-Site stop a page of another site; both are set by the browser itself:
    https://fetch.spec.whatwg.org/#origin-header, https://www.w3.org/TR/fetch-metadata/.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = self._refused(scope["method"], Headers(scope=scope))
        app = PlainTextResponse(refused + "\n", 403) if refused else self._app
        await app(scope, receive, with_headers)

    def _refused(self, method: str, headers: Headers) -> str:
        """Why this request is not answered; "" if it is."""
        origins = {f"http://{host}" for host in self._hosts}
        if headers.getlist("host") not in [[host] for host in self._hosts]:
            return f"Host must be {' or '.join(sorted(self._hosts))}: forward the port under the same number."
        if headers.get("origin", "" if method == "POST" else next(iter(origins))) not in origins:
            return "This page answers only itself: Origin is another."
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return "This page answers only itself: Sec-Fetch-Site is another."
        return ""


@dataclass
class Shared:
    """What every request may need; pressed is called with the speaker's key, `on` or `next`."""

    house: House
    viewer: str
    speaker: str
    pressed: Callable[[str], None]
    pages: dict[str, tuple[str, str]]
    assets: dict[str, bytes]
    viewers: set[object] = field(default_factory=set)

    def language(self, wanted: str) -> str:
        """The code of a language that there is: the wanted one, else the first."""
        return wanted if wanted in self.pages else next(iter(self.pages))

    async def events(self, since: int, language: str) -> AsyncIterator[Sent]:
        """For one viewer, who is counted as long as the connection lasts."""
        me = object()
        self.viewers.add(me)
        try:
            async for sent in self.house.follow(since, language):
                yield sent
        finally:
            self.viewers.discard(me)


def _shared(request: Request) -> Shared:
    shared: Shared = request.app.state.shared
    return shared


With = Annotated[Shared, Depends(_shared)]


def _is_speaker(token: str, shared: With) -> bool:
    """Whether this is the speaker's address. Raises 403 for an address that is nobody's."""
    known = [secrets.compare_digest(token.encode(), one.encode()) for one in (shared.viewer, shared.speaker)]
    if not any(known):
        raise HTTPException(403, NOBODYS)
    return known[1]


def _only_speaker(speaker: Annotated[bool, Depends(_is_speaker)]) -> None:
    if not speaker:
        raise HTTPException(403, "this address may look on, and press nothing")


router = APIRouter()
known, pressing = [Depends(_is_speaker)], [Depends(_only_speaker)]


@router.get("/{token}/")
async def page(speaker: Annotated[bool, Depends(_is_speaker)], shared: With, lang: str = "") -> HTMLResponse:
    return HTMLResponse(shared.pages[shared.language(lang)][speaker])


@router.get("/{token}/events", dependencies=known)
async def events(shared: With, last_event_id: Annotated[str, Header()] = "", lang: str = "") -> EventSourceResponse:
    if len(shared.viewers) >= MOST_VIEWERS:
        raise HTTPException(503, f"{MOST_VIEWERS} are looking on already")
    since = int(last_event_id) if last_event_id.isascii() and last_event_id.isdecimal() else -1
    return EventSourceResponse(shared.events(since, shared.language(lang)))


@router.post("/{token}/at", dependencies=pressing, status_code=204)
async def at(place: Place, shared: With) -> None:
    shared.house.go(place.step)


@router.post("/{token}/key", dependencies=pressing, status_code=204)
async def press(key: Key, shared: With) -> None:
    """A key that was meant for an earlier stop does not open the next one, and nor does a second press."""
    if shared.house.waits and key.seen == shared.house.number:
        shared.house.waits = False
        shared.pressed(key.key)


@router.get("/{token}/{name}", dependencies=known)
async def asset(name: str, shared: With) -> Response:
    if name not in shared.assets:
        raise HTTPException(404, "there is no such file")
    return Response(shared.assets[name], media_type=TYPES[name[name.rindex(".") :]])


@router.get("/{path:path}")
async def nothing() -> None:
    raise HTTPException(403, NOBODYS)


def create_app(
    house: House,
    renderers: Mapping[str, Renderer],
    tokens: tuple[str, str],
    port: int,
    pressed: Callable[[str], None],
) -> FastAPI:
    """tokens are those in the viewers' address and in the speaker's; pressed is called with `on` or `next`."""
    pages = {code: (_page(code, renderers, False), _page(code, renderers, True)) for code in renderers}
    assets = {path.name: path.read_bytes() for path in ASSETS.iterdir() if path.suffix in TYPES}
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state.shared = Shared(house, *tokens, pressed, pages, assets)
    app.add_middleware(Guard, port=port)
    app.include_router(router)
    return app


def _page(code: str, renderers: Mapping[str, Renderer], speaker: bool) -> str:
    """The document in a language, with the way to the next one."""
    codes = [*renderers]
    following = renderers[codes[(codes.index(code) + 1) % len(codes)]].language
    renderer = renderers[code]
    words, language = renderer.look.words, renderer.language
    return renderer.document("page.html", words=words, language=language, following=following, speaker=speaker)
