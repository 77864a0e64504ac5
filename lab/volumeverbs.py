"""`volume create|ls|inspect|rm|prune`, the same for both commands; docker-volume(1).

Each command gives a VolumeKeeper: podmanish one that reads its directory, dockerish one that asks the daemon.
"""

from __future__ import annotations

import json

from lab import filters
from lab.commandline import FLAG, LIST, VALUE, Command, Option
from lab.errors import PROGRAM, InvalidArgument, NotFound, NotImplementedHere
from lab.runargs import VOLUME
from lab.shown import agreed, each, show_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Protocol

    class VolumeKeeper(Protocol):
        """Who keeps the volumes. A volume is shown as Docker's Volume object; each method raises LabErrors."""

        def create(self, name: str, labels: Mapping[str, str]) -> str:
            """Make a volume; returns its name."""

        def list(self, filters: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
            """Those that pass the filters."""

        def find(self, name: str) -> dict[str, Any]:
            """One volume."""

        def remove(self, name: str) -> None:
            """Remove one volume."""

        def prune(self, filters: Mapping[str, Sequence[str]]) -> tuple[Sequence[str], int]:
            """Remove those that no container has; their names and bytes."""


CREATE = Command(
    "create",
    "volume create [OPTIONS] [VOLUME]",
    "Make a volume.",
    Option("--label", LIST, "keep NAME=VALUE with the volume"),
    Option("--driver -d", VALUE, "local, the only one"),
    Option("--opt -o", LIST, "an option of the driver; local has none here"),
)
LIST_ALL = Command(
    "ls",
    "volume ls [OPTIONS]",
    "List volumes.",
    Option("--filter -f", LIST, "NAME=VALUE with dangling, driver, label or name"),
    Option("--quiet -q", FLAG, "show the names only"),
)
INSPECT = Command("inspect", "volume inspect VOLUME...", "Show volumes as JSON.")
REMOVE = Command(
    "rm",
    "volume rm [OPTIONS] VOLUME...",
    "Remove volumes that no container has.",
    Option("--force -f", FLAG, "a volume that does not exist is no error"),
)
PRUNE = Command(
    "prune",
    "volume prune [OPTIONS]",
    "Remove the anonymous volumes that no container has.",
    Option("--all -a", FLAG, "those with a name, too"),
    Option("--filter", LIST, "NAME=VALUE with label or label!"),
    Option("--force -f", FLAG, "do not ask"),
)
OTHER_NAMES = {"list": "ls", "remove": "rm"}


def dispatch(keeper: VolumeKeeper, argv: Sequence[str], program: str) -> int:
    """Run `volume VERB`; returns the exit code. Raises LabError."""
    verb, rest = (argv[0], argv[1:]) if argv else ("--help", ())
    if verb in ("--help", "-h"):
        verbs = (CREATE, LIST_ALL, INSPECT, REMOVE, PRUNE)
        print("\n".join([VOLUME.help(program), *(f"  {c.name:8} {c.summary}" for c in verbs)]))
        return 0
    verb = OTHER_NAMES.get(verb, verb)
    if verb not in VERBS:
        raise InvalidArgument(f'there is no verb "volume {verb[:40]}"', f"usage: {PROGRAM} {VOLUME.usage}")
    return VERBS[verb](keeper, rest, program)


def _create(keeper: VolumeKeeper, argv: Sequence[str], program: str) -> int:
    values, plain = CREATE.parse(argv)
    if len(plain) > 1:
        raise InvalidArgument('"volume create" requires at most 1 argument', f"usage: {PROGRAM} {CREATE.usage}")
    if values["opt"] or values["driver"] not in ("", "local"):
        raise NotImplementedHere("--driver and --opt are not part of this lab", "leave them out: all volumes are local")
    print(keeper.create(plain[0] if plain else "", dict(text.partition("=")[::2] for text in values["label"])))
    return 0


def _list(keeper: VolumeKeeper, argv: Sequence[str], program: str) -> int:
    values, _ = LIST_ALL.parse(argv)
    found = keeper.list(filters.parse(values["filter"]))
    if values["quiet"]:
        print("".join(f"{volume['Name']}\n" for volume in found), end="")
    else:
        show_table(("DRIVER", "VOLUME NAME"), [(volume["Driver"], volume["Name"]) for volume in found])
    return 0


def _inspect(keeper: VolumeKeeper, argv: Sequence[str], program: str) -> int:
    print(json.dumps([keeper.find(name) for name in _names(INSPECT, INSPECT.parse(argv)[1])], indent=4))
    return 0


def _remove(keeper: VolumeKeeper, argv: Sequence[str], program: str) -> int:
    values, plain = REMOVE.parse(argv)

    def act(name: str) -> str:
        try:
            keeper.remove(name)
        except NotFound:
            if not values["force"]:
                raise
        return name

    return min(1, each(program, _names(REMOVE, plain), act))  # docker volume rm knows no other code


def _prune(keeper: VolumeKeeper, argv: Sequence[str], program: str) -> int:
    values, _ = PRUNE.parse(argv)
    which = "all" if values["all"] else "the anonymous"
    if not (values["force"] or agreed(f"{which} volumes that no container has")):
        return 0
    names, size = keeper.prune({**filters.parse(values["filter"]), **({"all": ["true"]} if values["all"] else {})})
    if names:
        print("Deleted Volumes:", *names, "", sep="\n")
    print(f"Total reclaimed space: {size / 1e6:.1f} MB")
    return 0


def _names(command: Command, plain: Sequence[str]) -> Sequence[str]:
    if not plain:
        usage = f"usage: {PROGRAM} {command.usage}"
        raise InvalidArgument(f'"volume {command.name}" requires at least 1 argument', usage)
    return plain


VERBS = {"create": _create, "ls": _list, "inspect": _inspect, "rm": _remove, "prune": _prune}
