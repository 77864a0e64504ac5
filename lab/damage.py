"""Read a container's directory, and replace what cannot be read.

After a cut of power a file may be missing, empty or cut short; after a fault of the disk it may contain anything. Only
that one container is affected: it is shown as damaged, with the reason, and it can be removed but not started.
"""

from __future__ import annotations

import ast
import os

from lab.spec import RLIMITS, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

DAMAGED = "damaged"
LARGEST = 32 << 20  # bytes; a request may be much smaller than that
REFERENCE = Spec(args=["true"])
# Of a Spec; its other lists hold words.
ROWS = ("mounts", "devices", "uid_mappings", "gid_mappings", "rlimits", "console_size")


class Damage(Exception):
    """The file cannot be what the lab wrote; the message says why."""


def _is_number(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 2**63


def _is_pid(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 2**31


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != "" and "/" not in value and value.isprintable()


def _is_cgroup(value: object) -> bool:
    """A path in cgroupfs, whose names may have any character but these two."""
    return isinstance(value, str) and "/../" not in f"{value}/" and not {"\0", "\n"}.intersection(value)


def _is_words(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(word, str) for word in value)


def _is_spec(value: object) -> bool:
    """Whether Spec.from_dict() makes a Spec of it whose fields have the types of a new one's."""
    if not isinstance(value, dict):
        return False
    spec = Spec.from_dict(value)
    if not all(_is_like(name, getattr(spec, name), getattr(REFERENCE, name)) for name in Spec.__slots__):
        return False
    binds = [text for m in spec.mounts for text in (m.source, m.target, m.kind, m.name, m.propagation)]
    binds += [text for device in spec.devices for text in (device.source, device.target)]
    ids = [number for row in (*spec.uid_mappings, *spec.gid_mappings) for number in row]
    pairs = [text for words in (spec.env, spec.sysctl, spec.tmpfs) for pair in words.items() for text in pair]
    limits = all(isinstance(value, (int, str)) for value in spec.resources.values())
    limits = limits and all(name in RLIMITS and min(soft, hard) >= -1 for name, soft, hard in spec.rlimits)
    return bool(spec.args) and _is_words(binds) and _is_words(pairs) and all(map(_is_number, ids)) and limits


def _is_like(name: str, field: object, good: object) -> bool:
    if name == "oom_score_adj":
        return field is None or (isinstance(field, int) and -1000 <= field <= 1000)
    if isinstance(good, (list, tuple)) and name not in ROWS:
        return _is_words(field)
    return type(field) is type(good)


CONFIG: Mapping[str, Callable[[object], bool]] = {
    "name": _is_name,
    "created": _is_number,
    "image": _is_text,
    "rm": lambda value: isinstance(value, bool),
    "spec": _is_spec,
}
CONFIG_OPTIONAL: Mapping[str, Callable[[object], bool]] = {
    "image_id": _is_text,
    "label": _is_words,
    "entrypoint": _is_number,
    "stop_signal": _is_text,
}
STATE: Mapping[str, Callable[[object], bool]] = {"status": lambda value: value in ("created", "running", "exited")}
STATE_OPTIONAL: Mapping[str, Callable[[object], bool]] = {
    "pid": _is_pid,
    "start_time": _is_number,
    "monitor": _is_pid,
    "monitor_start_time": _is_number,
    "started": _is_number,
    "finished": _is_number,
    "exit_code": lambda value: value is None or _is_pid(value),
    "error": _is_text,
    "oom_killed": lambda value: isinstance(value, bool),
    "stopped": lambda value: isinstance(value, bool),
    "restart_count": _is_number,
    "cgroup": _is_cgroup,
}
RUNNING = ("pid", "start_time", "monitor", "monitor_start_time", "started")


def read_config(path: str) -> dict[str, Any]:
    """The config of the container in that directory. Raises Damage; FileNotFoundError if it is missing."""
    return _checked(f"{path}/config", CONFIG, CONFIG_OPTIONAL)


def read_state(path: str) -> dict[str, Any]:
    """The state of the container in that directory. Raises Damage; FileNotFoundError if it is missing."""
    state = _checked(f"{path}/state", STATE, STATE_OPTIONAL)
    needed: tuple[str, ...] = ()
    if state["status"] == "running":
        needed = RUNNING
    elif state.get("monitor"):
        needed = ("monitor_start_time",)
    for name in needed:
        if name not in state:
            raise Damage(f"{path}/state: no {name}")
    return state


def _checked(
    path: str, needed: Mapping[str, Callable[[object], bool]], optional: Mapping[str, Callable[[object], bool]]
) -> dict[str, Any]:
    values = _literal(path)
    for name in needed:
        if name not in values:
            raise Damage(f"{path}: no {name}")
    for name, good in (*needed.items(), *optional.items()):
        try:
            if name in values and not good(values[name]):
                raise Damage(f"{path}: {name} has a wrong type or value")
        except (TypeError, ValueError, KeyError, AttributeError):
            raise Damage(f"{path}: {name} has a wrong type or value") from None
    return values


def _literal(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise Damage(f"{path}: {error.strerror}") from None
    if not data or len(data) > LARGEST:
        raise Damage(f"{path}: {'too large' if data else 'empty'}")
    try:
        values = ast.literal_eval(data.decode(errors="surrogateescape"))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise Damage(f"{path}: not a Python literal") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise Damage(f"{path}: not a dictionary")
    found: dict[str, Any] = values
    return found


def config_instead(path: str, name: str) -> dict[str, Any]:
    """The config that is shown for a container whose config is lost; its Spec cannot be run."""
    created = os.stat(path).st_mtime_ns
    spec = Spec(rootfs="", args=["?"]).to_dict()
    return {"name": name, "created": created, "image": "?", "image_id": "", "spec": spec, "rm": False, "label": []}


def state_instead(reason: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """The state of a damaged container: the reason, and the process that may still run, if the record names it."""
    process = {name: known[name] for name in ("pid", "start_time") if name in known}
    return {**process, "status": DAMAGED, "error": reason, "exit_code": None, "finished": 0}
