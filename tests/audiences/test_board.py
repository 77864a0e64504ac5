"""How beats become what the page draws: steps, lanes and trees, and what may not be drawn."""

from __future__ import annotations

import pytest
from performances import ALICE, HOSTILE, SESSION, hostile, lineage, moments, opening, record, told, verdict

from lab.identity import UNSET
from scenarios.audiences.page.board import HOST, LANES, Board, Step
from scenarios.audiences.page.commands import started
from scenarios.audiences.page.records import card, differing
from scenarios.audiences.page.rendering import cell_mark
from scenarios.audiences.page.trees import Node, tree
from scenarios.performance.beats import (
    HELD,
    Beat,
    Busy,
    Command,
    Contrast,
    Evidence,
    Heading,
    Moment,
    Output,
    Predict,
    Say,
    Stop,
    Verdict,
    pages,
)
from scenarios.performance.text import Text

SUDO = "sudo .venv/bin/"
OUTPUT = 5  # the number of the beat behind opening, stop, heading, command and stop


def last(*beats: Beat) -> tuple[Board, Step]:
    """The board after these beats behind an opening and a heading, and its last step."""
    board = Board()
    for moment in told(opening(), Heading(1, "one", Text("one")), *beats):
        step = board.take(moment)
    return board, step


def nodes(*beats: Beat) -> list[tuple[str, int | None, str]]:
    """The tree of the last lane: name, loginuid and edge, the login's branch before the daemon's."""
    board, step = last(*beats)
    drawn = tree(step.lanes[-1], board.opening)
    return [short(node) for node in (*drawn.client, *drawn.served)]


def short(node: Node) -> tuple[str, int | None, str]:
    """Name, loginuid, edge."""
    return node.words or node.name, node.loginuid, node.edge


LOGIN = ("your login", ALICE, "")


@pytest.mark.parametrize(
    ("line", "engine", "sudo", "container", "elsewhere"),
    [
        ("sudo .venv/bin/podmanish run --rm host true", "podmanish", True, True, False),
        ("podmanish --root /x run host id", "podmanish", False, True, False),
        ("sudo /opt/lab/.venv/bin/dockerish --host unix:///s run host true", "dockerish", True, True, True),
        ("dockerish --host=unix:///s ps", "dockerish", False, False, True),
        ("sh -c 'echo x | sudo .venv/bin/dockerish run -i host sh'", "dockerish", True, True, False),
        ("nice -n 5 setpriv --no-new-privs docker exec c id", "docker", False, True, False),
        ("sudo podman rm c", "podman", True, False, False),
        ("sudo touch /etc/docker", "", True, False, False),
        ("cat /usr/share/podman", "", False, False, False),
        ("sudo", "", True, False, False),
        ("", "", False, False, False),
    ],
)
def test_a_line_tells_which_engine_starts(line: str, engine: str, sudo: bool, container: bool, elsewhere: bool) -> None:
    """The engine, sudo, whether a container is made and whether by another daemon; the parts make up the line."""
    found = started(line)
    assert (found.engine, found.sudo, found.container, found.elsewhere) == (engine, sudo, container, elsewhere)
    assert found.before + found.word + found.after == line


def test_steps_are_the_pages_of_a_performance() -> None:
    """The page turns where every other audience turns."""
    board = Board()
    for moment in moments():
        board.take(moment)
    assert len(board.steps) == len([*pages(moments())])
    assert [step.within for step in board.steps if step.story] == [1, 2, 3]


def test_the_container_is_a_question_until_the_kernel_answers() -> None:
    """Before the command has run nothing is known of its process; a record then names it."""
    line = f"{SUDO}podmanish run host touch /x"
    forked = [LOGIN, ("sudo", ALICE, "fork"), ("podmanish", ALICE, "fork")]
    assert nodes(Command(line)) == [*forked, ("container", None, "fork")]
    assert nodes(Command(line), Output(""), record(ALICE, SESSION)) == [*forked, ("touch", ALICE, "fork")]


