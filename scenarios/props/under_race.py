"""Run a student's who_asks(connection): python -I under_race.py FILE CONNECTION ANSWER GATE; the last three are fds.

The answer is one JSON object: {"answer": number or null}, {"returned": what else, as repr() has it}, or {"raised": name
of the exception, "line": of FILE, 0 if it has none there, "text": the exception's}. Before a loginuid is opened for the
first time, a byte goes through the gate, and the program waits for one to come back: what happens meanwhile is the
race. The program imports the standard library alone, and runs the student's code in this process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
import traceback


def stop_at_the_gate(gate: int) -> None:
    """Pass the gate before open(2) of /proc/PID/loginuid, the first time; sys.addaudithook()."""
    waiting = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal waiting
        if event == "open" and waiting and str(arguments[0]).endswith("loginuid"):
            waiting = False
            os.write(gate, b"o")
            os.read(gate, 1)

    sys.addaudithook(hook)


def answer(path: str, connection: socket.socket, gate: int) -> dict[str, object]:
    """What the function in that file returns, or how it fails, with the line."""
    try:
        spec = importlib.util.spec_from_file_location("caller", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        stop_at_the_gate(gate)
        found = module.who_asks(connection)
    except BaseException as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        return {"raised": type(error).__name__, "line": (lines or [0])[-1], "text": str(error)}
    if found is None or (isinstance(found, int) and not isinstance(found, bool)):
        return {"answer": found}
    return {"returned": repr(found)}


def main(path: str, *descriptors: str) -> None:
    connection, told, gate = map(int, descriptors)
    with socket.socket(fileno=connection) as asked, os.fdopen(told, "w", encoding="utf-8") as file:
        json.dump(answer(path, asked, gate), file)


if __name__ == "__main__":
    main(*sys.argv[1:])
