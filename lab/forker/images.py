"""The verbs of `podmanish` for images. The images are labd's, too: both engines share the directory."""

from __future__ import annotations

import json

from lab import contents, filters, imageargs
from lab.images import filters as image_filters
from lab.images import making, views
from lab.images.names import with_tag
from lab.shown import SHORT_ID, each, show_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.forker.engine import Forker


def images(engine: Forker, argv: Sequence[str]) -> int:
    values, _ = imageargs.plain(imageargs.IMAGES, argv, 0, 0)
    for image in image_filters.matching(engine.images, filters.parse(values["filter"])):
        shown = image.id if values["no_trunc"] else image.id.removeprefix("sha256:")[:SHORT_ID]
        rows = views.image_rows(image.tags, image.id, image.size, image.damage, whole=values["no_trunc"])
        print(shown if values["quiet"] else "\n".join(rows))
    return 0


def import_(engine: Forker, argv: Sequence[str]) -> int:
    values, (path, *names) = imageargs.plain(imageargs.IMPORT, argv, 1, 2)
    with imageargs.source(path) as tar:
        print(engine.images.import_tar("".join(names), tar, values["change"], values["message"]).id)
    return 0


def load(engine: Forker, argv: Sequence[str]) -> int:
    values, _ = imageargs.plain(imageargs.LOAD, argv, 0, 0)
    with imageargs.source(values["input"]) as tar:
        for name, image in engine.images.load(tar):
            print(f"Loaded image: {with_tag(name)}" if name else f"Loaded image ID: {image.id}")
    return 0


def save(engine: Forker, argv: Sequence[str]) -> int:
    path, references = imageargs.save_words(argv)
    saved = engine.images.save(references)
    with imageargs.target(path) as file:
        file.writelines(saved.chunks())
    return 0


def tag(engine: Forker, argv: Sequence[str]) -> int:
    _, (reference, name) = imageargs.plain(imageargs.TAG, argv, 2, 2)
    engine.images.tag(reference, name)
    return 0


def remove(engine: Forker, argv: Sequence[str]) -> int:
    values, references = imageargs.plain(imageargs.RMI, argv, 1)

    def act(reference: str) -> str:
        return "\n".join(f"{action}: {what}" for action, what in engine.images.remove(reference, force=values["force"]))

    return each("podmanish", references, act)


def history(engine: Forker, argv: Sequence[str]) -> int:
    values, (reference,) = imageargs.plain(imageargs.HISTORY, argv, 1, 1)
    rows = views.told(engine.images.find(reference, damaged=True))
    show_table(views.HISTORY_COLUMNS, views.history_rows(rows, whole=values["no_trunc"]))
    return 0


def commit(engine: Forker, argv: Sequence[str]) -> int:
    values, (reference, *names) = imageargs.plain(imageargs.COMMIT, argv, 1, 2)
    container = engine.store.find(reference)
    labels = dict(item.partition("=")[::2] for item in container.config.get("label", ()))
    image = engine.images.commit(
        container.spec, "".join(names),
        entrypoint=container.config.get("entrypoint", 0), labels=labels,
        changes=values["change"], author=values["author"], comment=values["message"],
    )  # fmt: skip
    print(image.id)
    return 0


def export(engine: Forker, argv: Sequence[str]) -> int:
    values, (reference,) = imageargs.plain(imageargs.EXPORT, argv, 1, 1)
    spec = engine.store.find(reference).spec
    making.require_layer(spec)
    with imageargs.target(values["output"]) as file:
        contents.write(spec, file.fileno(), "root")
    return 0


def inspect(engine: Forker, argv: Sequence[str]) -> int:
    _, references = imageargs.plain(imageargs.IMAGE_INSPECT, argv, 1)
    found = [engine.images.find(reference, damaged=True) for reference in references]
    print(json.dumps([views.inspected(image) for image in found], indent=4))
    return 0


def prune(engine: Forker, argv: Sequence[str]) -> int:
    values, _ = imageargs.plain(imageargs.PRUNE, argv, 0, 0)
    wanted, _ = image_filters.prunable(engine.images, filters.parse(values["filter"]))
    if imageargs.agreed(values):
        print(imageargs.pruned(*engine.images.prune(wanted, all=values["all"])))
    return 0


def of_image(engine: Forker, argv: Sequence[str]) -> int:
    verb, rest = imageargs.of_image(argv)
    return VERBS[verb](engine, rest)


VERBS: dict[str, Callable[[Forker, Sequence[str]], int]] = {
    "images": images, "import": import_, "load": load, "save": save, "tag": tag, "rmi": remove, "history": history,
    "commit": commit, "export": export, "inspect": inspect, "prune": prune, "image": of_image,
}  # fmt: skip