def test_a_daemon_is_drawn_only_as_far_as_it_is_known() -> None:
    """The usual labd is a child of init; another one, behind --host, is a process without a loginuid to show."""
    client = [LOGIN, ("sudo", ALICE, "fork"), ("dockerish", ALICE, "fork")]
    usual, other = f"{SUDO}dockerish run host true", f"{SUDO}dockerish --host unix:///s run host true"
    seen = record(UNSET, UNSET, '"true"')
    assert nodes(Command(usual), seen) == [
        *client,
        ("init", UNSET, ""),
        ("labd", UNSET, "fork"),
        ("true", UNSET, "fork"),
    ]
    assert nodes(Command(other), seen) == [*client, ("labd", None, ""), ("true", UNSET, "fork")]
    board, step = last(Command(usual))
    unknown = tree(step.lanes[-1], opening(labd=None)).served
    assert [short(node) for node in unknown] == [("labd", None, ""), ("container", None, "fork")]
    assert board.opening.labd == UNSET


def test_what_was_seen_comes_before_what_a_line_tells() -> None:
    """A lineage replaces the branch that was drawn from the command line."""
    drawn = nodes(Command(f"{SUDO}podmanish run host touch /x"), lineage("podmanish", ALICE, SESSION))
    assert [name for name, _, _ in drawn] == ["your login", "sudo", "podmanish", "touch"]
    drawn = nodes(Command(f"{SUDO}dockerish run host touch /x"), lineage("dockerish", UNSET, UNSET))
    assert [name for name, _, _ in drawn[3:]] == ["init", "labd", "labd-spawner", "touch"]


def test_no_fork_is_drawn_that_was_not_seen() -> None:
    """A record with another loginuid, from a command without an engine, need not be of a child of this login."""
    assert nodes(Command("sudo relay /socket"), record(33, 9))[-1] == ("touch", 33, "gap")
    assert nodes(Command("sudo touch /x"), record(ALICE, SESSION))[-1] == ("touch", ALICE, "fork")


def test_a_printed_number_counts_where_it_is_the_processs_own() -> None:
    """`cat /proc/1/loginuid` prints pid 1's loginuid, and the process that prints it still has the login's."""
    printed = (Output(str(UNSET)), verdict("unset", UNSET, "printed", OUTPUT))
    assert nodes(Command("cat /proc/1/loginuid"), *printed)[-1][1] == ALICE
    assert nodes(Command("cat /proc/self/loginuid"), *printed)[-1][1] == UNSET


def test_two_lanes_are_side_by_side_and_a_story_ends_them() -> None:
    """The lane of the step before stays for comparison; the third pushes the first out; a new story begins anew."""
    commands = ("true", f"{SUDO}podmanish run host true", f"{SUDO}dockerish run host true")
    steps = [beat for line in commands for beat in (Say(Text("")), Command(line), Output(""), verdict("v", 0, "", 0))]
    _, step = last(*steps)
    assert [lane.key for lane in step.lanes] == ["podmanish", "dockerish"]
    _, step = last(*steps[:8])
    assert [lane.key for lane in step.lanes] == [HOST, "podmanish"]
    _, step = last(*steps, Heading(2, "two", Text("two")))
    assert step.lanes == [] and LANES == 2


def test_only_the_difference_is_large() -> None:
    """auid is large; uid is, too, where the records differ in that alone."""
    board, step = last(Command(f"{SUDO}podmanish run host touch /x"), record(ALICE, SESSION))
    evidence = step.lanes[-1].runs[-1].records[0][1]
    assert [field.name for field in card(1, evidence, board.opening).fields if field.large] == ["auid"]
    assert [field.name for field in card(1, evidence, board.opening, frozenset({"uid"})).fields if field.large] == [
        "auid",
        "uid",
    ]
    assert differing(step.lanes) == frozenset()


def test_busy_lasts_until_the_next_beat() -> None:
    """What the lab is busy with disappears with what comes of it."""
    assert last(Busy(Text("waiting")))[1].busy == Text("waiting")
    assert last(Busy(Text("waiting")), Say(Text("done")))[1].busy == Text("")


def test_a_stage_that_is_set_anew_begins_a_step() -> None:
    """As in a talk, when a story is told again after its labd was killed: the step that was left stays as it was."""
    board, step = last(Say(Text("asks")), Command("true"))
    anew = board.take(Moment(9, 0, opening()))
    assert (anew.number, anew.story, anew.says) == (step.number + 1, None, [])
    assert step.opening is None and step.command


