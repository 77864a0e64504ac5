"""The table of programs: every program that the lab executes is in it, and doctor and the stories speak from it."""

from __future__ import annotations

import ast
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.errors import MissingFeature
from scenarios import doctor, needs
from scenarios.audiences.terminal import Terminal
from scenarios.performance.beats import HELD, Moment, Verdict
from scenarios.performance.text import Text
from scenarios.playing import ALL

CHECKOUT = Path(__file__).parent.parent
# Functions whose first words are a command, or that look for a program.
EXECUTING = {"run", "Popen", "shell", "quiet", "execvp", "which", "plain", "under_systemd", "installed", "require"}
BEFORE = {"sudo", "enter", "as_user"}  # whose words stand before a command: (*stage.sudo, "wc")
SCRIPT = r"&& |\$\(|exec |; | \| "  # what only a string with a shell script holds
IN_A_SCRIPT = r"(?:^|&& |\$\(|exec |; |then |\| )([a-z][\w-]*)(?= [-/\"$]| \w)"
# Lists and tuples of the code that begin with the name of a program, and are none.
# A word of ip(8), a builtin of the shell, a word of a help, a verb of `lab exercise`, a module of Python, a column,
# a field of a struct.
NO_COMMANDS = {"link", "echo", "which", "reset", "pytest", "file", "write", "size"}


def text(node: ast.AST) -> str:
    """A string, or an f-string with $ for each value; "" for anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text(part) or "$" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def name(node: ast.expr) -> str:
    """What is called, or read: `sudo` of stage.sudo and of sudo(); "" if it has no name."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def first_words(tree: ast.Module) -> Iterator[str]:
    """The first word of each list and tuple, and the arguments of EXECUTING; the words of shell scripts' commands."""
    for node in ast.walk(tree):
        parts: list[ast.expr] = []
        if isinstance(node, ast.List | ast.Tuple):
            parts = [part for part in node.elts if not (isinstance(part, ast.Starred) and name(part.value) in BEFORE)][
                :1
            ]
        elif isinstance(node, ast.Call):
            parts = node.args if name(node) in EXECUTING else []
        yield from filter(None, map(text, parts))
        if re.search(SCRIPT, text(node)):
            yield from re.findall(IN_A_SCRIPT, text(node))


def executed() -> set[str]:
    """The names in scenarios/ that begin a command and are a program of this machine, or one of the table."""
    words = {
        word for path in (CHECKOUT / "scenarios").rglob("*.py") for word in first_words(ast.parse(path.read_text()))
    }
    return {word for word in words if "/" not in word and shutil.which(word)} - NO_COMMANDS


def test_every_program_that_scenarios_executes_is_in_the_table() -> None:
    """A program that a story or a prop begins to use must get a row, with its package and who needs it."""
    found = executed()
    known = {"sudo", "setpriv", "nice", "su", "unshare", "sh", "kill", "wc", "grep"}
    assert known <= found, "the search itself finds too little"
    assert found <= needs.PROGRAMS.keys()


def test_the_table_names_users_that_exist() -> None:
    """A user is a story, a target of make or an engine."""
    targets = re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    known = {story.NAME for story in ALL} | {f"make {target}" for target in targets}
    known |= {"every story", "make", "WHERE=qemu", "lab doctor", "auditd's log"}
    known |= {f"--engines {name}" for name in ("podman", "docker", "auditd")}
    assert {user for program in needs.PROGRAMS.values() for user in program.users} <= known


