"""The verbs of `podmanish` that look at containers or end them. They read directories; there is no daemon to ask."""

from __future__ import annotations

import json
import os
import time

from lab import imageargs, logs, pidfd, runargs
from lab.forker import images
from lab.shown import PS_COLUMNS, SHORT_ID, ago, each, parse_time, ps_row, rfc3339, show_table
from lab.signals import signal_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.forker.engine import Forker
    from lab.record import Record

FOLLOW_SECONDS = 0.05  # between two reads of a growing log


def dispatch(engine: Forker, verb: str, argv: Sequence[str]) -> int:
    """Run one verb; raises InvalidArgument for an unknown one."""
    if verb in ("--help", "-h", "help"):
        print(usage())
        return 0
    if verb not in VERBS:
        raise runargs.unknown_verb(verb)
    return VERBS[verb](engine, argv)


def usage() -> str:
    """The text of `podmanish --help`."""
    described = (runargs.RUN_FORKED, runargs.EXEC, *(command for command in COMMANDS.values()))
    rows = [f"  {command.name:8} {command.summary}" for command in described]
    return "\n".join(
        ["Usage: podmanish [--root DIRECTORY] COMMAND", "", "Containers without a daemon: fork and exec.", "", *rows]
    )


def ps(engine: Forker, argv: Sequence[str]) -> int:
    values, _ = runargs.PS.parse(argv)
    shown = [c for c in engine.containers() if values["all"] or c.status == "running"]
    if values["quiet"]:
        for container in shown:
            print(container.id[: None if values["no_trunc"] else SHORT_ID])
        return 0
    show_table(PS_COLUMNS, [_row(container, whole=values["no_trunc"]) for container in shown])
    return 0


def _row(container: Record, *, whole: bool) -> Sequence[str]:
    config, state = container.config, container.state
    status = {
        "created": "Created",
        "running": f"Up {ago(state.get('started', 0))}",
        "damaged": "Damaged",
        "exited": f"Exited ({state.get('exit_code')})",
    }[container.status]
    if state.get("finished"):  # 0 if its monitor was killed: the time is unknown
        status += f" {ago(state['finished'])} ago"
    command = " ".join(container.spec.args)
    return ps_row(container.id, config["image"], command, config["created"], status, container.name, whole=whole)


def show_logs(engine: Forker, argv: Sequence[str]) -> int:
    values, (reference, *_) = runargs.parse_containers(runargs.LOGS, argv)
    container = engine.store.find(reference)
    since = parse_time(values["since"]) if values["since"] else 0
    tail = runargs.parse_tail(values["tail"])
    lines = logs.Lines(container.log_path, whole=values["timestamps"], tail=tail, since=since)
    try:
        running = True
        while running:
            running = values["follow"] and _is_running(container)
            while (batch := lines.read()) is not None:
                _print_lines(batch, values["timestamps"])
            if running:
                time.sleep(FOLLOW_SECONDS)
        _print_lines(lines.rest(), values["timestamps"])
    except BrokenPipeError:
        pass  # the reader has seen enough
    finally:
        lines.close()
    return 0


def _is_running(container: Record) -> bool:
    """False once the monitor has recorded the end; all output is in the log by then."""
    try:
        return container.reload().status == "running"
    except FileNotFoundError:  # removed meanwhile; the open descriptor of the log stays readable
        return False


def _print_lines(lines: Sequence[logs.Line], timestamps: bool) -> None:
    """Write the lines, with one write(2) for each run of lines of the same stream."""
    parts: list[bytes] = []
    target, stamped, stamp = logs.STDOUT, -1, b""
    for moment, stream, data, begins in lines:
        if stream != target:
            _write_all(target, b"".join(parts))
            target, parts = stream, []
        if timestamps and begins:
            if moment != stamped:  # the lines of one write have one time
                stamped, stamp = moment, f"{rfc3339(moment)} ".encode()
            parts.append(stamp)
        parts.append(data)
    _write_all(target, b"".join(parts))


