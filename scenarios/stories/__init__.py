"""The stories, in the order in which they are told. Each is one short module: NAME, TITLE, play(stage)."""

from scenarios.stage.stage import Story
from scenarios.stories import (
    article,
    attribution,
    blindspot,
    crash,
    forge,
    frameup,
    gallery,
    inherit,
    launder,
    lineage,
    loginuid,
    mirror,
    notify,
    rootless,
    run,
    shadow,
    trace,
    unattended,
    variants,
    witness,
)

STORIES: tuple[Story, ...] = (
    loginuid,
    run,
    shadow,
    article,
    trace,
    lineage,
    notify,
    rootless,
    inherit,
    frameup,
    forge,
    launder,
    attribution,
    unattended,
    witness,
    mirror,
    gallery,
    crash,
    blindspot,
)

REAL_ONLY: tuple[Story, ...] = (variants,)
"""Told only if a real engine is among the chosen."""
