"""One container through each engine, drawn as SVG: every process with its pid and its loginuid, and who forked whom.

scenarios.lineages looks at a real run, and tools/picture writes it to docs/picture.svg. A loginuid that is set has a
round label, one that is unset has a label with cut corners: shape and number say the same as the colour. A fork is a
solid line, the socket a dotted one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from lab.errors import LabError
from lab.identity import UNSET, Ancestor

MARGIN, HEAD, FOOT = 14, 62, 102
BOX_WIDTH, BOX_HEIGHT, GAP, SOCKET_GAP = 286, 40, 16, 54
LABEL_WIDTH, LABEL_HEIGHT, CUT = 112, 26, 9
DETOUR = 18  # how far to the right of the boxes the daemon's own fork runs past the client's processes
RIGHT = MARGIN + BOX_WIDTH + 30
WIDTH = RIGHT + BOX_WIDTH + DETOUR + MARGIN
STYLE = """
  svg { --paper: #ffffff; --ink: #1f2328; --dim: #59636e; --line: #b6bec7; --set: #1a7f37; --unset: #cf222e; }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #0d1117; --ink: #f0f6fc; --dim: #9198a1; --line: #59636e; --set: #4ac26b; --unset: #ff7b72; }
  }
  text { font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: var(--ink); }
  .paper { fill: var(--paper); } .box { fill: none; stroke: var(--line); stroke-width: 1.5; }
  .container { stroke: var(--ink); stroke-width: 3; }
  .title { font-size: 17px; font-weight: bold; } .name { font-size: 16px; font-weight: bold; }
  .dim { fill: var(--dim); } .number { font-size: 15px; font-weight: bold; fill: var(--paper); text-anchor: middle; }
  .set { fill: var(--set); stroke: var(--set); } .unset { fill: var(--unset); stroke: var(--unset); }
  .edge { stroke-width: 2.5; fill: none; } .socket { stroke: var(--dim); stroke-dasharray: 2 6; stroke-linecap: round; }
  .tip { stroke: none; } .asked { fill: var(--dim); }
"""


@dataclass(frozen=True)
class Lineages:
    """From a process up to pid 1, as the host's /proc showed it while the process ran.

    forked    of the container that podmanish forked
    client    of dockerish, which asked for the other container
    served    of that container
    """

    forked: Sequence[Ancestor]
    client: Sequence[Ancestor]
    served: Sequence[Ancestor]


def draw(lineages: Lineages) -> str:
    """The picture. Raises LabError if client and daemon have no ancestor in common."""
    left = list(reversed(lineages.forked))
    asking = list(reversed(lineages.client))
    shared = {process.pid for process in lineages.served} & {process.pid for process in asking}
    serving = [process for process in reversed(lineages.served) if process.pid not in shared]
    if not shared or not serving:
        raise LabError("client and daemon have no ancestor in common", "run it again: a process ended meanwhile")
    rows = max(_height(len(left)), _height(len(asking)) + SOCKET_GAP - GAP + _height(len(serving)))
    height = HEAD + rows + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title told">',
        '<title id="title">The ancestors of one container, forked by podmanish and by labd</title>',
        f'<desc id="told">{escape(told(lineages))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="8"/>',
        *_heading(MARGIN, "fork/exec", "podmanish forks the container"),
        *_heading(RIGHT, "client/server", "dockerish asks labd to do it"),
        *_column(MARGIN, HEAD, left, ends=True),
        *_served(asking, serving, max(index for index, process in enumerate(asking) if process.pid in shared)),
        *_legend(HEAD + rows + 22, next((p.loginuid for p in left if p.loginuid != UNSET), UNSET)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def told(lineages: Lineages) -> str:
    """The same in words, for who cannot see it."""
    chains = (
        ("The forked container", lineages.forked), ("The client", lineages.client),
        ("The daemon's container", lineages.served),
    )  # fmt: skip
    return " ".join(f"{who}: {' > '.join(_told(process) for process in reversed(chain))}." for who, chain in chains)


def _told(process: Ancestor) -> str:
    return f"{process.comm} (pid {process.pid}, loginuid {process.loginuid})"


def _height(boxes: int) -> int:
    return boxes * (BOX_HEIGHT + GAP)


def _heading(x: int, title: str, subtitle: str) -> Iterator[str]:
    yield f'<text class="title" x="{x}" y="28">{title}</text>'
    yield f'<text class="dim" x="{x}" y="48">{subtitle}</text>'


def _column(x: int, y: int, chain: Sequence[Ancestor], *, ends: bool) -> Iterator[str]:
    """Boxes from the top down with a fork between each two; ends: the last one is the container."""
    for index, process in enumerate(chain):
        top = y + _height(index)
        yield from _box(x, top, process, container=ends and index == len(chain) - 1)
        if index:
            yield from _arrow(x + 24, top - GAP, top, kind(process))
            if kind(process) != kind(chain[index - 1]):
                yield f'<text class="dim" x="{x + 36}" y="{top - 4}">the login</text>'


def _served(asking: Sequence[Ancestor], serving: Sequence[Ancestor], branch: int) -> Iterator[str]:
    """The client's processes, the socket, and below it the daemon's, whose parent is the client's number branch."""
    end = HEAD + _height(len(asking)) - GAP
    top = end + SOCKET_GAP
    yield from _column(RIGHT, HEAD, asking, ends=False)
    yield from _column(RIGHT, top, serving, ends=True)
    yield f'<path class="edge socket" d="M{RIGHT + 24} {end + 3}V{top - 8}"/>'
    yield f'<path class="tip asked" d="M{RIGHT + 24} {top}l-6 -9h12z"/>'
    yield f'<text class="dim" x="{RIGHT + 38}" y="{end + 22}">a UNIX socket: a request</text>'
    yield f'<text class="dim" x="{RIGHT + 38}" y="{end + 39}">goes over, no loginuid</text>'
    side, start, stop = RIGHT + BOX_WIDTH, HEAD + _height(branch) + BOX_HEIGHT // 2, top + BOX_HEIGHT // 2
    yield f'<path class="edge {kind(serving[0])}" style="fill:none" d="M{side} {start}h{DETOUR}V{stop}h{8 - DETOUR}"/>'
    yield f'<path class="tip {kind(serving[0])}" d="M{side} {stop}l9 -6v12z"/>'


