"""seccomp(2): Docker's default policy, call by call, and profiles of the user."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from private_labd import Labd
from support import Podmanish

from lab.errors import InvalidArgument
from lab.runtime import seccomp
from lab.runtime.seccomp_default import ALWAYS, DEFAULT_PROFILE, ON_X86_64, WITH_CAPABILITY
from lab.spec import DEFAULT_CAPABILITIES
from lab.syscall_table import NUMBERS

PYTHON = ("/usr/bin/python3", "-ISc")
MACHINE = os.uname().machine
CONDITIONAL = {"clone", "clone3", "personality", "socket"}
CALL = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
for word in sys.argv[1:]:
    number, *arguments = (int(part, 0) for part in word.split(","))
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(value) for value in (arguments + [0] * 6)[:6]))
    print(ctypes.get_errno() if result < 0 else 0)
"""


def refused(capabilities: tuple[str, ...]) -> set[str]:
    """The calls of this machine that a container with these capabilities may not make, whatever the arguments."""
    allowed = set(ALWAYS.split()) | CONDITIONAL | (set(ON_X86_64.split()) if MACHINE == "x86_64" else set())
    for name in capabilities:
        allowed |= set(WITH_CAPABILITY.get(name, "").split())
    return set(NUMBERS[MACHINE]) - allowed


def errors(run: Callable[..., subprocess.CompletedProcess[bytes]], options: list[str], *calls: str) -> list[int]:
    """What each system call inside a container ended with: errno, or 0. A call is NAME or NAME,ARGUMENT..."""
    words = [f"{NUMBERS[MACHINE][call.partition(',')[0]]},{call.partition(',')[2]}".rstrip(",") for call in calls]
    done = run("run", "--rm", *options, "host", *PYTHON, CALL, *words)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


@pytest.mark.needs("root")
def test_each_refused_call_is_refused(podmanish: Podmanish) -> None:
    """EPERM for each call that the default policy does not name, from the real kernel: mount, bpf, keyctl ..."""
    names = sorted(refused(DEFAULT_CAPABILITIES))
    assert {"keyctl", "unshare", "io_uring_setup", "bpf", "userfaultfd", "open_by_handle_at", "mount"} <= set(names)
    assert dict(zip(names, errors(podmanish, [], *names), strict=True)) == dict.fromkeys(names, errno.EPERM)


@pytest.mark.needs("root")
def test_the_daemons_containers_have_the_same_policy(labd: Labd) -> None:
    """labd's containers have the same policy as podmanish's."""
    found = errors(labd.dockerish, [], "keyctl", "unshare", "io_uring_setup", "clone3", "getpid")
    assert found == [errno.EPERM, errno.EPERM, errno.EPERM, errno.ENOSYS, 0]


@pytest.mark.needs("root")
def test_calls_that_depend_on_their_arguments(podmanish: Podmanish) -> None:
    """clone(2) with a namespace, a VM's socket and an odd personality are refused; the usual ones are not."""
    calls = {
        "clone3": errno.ENOSYS, "clone,0x10000000": errno.EPERM, "clone,0x20000": errno.EPERM,
        "personality,0xffffffff": 0, "personality,0x0040000": errno.EPERM, "personality,0x1ffffffff": errno.EPERM,
        "socket,40,1,0": errno.EPERM, "socket,0x100000028,1,0": errno.EPERM, "socket,1,1,0": 0,
    }  # fmt: skip
    assert errors(podmanish, [], *calls) == list(calls.values())


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    "options", [["--security-opt", "seccomp=unconfined"], ["--privileged"], ["--cap-add", "SYS_ADMIN"]], ids=" ".join
)
def test_what_lifts_it(podmanish: Podmanish, options: list[str]) -> None:
    """unconfined and --privileged mean no filter; a capability allows the calls that need it."""
    assert errors(podmanish, options, "unshare,0", "clone3") == [0, errno.EINVAL]
    keyctl = errors(podmanish, options, "keyctl,0,0xfffffffd,1")[0]
    assert keyctl == (errno.EPERM if "--cap-add" in options else 0)


@pytest.mark.needs("root")
@pytest.mark.skipif(MACHINE != "x86_64", reason="a peculiarity of x86_64")
def test_the_other_numbers_of_the_same_machine(podmanish: Podmanish) -> None:
    """x32's numbers reach the same calls by another name: ENOSYS, never a way round the policy."""
    done = podmanish("run", "--rm", "host", *PYTHON, CALL, f"{0x40000000 + 250}", f"{0x40000000 + 39}", "100000")
    assert [int(line) for line in done.stdout.split()] == [errno.ENOSYS, errno.ENOSYS, errno.EPERM]


@pytest.mark.needs("root")
def test_exec_and_init_are_under_it(podmanish: Podmanish) -> None:
    """Every process, those of --init and exec too, has Seccomp: 2 in /proc/PID/status."""
    podmanish.output("run", "-d", "--name", "box", "--init", "host", "sleep", "60")
    shown = podmanish.output("exec", "box", "sh", "-c", "grep -h ^Seccomp: /proc/[0-9]*/status")
    assert {line.split()[1] for line in shown.splitlines()} == {"2"} and len(shown.splitlines()) >= 3


