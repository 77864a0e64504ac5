"""The end of all imports, before untrusted files become `/`.

Python looks for a module by path at the moment of the import. In a container's root that path leads to the image's
files, which would then run with the engine's privileges: CVE-2019-14271, where docker cp loaded a container's
libnss. So a process imports all that it will need, seals itself, and only then enters the root.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Refusal:
    """The only finder that is left after seal(): it refuses every module."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> NoReturn:
        raise ImportError(f"{name} is imported after seal(): the module would be the container's", name=name)


def seal() -> None:
    """Make every later import in this process, built-in modules included, an ImportError.

    The caches of sys.path stay: only the finders that are gone ever read them, and freeing them takes time.
    """
    sys.path.clear()
    sys.meta_path[:] = [Refusal]
