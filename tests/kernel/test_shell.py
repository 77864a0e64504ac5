"""`lab shell` and `lab records`, typed into by hand on the real kernel."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docs_commands import PAGES, commands
from support import soon
from test_restore import observe, settled
from typist import Typist, typists

from lab.audit.netlink import AuditControl
from lab.audit.rules import Rule
from lab.identity import UNSET, loginuid, sessionid

pytestmark = pytest.mark.needs("root", "audit", "sudo", "setpriv")

LAB = str(Path(sys.executable).parent / "lab")
ENV = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"}
PRIVILEGED = "--privileged -v /:/host host touch /host$WATCHED"
MARK = "lab shell"
Type = Callable[..., Typist]


@pytest.fixture
def typing() -> Iterator[Type]:
    """Start commands of the lab in terminals."""
    with typists() as make:
        yield lambda *words, **more: make(LAB, *words, **{"env": ENV, **more})


def shell(typing: Type, user: pwd.struct_passwd, *words: str) -> Typist:
    """A `lab shell` of the user, at its first prompt."""
    playing = typing("shell", "--no-pane", "--as", user.pw_name, *words)
    playing.expect(r"takes everything back\.\r\n")
    playing.expect(rf"\(lab: {user.pw_name}\)")
    return playing


def next_event(following: Typist) -> dict[str, str]:
    """The next line of `lab records --json`."""
    found: dict[str, str] = json.loads(following.expect(r"(\{.*\})\r\n")[1])
    return found


def follow(typing: Type, *words: str) -> Typist:
    """A `lab records` that reads."""
    following = typing("records", *words)
    following.expect(r"Ctrl-C ends this\.")
    return following


def of_session(session: int) -> list[int]:
    """The processes of an audit session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if sessionid(folder.name) == session and (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_the_records_name_the_login_and_through_a_daemon_nobody(typing: Type, user: pwd.struct_passwd) -> None:
    """What a user types: a second terminal shows auid and ses of the login, and unset through dockerish."""
    before = observe()
    playing = shell(typing, user)
    session = playing.answer("cat /proc/self/sessionid")
    following = follow(typing, "--json")
    for command, auid, ses in (
        ("sudo touch $WATCHED", user.pw_name, session),
        (f"sudo podmanish run --rm {PRIVILEGED}", user.pw_name, session),
        (f"sudo dockerish run --rm {PRIVILEGED}", "unset", "unset"),
    ):
        playing.enter(command)
        event = next_event(following)
        assert (event["auid"], event["ses"], event["comm"]) == (auid, ses, "touch"), command
    playing.type("exit\r")
    assert playing.ended() == 0 and "everything is as it was" in playing.shown
    assert following.ended() == 0 and "lab shell has ended" in following.shown
    assert settled(before) == before


@pytest.mark.needs("open-checkout", "auditctl", "ausearch")
def test_a_sudoer_types_what_the_pages_say(typing: Type, sudoer: pwd.struct_passwd) -> None:
    """The shell is the user's; sudo finds the lab's commands, also behind another command and behind options."""
    playing = shell(typing, sudoer)
    mine = str(sudoer.pw_uid)
    number = "sh -c 'echo $(cat /proc/self/loginuid)'"
    assert playing.answer("id -u") == playing.answer("cat /proc/self/loginuid") == mine
    assert playing.answer(f"sudo podmanish run --rm host {number}") == mine
    assert playing.answer(f"sudo -n -u root setsid -w podmanish run --rm host {number}") == mine
    assert playing.answer(f"sudo dockerish run --rm host {number}") == str(UNSET)
    for name in ("lab", "labd", "podmanish", "dockerish", "auditctl", "ausearch"):
        assert playing.answer(f"command -v {name}").endswith(f"/bin/{name}")
        assert playing.answer(f"sudo which {name}").endswith(f"/bin/{name}")
    following = follow(typing, "--json")
    playing.enter("touch $WATCHED")
    refused = next_event(following)
    assert (refused["auid"], refused["uid"], refused["success"]) == (sudoer.pw_name, sudoer.pw_name, "no")


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(one.mark == MARK for one in commands(page))], ids=lambda page: page.name
)
def test_what_the_pages_say_works_in_the_shell(typing: Type, user: pwd.struct_passwd, page: Path) -> None:
    """Each command that a page says to type in a `lab shell` ends with exit status 0 there."""
    playing = shell(typing, user)
    for command in commands(page):
        if command.mark == MARK:
            playing.enter(command.text)
            assert playing.answer("echo $?") == "0", command.text


