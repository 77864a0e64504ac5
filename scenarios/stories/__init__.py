"""The stories, in the order in which they are told. Each is one short module: NAME, TITLE, play(stage)."""

from scenarios.stage import Story
from scenarios.stories import blindspot, crash, frameup, inherit, loginuid, mirror, rootless, run, shadow

STORIES: tuple[Story, ...] = (
    loginuid, run, shadow,
    rootless, inherit, frameup, mirror, crash, blindspot,
)  # fmt: skip
