"""seccomp(2): which system calls a container may make. A profile becomes a program of classic BPF for the kernel.

A profile has the form of Docker's JSON (docs.docker.com, "Seccomp security profiles"); DEFAULT_PROFILE is Docker's own.
The kernel runs the program at each system call. It sees struct seccomp_data: the number of the call, the architecture
and six arguments, and answers with an action. The number is found by binary search:

    is this the machine that the numbers are for?      no: ENOSYS, also for 32-bit programs
    number >= 217? ── no ── number >= 101? ── ... ── RET action of that range
         └ yes ── number >= 308? ── ... ── compare arguments ── RET action
"""

from __future__ import annotations

import errno
import os
import struct

from lab.errors import InvalidArgument, MissingFeature
from lab.runtime.seccomp_default import DEFAULT_PROFILE
from lab.syscall_table import ARCHES, NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant
    Check = tuple[int, int, str, str]  # code, constant, where to go if true, if false: "next", "pass" or "fail"
    Alternative = tuple[list[list[Check]], int]  # conditions that must all hold, action

# linux/bpf_common.h and linux/filter.h
LD_WORD, AND, JA, JEQ, JGT, JGE, RET = 0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x06
INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter
WORD_MASK = 0xFFFFFFFF  # BPF compares 32 bits at a time
MAX_INSTRUCTIONS, MAX_JUMP = 4096, 255
# struct seccomp_data, linux/seccomp.h
NUMBER, ARCH, ARGUMENTS = 0, 4, 16
X32_BIT = 0x40000000  # x86_64 programs with 32-bit pointers add it to their numbers
ACTIONS = {
    "SCMP_ACT_KILL": 0, "SCMP_ACT_KILL_THREAD": 0, "SCMP_ACT_KILL_PROCESS": 0x80000000, "SCMP_ACT_TRAP": 0x30000,
    "SCMP_ACT_ERRNO": 0x50000, "SCMP_ACT_TRACE": 0x7FF00000, "SCMP_ACT_LOG": 0x7FFC0000, "SCMP_ACT_ALLOW": 0x7FFF0000,
}  # fmt: skip
WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
HINT = "write default, unconfined, or the path of a profile in Docker's JSON format"
_programs: dict[tuple[str, tuple[str, ...]], bytes] = {}
GO_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}


def program(text: str, capabilities: tuple[str, ...]) -> bytes:
    """The filter of this profile for a container with these capabilities. Raises InvalidArgument, MissingFeature."""
    if (text, capabilities) not in _programs:
        _programs.clear()  # keep one: a profile may be long, and most containers have the same
        _programs[text, capabilities] = _compile(text, capabilities)
    return _programs[text, capabilities]


def check(text: str) -> None:
    """Raises InvalidArgument, MissingFeature for a profile that cannot be compiled."""
    _compile(text, ())


def _compile(text: str, capabilities: tuple[str, ...]) -> bytes:
    machine = os.uname().machine
    if machine not in NUMBERS:
        raise MissingFeature(f"no seccomp filter is known for {machine}", "use --security-opt seccomp=unconfined")
    if text == "default":
        return compile_profile(DEFAULT_PROFILE, capabilities, machine)
    import json  # costly, and the default profile does not need it

    try:
        return compile_profile(json.loads(text), capabilities, machine)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError, struct.error) as error:
        reason = str(error) if isinstance(error, ValueError | RecursionError) else repr(error)
        raise InvalidArgument(f"Decoding seccomp profile failed: {reason}", HINT) from None


def compile_profile(profile: dict[str, Any], capabilities: Collection[str], machine: str) -> bytes:
    """The program as the bytes of an array of struct sock_filter; machine as uname(2) names it."""
    default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    by_number = _alternatives(profile, capabilities, machine)
    code = [*_only_this_machine(machine), *_search(_ranges(by_number, default))]
    if len(code) > MAX_INSTRUCTIONS:
        raise InvalidArgument(
            f"the seccomp profile needs {len(code)} instructions", "shorten it: the kernel takes 4096"
        )
    return b"".join(INSTRUCTION.pack(*instruction) for instruction in code)


def _only_this_machine(machine: str) -> list[Instruction]:
    """Refuse calls of other architectures with ENOSYS: they have other numbers, which the filter does not know."""
    audit_arch = next(number for number, name in ARCHES.items() if name == machine)
    not_here = (RET, 0, 0, ACTIONS["SCMP_ACT_ERRNO"] | errno.ENOSYS)
    code: list[Instruction] = [(LD_WORD, 0, 0, ARCH), (JEQ, 1, 0, audit_arch), not_here, (LD_WORD, 0, 0, NUMBER)]
    return [*code, (JGE, 0, 1, X32_BIT), not_here] if machine == "x86_64" else code


