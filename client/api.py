"""The daemon's HTTP API over its UNIX socket, with httpx. Errors of daemon and transport become LabErrors."""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from lab import errors
from lab.errors import DaemonUnreachable, InvalidArgument, LabError

# httpx imports its command line, with click, rich and pygments, if it finds them: half of its import time.
# A None in sys.modules makes Python treat the module as missing, and httpx works without it.
_click = sys.modules.setdefault("click", None)  # type: ignore[arg-type]
import httpx  # noqa: E402

if _click is None:
    del sys.modules["click"]

UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}


class Api:
    """One daemon. Every method raises DaemonUnreachable, or a LabError with the daemon's message."""

    def __init__(self, path: str) -> None:
        self.path = path
        # A UNIX socket needs no TLS; without this, httpx would load the system's whole CA bundle.
        unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        transport = httpx.HTTPTransport(uds=path, verify=unused, trust_env=False)
        self._client = httpx.Client(transport=transport, base_url="http://labd", timeout=None, trust_env=False)

    def get(self, *path: str, **query: Any) -> Any:
        """The JSON at /PATH/PATH...; each part of the path is quoted."""
        return self._request("GET", path, query).json()

    def post(self, *path: str, body: Any = None, **query: Any) -> Any:
        """POST body as JSON; return the answer's JSON, None for an empty answer."""
        response = self._request("POST", path, query, body)
        return response.json() if response.content else None

    def delete(self, *path: str, **query: Any) -> Any:
        """DELETE what is at the path; return the answer's JSON, None for an empty answer."""
        response = self._request("DELETE", path, query)
        return response.json() if response.content else None

    def upload(self, file: Any, *path: str, **query: Any) -> list[Any]:
        """POST a file's bytes; return the answer's lines of JSON."""
        with self._translated():
            chunks = iter(lambda: file.read(1 << 20), b"")
            response = self._client.post(
                _url(path, query), content=chunks, headers={"Content-Type": "application/x-tar"}
            )
            return [json.loads(line) for line in _checked(response).text.splitlines()]

    @contextlib.contextmanager
    def stream(self, method: str, *path: str, **query: Any) -> Iterator[Stream]:
        """A response whose head has arrived and whose body comes later."""
        with self._translated(), self._client.stream(method, _url(path, query)) as response:
            if response.is_error:
                response.read()
            yield Stream(_checked(response), self._translated)

    @contextlib.contextmanager
    def hijack(self, *path: str, body: Any = None, **query: Any) -> Iterator[tuple[socket.socket, bytes]]:
        """A new connection that has left HTTP: its socket, and the bytes that came together with the head."""
        content = None if body is None else json.dumps(body).encode()
        headers = {**UPGRADE, "Content-Type": "application/json"}
        with (
            self._translated(),
            self._client.stream("POST", _url(path, query), content=content, headers=headers) as response,
        ):
            if response.status_code != 101:
                response.read()
                _checked(response)
                raise LabError(
                    f"the daemon answered {response.status_code} where 101 was expected",
                    "look for a proxy on the socket",
                )
            network = response.extensions["network_stream"]
            yield network.get_extra_info("socket"), _already_read(network)

    def _request(self, method: str, path: tuple[str, ...], query: dict[str, Any], body: Any = None) -> httpx.Response:
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content else None
        with self._translated():
            return _checked(self._client.request(method, _url(path, query), content=content, headers=headers))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError as error:
            raise _unreachable(self.path, error) from None
        except httpx.TransportError:
            raise DaemonUnreachable(
                f"the daemon at {self.path} ended during this command",
                "its containers ended with it; start it, then `dockerish ps -a` shows their exit codes",
            ) from None


class Stream:
    """A response whose body is still arriving."""

    def __init__(self, response: httpx.Response, translated: Any) -> None:
        self._response, self._translated = response, translated

    def json(self) -> Any:
        """Wait for the end of the body; return its JSON."""
        with self._translated():
            return json.loads(self._response.read())

    def chunks(self) -> Iterator[bytes]:
        """The body's pieces as they arrive."""
        with self._translated():
            yield from self._response.iter_raw()


def socket_path(host: str) -> str:
    """unix:///PATH -> /PATH. Raises InvalidArgument for another scheme: the lab does not use TCP."""
    path = host.removeprefix("unix://")
    if not path.startswith("/"):
        raise InvalidArgument(f'invalid host "{host}"', "write unix:///run/lab/labd.sock, with the socket's path")
    return path


def _url(path: tuple[str, ...], query: dict[str, Any]) -> str:
    given = {key: int(value) if isinstance(value, bool) else value for key, value in query.items() if value is not None}
    text = "".join(f"/{quote(part, safe='', errors='surrogateescape')}" for part in path)
    return f"{text}?{urlencode(given, doseq=True, errors='surrogateescape')}" if given else text


def _checked(response: httpx.Response) -> httpx.Response:
    if not response.is_error:
        return response
    try:
        answer = response.json()
    except ValueError:
        answer = {"message": response.text}
    kinds = {404: errors.NotFound, 409: errors.Conflict, 501: errors.NotImplementedHere}
    error = kinds.get(response.status_code, LabError)(str(answer.get("message") or response.reason_phrase))
    error.exit_code = answer.get("exitCode", 125)  # 126 and 127 belong to the command, not to the engine
    raise error


def _already_read(network: Any) -> bytes:
    """What httpcore received together with the head: a read that does not wait returns it."""
    try:
        data: bytes = network.read(1 << 16, timeout=0)
    except Exception:  # httpcore's ReadError for BlockingIOError: nothing was received
        return b""
    return data


def _unreachable(path: str, error: BaseException) -> DaemonUnreachable:
    cause: BaseException | None = error
    while cause and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    number = cause.errno if isinstance(cause, OSError) else 0
    if number in (errno.EACCES, errno.EPERM):
        return DaemonUnreachable(
            f"permission denied on the daemon's socket {path}", "use sudo, or join the socket's group (labd --group)"
        )
    reason = "nobody listens there" if number == errno.ECONNREFUSED else "there is no such socket"
    return DaemonUnreachable(
        f"cannot connect to the daemon at unix://{path}: {reason}",
        f"`sudo systemctl start labd` starts it where its unit is installed; elsewhere `sudo {_labd()}` says how",
    )


def _labd() -> str:
    """The command labd, as the user would type it: beside this one."""
    return str(Path(sys.argv[0]).with_name("labd")) if "/" in sys.argv[0] else "labd"
