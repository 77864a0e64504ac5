"""A create request as it is kept: completed with what the image's config says."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from daemon import health
from daemon.models import ContainerCreate, HealthConfig
from lab.errors import InvalidArgument
from lab.runargs import RunOptions
from lab.signals import signal_number


def settled(body: ContainerCreate, options: RunOptions) -> dict[str, Any]:
    """The body with what the image's config has filled in, as `docker inspect` shows it. Raises InvalidArgument."""
    try:
        healthcheck = HealthConfig.model_validate(options.healthcheck)
    except ValidationError:  # an image may hold anything
        raise InvalidArgument("the image's Healthcheck is not one of Docker's", "give one: --health-cmd") from None
    health.check(healthcheck)
    if options.stop_signal:
        signal_number(options.stop_signal)
    return body.model_dump() | {
        "Entrypoint": options.entrypoint or None, "Cmd": options.command, "WorkingDir": options.workdir,
        "Labels": dict(item.partition("=")[::2] for item in options.label),
        "StopSignal": options.stop_signal, "Healthcheck": healthcheck.model_dump(),
    }  # fmt: skip