def _box(x: int, y: int, process: Ancestor, *, container: bool) -> Iterator[str]:
    outline = "box container" if container else "box"
    yield f'<rect class="{outline}" x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"/>'
    yield f'<text class="name" x="{x + 10}" y="{y + 17}">{escape(process.comm)}</text>'
    yield f'<text class="dim" x="{x + 10}" y="{y + 33}">pid {process.pid}</text>'
    yield from _label(x + BOX_WIDTH - LABEL_WIDTH - 7, y + (BOX_HEIGHT - LABEL_HEIGHT) // 2, process.loginuid)


def _label(x: int, y: int, loginuid: int) -> Iterator[str]:
    inner = LABEL_WIDTH - 2 * CUT
    if loginuid == UNSET:
        corners = f"h{inner}l{CUT} {CUT}v{LABEL_HEIGHT - 2 * CUT}l-{CUT} {CUT}h-{inner}l-{CUT} -{CUT}"
        yield f'<path class="unset" d="M{x + CUT} {y}{corners}v-{LABEL_HEIGHT - 2 * CUT}z"/>'
    else:
        yield f'<rect class="set" x="{x}" y="{y}" width="{LABEL_WIDTH}" height="{LABEL_HEIGHT}" rx="13"/>'
    yield f'<text class="number" x="{x + LABEL_WIDTH // 2}" y="{y + 18}">{loginuid}</text>'


def _arrow(x: int, start: int, end: int, colour: str) -> Iterator[str]:
    yield f'<path class="edge {colour}" d="M{x} {start}V{end - 6}"/>'
    yield f'<path class="tip {colour}" d="M{x} {end}l-6 -9h12z"/>'


def _legend(y: int, user: int) -> Iterator[str]:
    labels = ((user, "loginuid of the user who logged in"), (UNSET, "unset: there is no login above this process"))
    for row, (loginuid, meaning) in enumerate(labels):
        yield from _label(MARGIN, y - 18 + 32 * row, loginuid)
        yield f'<text x="{MARGIN + LABEL_WIDTH + 12}" y="{y + 32 * row}">{meaning}</text>'
    lines = "solid line: fork · dotted line: socket · thick frame: the container"
    yield f'<text x="{MARGIN}" y="{y + 64}">{lines}</text>'


def kind(process: Ancestor) -> str:
    """The class of what belongs to a process: set or unset."""
    return "unset" if process.loginuid == UNSET else "set"
