"""`lab talk` as a speaker uses it: on a real stage, in a terminal that tmux makes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from waiting import LIMIT, wait_for

CHECKOUT = Path(__file__).parent.parent.parent
LAB = str(Path(sys.executable).parent / "lab")
SIZES = [(60, 20), (80, 24), (100, 30), (200, 60)]
NOTES = Path("/run/lab/talk.sock")

pytestmark = pytest.mark.needs("root", "audit", "tmux")


class Terminal:
    """A terminal of a tmux server by itself, in which a shell has started a talk."""

    def __init__(self, folder: Path, size: tuple[int, int], *names: str, wrapper: str = "") -> None:
        self._server = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self.tmux("new-session", "-d", "-s", "talk", "-x", str(size[0]), "-y", str(size[1]), "sh")
        self.tmux("set", "-g", "status", "off")
        self.resize(*size)
        self.type("stty -a >" + str(folder / "before"), "Enter")
        self.type(f"PS1='READY '; cd {CHECKOUT}; {wrapper} {LAB} talk {' '.join(names)}; echo EXIT $?", "Enter")

    def tmux(self, *words: str) -> str:
        """What a command of tmux prints."""
        return subprocess.run([*self._server, *words], capture_output=True, text=True, check=True, timeout=60).stdout

    def type(self, *keys: str) -> None:
        """Type these keys, by tmux's names."""
        self.tmux("send-keys", "-t", "talk", *keys)

    def resize(self, columns: int, lines: int) -> None:
        """Another size, as if a window were dragged."""
        self.tmux("resize-window", "-t", "talk", "-x", str(columns), "-y", str(lines))

    def screen(self) -> str:
        """What stands on the screen."""
        return self.tmux("capture-pane", "-p", "-t", "talk")

    def until(self, pattern: str) -> str:
        """The screen, once it has the pattern."""
        screens: list[str] = []

        def has_it() -> object:
            screens[:] = [self.screen()]
            return re.search(pattern, screens[0])

        wait_for(has_it, pause=0.05, told=lambda: f"no {pattern!r} on the screen:\n{screens[0]}")
        return screens[0]

    def process(self) -> int:
        """The pid of the talk: the shell's child."""
        shell = self.tmux("display", "-p", "-t", "talk", "#{pane_pid}").strip()
        children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        return int(children[0])

    def kill(self) -> None:
        """The terminal is gone."""
        subprocess.run([*self._server, "kill-server"], capture_output=True, check=False, timeout=30)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Make a terminal of that size with a talk of these stories. Afterwards nothing may be left to restore."""
    made: list[Terminal] = []

    def make(*names: str, size: tuple[int, int] = (80, 24), wrapper: str = "") -> Terminal:
        made.append(Terminal(tmp_path, size, *names, wrapper=wrapper))
        return made[0]

    yield make
    made[0].kill()
    wait_for(lambda: not stages())
    done = subprocess.run([LAB, "restore"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "nothing to restore"
    assert not NOTES.exists()


def stages() -> list[int]:
    """The pids of the stages of talks of this checkout."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"scenarios.talk_stage" in path.read_bytes() and path.with_name("cwd").readlink() == CHECKOUT:
                found.append(int(path.parent.name))
        except OSError:  # it has ended
            continue
    return found


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_talk_from_its_first_key_to_its_last(terminal: Callable[..., Terminal], size: tuple[int, int]) -> None:
    """On, back, a new size, the card, the summary and out: whole lines at every size, and the terminal as before."""
    talk = terminal("shadow", size=size)
    talk.until("The stage is set")
    talk.type("Space")
    assert "touch" in talk.until("Space run it")
    talk.type("Space")
    screen = talk.until("and the session of this login")
    assert "Whom will the record name?" in screen
    assert "SYSCALL  auid=" in screen
    talk.type("Left")
    assert "SYSCALL" not in talk.until("seen before")
    talk.resize(70, 22)
    assert "─" * 70 in talk.until("─" * 70 + "\n").splitlines()
    talk.type("Right")
    talk.until("Space on")
    for _ in range(2):
        talk.type("Space")
        talk.until("Space run it")
        talk.type("Space")
        talk.until("Space on")
    talk.type("Space")
    assert "unset" in talk.until("Space next story")
    talk.type("Space")
    talk.until("What the kernel said")
    while "Q quit" not in talk.screen():
        talk.type("Space")
        time.sleep(0.3)
    talk.type("C-c")
    talk.until("Quit, and restore")
    talk.type("C-c")
    assert "EXIT 0" in talk.until("EXIT [0-9]+\n")
    same_terminal(talk)


