"""The command `labd`: options, the socket, the server, signals."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from daemon.app import create_app
from daemon.attribution import Attribution
from daemon.engine import Engine
from daemon.own_cgroup import settle
from daemon.wire import listen
from daemon.wire.hijack import HijackProtocol
from lab import identity
from lab.errors import LabError, NotAllowed
from lab.paths import SOCKET, STATE

log = logging.getLogger("labd")
WITHOUT_A_LOGIN = """sudo sh -c 'echo 4294967295 >/proc/self/loginuid; exec setsid --fork "$0"'"""
GRACE_SECONDS = 2  # for answers that are being sent after the containers have ended


class Server(uvicorn.Server):
    """uvicorn's server. The containers end before it does, because it waits for their streams."""

    def __init__(self, config: uvicorn.Config, engine: Engine) -> None:
        super().__init__(config)
        self.engine = engine

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, log_tasks)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.engine.end_containers()
        await super().shutdown(sockets)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Exit status 0, or 125 if the daemon cannot start."""
    options = _parse(argv)
    logging.basicConfig(format="labd: %(message)s", level=logging.DEBUG if options.debug else logging.INFO)
    try:
        _check_identity(options.allow_loginuid)
        settle()
        engine = Engine(options.state, Attribution(options.attribution, options.peer_by_pid), options.shutdown_timeout)
        server = _server(engine)
        listener = listen.inherited() or listen.bind(options.socket, options.group)
    except LabError as error:
        print(error.told_by("labd"), file=sys.stderr)
        return error.exit_code
    try:
        asyncio.run(server.serve(sockets=[listener.socket]))
    finally:
        listener.close()
    return 0


def log_tasks() -> None:
    """On SIGUSR1 log what each task is doing, as dockerd logs its goroutines."""
    for task in asyncio.all_tasks():
        frames = task.get_stack(limit=1)
        where = f"{Path(frames[-1].f_code.co_filename).name}:{frames[-1].f_lineno}" if frames else "not started"
        log.info("task %s at %s", getattr(task.get_coro(), "__qualname__", task.get_name()), where)
    log.info("tasks: %d", len(asyncio.all_tasks()))


def _server(engine: Engine) -> Server:
    config = uvicorn.Config(
        create_app(engine), http=HijackProtocol, ws="none", loop="asyncio", lifespan="on", log_config=None,
        access_log=False, server_header=False, proxy_headers=False, timeout_keep_alive=60,
        timeout_graceful_shutdown=GRACE_SECONDS, backlog=512,
    )  # fmt: skip
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    server = Server(config, engine)
    for number in (signal.SIGTERM, signal.SIGINT):
        # Set before uvicorn sets its handlers, so that no signal is lost during its start. At its end uvicorn raises
        # the signal again: this handler ignores the repeat.
        signal.signal(number, server.handle_exit)
    _collect_often()
    return server


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="labd", description="The client/server engine's daemon: a subset of dockerd.")
    parser.add_argument("--socket", type=Path, default=Path(SOCKET), help="UNIX socket to listen on (%(default)s)")
    parser.add_argument(
        "--state", type=Path, default=Path(STATE), help="directory for containers and images (%(default)s)"
    )
    parser.add_argument("--group", default="", help="group that may use the socket, besides root")
    parser.add_argument("--allow-loginuid", action="store_true", help="start even if my loginuid is set")
    parser.add_argument(
        "--attribution", choices=("none", "log", "stamp"), default="none",
        help="what to do with the peer's loginuid: nothing; log it, in the audit log, too; or also stamp it",
    )  # fmt: skip
    parser.add_argument(
        "--peer-by-pid", action="store_true", help="find the peer by SO_PEERCRED's pid, as before Linux 6.5"
    )
    parser.add_argument(
        "--shutdown-timeout", type=_seconds, default=5, metavar="SECONDS",
        help="at my end, how long containers have from the stop signal to SIGKILL (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--debug", action="store_true", help="log every request, and who sends it")
    return parser.parse_args(argv)


def _seconds(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!a} is no number of seconds: 0, 1 ...")
    return int(text)


def _collect_often() -> None:
    """Collect garbage more often than Python would: 32 parallel requests leave 3 MiB of garbage instead of 8.

    Objects that exist now are excluded by gc.freeze(), so that a full collection takes less than a millisecond.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(500, 2, 1)


def _check_identity(allowed: bool) -> None:
    """Refuse to start from a login: every user's container would carry that login's loginuid. Raises NotAllowed."""
    try:
        loginuid = identity.loginuid()
    except FileNotFoundError:  # a kernel without audit
        return
    if loginuid != identity.UNSET and not allowed:
        raise NotAllowed(
            f"the loginuid is set ({loginuid}): every user's container would be recorded as this user's",
            f"start labd without a login, as its unit does: {WITHOUT_A_LOGIN} {sys.argv[0]}\n"
            "  or use --allow-loginuid to show this effect",
        )
    if os.geteuid() != 0:
        raise NotAllowed("labd must run as root", "use sudo, or podmanish, which needs no daemon")


if __name__ == "__main__":
    sys.exit(main())
