"""The picture's shape: every process with its numbers, a label for each kind of loginuid, nothing outside the frame."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab.errors import LabError
from lab.identity import UNSET, Ancestor
from scenarios.audiences.picture import Lineages, draw

SVG = "{http://www.w3.org/2000/svg}"
SHARED = [Ancestor(77, 1, "sshd", 0, UNSET, UNSET), Ancestor(1, 0, "systemd", 0, UNSET, UNSET)]
SHELL = [Ancestor(80, 77, "bash", 1000, 1000, 5), *SHARED]
# A name has at most 15 bytes, a pid at most 7 digits; proc_pid_comm(5), proc_sys_kernel(5).
FORKED = [Ancestor(4194304, 81, "<a-15-byte&nam>", 0, 1000, 5), Ancestor(81, 80, "podmanish", 0, 1000, 5), *SHELL]
CLIENT = [Ancestor(82, 80, "dockerish", 0, 1000, 5), *SHELL]
SERVED = [Ancestor(84, 83, "cat", 0, UNSET, UNSET), Ancestor(83, 1, "labd", 0, UNSET, UNSET), SHARED[-1]]
# Of an em at most, for the fonts that the style names: DejaVu Sans Mono 0.602, Menlo 0.602, Consolas 0.55.
ADVANCE = 0.603
SIZES = {"title": 17, "name": 16, "number": 15}
COMMITTED = Path(__file__).parent.parent / "docs/picture.svg"


def texts(svg: str) -> list[ElementTree.Element]:
    """All texts of a picture."""
    return list(ElementTree.fromstring(svg).iter(f"{SVG}text"))


def test_every_process_is_in_it() -> None:
    """Each has its name and pid; the number beside it is its loginuid; shared ancestors stand in both columns."""
    words = [element.text for element in texts(draw(Lineages(FORKED, CLIENT, SERVED)))]
    for process in (*FORKED, *CLIENT, *SERVED[:2]):
        at = words.index(f"pid {process.pid}")
        assert words[at - 1 : at + 2] == [process.comm, f"pid {process.pid}", str(process.loginuid)]
    assert words.count("pid 1") == words.count("pid 80") == 2
    assert words.count("the login") == 2


def test_a_label_says_unset_by_shape_and_number() -> None:
    """A set loginuid has a round label, an unset one a label with corners: one for each process, one in the legend."""
    root = ElementTree.fromstring(draw(Lineages(FORKED, CLIENT, SERVED)))
    round_ones = [e for e in root.iter(f"{SVG}rect") if e.get("class") == "set"]
    cut_ones = [e for e in root.iter(f"{SVG}path") if e.get("class") == "unset"]
    numbers = [element.text for element in root.iter(f"{SVG}text") if element.get("class") == "number"]
    assert len(round_ones) == numbers.count("1000") == 3 + 2 + 1
    assert len(cut_ones) == numbers.count(str(UNSET)) == 2 + 2 + 2 + 1


def test_only_the_socket_is_dotted() -> None:
    """One dotted line leads from the client to the daemon; every other line is a fork."""
    root = ElementTree.fromstring(draw(Lineages(FORKED, CLIENT, SERVED)))
    edges = [e.get("class", "") for e in root.iter(f"{SVG}path") if "edge" in e.get("class", "").split()]
    assert [edge for edge in edges if "socket" in edge] == ["edge socket"]
    assert len(edges) == 1 + (len(FORKED) - 1) + (len(CLIENT) - 1) + (len(SERVED) - 1)


@pytest.mark.parametrize(
    "svg", [draw(Lineages(FORKED, CLIENT, SERVED)), COMMITTED.read_text()], ids=["widest", "committed"]
)
def test_all_text_lies_in_the_frame(svg: str) -> None:
    """At the widest a monospaced font makes it, each text begins and ends inside the view box, and outside no other."""
    root = ElementTree.fromstring(svg)
    width, height = (int(number) for number in root.get("viewBox", "").split()[2:])
    spans = []
    for element in texts(svg):
        size = SIZES.get(element.get("class", ""), 13)
        length, x, y = (
            len(element.text or "") * ADVANCE * size,
            float(element.get("x", "")),
            float(element.get("y", "")),
        )
        start = x - length / 2 if element.get("class") == "number" else x
        spans.append((start, start + length, y - size, y))
        assert start >= 0, element.text
        assert start + length <= width, element.text
        assert size <= y <= height - 4, element.text
    for index, (left, right, _, y) in enumerate(spans):
        for other_left, other_right, _, other_y in spans[index + 1 :]:
            assert y != other_y or right <= other_left or other_right <= left


def test_a_name_is_not_markup() -> None:
    """A process may call itself anything; prctl(2), PR_SET_NAME."""
    assert "<a-15-byte&nam>" in [element.text for element in texts(draw(Lineages(FORKED, CLIENT, SERVED)))]


def test_light_and_dark() -> None:
    """Every colour is named twice, once for each scheme, and no element has one of its own."""
    svg = draw(Lineages(FORKED, CLIENT, SERVED))
    light, dark = svg.split("prefers-color-scheme: dark")
    colours = ("--paper:", "--ink:", "--dim:", "--line:", "--set:", "--unset:")
    assert all(light.count(colour) == dark.count(colour) == 1 for colour in colours)
    assert "#" not in svg[svg.index("</style>") :]


def test_a_lineage_that_was_cut_off_is_refused() -> None:
    """Without a common ancestor nothing can be said about who forked the daemon."""
    with pytest.raises(LabError, match="no ancestor in common"):
        draw(Lineages(FORKED, CLIENT, SERVED[:2]))
