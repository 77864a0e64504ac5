"""The command `dockerish`: the same words as `podmanish`, but the work is the daemon's."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from client.api import Api, socket_path
from client.run import exec_, run
from lab.commandline import HelpWanted
from lab.errors import InvalidArgument, LabError
from lab.paths import SOCKET


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes as docker-run(1) has them: 125 is the engine's own failure."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return dispatch(arguments)
    except HelpWanted as wanted:
        print(wanted.command.help("dockerish"))
        return 0
    except LabError as error:
        print(error.told_by("dockerish"), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def dispatch(arguments: list[str]) -> int:
    """`run` and `exec` at once; the other verbs live in client.verbs, which `run` need not import."""
    host = os.environ.get("LAB_HOST") or SOCKET
    while arguments and arguments[0].partition("=")[0] in ("--host", "-H"):
        _, given, host = arguments.pop(0).partition("=")
        if not given:
            if not arguments:
                raise InvalidArgument("flag needs an argument: --host", "write --host unix:///run/lab/labd.sock")
            host = arguments.pop(0)
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    hot = {"run": run, "exec": exec_}
    if verb in hot:
        return hot[verb](Api(socket_path(host)), rest)
    from client import verbs

    return verbs.dispatch(host, verb, rest)


if __name__ == "__main__":
    sys.exit(main())