def test_a_new_session_also_for_who_is_logged_in(typing: Type, user: pwd.struct_passwd) -> None:
    """Two shells have two audit sessions, and neither is the one that this test may have."""
    sessions = {sessionid()}
    for _ in range(2):
        playing = shell(typing, user)
        sessions.add(int(playing.answer("cat /proc/self/sessionid")))
        playing.type("exit\r")
        assert playing.ended() == 0
    assert len(sessions) == 3


def test_ctrl_c_stays_in_the_shell(typing: Type, user: pwd.struct_passwd) -> None:
    """Ctrl-C ends the command that runs in the shell, and nothing else; a new size of the terminal arrives, too."""
    playing = shell(typing, user)
    session = int(playing.answer("cat /proc/self/sessionid"))
    few = len(of_session(session))
    playing.type("sleep 1000\r")
    assert soon(lambda: len(of_session(session)) > few)
    playing.enter("", "\x03")
    assert len(of_session(session)) == few
    assert playing.answer("stty size") == "24 80"
    playing.resize(50, 132)
    assert soon(lambda: playing.answer("stty size") == "50 132")


def leave_by_exit(playing: Typist) -> None:
    """Type exit."""
    playing.type("exit\r")
    assert playing.ended() == 0


def leave_by_ctrl_d(playing: Typist) -> None:
    """Type Ctrl-D."""
    playing.type("\x04")
    assert playing.ended() == 0


def leave_by_losing_the_terminal(playing: Typist) -> None:
    """Close the terminal's window."""
    playing.hang_up()
    assert playing.process.wait(30) == 128 + signal.SIGHUP


def leave_by_sigterm(playing: Typist) -> None:
    """A polite kill."""
    playing.process.terminate()
    assert playing.ended() == 128 + signal.SIGTERM


def leave_by_sigkill(playing: Typist) -> None:
    """Kill -9, and then `lab restore`."""
    playing.process.kill()
    playing.process.wait(30)
    said = subprocess.run([LAB, "restore"], check=True, capture_output=True, text=True, timeout=60).stdout
    assert "session: session=" in said and "restored: audit-rule" in said


@pytest.mark.parametrize(
    "leave", [leave_by_exit, leave_by_ctrl_d, leave_by_losing_the_terminal, leave_by_sigterm, leave_by_sigkill]
)
def test_leaving_takes_everything_back(typing: Type, user: pwd.struct_passwd, leave: Callable[[Typist], None]) -> None:
    """Rules, flag, mounts, sockets, decoy and processes are as before, also containers and jobs in the background."""
    before = observe()
    playing = shell(typing, user)
    session = int(playing.answer("cat /proc/self/sessionid"))
    for engine in ("podmanish", "dockerish"):
        playing.enter(f"sudo {engine} run -d --rm --name left-{engine} host sleep 1000")
    playing.enter("setsid nohup sleep 1000 >/dev/null 2>&1 &")
    assert soon(lambda: len(of_session(session)) > 4)
    with AuditControl() as control:
        assert len(control.rules()) > len(before["rules"])  # type: ignore[arg-type]
    leave(playing)
    assert settled(before) == before
    assert soon(lambda: not of_session(session))
    left = subprocess.run([LAB.replace("/lab", "/podmanish"), "ps", "-a"], check=True, capture_output=True, text=True)
    assert "left-podmanish" not in left.stdout


def test_what_the_user_has_added_stays_and_is_named(typing: Type, user: pwd.struct_passwd) -> None:
    """An audit rule that was added by hand is told when the shell ends, with the words that name it."""
    mine = Rule.parse("-w /etc/hostname -p wa -k by-hand").pack()
    playing = shell(typing, user)
    with AuditControl() as control:
        control.add_rule(mine)
        try:
            playing.type("exit\r")
            assert playing.ended() == 0
        finally:
            control.delete_rule(mine)
    words = "-a always,exit -F path=/etc/hostname -F perm=wa -F key=by-hand"
    assert f"stays, since the lab has not added it: auditctl {words}\r" in playing.shown


@pytest.mark.needs("tmux")
def test_a_killed_shell_with_a_pane_is_restored(typing: Type, user: pwd.struct_passwd) -> None:
    """After kill -9 and `lab restore` neither tmux nor what ran in its panes is there."""
    before = observe()
    playing = typing("shell", "--as", user.pw_name)
    playing.expect(rf"\(lab: {user.pw_name}\)")
    leave_by_sigkill(playing)
    assert settled(before) == before


