#!/usr/bin/env python3
"""Level 0: a container engine on one page.

    sudo python3 docs/zero.py [COMMAND...]     fork, unshare, exec; without a COMMAND: a shell
    sudo python3 docs/zero.py --serve FIFO     a daemon: does the same for each line that is written into FIFO

Run it, then change it: docs/student.md has three experiments.
"""

import ctypes
import os
import sys
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID = 0x00020000, 0x04000000, 0x20000000  # linux/sched.h
MS_REC, MS_PRIVATE = 0x4000, 0x40000  # linux/mount.h


def main(words):
    """Run the command, or be a daemon."""
    tell("outside")
    return serve(words[1]) if words[:1] == ["--serve"] else run(words or ["sh"])


def serve(fifo):
    """The daemon: it runs what anybody writes into the FIFO."""
    while True:
        with Path(fifo).open() as requests:  # waits until somebody opens the other end; fifo(7)
            for line in requests:
                run(line.split())


def run(command):
    """The engine. Each fork copies this process's loginuid into the child."""
    if (helper := os.fork()) == 0:
        call(libc.unshare, CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID)
        if (container := os.fork()) == 0:  # only a child that is born after unshare(2) is in the new pid namespace
            become(command)
        os._exit(wait(container))
    return wait(helper)


def become(command):
    """The container: pid 1 of its namespace, until exec makes it the command."""
    call(libc.sethostname, b"zero", 4)
    call(libc.mount, None, b"/", None, MS_REC | MS_PRIVATE, None)  # the next mount is not seen outside
    call(libc.mount, b"proc", b"/proc", b"proc", 0, None)
    # os.write(os.open("/proc/self/loginuid", os.O_WRONLY), b"4242")  # experiment 3
    tell("inside")
    os.execvp(command[0], command)


def tell(where):
    """Say who we are."""
    number = Path("/proc/self/loginuid").read_text()
    print(f"{where:8} {os.uname().nodename:12} pid {os.getpid():<8} loginuid {number}", flush=True)


def wait(pid):
    """The exit code of a child."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def call(function, *arguments):
    """A call of the C library, or the end."""
    if function(*arguments) < 0:
        sys.exit(f"zero.py: {function.__name__}: {os.strerror(ctypes.get_errno())} (are you root?)")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
