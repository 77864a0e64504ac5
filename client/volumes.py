"""`dockerish volume`: what lab.volumeverbs needs, asked of the daemon."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from client.api import Api


class VolumeKeeper:
    """The daemon's volumes."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def create(self, name: str, labels: Mapping[str, str]) -> str:
        """Make a volume; returns its name."""
        made: str = self.api.post("volumes", "create", body={"Name": name, "Labels": dict(labels)})["Name"]
        return made

    def list(self, filters: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        """Those that pass the filters."""
        found: list[dict[str, Any]] = self.api.get("volumes", filters=json.dumps(filters))["Volumes"]
        return found

    def find(self, name: str) -> dict[str, Any]:
        """One volume."""
        found: dict[str, Any] = self.api.get("volumes", name)
        return found

    def remove(self, name: str) -> None:
        """Remove one volume."""
        self.api.delete("volumes", name)

    def prune(self, filters: Mapping[str, Sequence[str]]) -> tuple[Sequence[str], int]:
        """Remove those that no container has; their names and bytes."""
        answer = self.api.post("volumes", "prune", filters=json.dumps(filters))
        return answer["VolumesDeleted"] or [], answer["SpaceReclaimed"]