def test_nothing_is_busy_at_a_stop() -> None:
    """While the speaker is waited for, the lab is not at work, whatever it did last."""
    board, step = last(Command("true"), Output(""), verdict("v", 0, "", OUTPUT), Busy(Text("waiting for labd")))
    assert step.busy.message
    assert board.take(Moment(9, 0, Stop("step"))).busy == Text("")


def test_a_record_that_no_command_of_the_step_left_stands_by_itself() -> None:
    """Such are those that a story found in what it had watched; with a command, a record is that command's."""
    _, step = last(Predict(Text("Is it on record?"), ()), record(ALICE, SESSION))
    assert [number for number, _ in step.records] == [5] and step.own == {}
    _, step = last(Command("true"), record(ALICE, SESSION))
    assert step.records == [] and len(step.lanes[-1].runs[-1].records) == 1


def test_a_card_has_the_article_s_claims_of_its_story() -> None:
    """The table fills as each story ends; a claim that nothing has shown is not in it, and the summary has them all."""
    seen = Verdict(Text("sudo changes the uid, not the loginuid"), HELD, Text("3268 as uid 0"))
    card_of = Contrast(Text("card"), (Text(""), Text("a")), ((Text("auid"), Text("x")),))
    _, step = last(Heading(1, "loginuid", Text("The mark")), Say(Text("")), seen, card_of)
    assert [(row.claim, row.seen) for row in step.claims] == [("sudo keeps the loginuid", "3268 as uid 0")]
    _, step = last(Heading(1, "loginuid", Text("The mark")), Say(Text("")), card_of, seen)
    assert len(step.claims) == 1
    _, step = last(Heading(1, "loginuid", Text("")), seen, card_of, Heading(2, "run", Text("")), Say(Text("")), card_of)
    assert step.claims == ()


def test_what_has_not_run_is_a_question_on_the_host_too() -> None:
    """Before a command without an engine has run, only the login's loginuid is known; afterwards its child's is."""
    assert nodes(Command("sudo cat /x")) == [LOGIN, ("sudo", None, "fork"), ("cat", None, "fork")]
    assert nodes(Command("sudo cat /x"), Output("")) == [LOGIN, ("sudo", ALICE, "fork"), ("cat", ALICE, "fork")]


def test_a_card_tells_somebody_elses_name() -> None:
    """In the row or the column of the auid, a name that is not the user's has the sign of another's."""
    rows = tuple(tuple(map(Text, row)) for row in (("auid", "3267", "alice", "unset", "no record"), ("uid", "1")))
    shown = Contrast(Text(""), tuple(map(Text, ("", "a", "b", "c", "d"))), rows, ("auid",))
    assert [cell_mark(shown, 0, column, opening()) for column in range(5)] == [None, "other", "own", "none", None]
    assert cell_mark(shown, 1, 1, opening()) is None
    beside = Contrast(Text(""), (Text(""), Text("auid")), ((Text("relay"), Text("www-data")),))
    assert cell_mark(beside, 0, 1, opening()) == "other"


def test_what_only_one_record_has_is_no_difference() -> None:
    """A LOGIN record shows no uid: beside another event's, uid is not large for that."""
    login = Evidence(
        (
            "type=LOGIN msg=audit(1795656437.508:945270): pid=71 uid=0 old-auid=4711 auid=33 tty=(none) old-ses=7 "
            "ses=9 res=1",
        )
    )
    _, step = last(
        Command(f"{SUDO}dockerish run host true"),
        record(33, 9),
        verdict("v", 0, "", 0),
        Say(Text("")),
        Command(f"{SUDO}podmanish run host true"),
        login,
    )
    assert differing(step.lanes) == frozenset()


def test_beats_in_any_order_are_taken() -> None:
    """A recording from elsewhere may begin anywhere and hold lines that are no record: no step is lost for that."""
    for skipped in range(12):
        board = Board()
        for moment in told(*hostile(HOSTILE))[skipped:]:
            board.take(moment)
        assert board.steps
    board, step = last(Evidence(("nonsense",)), Command("true"), Evidence(("nonsense",)))
    assert card(1, step.lanes[-1].runs[-1].records[0][1], board.opening).whole == ("nonsense",)