@pytest.mark.needs("root")
def test_a_profile_of_ones_own(podmanish: Podmanish, tmp_path: Path) -> None:
    """A file in Docker's format decides, with its own error number; a call may be refused by its arguments."""
    rules = [
        {"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOTSUP},
        {"names": ["dup"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]},
    ]
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))
    options = ["--security-opt", f"seccomp={profile}"]
    assert errors(podmanish, options, "getppid", "dup,1", "dup,2", "unshare,0") == [errno.ENOTSUP, 0, errno.EPERM, 0]


@pytest.mark.parametrize(
    ("operator", "value", "second", "holds"),
    [
        ("EQ", 2**32 + 5, 0, lambda x: x == 2**32 + 5),
        ("NE", 2**32 + 5, 0, lambda x: x != 2**32 + 5),
        ("LT", 2**32 + 5, 0, lambda x: x < 2**32 + 5),
        ("LE", 2**32 + 5, 0, lambda x: x <= 2**32 + 5),
        ("GT", 2**32 + 5, 0, lambda x: x > 2**32 + 5),
        ("GE", 2**32 + 5, 0, lambda x: x >= 2**32 + 5),
        ("MASKED_EQ", 2**32 + 4, 2**32, lambda x: x & (2**32 + 4) == 2**32),
    ],
)
def test_comparisons_of_64_bits(operator: str, value: int, second: int, holds: Callable[[int], bool]) -> None:
    """Arguments are compared as the 64-bit numbers that they are, though BPF has words of 32 bits."""
    check = {"index": 1, "value": value, "valueTwo": second, "op": f"SCMP_CMP_{operator}"}
    rule = {"names": ["dup"], "action": "SCMP_ACT_ALLOW", "args": [check]}
    program = seccomp.compile_profile({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}, (), "x86_64")
    for argument in (0, 4, 5, 6, 2**32, 2**32 + 4, 2**32 + 5, 2**32 + 6, 2**33 + 5, 2**64 - 1):
        allowed = interpret(program, 32, (0, argument, 0, 0, 0, 0)) == seccomp.ACTIONS["SCMP_ACT_ALLOW"]
        assert allowed == holds(argument), hex(argument)


def interpret(program: bytes, number: int, arguments: tuple[int, ...], arch: int = 0xC000003E) -> int:
    """Run classic BPF as the kernel would: an oracle for the parts that the machine here cannot run."""
    data = struct.pack("=IIQ6Q", number, arch, 0, *arguments)
    code = list(seccomp.INSTRUCTION.iter_unpack(program))
    counter = accumulator = 0
    while True:
        instruction, if_true, if_false, constant = code[counter]
        counter += 1
        if instruction == seccomp.RET:
            return int(constant)
        if instruction == seccomp.LD_WORD:
            accumulator = struct.unpack_from("=I", data, constant)[0]
        elif instruction == seccomp.AND:
            accumulator &= constant
        elif instruction == seccomp.JA:
            counter += constant
        else:
            tests = {seccomp.JEQ: accumulator == constant, seccomp.JGT: accumulator > constant,
                     seccomp.JGE: accumulator >= constant}  # fmt: skip
            counter += if_true if tests[instruction] else if_false


@pytest.mark.parametrize(("machine", "arch"), [("x86_64", 0xC000003E), ("aarch64", 0xC00000B7)])
def test_every_number_of_both_machines(machine: str, arch: int) -> None:
    """The program's binary search agrees with the table for each number; other architectures have no call."""
    program = seccomp.compile_profile(DEFAULT_PROFILE, (), machine)
    always = {NUMBERS[machine][name] for name in ALWAYS.split() if name in NUMBERS[machine]}
    always |= {NUMBERS[machine][name] for name in ON_X86_64.split() if machine == "x86_64"}
    depends = {NUMBERS[machine][name] for name in CONDITIONAL}
    for number in range(600):
        if number not in depends:
            allowed = interpret(program, number, (0,) * 6, arch) == seccomp.ACTIONS["SCMP_ACT_ALLOW"]
            assert allowed == (number in always), number
    assert interpret(program, 39, (0,) * 6, 0x40000003) == seccomp.ACTIONS["SCMP_ACT_ERRNO"] | errno.ENOSYS


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"defaultAction": 5}', '{"defaultAction": "SCMP_ACT_NOTIFY"}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_KILL"}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [5]}', '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": 5}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["dup"], "action": "SCMP_ACT_KILL",'
        ' "args": [{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}]}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["dup"], "action": "SCMP_ACT_KILL",'
        ' "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_ODD"}]}]}',
    ],
)  # fmt: skip
def test_what_is_no_profile(text: str) -> None:
    """A profile that cannot be applied exactly is refused."""
    with pytest.raises(InvalidArgument):
        seccomp.check(text)


@pytest.mark.needs("podman")
def test_podmans_profile_compiles() -> None:
    """podman's profile compiles to less than 500 instructions; the kernel's limit is 4,096."""
    program = seccomp.program(Path("/usr/share/containers/seccomp.json").read_text(), DEFAULT_CAPABILITIES)
    assert len(program) < 500 * ctypes.sizeof(ctypes.c_uint64)
