"""The words of `--filter`, for both engines."""

from __future__ import annotations

from lab.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TRUTH = ("true", "false", "1", "0", "True", "False")


def check_names(filters: Mapping[str, Sequence[str]], *known: str) -> None:
    """Raises InvalidArgument for a filter that Docker does not have here."""
    for name in filters:
        if name not in known:
            raise InvalidArgument(f"invalid filter '{name[:40]}'", f"known are {', '.join(sorted(known))}")


def one_of(words: tuple[str, ...], name: str, value: str) -> str:
    """The value of a filter that has a few possible values. Raises InvalidArgument."""
    if value not in words:
        raise InvalidArgument(f"invalid filter '{name}={value[:40]}'", f"write one of {', '.join(words)}")
    return value


def flag(name: str, value: str) -> bool:
    """The value of a filter that is true or false. Raises InvalidArgument."""
    return one_of(TRUTH, name, value).lower() in ("1", "true")


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    """Whether there is a label NAME, or NAME=VALUE."""
    key, given, value = wanted.partition("=")
    return key in labels and (not given or labels[key] == value)


def parse(texts: Sequence[str]) -> dict[str, list[str]]:
    """`--filter NAME=VALUE ...` of a command line. Raises InvalidArgument."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, given, value = text.partition("=")
        if not given:
            raise InvalidArgument(f"invalid filter '{text[:40]}'", "write --filter NAME=VALUE")
        found.setdefault(name, []).append(value)
    return found
