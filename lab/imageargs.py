"""The verbs of images that both commands share, each with its flags; those of docker(1) and podman(1)."""

from __future__ import annotations

import contextlib
import os

from lab import shown
from lab.commandline import FLAG, LIST, VALUE, Command, HelpWanted, Option
from lab.errors import PROGRAM, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO, Any

FORMATS = ("", "docker-archive", "oci-archive")
CHANGE = Option("--change -c", LIST, "set what holds for containers: 'CMD [\"sh\"]', ENV, LABEL, USER, WORKDIR ...")
FILTER = Option("--filter -f", LIST, "only these: reference=, dangling=, label=, before=, since=, until=")
IMAGES = Command(
    "images",
    "images [OPTIONS]",
    "List images.",
    Option("--quiet -q", FLAG, "show the ids only"),
    Option("--all -a", FLAG, "show all images, which is the default here: none is between two others"),
    Option("--no-trunc", FLAG, "do not shorten ids"),
    FILTER,
)
IMPORT = Command(
    "import",
    "import [OPTIONS] TAR|- [NAME]",
    "Make an image from the tar of a root filesystem.",
    CHANGE,
    Option("--message -m", VALUE, "a comment for its history"),
)
LOAD = Command(
    "load",
    "load [OPTIONS]",
    "Load images from an archive of docker save, podman save or skopeo.",
    Option("--input -i", VALUE, "the archive (standard input)"),
    Option("--quiet -q", FLAG, "show no progress, which is the default here"),
)
SAVE = Command(
    "save",
    "save [OPTIONS] IMAGE...",
    "Write images as an archive, for docker load, podman load and skopeo.",
    Option("--output -o", VALUE, "the archive (standard output)"),
    Option("--format", VALUE, "docker-archive or oci-archive: the archive is both in one"),
)
TAG = Command("tag", "tag IMAGE NAME", "Give an image one more name.")
RMI = Command(
    "rmi",
    "rmi [OPTIONS] IMAGE...",
    "Take away names of images, and images with their last name.",
    Option("--force -f", FLAG, "by id: with all its names; in use: only the names"),
)
HISTORY = Command(
    "history",
    "history [OPTIONS] IMAGE",
    "Show how an image came to be.",
    Option("--no-trunc", FLAG, "do not shorten ids and commands"),
)
COMMIT = Command(
    "commit",
    "commit [OPTIONS] CONTAINER [NAME]",
    "Make an image of a container: one more layer with what has changed there.",
    CHANGE,
    Option("--message -m", VALUE, "a comment for its history"),
    Option("--author -a", VALUE, "who made it"),
)
EXPORT = Command(
    "export",
    "export [OPTIONS] CONTAINER",
    "Write the files of a container as a tar.",
    Option("--output -o", VALUE, "the tar (standard output)"),
)
IMAGE = Command("image", "image ls|inspect|prune|rm|history|import|load|save|tag ...", "The verbs of images.")
IMAGE_INSPECT = Command("inspect", "image inspect IMAGE...", "Show everything about images, as JSON.")
PRUNE = Command(
    "prune",
    "image prune [OPTIONS]",
    "Remove images without a name that no container has.",
    Option("--all -a", FLAG, "those with a name, too"),
    Option("--force -f", FLAG, "do not ask"),
    Option("--filter", LIST, "only these: label=, until="),
)
ALIASES = {"ls": "images", "list": "images", "rm": "rmi"}
OF_BOTH = (IMAGES, IMPORT, LOAD, SAVE, TAG, RMI, HISTORY, COMMIT, EXPORT, IMAGE)


def of_image(argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    """`image VERB ...`: the verb under its short name, and its arguments. Raises InvalidArgument."""
    verb = argv[0] if argv else "--help"
    if verb == "--help":
        raise HelpWanted(IMAGE)
    known = {"inspect", "prune", *(command.name for command in OF_BOTH if command not in (COMMIT, EXPORT, IMAGE))}
    verb = ALIASES.get(verb, verb)
    if verb not in known:
        raise InvalidArgument(f'there is no verb "image {verb[:40]}"', f"usage: {PROGRAM} {IMAGE.usage}")
    return verb, argv[1:]


def plain(command: Command, argv: Sequence[str], least: int, most: int = 1000) -> tuple[dict[str, Any], list[str]]:
    """The options and the plain arguments, so many of them. Raises InvalidArgument, HelpWanted."""
    values, found = command.parse(argv)
    if not least <= len(found) <= most:
        raise InvalidArgument(
            f'"{command.name}" does not take {len(found)} argument{"s" * (len(found) != 1)}',
            f"usage: {PROGRAM} {command.usage}",
        )
    return values, found


def save_words(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Where the archive of `save` goes ("": standard output), and the images. Raises InvalidArgument."""
    values, references = plain(SAVE, argv, 1)
    if values["format"] not in FORMATS:
        raise InvalidArgument(f"unknown format {values['format'][:40]!a}", "write docker-archive or oci-archive")
    return values["output"], references


@contextlib.contextmanager
def source(path: str) -> Iterator[IO[bytes]]:
    """A tar to be read; "-" and "" are standard input. Raises InvalidArgument."""
    try:
        with os.fdopen(os.dup(0), "rb") if path in ("", "-") else open(path, "rb") as file:
            yield file
    except OSError as error:
        if error.filename != path:
            raise
        raise InvalidArgument(f"cannot read {path}: {error.strerror}", "give a tar, or - for standard input") from None


@contextlib.contextmanager
def target(path: str) -> Iterator[IO[bytes]]:
    """A tar to be written; "" and "-" are standard output, unless that is a terminal. Raises InvalidArgument.

    A file that is not written to its end is removed.
    """
    if path in ("", "-"):
        if os.isatty(1):
            raise InvalidArgument("a tar is no text for a terminal", "write it to a file: -o FILE")
        with os.fdopen(os.dup(1), "wb") as file:
            yield file
        return
    new = f"{path}.{os.urandom(4).hex()}"
    try:
        file = open(new, "xb")  # noqa: SIM115 (closed below; only this line may fail for its name)
    except OSError as error:
        raise InvalidArgument(f"cannot write {path}: {error.strerror}", "name a file in a directory of yours") from None
    try:
        with file:
            yield file
        os.rename(new, path)
    except BaseException:
        os.unlink(new)
        raise


def agreed(values: dict[str, Any]) -> bool:
    """Whether `image prune` may go on: asked, unless --force is given."""
    if values["force"]:
        return True
    which = "all images without a container" if values["all"] else "all images without a name and a container"
    return shown.agreed(which)


def pruned(rows: Sequence[tuple[str, str]], freed: int) -> str:
    """What `image prune` tells: a line for each name and image, and the bytes."""
    lines = [f"{action.lower()}: {what}" for action, what in rows]
    return "\n".join((*lines, f"Total reclaimed space: {freed / 1e6:.1f} MB"))