def _write_all(stream: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(stream, rest) :]  # logs.STDOUT and logs.STDERR are the numbers of the descriptors


def stop(engine: Forker, argv: Sequence[str]) -> int:
    values, references = runargs.parse_containers(runargs.STOP, argv)
    seconds = runargs.parse_number(values["time"] or "10", "--time")

    def act(container: Record) -> None:
        if container.status == "running":
            engine.stop(container, seconds)

    return _each(engine, references, act)


def kill(engine: Forker, argv: Sequence[str]) -> int:
    values, references = runargs.parse_containers(runargs.KILL, argv)
    number = signal_number(values["signal"] or "KILL")
    return _each(engine, references, lambda container: pidfd.send_signal(container.open(), number))


def remove(engine: Forker, argv: Sequence[str]) -> int:
    values, references = runargs.parse_containers(runargs.RM, argv)
    return _each(engine, references, lambda container: engine.remove(container, values["force"], values["volumes"]))


def wait(engine: Forker, argv: Sequence[str]) -> int:
    _, references = runargs.parse_containers(runargs.WAIT, argv)
    return _each(engine, references, lambda container: engine.wait(container), show=str)


def inspect(engine: Forker, argv: Sequence[str]) -> int:
    _, references = runargs.parse_containers(runargs.INSPECT, argv)
    found = [engine.store.find(reference) for reference in references]
    print(json.dumps([_inspected(container) for container in found], indent=4))
    return 0


def _inspected(container: Record) -> dict[str, object]:
    """The fields that `podman inspect` and `docker inspect` have; Spec is this lab's."""
    from lab import mounting

    config, state = container.config, container.state
    return {
        "Id": container.id,
        "Name": container.name,
        "Created": rfc3339(config["created"]),
        "Image": config["image"],
        "Config": {"Labels": dict(_label(text) for text in config.get("label", ()))},
        "State": {
            "Status": container.status,
            "Running": container.status == "running",
            "Pid": state["pid"] if container.status == "running" else 0,
            "ExitCode": state.get("exit_code") or 0,
            "OOMKilled": state.get("oom_killed", False),
            "Error": state.get("error", ""),
            "StartedAt": rfc3339(state.get("started", 0)),
            "FinishedAt": rfc3339(state.get("finished", 0)),
        },
        "Mounts": mounting.shown(container.spec.mounts),
        "Spec": config["spec"],
    }


def volume(engine: Forker, argv: Sequence[str]) -> int:
    from lab import volumeverbs
    from lab.forker.placing import VolumeKeeper

    return volumeverbs.dispatch(VolumeKeeper(engine.store), argv, "podmanish")


def _label(text: str) -> tuple[str, str]:
    """The name and the value of `--label NAME=VALUE`; the value is "" if there is no =."""
    name, _, value = text.partition("=")
    return name, value


def _each(
    engine: Forker,
    references: Sequence[str],
    act: Callable[[Record], object],
    show: Callable[[object], str] | None = None,
) -> int:
    """Act on each container that was named, and print its name, or show(result)."""

    def told(reference: str) -> str:
        result = act(engine.store.find(reference))
        return show(result) if show else reference

    return each("podmanish", references, told)


COMMANDS = {
    command.name: command
    for command in (
        runargs.PS, runargs.LOGS, runargs.STOP, runargs.KILL, runargs.RM, runargs.WAIT, runargs.INSPECT, runargs.VOLUME,
        *imageargs.OF_BOTH,
    )
}  # fmt: skip
VERBS: dict[str, Callable[[Forker, Sequence[str]], int]] = {
    "ps": ps, "logs": show_logs, "stop": stop, "kill": kill, "rm": remove, "wait": wait, "inspect": inspect,
    "volume": volume, **{command.name: images.VERBS[command.name] for command in imageargs.OF_BOTH},
}  # fmt: skip
