"""`-v`, `--mount` and `--volumes-from`: their words become Mounts; docker-run(1). labd makes its Mounts here, too."""

from __future__ import annotations

import os

from lab.errors import InvalidArgument, NotImplementedHere
from lab.spec import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PRIVATE, FOLLOWING = ("", "private", "rprivate"), "rslave"
ELSEWHERE = ("shared", "rshared", "slave")
KEYS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
SWITCHES = ("readonly", "volume-nocopy", "bind-nonrecursive")
OF_KIND = {
    "bind": ("bind-propagation", "bind-nonrecursive", "bind-recursive"),
    "volume": ("volume-nocopy",),
    "tmpfs": ("tmpfs-size", "tmpfs-mode"),
}
COMMON = ("type", "source", "target", "readonly", "consistency")
ABSENT = {
    "volume-driver": "the only driver is local: leave it out",
    "volume-opt": "the local driver has no options here: leave it out",
    "volume-label": "make the volume first: volume create --label",
    "volume-subpath": "bind a directory instead",
    "image-subpath": "copy what you need out of the image",
}


def parse_volume(text: str) -> Mount:
    """The mount of [SOURCE:]TARGET[:OPTIONS]; a SOURCE that begins with a dot is relative to the working directory.

    A SOURCE without a slash at its beginning names a volume; without a SOURCE the volume is anonymous. Raises
    InvalidArgument, NotImplementedHere.
    """
    parts = text.split(":")
    if len(parts) > 3 or not all(parts) or not parts[-1 if len(parts) == 1 else 1].startswith("/"):
        raise InvalidArgument(
            f'invalid volume "{text[:200]}"', "write SOURCE:TARGET[:ro] or NAME:TARGET[:ro] with an absolute target"
        )
    source, target = parts[:2] if len(parts) > 1 else ("", parts[0])
    words = parts[2].split(",") if len(parts) > 2 else []
    if source.startswith("."):
        source = os.path.abspath(source)
    kind = "bind" if source.startswith("/") else "volume"
    known = {"ro", "rw", "z", "Z", *({*PRIVATE, FOLLOWING, *ELSEWHERE} if kind == "bind" else {"nocopy"})}
    if unknown := [word for word in words if word not in known]:
        raise InvalidArgument(f'invalid option "{unknown[0]}" in volume "{text[:200]}"', "write ro or rw")
    _check_once(words)
    if kind == "volume":
        return volume(source, target, readonly="ro" in words, copy="nocopy" not in words)
    propagation = next((word for word in words if word in (*PRIVATE, FOLLOWING, *ELSEWHERE)), "")
    return bind(source, target, readonly="ro" in words, propagation=propagation)


def _check_once(words: Sequence[str]) -> None:
    """Raises InvalidArgument for two options of one kind, of which one would not be honoured; moby does the same."""
    for kind in (("ro", "rw"), ("z", "Z"), (*PRIVATE, FOLLOWING, *ELSEWHERE), ("nocopy",)):
        if sum(word in kind for word in words) > 1:
            raise InvalidArgument(f"invalid mode: {','.join(words)[:80]}", "write one option of each kind, such as ro")


def bind(
    source: str, target: str, *, readonly: bool = False, propagation: str = "", recursive: bool = True
) -> Mount:  # fmt: skip
    """A directory or file of the host. Raises InvalidArgument, NotImplementedHere."""
    if not source.startswith("/") or "\0" in source:
        raise invalid("bind", f"invalid mount path: '{source[:80]}' mount path must be absolute")
    if propagation in ELSEWHERE:
        raise NotImplementedHere(
            f"BindOptions.Propagation {propagation} is not part of this lab",
            "use rslave: the container sees later mounts of the host, and the host never sees one of the container's",
        )
    if propagation not in (*PRIVATE, FOLLOWING):
        raise InvalidArgument(f"invalid propagation mode: {propagation[:40]!a}", "write rprivate or rslave")
    following = FOLLOWING if propagation == FOLLOWING else ""
    return Mount(source, _target(target), readonly, recursive=recursive, propagation=following)


def volume(name: str, target: str, *, readonly: bool = False, copy: bool = True) -> Mount:
    """A volume by name; "" makes an anonymous one. Raises InvalidArgument."""
    if name:
        from lab.volumes import check_name

        check_name(name)
    return Mount("", _target(target), readonly, kind="volume", name=name, anonymous=not name, copy=copy)


def tmpfs(target: str, *, readonly: bool = False, size: int = 0, mode: int = 0) -> tuple[str, str]:
    """The mount point, and the options of mount(8). Raises InvalidArgument."""
    if size < 0 or not 0 <= mode <= 0o7777:
        raise InvalidArgument(
            f"invalid size {size} or mode {mode:o} of a tmpfs", "write tmpfs-size=64m,tmpfs-mode=1770"
        )
    given = (("ro", readonly), (f"size={size}", size), (f"mode={mode:o}", mode))
    return _target(target), ",".join(word for word, wanted in given if wanted)


def invalid(kind: str, reason: str) -> InvalidArgument:
    """moby's words for a mount that makes no sense."""
    return InvalidArgument(f'invalid mount config for type "{kind}": {reason}', "see docker-run(1), --mount")


def _target(path: str) -> str:
    """The path in its shortest form. Raises InvalidArgument."""
    wrong = ".." in path.split("/") or {"\0", ":"} & {*path} or not path.strip("/.")  # -v and inspect write SRC:DST:ro
    if wrong or not path.startswith("/"):
        raise InvalidArgument(
            f"invalid mount target {path[:80]!a}", "write an absolute path below /, without `..` and colons: /data"
        )
    return f"/{os.path.normpath(path).strip('/')}"


