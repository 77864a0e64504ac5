"""Which of some system calls a program makes: the kernel tells, and the program cannot forge or withhold any.

A filter of the program's own turns each of these calls into the signal SIGSYS (SECCOMP_RET_TRAP, seccomp(2)), and the
tracer, who is told before the program (ptrace(2)), notes the call and lets it return 0. The call itself is never made.
"""

import ctypes
import os
import signal
import struct
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from lab.syscall_table import ARCHES, NUMBERS
from scenarios.classroom.trials import inside

# linux/ptrace.h, linux/prctl.h, linux/seccomp.h, linux/elf.h, linux/wait.h
TRACEME, CONT, SETOPTIONS, GETSIGINFO, GETREGSET, SETREGSET = 0, 7, 0x4200, 0x4202, 0x4204, 0x4205
FORK, VFORK, CLONE, EXEC = 1 << 1, 1 << 2, 1 << 3, 1 << 4  # PTRACE_O_TRACE*
PR_SET_SECCOMP, SECCOMP_MODE_FILTER, TRAP, ALLOW, SYS_SECCOMP = 22, 2, 0x30000, 0x7FFF0000, 1
NT_PRSTATUS, WALL = 1, 0x40000000
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h
# Where a register set has the six arguments, the result and the number: struct user_regs_struct, struct user_pt_regs
REGISTERS = {"x86_64": ((14, 13, 12, 7, 9, 8), 10, 15), "aarch64": ((0, 1, 2, 3, 4, 5), 0, 8)}
MOST_CALLS, LONGEST = 1000, 256


class Call(NamedTuple):
    """A call that was asked for: by which process, the child of which; its six arguments, of pointers the text."""

    pid: int
    parent: int
    name: str
    words: Sequence[int | str]


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long
_libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


def calls_of(words: Sequence[str], wanted: Mapping[str, str]) -> tuple[int | None, str, list[Call]]:
    """As inside.run, with the calls; `wanted` has a letter for each argument: i for an integer, s for a string.

    Raises inside.Cannot.
    """
    machine = os.uname().machine
    if machine not in REGISTERS:
        raise inside.Cannot(f"nobody has written down the registers of {machine}")
    numbers = {NUMBERS[machine][name]: name for name in wanted}
    output = inside.output_file()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    if (pid := os.fork()) == 0:
        _become(words, output, _filter(machine, numbers))
    tracer = Tracer(machine, numbers, wanted)
    code = tracer.follow(pid, time.monotonic() + inside.SECONDS)
    inside.kill_all()
    if not tracer.seen:  # it ended before exec, where a program that is traced stops
        raise inside.Cannot("no program can be traced here: see kernel.yama.ptrace_scope")
    return code, inside.text(output), tracer.calls


def _become(words: Sequence[str], output: int, program: bytes) -> None:
    try:
        os.setsid()
        for target, source in ((0, os.open("/dev/null", os.O_RDONLY)), (1, output), (2, output)):
            os.dup2(source, target)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        code = ctypes.create_string_buffer(program, len(program))
        fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code)))
        if _libc.ptrace(TRACEME, 0, None, None) == 0 and not _libc.prctl(
            PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(fprog), 0, 0
        ):
            os.execvp(words[0], list(words))
    finally:
        os._exit(127)


def _filter(machine: str, numbers: Mapping[int, str]) -> bytes:
    """struct sock_filter: a call of another architecture is the container's own filter's business."""
    arch = next(number for number, name in ARCHES.items() if name == machine)
    code = [(LOAD, 0, 0, 4), (EQUAL, 0, len(numbers) + 1, arch), (LOAD, 0, 0, 0)]
    code += [(EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    return b"".join(struct.pack("=HBBI", *one) for one in [*code, (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, TRAP)])


class Tracer:
    """Follows a program and all its children, and notes calls."""

    def __init__(self, machine: str, numbers: Mapping[int, str], wanted: Mapping[str, str]) -> None:
        self.calls: list[Call] = []
        self._arguments, self._result, self._number = REGISTERS[machine]
        self._numbers, self._wanted = numbers, wanted
        self.seen = set[int]()

    def follow(self, pid: int, end: float) -> int | None:
        """The exit status of the program; None if it has none at that time of the monotonic clock."""
        while time.monotonic() < end:
            stopped, status = os.waitpid(-1, os.WNOHANG | WALL)
            if not stopped:
                signal.sigtimedwait([signal.SIGCHLD], max(0, end - time.monotonic()))
            elif os.WIFSTOPPED(status):
                with suppress(ProcessLookupError):  # killed meanwhile
                    self._go_on(stopped, status)
            elif stopped == pid:
                return os.waitstatus_to_exitcode(status)
        return None

    def _go_on(self, pid: int, status: int) -> None:
        deliver, new = os.WSTOPSIG(status), pid not in self.seen
        self.seen.add(pid)
        if new:
            _ptrace(SETOPTIONS, pid, 0, FORK | VFORK | CLONE | EXEC)
        if status >> 16 or (new and deliver in (signal.SIGSTOP, signal.SIGTRAP)):
            deliver = 0  # an event; the first stop of a process that is traced from its birth
        elif deliver == signal.SIGSYS and self._noted(pid):
            deliver = 0
        _ptrace(CONT, pid, 0, deliver)

    def _noted(self, pid: int) -> bool:
        """Whether SIGSYS came from the filter: then the call is noted, and it returns 0."""
        info = ctypes.create_string_buffer(128)
        _ptrace(GETSIGINFO, pid, 0, ctypes.addressof(info))
        code, number = struct.unpack_from("=8xi12xi", info)
        if code != SYS_SECCOMP or number not in self._numbers:
            return False
        registers = (ctypes.c_uint64 * 64)()
        vector = _Iovec(ctypes.addressof(registers), ctypes.sizeof(registers))
        _ptrace(GETREGSET, pid, NT_PRSTATUS, ctypes.addressof(vector))
        if registers[self._number] != number:
            return False  # a process may send itself this signal with any siginfo: rt_sigqueueinfo(2)
        values = [registers[place] for place in self._arguments]
        if len(self.calls) < MOST_CALLS:
            self.calls.append(self._call(pid, self._numbers[number], values))
        registers[self._result] = 0
        _ptrace(SETREGSET, pid, NT_PRSTATUS, ctypes.addressof(vector))
        return True

    def _call(self, pid: int, name: str, values: Sequence[int]) -> Call:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")  # with a name that the process may choose
        about = dict(line.split(":\t", 1) for line in status.split("\n") if ":\t" in line)
        kinds = zip(self._wanted[name], values, strict=False)
        words = [_string(pid, value) if kind == "s" else value for kind, value in kinds]
        return Call(int(about["Tgid"]), int(about["PPid"]), name, words)


def _ptrace(request: int, pid: int, address: int, data: int) -> None:
    if _libc.ptrace(request, pid, address, data) < 0:
        raise ProcessLookupError if ctypes.get_errno() == 3 else OSError(ctypes.get_errno(), "ptrace")


def _string(pid: int, address: int) -> str:
    """Of the process's memory, up to a zero byte."""
    with suppress(OSError, OverflowError, ValueError), Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        return os.pread(memory.fileno(), LONGEST, address).partition(b"\0")[0].decode(errors="replace")
    return ""