def _search(ranges: list[tuple[int, list[Instruction]]]) -> list[Instruction]:
    """Code that finds the last range whose first number is not above the call's: two instructions a level."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    low, high = _search(ranges[:middle]), _search(ranges[middle:])
    return [(JGE, 0, 1, ranges[middle][0]), (JA, 0, 0, len(low)), *low, *high]


def _ranges(by_number: dict[int, list[Alternative]], default: int) -> list[tuple[int, list[Instruction]]]:
    """(first number, code) of each run of numbers with the same code; a number without a rule gets the default."""
    found: list[tuple[int, list[Instruction]]] = []
    for number in range(max(by_number, default=0) + 2):
        code = _choose(by_number.get(number, []), default)
        if not found or found[-1][1] != code:
            found.append((number, code))
    return found


def _choose(alternatives: list[Alternative], default: int) -> list[Instruction]:
    """Code for the first alternative whose conditions hold. One without conditions overrides all others."""
    for conditions, action in alternatives:
        if not conditions:
            return [(RET, 0, 0, action)]
    code: list[Instruction] = []
    for conditions, action in alternatives:
        code += _when(conditions, action)
    return [*code, (RET, 0, 0, default)]


def _when(conditions: list[list[Check]], action: int) -> list[Instruction]:
    """Code that returns the action if all conditions hold, and else continues behind itself."""
    length = sum(len(checks) for checks in conditions) + 1
    code: list[Instruction] = []
    for checks in conditions:
        end = len(code) + len(checks)
        for instruction, constant, if_true, if_false in checks:
            here = len(code) + 1
            jump = {"next": 0, "pass": end - here, "fail": length - here}
            if length > MAX_JUMP:
                raise InvalidArgument(
                    "a seccomp rule has too many arguments",
                    "split the rule: a jump of BPF skips 255 instructions at most",
                )
            code.append((instruction, jump[if_true], jump[if_false], constant))
    return [*code, (RET, 0, 0, action)]


def _alternatives(profile: dict[str, Any], capabilities: Collection[str], machine: str) -> dict[int, list[Alternative]]:
    """The alternatives of each system call that this machine has, by number."""
    numbers = NUMBERS[machine]
    found: dict[int, list[Alternative]] = {}
    for rule in profile.get("syscalls") or ():
        if not _applies(rule, capabilities, machine):
            continue
        action = _action(rule["action"], rule.get("errnoRet"))
        conditions = [_condition(argument) for argument in rule.get("args") or ()]
        for name in rule.get("names") or [rule["name"]]:
            if name in numbers:
                found.setdefault(numbers[name], []).append((conditions, action))
    return found


def _applies(rule: dict[str, Any], capabilities: Collection[str], machine: str) -> bool:
    """Whether the rule is meant for a container with these capabilities, on this machine and kernel."""
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    arch = GO_ARCHES[machine]
    return (
        all(name in capabilities for name in includes.get("caps") or ())
        and not any(name in capabilities for name in excludes.get("caps") or ())
        and arch in (includes.get("arches") or [arch])
        and arch not in (excludes.get("arches") or ())
        and _version(includes.get("minKernel") or "0.0") <= _version(os.uname().release)
    )


def _version(text: str) -> tuple[int, int]:
    major, minor, *_ = text.split(".")
    return int(major), int(minor.partition("-")[0])


def _action(name: str, number: int | None) -> int:
    if name not in ACTIONS:
        raise InvalidArgument(f"seccomp action {name!r} is not part of this lab", f"use one of {', '.join(ACTIONS)}")
    data = (errno.EPERM if number is None else number) if name in WITH_ERRNO else 0
    return ACTIONS[name] | data & 0xFFFF


def _condition(argument: dict[str, Any]) -> list[Check]:
    """Checks of one 64-bit argument, its upper word first; libseccomp's SCMP_CMP_*."""
    index, value, second = int(argument["index"]), int(argument["value"]), int(argument.get("valueTwo") or 0)
    if not 0 <= index <= 5:
        raise InvalidArgument(f"a system call has no argument {index}", "a seccomp profile's index is 0 to 5")
    low = ARGUMENTS + 8 * index
    high_word: Check = (LD_WORD, low + 4, "next", "next")
    low_word: Check = (LD_WORD, low, "next", "next")
    high, rest = value >> 32 & WORD_MASK, value & WORD_MASK
    operator = argument["op"]
    if operator == "SCMP_CMP_MASKED_EQ":
        return [
            high_word, (AND, high, "next", "next"), (JEQ, second >> 32 & WORD_MASK, "next", "fail"),
            low_word, (AND, rest, "next", "next"), (JEQ, second & WORD_MASK, "next", "fail"),
        ]  # fmt: skip
    if operator in ("SCMP_CMP_EQ", "SCMP_CMP_NE"):
        same, other = ("pass", "fail") if operator == "SCMP_CMP_EQ" else ("fail", "pass")
        return [high_word, (JEQ, high, "next", other), low_word, (JEQ, rest, same, other)]
    comparisons = {
        "SCMP_CMP_GT": (JGT, "pass", "fail"), "SCMP_CMP_LE": (JGT, "fail", "pass"),
        "SCMP_CMP_GE": (JGE, "pass", "fail"), "SCMP_CMP_LT": (JGE, "fail", "pass"),
    }  # fmt: skip
    if operator not in comparisons:
        raise InvalidArgument(f"seccomp operator {operator!r} is unknown", "use one of libseccomp's SCMP_CMP_*")
    code, above, below = comparisons[operator]
    return [
        high_word, (JGT, high, above, "next"), (JEQ, high, "next", below), low_word, (code, rest, above, below),
    ]  # fmt: skip
