"""labd's part of a container's record, checked when it is read. A damaged container has Docker's state "dead"."""

from __future__ import annotations

from pydantic import ValidationError

from daemon.models import ContainerCreate
from lab import damage
from lab.record import Record


def checked(record: Record) -> Record:
    """The record; marked as damaged if the part of its config that only labd uses is not what labd writes."""
    config = record.config
    try:
        config["body"] = ContainerCreate.model_validate(config["body"]).model_dump()
        reason = "" if "image_id" in config else "no image_id"
    except (KeyError, ValidationError, RecursionError):
        reason = "its body is not a valid request"
    if reason:
        config |= {"image_id": "", "body": ContainerCreate(Image="?").model_dump()}
        if record.status != damage.DAMAGED:
            record.state = damage.state_instead(f"{record.path}/config: {reason}", record.state)
    return record