def same_terminal(talk: Terminal) -> None:
    """The terminal's modes are those from before the talk."""
    server = Path(talk._server[2]).parent
    talk.type(f"stty -a >{server}/after; echo DO''NE", "Enter")
    talk.until("DONE")
    sizes = re.compile(r"rows \d+; columns \d+")
    before, after = (sizes.sub("", (server / name).read_text()) for name in ("before", "after"))
    assert after == before


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_talk_that_is_ended_restores_everything(terminal: Callable[..., Terminal], number: signal.Signals) -> None:
    """With its rules set and its labd up; after SIGKILL the stage restores by itself, and the terminal is lost."""
    talk = terminal("shadow")
    talk.until("The stage is set")
    talk.type("Space")
    talk.until("Space run it")
    process, stage = talk.process(), stages()
    assert stage
    os.kill(process, number)
    wait_for(lambda: not stages())
    if number != signal.SIGKILL:
        assert f"EXIT {128 + number}" in talk.until(r"EXIT \d+\n")
        same_terminal(talk)


def test_a_lost_terminal_restores_everything(terminal: Callable[..., Terminal]) -> None:
    """The terminal vanishes under the talk, as when a connection breaks."""
    talk = terminal("shadow")
    talk.until("The stage is set")
    talk.type("Space")
    talk.until("Space run it")
    talk.type("Space")
    talk.until("SYSCALL")
    process = talk.process()
    talk.kill()
    wait_for(lambda: not Path(f"/proc/{process}").exists())


def test_a_talk_in_the_background_comes_back(terminal: Callable[..., Terminal]) -> None:
    """Ctrl-Z gives the terminal to the shell, also where another process waits for the talk; fg returns."""
    talk = terminal("loginuid", wrapper="timeout --foreground 100")
    talk.until("The stage is set")
    talk.type("Space")
    talk.until("Space run it")
    talk.type("C-z")
    talk.until("READY ")
    talk.type("fg", "Enter")
    talk.until("Space run it")
    talk.type("Space")
    talk.until("sh -c")
    talk.type("q", "q")
    talk.until("READY fg")
    talk.type("echo CODE $?", "Enter")
    talk.until("CODE 0")


def test_labd_that_is_killed_is_told_and_again_sets_the_stage_anew(terminal: Callable[..., Terminal]) -> None:
    """The step says why it failed, the recorded run or R goes on, and the story then holds."""
    talk = terminal("run")
    talk.until("The stage is set")
    talk.type("Space")
    talk.until("Space run it")
    talk.type("Space")
    talk.until("Space on")
    found = subprocess.run(["pgrep", "-f", "bin/labd --socket /run/lab/labd.sock"], capture_output=True, text=True)
    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
    talk.type("Space")
    talk.until("Space run it")
    talk.type("Space")
    assert "has ended" in talk.until("This could not be tested")
    talk.type("r")
    talk.until("1/1 run · 1.*\n(.*\n)*.*Space run it")
    for _ in range(2):
        talk.type("Space")
        talk.until("Space on")
        talk.type("Space")
        talk.until("Space run it|Space next story")
    assert "nowhere above" in talk.screen()


