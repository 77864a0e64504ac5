"""What a shell of `lab shell` finds: commands on PATH, a prompt, a welcome, and a pane for the records.

/run/lab/watch-RANDOM/bin/       first on PATH: links to the lab's commands and to those in /usr/sbin; sudo
                      bashrc     read by an interactive bash instead of ~/.bashrc, which it reads itself
                      enter      for sh: show the welcome, become the user, execute the shell
                      tmux.conf  for a tmux with its own socket beside it; that of the user is not read
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.identity import name_of
from scenarios import needs

COMMANDS = ("podmanish", "dockerish", "labd", "lab")
ADMINISTRATION = ("auditctl", "ausearch")  # in /usr/sbin, which an ordinary user's PATH lacks on Debian
KEPT = ("LANG", "LANGUAGE", "COLORTERM", "NO_COLOR", "LAB_HOST")  # of the environment, and LC_*
RECORDS_PERCENT = 30

BASHRC = """\
[ ! -r ~/.bashrc ] || . ~/.bashrc
PATH={bin}:$PATH
PROMPT_COMMAND=
PS1={prompt}
"""
# The prefix key and what could start another program as root are gone: this tmux runs as root, for the records.
TMUX = """\
set -g default-shell /bin/sh
set -g status off
set -g mouse off
set -g history-limit 10000
set -s exit-empty on
unbind -a
bind [ copy-mode
bind o select-pane -t :.+
bind Up select-pane -U
bind Down select-pane -D
bind z resize-pane -Z
new-session -d -s lab {enter}
split-window -d -v -l {percent}% -t lab {records}
"""


@dataclass(frozen=True)
class Player:
    """Who plays: login is the uid of the session; uid that of the shell, which is root where that user has no sudo."""

    login: int
    uid: int

    @classmethod
    def of(cls, login: int) -> Player:
        name = name_of(login)
        sudoer = needs.installed("sudo") and needs.run(["sudo", "-n", "-l", "-U", name, "true"]).returncode == 0
        return cls(login, login if sudoer else 0)

    @property
    def name(self) -> str:
        return name_of(self.login)

    @property
    def account(self) -> pwd.struct_passwd:
        return pwd.getpwuid(self.uid)


class Playroom:
    """The files in one directory, which the journal has made."""

    def __init__(self, place: Path, player: Player, watched: str) -> None:
        self.place, self.player, self.watched = place, player, watched
        self.socket = place / "tmux"
        self.bin = place / "bin"

    def furnish(self, welcome: Sequence[str]) -> None:
        """Write everything but tmux.conf."""
        self.bin.mkdir(mode=0o755)
        scripts = Path(sys.executable).parent
        for name in COMMANDS:
            (self.bin / name).symlink_to(scripts / name)
        for name in ADMINISTRATION:
            if program := shutil.which(name, path="/usr/sbin:/sbin"):
                (self.bin / name).symlink_to(program)
        if needs.installed("sudo"):
            # A link, since /run is often mounted with noexec.
            (self.bin / "sudo").symlink_to(Path(__file__).with_name("sudo"))
        self._write("bashrc", BASHRC.format(bin=self.bin, prompt=shlex.quote(self._prompt("\\w", "\\$"))))
        self._write("welcome", "".join(f"{line}\n" for line in welcome))
        self._write("enter", f"cat {self.place}/welcome\ncd {shlex.quote(self._directory())}\nexec {self._become()}\n")

    def furnish_pane(self) -> list[str]:
        """Write tmux.conf; the words that start that tmux, which stays in the foreground."""
        tmux = f"tmux -S {self.socket}"
        enter = f"sh {self.place}/enter; {tmux} kill-server"
        records = shlex.join([str(Path(sys.executable).parent / "lab"), "records"])
        text = TMUX.format(enter=shlex.quote(enter), records=shlex.quote(records), percent=RECORDS_PERCENT)
        self._write("tmux.conf", text)
        return ["tmux", "-D", "-S", str(self.socket), "-f", f"{self.place}/tmux.conf"]

    def _write(self, name: str, text: str) -> None:
        path = self.place / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)

    def _prompt(self, directory: str, end: str) -> str:
        return f"(lab: {self.player.name}) {directory}{end} "

    def _directory(self) -> str:
        """Where the lab was started, or the user's home if the user may not go there."""
        here, account = Path.cwd(), self.player.account
        own = not account.pw_uid or here.stat().st_uid == account.pw_uid
        return str(here) if own or not needs.closed_on_the_way(here / "x") else account.pw_dir

    def _become(self) -> str:
        """The command line that turns root into the user, and executes the user's shell."""
        account = self.player.account
        become = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups", "--reset-env"]
        path = shell_of(account)
        words = [path, "--rcfile", f"{self.place}/bashrc", "-i"] if Path(path).name == "bash" else [path, "-i"]
        return shlex.join([*become, "env", *self._environment(path), *words])

    def _environment(self, shell: str) -> list[str]:
        """What setpriv's --reset-env leaves out: it sets HOME, USER, LOGNAME and SHELL, and keeps TERM."""
        paths = f"{self.bin}:/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
        variables: Mapping[str, str] = {
            **{name: value for name, value in os.environ.items() if name in KEPT or name.startswith("LC_")},
            "PATH": paths,
            "SHELL": shell,
            "PS1": self._prompt("", "#" if self.player.uid == 0 else "$"),
            "WATCHED": self.watched,
        }
        return [f"{name}={value}" for name, value in variables.items()]


def shell_of(account: pwd.struct_passwd) -> str:
    """The user's login shell, if it is one to type in; else bash, else sh."""
    shell = account.pw_shell
    refused = Path(shell).name in ("", "nologin", "false", "sync") or not os.access(shell, os.X_OK)
    return shell if not refused else shutil.which("bash") or "/bin/sh"
