"""The verbs of `dockerish` for images: each sends a request or two."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from client.api import Api
from lab import filters, imageargs
from lab.images import views
from lab.images.names import normalize
from lab.shown import SHORT_ID, each, show_table


def images(api: Api, argv: Sequence[str]) -> int:
    values, _ = imageargs.plain(imageargs.IMAGES, argv, 0, 0)
    for image in api.get("images", "json", filters=json.dumps(filters.parse(values["filter"]))):
        shown = image["Id"] if values["no_trunc"] else image["Id"].removeprefix("sha256:")[:SHORT_ID]
        names = [normalize(name) for name in image["RepoTags"]]
        rows = views.image_rows(names, image["Id"], image["Size"], whole=values["no_trunc"])
        print(shown if values["quiet"] else "\n".join(rows))
    return 0


def import_(api: Api, argv: Sequence[str]) -> int:
    values, (path, *names) = imageargs.plain(imageargs.IMPORT, argv, 1, 2)
    query = {"fromSrc": "-", "repo": "".join(names), "changes": values["change"], "message": values["message"]}
    with imageargs.source(path) as file:
        print(api.upload(file, "images", "create", **query)[0]["status"])
    return 0


def load(api: Api, argv: Sequence[str]) -> int:
    values, _ = imageargs.plain(imageargs.LOAD, argv, 0, 0)
    with imageargs.source(values["input"]) as file:
        for row in api.upload(file, "images", "load"):
            print(row["stream"], end="")
    return 0


def save(api: Api, argv: Sequence[str]) -> int:
    path, references = imageargs.save_words(argv)
    with api.stream("GET", "images", "get", names=references) as stream, imageargs.target(path) as file:
        file.writelines(stream.chunks())
    return 0


def tag(api: Api, argv: Sequence[str]) -> int:
    _, (reference, name) = imageargs.plain(imageargs.TAG, argv, 2, 2)
    api.post("images", reference, "tag", repo=name)
    return 0


def remove(api: Api, argv: Sequence[str]) -> int:
    values, references = imageargs.plain(imageargs.RMI, argv, 1)

    def act(reference: str) -> str:
        rows = api.delete("images", reference, force=values["force"])
        return "\n".join(f"{action}: {what}" for row in rows for action, what in row.items())

    return each("dockerish", references, act)


def history(api: Api, argv: Sequence[str]) -> int:
    values, (reference,) = imageargs.plain(imageargs.HISTORY, argv, 1, 1)
    rows = api.get("images", reference, "history")
    show_table(views.HISTORY_COLUMNS, views.history_rows(rows, whole=values["no_trunc"]))
    return 0


def commit(api: Api, argv: Sequence[str]) -> int:
    values, (reference, *names) = imageargs.plain(imageargs.COMMIT, argv, 1, 2)
    query = {"container": reference, "repo": "".join(names), "changes": values["change"]}
    print(api.post("commit", comment=values["message"], author=values["author"], **query)["Id"])
    return 0


def export(api: Api, argv: Sequence[str]) -> int:
    values, (reference,) = imageargs.plain(imageargs.EXPORT, argv, 1, 1)
    with api.stream("GET", "containers", reference, "export") as stream, imageargs.target(values["output"]) as file:
        file.writelines(stream.chunks())
    return 0


def inspect(api: Api, argv: Sequence[str]) -> int:
    _, references = imageargs.plain(imageargs.IMAGE_INSPECT, argv, 1)
    print(json.dumps([api.get("images", reference, "json") for reference in references], indent=4))
    return 0


def prune(api: Api, argv: Sequence[str]) -> int:
    values, _ = imageargs.plain(imageargs.PRUNE, argv, 0, 0)
    chosen = {**filters.parse(values["filter"]), "dangling": ["false" if values["all"] else "true"]}
    if imageargs.agreed(values):
        done = api.post("images", "prune", filters=json.dumps(chosen))
        rows = [item for row in done["ImagesDeleted"] or () for item in row.items()]
        print(imageargs.pruned(rows, done["SpaceReclaimed"]))
    return 0


def of_image(api: Api, argv: Sequence[str]) -> int:
    verb, rest = imageargs.of_image(argv)
    return VERBS[verb](api, rest)


VERBS: dict[str, Callable[[Api, Sequence[str]], int]] = {
    "images": images, "import": import_, "load": load, "save": save, "tag": tag, "rmi": remove, "history": history,
    "commit": commit, "export": export, "inspect": inspect, "prune": prune, "image": of_image,
}  # fmt: skip