def test_a_shell_in_the_session_of_the_login(terminal: Callable[..., Terminal]) -> None:
    """The command stands there ready; the shell has the login's loginuid and a terminal; exit returns to the step."""
    talk = terminal("shadow", size=(100, 30))
    talk.until("The stage is set")
    talk.type("Space")
    screen = talk.until("Space run it")
    wanted = re.search(r"\$ (sudo )?(touch \S+)", screen)
    assert wanted
    talk.type("!")
    talk.until(r"returns to the talk\.\s+" + re.escape(wanted[0]) + r"\s*\n")
    talk.type("Enter")
    talk.until(re.escape(wanted[0]) + r"\s*\n\$ *\n")  # sudo(8) throws away what is typed before it is ready
    talk.type("echo =$(cat /proc/self/loginuid)=$(tty)=", "Enter")
    ready = talk.until(r"=\d+=/dev/pts/\d+=")
    assert "=4294967295=" not in ready
    talk.type("exit", "Enter")
    talk.until("Space run it")
    talk.type("Space")
    assert "✔" in talk.until("and the session of this login")


@pytest.mark.needs("open-checkout")  # an ordinary user asks for the notes, too
def test_notes_follow_the_talk_in_a_second_terminal(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    """They wait for the talk, show the place, the note and the next step, and need root."""
    shown = tmp_path / "shown"
    with shown.open("w") as file:
        follower = subprocess.Popen([LAB, "talk", "--notes"], stdout=file, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        wait_for(lambda: "No talk is on" in shown.read_text())
        talk = terminal("run")
        talk.until("The stage is set")
        talk.type("Space")
        talk.until("Space run it")
        wait_for(lambda: "A command waits to be run." in shown.read_text(), told=shown.read_text)
    finally:
        follower.send_signal(signal.SIGINT)
        follower.wait()
    assert "1/1 run · 1" in shown.read_text()
    assert NOTES.stat().st_mode & 0o777 == 0o600
    refused = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", LAB, "talk", "--notes"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert refused.returncode == 125
    assert "sudo lab talk --notes" in refused.stderr


def test_a_page_is_a_second_view_of_the_talk(terminal: Callable[..., Terminal]) -> None:
    """Its addresses stand on the first screen; Space there goes on here, and the page shows the same step."""
    talk = terminal("run", "--page", "--port", "0", size=(100, 30))
    first = talk.until("To look on: +http.*/\n")
    speaker, viewer = (found.rstrip("/") for found in re.findall(r"http://127\S+", first))
    origin = {"Origin": speaker.rpartition("/")[0]}
    told: dict[str, Any] = {}
    with httpx.stream("GET", f"{viewer}/events", timeout=LIMIT) as answer:
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            told[name] = value
            if line or not told["data"].startswith('{"number"'):
                continue
            step = json.loads(told["data"])
            if step["waits"] and not step["story"]:
                pressed = {"key": "on", "seen": int(told["id"])}
                assert httpx.post(f"{speaker}/key", json=pressed, headers=origin).status_code == 204
            elif step["waits"]:
                break
    assert step["story"] == "run" and "podmanish run" in re.sub("<[^>]*>", "", step["html"])
    assert "podmanish run" in talk.until("Space run it")
    talk.type("Space")
    talk.until("Space on")
    assert httpx.post(f"{viewer}/key", json=pressed, headers=origin).status_code == 403
    talk.type("q", "q")
    talk.until(r"EXIT \d+\n")


def test_a_rehearsal_tells_how_long_each_story_takes() -> None:
    """It runs unattended, in a pipe too, and its exit status is that of the stories."""
    done = subprocess.run([LAB, "talk", "--rehearse", "run", "shadow"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^run +held +3 +\d+\.\d", done.stdout, re.MULTILINE)
    assert re.search(r"^shadow +held +4 +\d+\.\d", done.stdout, re.MULTILINE)
    assert "2 stories" in done.stdout


def test_a_talk_needs_a_terminal() -> None:
    """In a pipe, one sentence says what to use instead."""
    done = subprocess.run([LAB, "talk", "run"], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode == 125
    assert done.stderr.startswith("lab: lab talk needs a terminal\n")


@pytest.mark.parametrize("minutes", ["0", "-1", "soon", "nan", "inf"])
def test_a_planned_time_is_a_number_of_minutes(minutes: str) -> None:
    """Anything else is refused in one sentence."""
    done = subprocess.run([LAB, "talk", f"--minutes={minutes}"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert f"{minutes} is no time for a talk: give minutes, for example 20" in done.stderr