@pytest.mark.needs("tmux")
def test_with_tmux_the_records_come_in_a_pane_below(typing: Type, user: pwd.struct_passwd) -> None:
    """The pane below shows the record; no key opens a window in which root could type; exit ends both panes."""
    before = observe()
    playing = typing("shell", "--as", user.pw_name)
    playing.expect(rf"\(lab: {user.pw_name}\)")
    (socket,) = Path("/run/lab").glob("watch-*/tmux")

    def tmux(*words: str) -> str:
        done = subprocess.run(["tmux", "-S", str(socket), *words], capture_output=True, text=True, check=True)
        return done.stdout

    def pane(number: int) -> str:
        playing.read()
        return tmux("capture-pane", "-p", "-t", f"lab:0.{number}")

    assert soon(lambda: "Ctrl-C ends this" in pane(1))
    playing.type("sudo touch $WATCHED\r")
    assert soon(lambda: f"auid={user.pw_name}" in pane(1))
    assert not [line for line in pane(0).splitlines() if len(line) == 80], "a line of the welcome is too long"
    assert {tmux("show", "-gv", option).strip() for option in ("status", "mouse")} == {"off"}
    assert soon(lambda: pane(0).count("(lab: ") == 2)
    for key in ("\x02", "c", "\x02", ":"):  # tmux's keys for a new window and for a command
        playing.type(key)
        playing.read()  # slower than what tmux takes for pasted
    playing.type("\x15sudo touch $WATCHED\r")  # Ctrl-U: the shell may have got the keys
    assert soon(lambda: pane(1).count(f"auid={user.pw_name}") == 2)
    assert tmux("list-windows", "-F", "#{window_panes}").split() == ["2"]
    owner = int(tmux("display-message", "-p", "#{pid}"))
    assert loginuid(owner) == user.pw_uid
    playing.type("exit\r")
    assert playing.ended() == 0
    assert settled(before) == before


def test_records_alone_sets_a_watch_and_takes_it_back(typing: Type, tmp_path: Path) -> None:
    """Without a shell, `lab records` watches a file; a second one follows it; Ctrl-C ends it without a trace."""
    before = observe()
    file = tmp_path / "watched"
    file.touch()
    first = follow(typing, "--json", "--file", str(file))
    second = follow(typing, "--count", "1", "--json")
    file.write_text("a")
    one, other = next_event(first), next_event(second)
    assert one == other and one["comm"].startswith("py")
    assert second.ended() == 0
    first.type("\x03")
    assert first.ended() == 0
    assert settled(before) == before


@pytest.mark.needs("ausearch")
def test_full_records_are_those_of_ausearch(typing: Type, tmp_path: Path) -> None:
    """--full prints the whole event: each record in a line, as `ausearch -i` words it."""
    file = tmp_path / "watched"
    file.touch()
    following = follow(typing, "--full", "--file", str(file))
    file.write_text("a")
    following.expect(r"(?s)type=PROCTITLE msg=audit\(.*type=PATH msg=.* name=.*/watched .*type=SYSCALL msg=.* key=lab-")


def test_another_file_than_the_shells_is_refused(typing: Type, user: pwd.struct_passwd, tmp_path: Path) -> None:
    """`lab records --file` of another file would need another watch: one sentence, while a shell is on."""
    shell(typing, user)
    done = subprocess.run(
        [LAB, "records", "--file", str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("lab: another run of the lab is on\n") and "leave `lab shell`" in done.stderr


@pytest.mark.needs("open-checkout")
@pytest.mark.parametrize("verb", ["shell", "records"])
def test_not_root_is_one_sentence(verb: str) -> None:
    """An ordinary user learns what is needed."""
    done = subprocess.run(
        [sys.executable, "-c", f"from scenarios.cli import main; raise SystemExit(main([{verb!r}]))"],
        capture_output=True, text=True, check=False, timeout=60, preexec_fn=lambda: os.setuid(65534),
    )  # fmt: skip
    assert done.returncode == 125
    assert done.stderr.startswith(f"lab: lab {verb} needs root") and f"sudo lab {verb}" in done.stderr


def test_no_terminal_is_one_sentence() -> None:
    """In a pipe, `lab shell` says that it needs a terminal, and changes nothing."""
    before = observe()
    done = subprocess.run([LAB, "shell"], capture_output=True, text=True, check=False, timeout=60, input="exit\n")
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("lab: lab shell needs a terminal")
    assert observe() == before


@pytest.mark.parametrize(
    ("words", "reason"),
    [(("shell", "--as", "nobody-here"), "no user nobody-here"), (("records", "--file", "/none"), "no such file")],
)
def test_bad_words_are_one_sentence(typing: Type, words: tuple[str, ...], reason: str) -> None:
    """A user or a file that is not there is named."""
    playing = typing(*words)
    playing.expect(reason)
    assert playing.ended() == 125
