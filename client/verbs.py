"""The verbs of `dockerish` besides run and exec: each sends a request or two."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from client import images
from client.api import Api, socket_path
from client.run import carry, create_body
from lab import imageargs, runargs
from lab.commandline import FLAG, Command, Option
from lab.errors import InvalidArgument
from lab.frames import FrameReader
from lab.runargs import RunOptions
from lab.shown import PS_COLUMNS, SECOND, SHORT_ID, each, parse_time, ps_row, show_table

START = Command(
    "start",
    "start [OPTIONS] CONTAINER...",
    "Start containers that were created or have ended.",
    Option("--attach -a", FLAG, "attach to its output, forward signals, return its exit code"),
    Option("--interactive -i", FLAG, "attach to its input too"),
)
ATTACH = Command("attach", "attach CONTAINER", "Connect to a running container's streams.")
VERSION = Command("version", "version", "Show the versions of client and daemon.")


def create(api: Api, argv: Sequence[str]) -> int:
    options = runargs.parse_run(argv, runargs.CREATE)
    query = {"name": options.name} if options.name else {}
    print(api.post("containers", "create", body=create_body(options), **query)["Id"])
    return 0


def start(api: Api, argv: Sequence[str]) -> int:
    values, references = runargs.parse_containers(START, argv)
    if not (values["attach"] or values["interactive"]):
        return _each(references, lambda reference: api.post("containers", reference, "start"))
    if len(references) > 1:
        raise InvalidArgument("you cannot start and attach multiple containers at once", "name one container")
    return _attached(api, references[0], stdin=values["interactive"], begin=True)


def attach(api: Api, argv: Sequence[str]) -> int:
    _, references = runargs.parse_containers(ATTACH, argv)
    return _attached(api, references[0], stdin=True, begin=False)


def _attached(api: Api, reference: str, *, stdin: bool, begin: bool) -> int:
    found = api.get("containers", reference, "json")
    if not begin and not found["State"]["Running"]:
        raise InvalidArgument("you cannot attach to a stopped container", "start it first: dockerish start -a NAME")
    config, path = found["Config"], ("containers", found["Id"])
    options = RunOptions("", [], tty=config["Tty"], interactive=stdin and config["OpenStdin"])
    condition = "removed" if found["HostConfig"]["AutoRemove"] else "next-exit"
    streams = {"stream": 1, "stdout": 1, "stderr": 1, "stdin": int(options.interactive)}
    with (
        api.hijack(*path, "attach", **streams) as connection,
        api.stream("POST", *path, "wait", condition=condition) as ended,
    ):
        if begin:
            api.post(*path, "start")
        carry(api, connection, path, options)
        code: int = ended.json()["StatusCode"]
    return code


def ps(api: Api, argv: Sequence[str]) -> int:
    values, _ = runargs.PS.parse(argv)
    found = api.get("containers", "json", all=values["all"])
    if values["quiet"]:
        for row in found:
            print(row["Id"][: None if values["no_trunc"] else SHORT_ID])
        return 0
    show_table(PS_COLUMNS, [_row(row, whole=values["no_trunc"]) for row in found])
    return 0


def _row(row: dict[str, Any], *, whole: bool) -> Sequence[str]:
    name, created = row["Names"][0][1:], row["Created"] * SECOND
    return ps_row(row["Id"], row["Image"], row["Command"], created, row["Status"], name, whole=whole)


def logs(api: Api, argv: Sequence[str]) -> int:
    values, (reference, *_) = runargs.parse_containers(runargs.LOGS, argv)
    tail = runargs.parse_tail(values["tail"])
    tty = api.get("containers", reference, "json")["Config"]["Tty"]
    query = {
        "stdout": 1, "stderr": 1, "follow": values["follow"], "timestamps": values["timestamps"],
        "tail": "all" if tail is None else tail,
        "since": parse_time(values["since"]) / SECOND if values["since"] else 0,
    }  # fmt: skip
    with api.stream("GET", "containers", reference, "logs", **query) as stream:
        frames = None if tty else FrameReader()
        for chunk in stream.chunks():
            for target, data in frames.feed(chunk) if frames else ((1, chunk),):
                os.write(target, data)
    return 0


def stop(api: Api, argv: Sequence[str]) -> int:
    values, references = runargs.parse_containers(runargs.STOP, argv)
    query = {"t": runargs.parse_number(values["time"], "--time")} if values["time"] else {}
    return _each(references, lambda reference: api.post("containers", reference, "stop", **query))


def kill(api: Api, argv: Sequence[str]) -> int:
    values, references = runargs.parse_containers(runargs.KILL, argv)
    number = values["signal"] or "KILL"
    return _each(references, lambda reference: api.post("containers", reference, "kill", signal=number))


def remove(api: Api, argv: Sequence[str]) -> int:
    values, references = runargs.parse_containers(runargs.RM, argv)
    return _each(
        references, lambda reference: api.delete("containers", reference, force=values["force"], v=values["volumes"])
    )


def wait(api: Api, argv: Sequence[str]) -> int:
    _, references = runargs.parse_containers(runargs.WAIT, argv)
    return _each(references, lambda reference: api.post("containers", reference, "wait")["StatusCode"], show=True)


def inspect(api: Api, argv: Sequence[str]) -> int:
    _, references = runargs.parse_containers(runargs.INSPECT, argv)
    print(json.dumps([api.get("containers", reference, "json") for reference in references], indent=4))
    return 0


def volume(api: Api, argv: Sequence[str]) -> int:
    from client.volumes import VolumeKeeper
    from lab import volumeverbs

    return volumeverbs.dispatch(VolumeKeeper(api), argv, "dockerish")


def version(api: Api, argv: Sequence[str]) -> int:
    VERSION.parse(argv)
    found = api.get("version")
    print(f"dockerish  speaks Docker's API over {api.path}")
    print(f"labd       {found['Version']}, API {found['ApiVersion']}, Linux {found['KernelVersion']}")
    return 0


def _each(references: Sequence[str], act: Callable[[str], object], *, show: bool = False) -> int:
    """Act on every named container; print its name, or with show the result."""

    def told(reference: str) -> object:
        result = act(reference)
        return result if show else reference

    return each("dockerish", references, told)


COMMANDS: tuple[tuple[Command, Callable[[Api, Sequence[str]], int]], ...] = (
    (runargs.PS, ps), (runargs.LOGS, logs), (runargs.STOP, stop), (runargs.KILL, kill), (runargs.RM, remove),
    (runargs.WAIT, wait), (runargs.INSPECT, inspect), (runargs.CREATE, create), (START, start), (ATTACH, attach),
    (runargs.VOLUME, volume), (VERSION, version),
    *((command, images.VERBS[command.name]) for command in imageargs.OF_BOTH),
)  # fmt: skip


def dispatch(host: str, verb: str, argv: Sequence[str]) -> int:
    """Run one verb. Raises InvalidArgument for an unknown one."""
    if verb in ("--help", "-h", "help"):
        print(usage())
        return 0
    for command, act in COMMANDS:
        if command.name == verb:
            return act(Api(socket_path(host)), argv)
    raise runargs.unknown_verb(verb)


def usage() -> str:
    """The text of `dockerish --help`."""
    described = (runargs.RUN, runargs.EXEC, *(command for command, _ in COMMANDS))
    rows = [f"  {command.name:8} {command.summary}" for command in described]
    return "\n".join(
        [
            "Usage: dockerish [--host unix://PATH] COMMAND",
            "",
            "Containers by a daemon: client and server.",
            "",
            *rows,
        ]
    )