def test_the_packages_of_the_makefile_are_in_the_table() -> None:
    """What make installs for a target, doctor looks for."""
    wanted = re.findall(r"^\w+_PACKAGES := (.+)$", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    assert wanted
    known = {package for program in needs.PROGRAMS.values() for package in program.package.split(" | ")}
    assert {name for line in wanted for name in line.split()} <= known


@pytest.mark.parametrize(("suite", "package"), [("12", "docker.io"), ("13", "docker-cli")])
def test_dockers_package_is_what_apt_has(
    suite: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stories, doctor and make name docker-cli where apt knows it, as on Debian 13, and docker.io elsewhere."""
    apt = tmp_path / "apt-cache"
    apt.write_text(f'#!/bin/sh\n[ "$2" = docker.io ] || [ "$2 {suite}" = "docker-cli 13" ] || exit 100\n')
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert needs.install(["docker", "dockerd"]).split()[4:] == sorted({package, "docker.io"})
    function = 'eval "$(sed -n "/^known()/,/^}/p" tools/setup)"; known docker.io docker-cli podman'
    said = subprocess.run(["bash", "-c", function], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert said.stdout.split() == [*dict.fromkeys(["docker.io", package]), "podman"]


def test_what_has_no_package_is_told_with_its_source() -> None:
    """Every program has a package, or says where it comes from."""
    assert all(program.package or program.source for program in needs.PROGRAMS.values())
    assert needs.install(["run0"]) == "run this on Debian 13 or later: run0 came with systemd 256"


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("mode", "good", "remedy"), [(0o640, True, ""), (0o666, False, "chmod go-w"), (None, False, "sudo pwconv")]
)
def test_doctor_looks_at_the_file_to_watch(
    mode: int | None, good: bool, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is not there, or that others may write, cannot stand for /etc/shadow; the remedy mends that."""
    if mode is not None:
        (tmp_path / "shadow").touch()
        (tmp_path / "shadow").chmod(mode)
    monkeypatch.setattr(doctor, "SHADOW", str(tmp_path / "shadow"))
    (found,) = [finding for finding in doctor.examine() if finding.what.endswith("/shadow")]
    assert (found.good, remedy in found.remedy, found.needed) == (good, True, False)


def test_what_is_missing_is_named_with_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a story names the programs and the packages, each once."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingFeature) as missing:
        needs.require("ip", "prlimit", "taskset")
    assert missing.value.message == "ip and prlimit and taskset cannot be found on PATH"
    assert missing.value.hint == "sudo apt-get install -y iproute2 util-linux"


def test_doctor_says_which_story_lacks_what(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing program is told with its users, and at the end one command installs all that Debian has."""
    monkeypatch.setattr(needs, "installed", lambda *names: not {"ip", "tmux", "run0"} & set(names))
    doctor.show(doctor.examine(), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("-       ip ") and "[trace]" in line for line in lines)
    assert any(line.startswith("-       tmux ") and "[gallery, make shell]" in line for line in lines)
    assert lines[-1].endswith("sudo apt-get install -y iproute2 tmux")


def test_a_closed_directory_on_the_way_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of mode 0700 above the checkout keeps other users out, and is the one that is named."""
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")  # this checkout itself may lie in a closed home
    home = tmp_path / "home"
    (home / "checkout/lab").mkdir(parents=True)
    for path in (tmp_path, *list(tmp_path.parents)[:-2]):
        if not path.stat().st_mode & 1:  # pytest's own directories are closed, too
            path.chmod(0o711)
    assert needs.closed_to_others(home / "checkout") == ""
    home.chmod(0o700)
    assert needs.closed_to_others(home / "checkout") == str(home)
    assert needs.opened(str(home)).startswith(f"sudo chmod o+rx {home}")


def test_a_command_that_does_not_end_is_ended() -> None:
    """A command that the audience does not see has a time limit, too."""
    with pytest.raises(needs.CannotTell, match="`sleep 600` did not end"):
        needs.run(["sleep", "600"], seconds=0.2)
    with pytest.raises(MissingFeature):
        needs.run(["no-such-program"])


def drawn(**environment: str) -> str:
    """What a screen draws with such an environment, as bytes decoded by its own encoding."""
    code = """
from scenarios.audiences.terminal import Terminal
from scenarios.performance.beats import FAILED, HELD, UNKNOWN, Busy, Heading, Moment, Verdict
from scenarios.performance.text import Text
terminal = Terminal()
terminal.take(Moment(0, 0, Heading(1, "run", Text("title"))))
for verdict in (HELD, FAILED, UNKNOWN):
    terminal.take(Moment(1, 0, Verdict(Text(f"claim \\u2714 {verdict}"), verdict, Text("seen"))))
terminal.take(Moment(2, 0, Busy(Text("waiting"))))
terminal.take(Moment(3, 0, Heading(2, "shadow", Text("title"))))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, timeout=60, cwd=CHECKOUT,
        env={**os.environ, "COLUMNS": "80", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8")


@pytest.mark.parametrize("encoding", ["ascii", "big5", "latin-1"])
def test_an_output_that_is_not_utf8_gets_ascii_marks(encoding: str) -> None:
    """No UnicodeEncodeError: marks and lines are ASCII, and any other character is escaped."""
    said = drawn(PYTHONIOENCODING=encoding)
    assert said.isascii()
    assert "  ok claim \\u2714 held" in said and "  FAILED claim" in said and "  ? claim" in said
    assert "✔" in drawn(PYTHONIOENCODING="utf-8")


@pytest.mark.parametrize(("value", "coloured"), [("1", False), ("", True)])
def test_no_color_is_obeyed(value: str, coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR with any value leaves colours out, also on a terminal; no-color.org."""
    monkeypatch.setenv("NO_COLOR", value)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes any output for a terminal
    terminal = Terminal()
    terminal.console.file = io.StringIO()
    terminal.take(Moment(0, 0, Verdict(Text("claim"), HELD, Text("seen"))))
    assert ("\x1b[32m" in terminal.console.file.getvalue()) == coloured


def test_make_takes_what_this_machine_lacks_for_no_failure() -> None:
    """`make demo` and `make talk` say --lenient; make itself would call exit status 3 an error."""
    for target in ("demo", "talk"):
        said = subprocess.run(
            ["make", "-n", "--no-print-directory", target],
            capture_output=True, text=True, check=True, cwd=CHECKOUT, timeout=60, env={"PATH": os.environ["PATH"]},
        ).stdout  # fmt: skip
        assert said.strip() == f"tools/where {target} --lenient"