def parse_mounts(texts: Sequence[str], of_tmpfs: Mapping[str, str]) -> tuple[list[Mount], dict[str, str]]:
    """All `--mount`s: those of directories and volumes, and the tmpfs by mount point, with those of `--tmpfs`.

    Raises InvalidArgument, NotImplementedHere.
    """
    mounts: list[Mount] = []
    in_memory = dict(of_tmpfs)
    for text in texts:
        values = _pairs(text)
        readonly, source, target = "readonly" in values, values.get("source", ""), values.get("target", "")
        if values["type"] == "bind":
            recursive = "bind-nonrecursive" not in values and values.get("bind-recursive") != "disabled"
            propagation = values.get("bind-propagation", "")
            mounts.append(bind(source, target, readonly=readonly, propagation=propagation, recursive=recursive))
        elif values["type"] == "volume":
            mounts.append(volume(source, target, readonly=readonly, copy="volume-nocopy" not in values))
        else:
            point, options = tmpfs(target, readonly=readonly, size=_size(values), mode=_mode(values))
            if point in in_memory:
                raise InvalidArgument(f"Duplicate mount point: {point}", "name each target once")
            in_memory[point] = options
    return mounts, in_memory


def _pairs(text: str) -> dict[str, str]:
    """KEY=VALUE,... with the long names of the keys; a switch that is off is left out. Raises as parse_mounts()."""
    values = {"type": "volume"}
    for word in _comma_separated(text):
        key, given, value = word.partition("=")
        key = KEYS.get(key.lower(), key.lower())
        if key in ABSENT:
            raise NotImplementedHere(f"--mount {key} is not part of this lab", ABSENT[key])
        if key not in COMMON and not any(key in names for names in OF_KIND.values()):
            raise InvalidArgument(f"unexpected key '{key[:40]}' in '{word[:80]}'", "see docker-run(1), --mount")
        if key in SWITCHES:
            if value.lower() not in ("", "1", "true", "0", "false"):
                raise InvalidArgument(f"invalid value for {key}: {value[:40]}", f"write {key} alone, or {key}=true")
            if value.lower() in ("0", "false"):
                values.pop(key, None)
                continue
        elif not given:
            raise InvalidArgument(
                f"invalid field '{word[:80]}' must be a key=value pair", "write --mount KEY=VALUE,..."
            )
        values[key] = value
    _check_pairs(values)
    return values


def _comma_separated(text: str) -> list[str]:
    """The fields of one line of CSV, as docker reads it: a field in quotes may hold commas. Raises InvalidArgument."""
    import csv

    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error:
        rows = []
    if len(rows) != 1 or not rows[0] or "\n" in text:
        raise InvalidArgument(f"invalid --mount {text[:80]!a}", "write type=bind,source=/SRC,target=/DST")
    return rows[0]


def _check_pairs(values: dict[str, str]) -> None:
    kind = values["type"].lower()
    values["type"] = kind
    if kind in ("image", "npipe", "cluster"):
        raise NotImplementedHere(f'mounts of type "{kind}" are not part of this lab', "use bind, volume or tmpfs")
    if kind not in OF_KIND:
        raise InvalidArgument(f'mount type unknown: "{kind[:40]}"', "use bind, volume or tmpfs")
    if not values.get("target"):
        raise InvalidArgument("target is required", "write --mount ...,target=/DST")
    if kind == "bind" and not values.get("source"):
        raise invalid("bind", "field Source must not be empty")
    if kind == "tmpfs" and values.get("source"):
        raise invalid("tmpfs", "field Source must not be specified")
    for other, keys in OF_KIND.items():
        if other != kind and any(key in values for key in keys):
            raise InvalidArgument(
                f"cannot mix '{other}-*' options with mount type '{kind}'", f"leave the {other}-* out"
            )
    if values.get("bind-recursive", "enabled") not in ("enabled", "disabled", "readonly"):
        raise NotImplementedHere(
            f"bind-recursive={values['bind-recursive'][:40]} is not part of this lab",
            "a read-only mount is so with all below it: write enabled, or disabled for nothing below it",
        )
    if values.get("consistency", "default") not in ("default", "consistent"):
        raise NotImplementedHere("--mount consistency is not part of this lab", "leave it out")


def _size(values: dict[str, str]) -> int:
    if "tmpfs-size" not in values:
        return 0
    from lab.limits import parse_size

    return parse_size(values["tmpfs-size"], "--mount tmpfs-size")


def _mode(values: dict[str, str]) -> int:
    text = values.get("tmpfs-mode", "0")
    if not frozenset("01234567").issuperset(text) or not 0 < len(text) < 6:
        raise InvalidArgument(f"invalid value for tmpfs-mode: {text[:40]}", "write octal digits, such as 1770")
    return int(text, 8)


def parse_from(text: str) -> tuple[str, bool | None]:
    """CONTAINER[:ro|rw] of `--volumes-from`: its reference, and whether all is read-only; None: as it is there."""
    reference, given, mode = text.partition(":")
    words = mode.split(",") if given else []
    if not reference or {*words} - {"ro", "rw", "z", "Z"}:
        raise InvalidArgument(f"invalid volumes-from {text[:80]!a}", "write CONTAINER, or CONTAINER:ro")
    _check_once(words)
    return reference, True if "ro" in words else None
