"""Many clients at once: containers a second of an engine, and the time of labd's ping beside readers of a log."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep

import httpx

LOG_BYTES, READERS, PINGS, REST = 100 << 20, 10, 400, 0.005


def throughput(command: Sequence[str], clients: int, each: int) -> tuple[float, int]:
    """(containers a second, number of exit codes other than 0); each client runs the command `each` times."""

    def client(_: int) -> int:
        codes = (
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False).returncode
            for _ in range(each)
        )
        return sum(code != 0 for code in codes)

    begin = perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        wrong = sum(pool.map(client, range(clients)))
    return clients * each / (perf_counter() - begin), wrong


def ping_beside_readers(path: Path) -> list[float]:
    """Seconds of each ping while READERS clients read a log of LOG_BYTES, in lines with times, again and again."""
    with _http(path) as http, _container_with_log(http) as container, _readers(path, container):
        times = []
        for _ in range(PINGS):
            begin = perf_counter()
            http.get("/_ping").raise_for_status()
            times.append(perf_counter() - begin)
            sleep(REST)
    return times


def _http(path: Path) -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://labd", timeout=120)


@contextmanager
def _container_with_log(http: httpx.Client) -> Iterator[str]:
    command = ["sh", "-c", f"yes 'a line of a log, as long as most are' | head -c {LOG_BYTES}"]
    container: str = http.post("/containers/create", json={"Image": "host", "Cmd": command}).json()["Id"]
    http.post(f"/containers/{container}/start").raise_for_status()
    http.post(f"/containers/{container}/wait").raise_for_status()
    try:
        yield container
    finally:
        http.delete(f"/containers/{container}")


@contextmanager
def _readers(path: Path, container: str) -> Iterator[None]:
    stop = threading.Event()

    def read() -> None:
        with _http(path) as http:
            while not stop.is_set():
                with http.stream("GET", f"/containers/{container}/logs?stdout=1&timestamps=1") as response:
                    for _ in response.iter_raw():
                        if stop.is_set():
                            break

    threads = [threading.Thread(target=read) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
