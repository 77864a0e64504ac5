"""A live run on this kernel, in a real browser: the page sets the pace, and shows what the kernel says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.identity import UNSET

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.needs("root", "audit", "chromium", "sudo")
UID = 54321
Seen = dict[str, list[list[str]]]
STORIES = ("loginuid", "run", "shadow")


def press_until_the_end(tab: Page) -> Seen:
    """Press Space at each stop; returns the containers' nodes that were seen, by story."""
    seen: Seen = {}
    while True:
        tab.locator("body.waits, #state:text('ended')").first.wait_for(timeout=60_000)
        if tab.locator("#state", has_text="ended").count():
            return seen
        story = tab.locator("#place").inner_text().split(" · ")[1:2]
        nodes = [text.split() for text in tab.locator(".lane:not(.earlier) .node.container").all_inner_texts()]
        if story:
            known = seen.setdefault(story[0], [])
            known += [node for node in nodes if node not in known]
        tab.wait_for_timeout(300)  # a faster key is taken for a second press of the last one
        tab.keyboard.press(" ")


def test_a_live_run_goes_at_the_pages_pace(scripts: Path, browser: Browser, tmp_path: Path) -> None:
    """The container is a question until its command has run; then the kernel's number stands there, and all holds."""
    command: list[str | Path] = [
        scripts / "lab",
        "run",
        *STORIES,
        "--as",
        str(UID),
        "--page",
        "--port",
        "0",
        "--record",
        tmp_path / "run.jsonl",
    ]
    run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert run.stdout
    try:
        address = next(found[0] for line in run.stdout if (found := re.search(r"http://127\S+", line)))
        tab = browser.new_page(viewport={"width": 1280, "height": 720})
        tab.goto(address)
        seen = press_until_the_end(tab)
        told = run.stdout.read()
    finally:
        run.terminate()
    assert run.wait(30) == 0, told
    assert ["container", "?"] in seen["run"]
    own, nobody = ["●", str(UID), str(UID)], ["○", "unset", str(UNSET)]
    assert [["cat", *own], ["cat", *nobody]] == [node for node in seen["run"] if node[0] == "cat"]
    assert [["touch", *own], ["touch", *nobody]] == [node for node in seen["shadow"] if node[0] == "touch"]
    assert tab.locator(".closing .held b").inner_text().isdecimal()
    assert tab.locator(".closing .failed").count() == 0
    recorded = re.search(r"lab report (\S+)", told)
    assert recorded and Path(recorded[1]).stat().st_mode & 0o077 == 0
    run.stdout.close()
    tab.close()
