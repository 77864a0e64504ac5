"""`--change` of import and commit: instructions of a Dockerfile that set what holds for containers.

https://docs.docker.com/reference/dockerfile/; words as docker splits them, but variables are not replaced.
"""

from __future__ import annotations

import json
import os

from lab.errors import InvalidArgument, NotImplementedHere
from lab.signals import signal_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

ABSENT = ("HEALTHCHECK", "ONBUILD", "VOLUME")
FIELDS = {"CMD": "Cmd", "ENTRYPOINT": "Entrypoint", "USER": "User", "WORKDIR": "WorkingDir", "STOPSIGNAL": "StopSignal"}
SHELL = ["/bin/sh", "-c"]


def changed(settings: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """The settings after these instructions. Raises InvalidArgument, NotImplementedHere."""
    found = dict(settings)
    for line in (line for change in changes for line in change.split("\n") if line.strip()):
        name, _, rest = line.strip().partition(" ")
        _take(found, name.upper(), rest.strip())
    return found


def _take(settings: dict[str, Any], name: str, rest: str) -> None:
    if name in ABSENT:
        raise NotImplementedHere(f"{name} in a change is not part of this lab", "give it to each run")
    if name not in (*FIELDS, "ENV", "EXPOSE", "LABEL"):
        raise InvalidArgument(
            f"{name[:40]} is not a valid change command", f"use {', '.join((*FIELDS, 'ENV', 'EXPOSE', 'LABEL'))}"
        )
    if not rest:
        raise InvalidArgument(f"{name} requires at least one argument", f"write {name} and what it sets")
    if name in ("CMD", "ENTRYPOINT"):
        settings[FIELDS[name]] = _command(rest)
        if name == "ENTRYPOINT" and "Cmd" in settings:
            settings["Cmd"] = None  # as in a Dockerfile: a new entrypoint drops the command before it
    elif name == "ENV":
        pairs = _pairs(name, rest)
        kept = [item for item in settings.get("Env") or [] if item.partition("=")[0] not in pairs]
        settings["Env"] = [*kept, *(f"{key}={value}" for key, value in pairs.items())]
    elif name == "LABEL":
        settings["Labels"] = {**(settings.get("Labels") or {}), **_pairs(name, rest)}
    elif name == "EXPOSE":
        ports: dict[str, Any] = {port: {} for word in words(rest) for port in _ports(word)}
        settings["ExposedPorts"] = {**(settings.get("ExposedPorts") or {}), **ports}
    elif name == "WORKDIR":
        base = str(settings.get("WorkingDir") or "/")
        settings["WorkingDir"] = f"/{os.path.normpath(os.path.join('/', base, _plain(rest))).lstrip('/')}"
    else:
        if name == "STOPSIGNAL":
            signal_number(rest)
        settings[FIELDS[name]] = _plain(rest)


def _ports(text: str) -> list[str]:
    """The ports of PORT[-PORT][/tcp|udp|sctp], each with its protocol. Raises InvalidArgument."""
    span, _, protocol = text.partition("/")
    first, dash, last = span.partition("-")
    numbers = [int(end) for end in (first, last if dash else first) if end.isascii() and end.isdigit() and len(end) < 6]
    protocol = protocol.lower() or "tcp"
    if len(numbers) < 2 or not numbers[0] <= numbers[1] < 1 << 16 or protocol not in ("tcp", "udp", "sctp"):
        raise InvalidArgument(f"EXPOSE {text[:80]}: no such port", "write PORT, PORT-PORT or PORT/udp, from 0 to 65535")
    return [f"{number}/{protocol}" for number in range(numbers[0], numbers[1] + 1)]


def _command(rest: str) -> list[str]:
    """A command as a list in JSON, or words for the shell."""
    try:
        found = json.loads(rest)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, list) and all(isinstance(word, str) for word in found):
        return found
    return [*SHELL, rest]


def _pairs(name: str, rest: str) -> dict[str, str]:
    """NAME=VALUE NAME="VALUE WITH SPACES", or the older NAME VALUE WITH SPACES."""
    found = words(rest)
    if "=" not in found[0]:
        key, _, value = rest.partition(" ")
        if not value.strip():
            raise InvalidArgument(f"{name} must have two arguments", f"write {name} NAME=VALUE")
        return {key: _plain(value.strip())}
    pairs = {}
    for word in found:
        key, given, value = word.partition("=")
        if not given or not key:
            raise InvalidArgument(f"Syntax error - can't find = in {word[:80]!a}. Must be of the form: name=value")
        pairs[key] = value
    return pairs


def words(text: str) -> list[str]:
    """Split as a shell does, at spaces that are not quoted. Raises InvalidArgument, NotImplementedHere."""
    import shlex

    try:
        found = shlex.split(_plain(text))
    except ValueError as error:
        raise InvalidArgument(f"{text[:80]!a}: {error}", "close the quotation mark") from None
    return found or [""]


def _plain(text: str) -> str:
    if "$" in text:
        raise NotImplementedHere(
            f"variables in a change are not part of this lab: {text[:80]!a}", "write the value in place of the variable"
        )
    return text
