"""How images are called: NAME[:TAG], without `docker.io/library/` and `:latest`, which mean nothing here."""

from __future__ import annotations

from lab.errors import InvalidArgument

HOST = "host"
LOWER_CASE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-/:")
NAME_CHARACTERS = LOWER_CASE | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")  # capitals only in the tag
HEX = frozenset("0123456789abcdef")


def normalize(reference: str) -> str:
    """The name without the prefix and the tag that Docker's client adds."""
    return reference.removeprefix("docker.io/library/").removeprefix("docker.io/").removesuffix(":latest")


def check_name(reference: str) -> str:
    """The normalized name; raises InvalidArgument for one that Docker would not take."""
    name = normalize(reference)
    repository, tag = split_tag(name)
    registry, slash, rest = repository.partition("/")
    host, colon, port = registry.partition(":")
    good = repository and len(name) <= 128 and LOWER_CASE.issuperset(repository) and NAME_CHARACTERS.issuperset(tag)
    if colon:  # localhost:5000/NAME
        good = good and host and slash and port.isdecimal() and ":" not in rest
    if not good or not name[0].isalnum() or "//" in name or ".." in name or name.endswith((":", "/")) or name == HOST:
        raise InvalidArgument(
            f"invalid image name {reference[:80]!r}",
            "use lower-case letters, digits, ._-/ and one :tag; `host` is built in",
        )
    if repository == "sha256" or (len(name) == 64 and HEX.issuperset(name)):
        raise InvalidArgument(f"invalid image name {name!r}: it would be taken for an id", "choose another name")
    return name


def split_tag(name: str) -> tuple[str, str]:
    """Repository and tag. The tag is behind the last colon, if no slash follows; "" if there is none."""
    repository, _, tag = name.rpartition(":")
    return (repository, tag) if repository and "/" not in tag else (name, "")


def with_tag(name: str) -> str:
    """As Docker shows it: a name without a tag means :latest."""
    return name if split_tag(name)[1] else f"{name}:latest"


def to_file(name: str) -> str:
    """The name as a file's: "/" and ":" stand as "+" and "="."""
    return name.replace("/", "+").replace(":", "=")


def from_file(file: str) -> str:
    """The reverse of to_file()."""
    return file.replace("+", "/").replace("=", ":")
