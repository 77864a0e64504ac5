"""The command lines that both commands share: docker-run(1)'s and podman-run(1)'s flags, described once.

Written by hand because it stands in the hot path of a 15 ms command: importing argparse alone takes 20 ms.
"""

from __future__ import annotations

import os

from lab.errors import InvalidArgument, NotImplementedHere
from lab.spec import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

FLAG, VALUE, LIST, OPTIONAL = "flag", "value", "list", "optional"  # the last tells an empty value from none
DEFAULTS = {FLAG: bool, VALUE: str, LIST: list, OPTIONAL: type(None)}


class Option:
    """One option: its spellings, the attribute it fills, whether it takes a value, and a line of help."""

    __slots__ = ("attribute", "help", "kind", "names")

    def __init__(self, names: str, kind: str, text: str) -> None:
        self.names, self.kind, self.help = names.split(), kind, text
        self.attribute = self.names[0].lstrip("-").replace("-", "_")


class Command:
    """One verb: its usage line, its options, and whether options may follow the first plain argument."""

    __slots__ = ("interspersed", "name", "options", "summary", "usage")

    def __init__(self, name: str, usage: str, summary: str, *options: Option, interspersed: bool = True) -> None:
        self.name, self.usage, self.summary, self.options = name, usage, summary, options
        self.interspersed = interspersed

    def parse(self, argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """(option values by attribute, plain arguments). Raises InvalidArgument, or HelpWanted for --help."""
        values: dict[str, Any] = {o.attribute: DEFAULTS[o.kind]() for o in self.options}
        plain: list[str] = []
        words = list(argv)
        while words:
            word = words.pop(0)
            if word == "--":
                return values, plain + words
            if not word.startswith("-") or word == "-":
                plain.append(word)
                if not self.interspersed:
                    return values, plain + words
            elif word == "--help":
                raise HelpWanted(self)
            elif word.startswith("--"):
                name, given, value = word.partition("=")
                self._take(values, name, value if given else None, words)
            else:
                self._take_short(values, word, words)
        return values, plain

    def _take_short(self, values: dict[str, Any], word: str, words: list[str]) -> None:
        """-it, -eA=1 and -e A=1."""
        for position in range(1, len(word)):
            name, rest = f"-{word[position]}", word[position + 1 :]
            if self._find(name).kind != FLAG:
                self._take(values, name, rest.removeprefix("=") if rest else None, words)
                return
            self._take(values, name, None, words)

    def _take(self, values: dict[str, Any], name: str, value: str | None, words: list[str]) -> None:
        option = self._find(name)
        if option.kind == FLAG:
            if value not in (None, "true", "false"):
                raise InvalidArgument(f'invalid value "{value}" for {name}: expected true or false')
            values[option.attribute] = value != "false"
            return
        if value is None:
            if not words:
                raise InvalidArgument(f"flag needs an argument: {name}", f"usage: {self.usage}")
            value = words.pop(0)
        if option.kind == LIST:
            values[option.attribute].append(value)
        else:
            values[option.attribute] = value

    def _find(self, name: str) -> Option:
        for option in self.options:
            if name in option.names:
                return option
        raise InvalidArgument(f"unknown flag: {name}", f"see '{self.name} --help'")

    def help(self, program: str) -> str:
        """The text of --help."""
        rows = [
            (", ".join(sorted(o.names, key=len)) + ("" if o.kind == FLAG else " VALUE"), o.help) for o in self.options
        ]
        width = max((len(names) for names, _ in rows), default=0)
        lines = [f"Usage: {program} {self.usage}", "", self.summary, ""]
        return "\n".join(lines + [f"  {names:{width}}  {text}" for names, text in rows])


class HelpWanted(Exception):
    """--help was given."""

    def __init__(self, command: Command) -> None:
        super().__init__(command.name)
        self.command = command


PROCESS_OPTIONS = (
    Option("--interactive -i", FLAG, "keep standard input open"),
    Option("--tty -t", FLAG, "allocate a pseudoterminal"),
    Option("--detach -d", FLAG, "run in the background"),
    Option("--env -e", LIST, "set NAME=VALUE, or pass NAME on from here"),
    Option("--workdir -w", VALUE, "working directory inside"),
    Option("--user -u", VALUE, "user[:group], names or numbers"),
    Option("--privileged", FLAG, "all capabilities, all devices, nothing masked"),
)
RUN = Command(
    "run",
    "run [OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Run a command in a new container.",
    *PROCESS_OPTIONS,
    Option("--rm", FLAG, "remove the container when it exits"),
    Option("--name", VALUE, "name of the container"),
    Option("--volume -v", LIST, "bind SOURCE:TARGET[:ro]"),
    Option("--cap-add", LIST, "add a capability, or ALL"),
    Option("--cap-drop", LIST, "drop a capability, or ALL"),
    Option("--network --net", VALUE, "host (default) or none"),
    Option("--hostname -h", VALUE, "host name inside"),
    Option("--entrypoint", OPTIONAL, "command to put before the arguments"),
    Option("--init", FLAG, "a pid 1 that forwards signals and reaps"),
    Option("--security-opt", LIST, "no-new-privileges"),
    Option("--label -l", LIST, "NAME=VALUE to remember"),
    interspersed=False,
)
RUN_FORKED = Command(
    "run",
    RUN.usage,
    RUN.summary,
    *RUN.options,
    Option("--sdnotify", VALUE, "who tells systemd READY=1: container (default), conmon, ignore"),
    interspersed=False,
)
CREATE = Command(
    "create",
    "create [OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Make a container, to be started later.",
    *RUN.options,
    interspersed=False,
)
EXEC = Command(
    "exec",
    "exec [OPTIONS] CONTAINER COMMAND [ARG...]",
    "Run one more command in a running container.",
    *PROCESS_OPTIONS,
    interspersed=False,
)
PS = Command(
    "ps",
    "ps [OPTIONS]",
    "List containers.",
    Option("--all -a", FLAG, "also those that do not run"),
    Option("--quiet -q", FLAG, "only the ids"),
    Option("--no-trunc", FLAG, "whole ids and commands"),
)
LOGS = Command(
    "logs",
    "logs [OPTIONS] CONTAINER",
    "Show what a container wrote.",
    Option("--follow -f", FLAG, "go on until it exits"),
    Option("--tail -n", VALUE, "only the last lines: a number, or all"),
    Option("--since", VALUE, "only what came later: seconds since 1970, or 10m, 2h ago"),
    Option("--timestamps -t", FLAG, "with the time of each line"),
)
STOP = Command(
    "stop",
    "stop [OPTIONS] CONTAINER...",
    "SIGTERM, and SIGKILL after a while.",
    Option("--time -t", VALUE, "seconds to wait before SIGKILL (10)"),
)
KILL = Command(
    "kill",
    "kill [OPTIONS] CONTAINER...",
    "Send a signal.",
    Option("--signal -s", VALUE, "name or number (KILL)"),
)
RM = Command(
    "rm",
    "rm [OPTIONS] CONTAINER...",
    "Remove containers.",
    Option("--force -f", FLAG, "kill those that run"),
)
WAIT = Command("wait", "wait CONTAINER...", "Wait until they exit; print their exit codes.")
INSPECT = Command("inspect", "inspect CONTAINER...", "Show all that is known, as JSON.")

IMAGES = Command("images", "images", "List images.")


class RunOptions:
    """What `run` asks for, whichever command asked; the daemon makes the same from Docker's JSON."""

    __slots__ = (
        "cap_add", "cap_drop", "command", "detach", "entrypoint", "env", "hostname", "image", "init", "interactive",
        "label", "name", "network", "privileged", "rm", "sdnotify", "security_opt", "tty", "user", "volumes", "workdir",
    )  # fmt: skip

    def __init__(self, image: str, command: Sequence[str], **given: Any) -> None:
        self.image, self.command = image, list(command)
        self.interactive: bool = given.get("interactive", False)
        self.tty: bool = given.get("tty", False)
        self.detach: bool = given.get("detach", False)
        self.env: list[str] = given.get("env") or []
        self.workdir: str = given.get("workdir") or ""
        self.user: str = given.get("user") or ""
        self.privileged: bool = given.get("privileged", False)
        self.rm: bool = given.get("rm", False)
        self.name: str = given.get("name") or ""
        self.volumes: list[Mount] = given.get("volumes") or []
        self.cap_add: list[str] = given.get("cap_add") or []
        self.cap_drop: list[str] = given.get("cap_drop") or []
        self.network: str = given.get("network") or "host"
        self.hostname: str = given.get("hostname") or ""
        self.entrypoint: str | None = given.get("entrypoint")
        self.init: bool = given.get("init", False)
        self.security_opt: list[str] = given.get("security_opt") or []
        self.label: list[str] = given.get("label") or []
        self.sdnotify: str = given.get("sdnotify") or ""


def parse_run(argv: Sequence[str], command: Command = RUN) -> RunOptions:
    """The arguments behind `run` (or `create`). Raises InvalidArgument, NotImplementedHere, HelpWanted."""
    values, plain = command.parse(argv)
    if not plain:
        raise InvalidArgument(f'"{command.name}" requires at least 1 argument', f"usage: {command.usage}")
    values["env"] = resolve_env(values["env"])
    values["volumes"] = [parse_volume(text) for text in values.pop("volume")]
    return RunOptions(plain[0], plain[1:], **values)


class ExecOptions:
    """What `exec` asks for."""

    __slots__ = ("command", "container", "detach", "env", "interactive", "privileged", "tty", "user", "workdir")

    def __init__(self, container: str, command: Sequence[str], **given: Any) -> None:
        self.container, self.command = container, list(command)
        self.interactive, self.tty, self.detach = given["interactive"], given["tty"], given["detach"]
        self.env: list[str] = given["env"]
        self.workdir: str = given["workdir"] or ""
        self.user: str = given["user"] or ""
        self.privileged: bool = given["privileged"]


def parse_exec(argv: Sequence[str]) -> ExecOptions:
    """The arguments behind `exec`. Raises InvalidArgument, HelpWanted."""
    values, plain = EXEC.parse(argv)
    if len(plain) < 2:
        raise InvalidArgument('"exec" requires a container and a command', f"usage: {EXEC.usage}")
    values["env"] = resolve_env(values["env"])
    return ExecOptions(plain[0], plain[1:], **values)


def parse_containers(command: Command, argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The arguments behind a verb that takes at least one container."""
    values, plain = command.parse(argv)
    if not plain:
        raise InvalidArgument(f'"{command.name}" requires at least 1 argument', f"usage: {command.usage}")
    return values, plain


def resolve_env(items: Sequence[str]) -> list[str]:
    """`-e NAME` takes the value from the caller's own environment; unset, it is left out, as docker does."""
    resolved = []
    for item in items:
        name, given, _ = item.partition("=")
        if not name:
            raise InvalidArgument(f'invalid environment variable "{item}"', "write NAME=VALUE or NAME")
        if given:
            resolved.append(item)
        elif name in os.environ:
            resolved.append(f"{name}={os.environ[name]}")
    return resolved


def parse_volume(text: str) -> Mount:
    """SOURCE:TARGET[:OPTIONS], both paths absolute after ./ is resolved here. Raises InvalidArgument."""
    source, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if not target.startswith("/") or ".." in target.split("/") or not source:
        raise InvalidArgument(f'invalid volume "{text}"', "write SOURCE:TARGET[:ro] with an absolute target")
    if source.startswith("."):
        source = os.path.abspath(source)
    if not source.startswith("/"):
        raise NotImplementedHere(
            f'named volumes such as "{source}" are not part of this lab', "bind a directory: /SRC:/DST"
        )
    unknown = set(options.split(",")) - {"", "ro", "rw", "z", "Z", "rprivate", "private"}
    if unknown:
        raise InvalidArgument(f'invalid option "{unknown.pop()}" in volume "{text}"', "the lab knows ro and rw")
    return Mount(source, os.path.normpath(target), "ro" in options.split(","))
