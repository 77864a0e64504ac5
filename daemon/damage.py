"""A container whose record on disk cannot be read, as the daemon keeps it: Docker's state "dead", good for removal."""

from __future__ import annotations

from pydantic import ValidationError

from daemon.models import ContainerCreate
from lab import damage
from lab.record import Record


def checked(record: Record) -> Record:
    """The record; as a damaged one if what is labd's own in its config is not what labd wrote."""
    config = record.config
    try:
        config["body"] = ContainerCreate.model_validate(config["body"]).model_dump()
        reason = "" if "image_id" in config else "no image_id"
    except (KeyError, ValidationError, RecursionError):
        reason = "its body is not what a client may ask for"
    if reason:
        config |= {"image_id": "", "body": ContainerCreate(Image="?").model_dump()}
        if record.status != damage.DAMAGED:
            record.state = damage.state_instead(f"{record.path}/config: {reason}", record.state)
    return record
