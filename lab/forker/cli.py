"""The command `podmanish`: from its arguments to the engine, and from errors to exit codes."""

from __future__ import annotations

import sys

from lab import syscalls
from lab.commandline import HelpWanted
from lab.errors import InvalidArgument, LabError
from lab.forker.engine import Forker
from lab.paths import state_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """The command `podmanish`; exit codes as podman-run(1) has them."""
    syscalls.set_process_name("podmanish")  # else it is that of the interpreter
    arguments = sys.argv[1:] if argv is None else list(argv)
    root = state_directory()
    try:
        while arguments[:1] == ["--root"]:
            if len(arguments) == 1:
                raise InvalidArgument("flag needs an argument: --root", "write --root DIRECTORY before the verb")
            root, arguments = arguments[1], arguments[2:]
        return dispatch(Forker(root), arguments)
    except HelpWanted as wanted:
        print(wanted.command.help("podmanish"))
        return 0
    except LabError as error:
        print(error.told_by("podmanish"), file=sys.stderr)
        return error.exit_code
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"podmanish: {where}{error.strerror}\n  containers are kept below {root}", file=sys.stderr)
        return LabError.exit_code


def dispatch(engine: Forker, arguments: Sequence[str]) -> int:
    """Run one verb. All but `run` and `exec` are in lab.forker.verbs, which a `run` need not import."""
    verb = arguments[0] if arguments else "--help"
    rest = arguments[1:]
    if verb == "run":
        return engine.run(rest)
    if verb == "exec":
        return engine.exec(rest)
    from lab.forker import verbs

    return verbs.dispatch(engine, verb, rest)


if __name__ == "__main__":
    sys.exit(main())
