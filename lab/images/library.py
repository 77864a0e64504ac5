"""The store with its verbs, as both engines use it; what a `run` does not need is imported late."""

from __future__ import annotations

from lab.images.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO, Any

    from lab.images import removal
    from lab.images.image import Image
    from lab.images.saved import Saved
    from lab.spec import Spec


class Images(Store):
    """The images below one directory."""

    def import_tar(self, name: str, tar: IO[bytes], changes: Sequence[str] = (), comment: str = "") -> Image:
        """`import`: lab.images.making.import_tar()."""
        from lab.images import making

        return making.import_tar(self, name, tar, changes, comment)

    def load(self, tar: IO[bytes]) -> Iterator[tuple[str, Image]]:
        """`load`: lab.images.making.load()."""
        from lab.images import making

        return making.load(self, tar)

    def commit(self, spec: Spec, name: str = "", **more: Any) -> Image:
        """`commit`: lab.images.making.commit()."""
        from lab.images import making

        return making.commit(self, spec, name, **more)

    def tag(self, reference: str, name: str) -> Image:
        """`tag`: lab.images.making.tag()."""
        from lab.images import making

        return making.tag(self, reference, name)

    def save(self, references: Sequence[str]) -> Saved:
        """`save`: lab.images.saved.Saved."""
        from lab.images.saved import Saved

        return Saved(self, references)

    def remove(self, reference: str, *, force: bool = False) -> removal.Rows:
        """`rmi`: lab.images.removal.remove()."""
        from lab.images import removal

        return removal.remove(self, reference, force=force)

    def prune(self, wanted: Callable[[Image], bool], *, all: bool) -> tuple[removal.Rows, int]:
        """`image prune`: lab.images.removal.prune()."""
        from lab.images import removal

        return removal.prune(self, wanted, all=all)
