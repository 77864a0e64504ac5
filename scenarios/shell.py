"""`lab shell`: a place to play in by hand. A login, a labd that no login started, a watched file, and its records.

Everything is journalled as for a story. What the session has started ends with it, by its session id.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from lab import interpreter
from lab.audit.rules import Rule
from lab.audit.watch import Watch
from lab.errors import CannotStart, InvalidArgument, MissingFeature, NotAllowed
from lab.identity import UNSET, loginuid, name_of
from lab.pidfd import ended, start_time
from scenarios import needs
from scenarios.languages.choice import Language
from scenarios.performance.text import Argument, Text
from scenarios.playing import refuse_what_cannot_be, user_id
from scenarios.props.labd import Daemon
from scenarios.props.playroom import Player, Playroom
from scenarios.props.relayed import pseudo_terminal, relay
from scenarios.props.target import SHADOW, default, watchable
from scenarios.safety.journal import Journal
from scenarios.safety.sessions import end_session
from scenarios.safety.traces import Traces
from scenarios.safety.watching import BUFFER, Watched
from scenarios.stage.login import Login

DAY = 24 * 3600
TMUX_SECONDS = 10


def shell(arguments: argparse.Namespace) -> int:
    """Play until the shell ends, then take everything back. Raises LabError if anything was left behind."""
    refuse_where_nobody_can_play()
    target = arguments.target and watchable(arguments.target)
    player = Player.of(user_id(arguments.login_as))
    if player.uid and (closed := needs.closed_to_others()) and Path(closed).stat().st_uid != player.uid:
        raise NotAllowed(f"{player.name} may not enter {closed}, where the lab's commands are", needs.opened(closed))
    interpreter.executable()  # makes the one mount that stays
    before = Traces.now(target or SHADOW)
    pane = not arguments.no_pane and _tmux_can_draw()
    key = _play(player, target, arguments.language, pane=pane)
    after = Traces.now(target or SHADOW)
    for rule in map(Rule.unpack, after.rules - before.rules):
        if rule.key != key:
            arguments.language.tell("stays, since the lab has not added it: auditctl {rule}", rule=rule.to_auditctl())
    before.expect_nothing_left(after, {key})
    arguments.language.tell("lab shell has ended; everything is as it was")
    return 0


def refuse_where_nobody_can_play() -> None:
    """Raise, before anything is changed, for a caller who is not root, who has no terminal, or who has no audit."""
    if os.geteuid() != 0:
        raise NotAllowed("lab shell needs root, for namespaces and the kernel's audit", "run `sudo lab shell`")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidArgument(
            "lab shell needs a terminal, and standard input or output is none", "start it by hand, without a pipe"
        )
    refuse_what_cannot_be()


def _tmux_can_draw() -> bool:
    return needs.installed("tmux") and os.environ.get("TERM", "dumb") not in ("", "dumb")


def _play(player: Player, target: str, language: Language, *, pane: bool) -> str:
    """Set everything up, run the shell, take everything back; the key of the rules."""
    with ExitStack() as stack:
        journal = stack.enter_context(Journal())
        path = target or default(journal)
        login = stack.enter_context(Login(player.login, anew=True))
        if login.sessionid == UNSET:
            raise NotAllowed("the kernel gave this login no session number", "look at `lab doctor`")
        began = start_time(login.pid)
        journal.note("session", session=login.sessionid, start_time=began)
        stack.callback(end_session, login.sessionid, began)
        login.seconds = DAY * 7
        daemon = stack.enter_context(Daemon(journal))
        daemon.wait_ready()
        watch = stack.enter_context(Watch(path, journal=journal, buffer=BUFFER))
        place = journal.directory("watch", mode=0o755)
        Watched.by_this_process(path, watch.key, "lab shell").tell(place)
        room = Playroom(place, player, path)
        room.furnish([line.told(language.translate) for line in welcome(player, login, daemon, pane=pane)])
        if pane:
            _in_panes(room, journal, login)
        else:
            _in_this_terminal(room, login)
    return watch.key


def welcome(player: Player, login: Login, daemon: Daemon, *, pane: bool) -> list[Text]:
    """What to try first; no line has more than 80 columns, where names and numbers are of the usual length."""
    sudo = "sudo " if needs.installed("sudo") else ""
    labds = loginuid(daemon.pid)
    who: dict[str, Argument] = {
        "user": player.name,
        "session": login.sessionid,
        "labds": name_of(labds),
    }
    said = "You are {user}, session {session}; labd's login: {labds}."
    if labds == UNSET:
        said = "You are {user}, session {session}; labd's login: unset."
    rooted = "" if player.uid == player.login else " The shell is root's."
    below = "its record comes below"
    second = "its record comes by `sudo lab records` in a second terminal"
    return [
        Text(said + rooted, who),
        Text.of("1  {sudo}podmanish run --rm host grep . /proc/self/loginuid   and dockerish?", sudo=sudo),
        Text.of("2  {sudo}touch $WATCHED   {where}", sudo=sudo, where=Text(below if pane else second)),
        Text.of("3  {sudo}dockerish run --rm --privileged -v /:/host host touch /host$WATCHED", sudo=sudo),
        Text("   and the same with podmanish. `exit` ends this and takes everything back."),
    ]


def _in_this_terminal(room: Playroom, login: Login) -> None:
    with pseudo_terminal() as (ours, theirs):
        # setsid(1) makes it the shell's controlling terminal, for job control, and for SIGHUP when the lab is gone.
        words = ["setsid", "--ctty", "--wait", "sh", str(room.place / "enter")]
        pidfd = os.pidfd_open(login.start(words, theirs, theirs, theirs))
        os.close(theirs)
        try:
            relay(ours, pidfd)
        finally:
            os.close(pidfd)


def _in_panes(room: Playroom, journal: Journal, login: Login) -> None:
    """A tmux server in the login session, so that its shells belong to the session; its client in this terminal."""
    client = ["tmux", "-S", str(room.socket)]
    with tempfile.TemporaryFile() as said, Path(os.devnull).open() as null:
        pid = login.start(room.furnish_pane(), null.fileno(), said.fileno(), said.fileno())
        journal.note_process(pid)
        pidfd = os.pidfd_open(pid)
        try:
            deadline = time.monotonic() + TMUX_SECONDS
            while needs.run([*client, "has-session", "-t", "lab"]).returncode:
                if ended(pidfd, 0.02) or time.monotonic() > deadline:
                    said.seek(0)
                    reason = said.read().decode(errors="replace").strip() or "it said nothing"
                    raise CannotStart(f"tmux did not start: {reason}", "sudo lab shell --no-pane")
            own = {name: value for name, value in os.environ.items() if name not in ("TMUX", "TMUX_PANE")}
            code = subprocess.run([*client, "attach-session", "-t", "lab"], env=own, check=False).returncode
            if code and not ended(pidfd, 1):
                raise MissingFeature("tmux cannot draw in this terminal", "sudo lab shell --no-pane")
        finally:
            os.close(pidfd)
