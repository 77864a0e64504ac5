"""loginuid as the kernel keeps it. Every write happens in a throw-away child."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest
from support import Podmanish, lab_python

from lab.identity import UNSET, ancestry, loginuid, name_of

pytestmark = pytest.mark.needs("root", "audit")

USER = 3267
AS_USER = f"""
import os
from lab.identity import UNSET, loginuid, open_session, sessionid, set_loginuid
from lab.errors import NotAllowed
set_loginuid(UNSET) if loginuid() != UNSET else None
open_session({USER})
"""


def test_fork_and_exec_keep_it() -> None:
    """fork(2) copies loginuid and session id; execve(2) keeps both."""
    code = (
        AS_USER
        + "print(loginuid(), sessionid(), flush=True); os.system('cat /proc/self/loginuid /proc/self/sessionid')"
    )
    uid, session, rest = lab_python(code).replace("\n", " ").split(" ", 2)
    assert (uid, rest) == (str(USER), f"{USER}{session}")


def test_setuid_keeps_it() -> None:
    """setuid(2) changes the uid, not the loginuid."""
    assert lab_python(AS_USER + "os.setresuid(1, 1, 1); print(os.getuid(), loginuid())") == f"1 {USER}"


@pytest.mark.needs("sudo")
def test_sudo_keeps_it() -> None:
    """sudo makes uid 0 of a user, and leaves the loginuid alone: pam_loginuid is not in its PAM stack."""
    code = AS_USER + "print(flush=True); os.execlp('sudo', 'sudo', '-n', 'cat', '/proc/self/loginuid')"
    assert lab_python(code) == str(USER)


@pytest.mark.needs("setpriv")
def test_unset_may_be_set_without_privilege() -> None:
    """Unset to set needs no privilege: a process without a single capability may claim any uid, once."""
    inner = f"""
import os
def claim(uid):
    fd = os.open("/proc/self/loginuid", os.O_WRONLY)
    try:
        return os.write(fd, uid)
    except PermissionError:
        return "EPERM"
print(claim(b"{USER}"), claim(b"1"), claim(b"{UNSET}"), open("/proc/self/loginuid").read())
"""
    code = """
import os
from lab.identity import UNSET, loginuid, set_loginuid
if loginuid() != UNSET:
    set_loginuid(UNSET)
os.execvp("setpriv", ["setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all", *sys.argv[1:]])
"""
    assert lab_python(code, "/usr/bin/python3", "-ISc", inner) == f"{len(str(USER))} EPERM EPERM {USER}"


def test_audit_control_may_set_it_again() -> None:
    """With CAP_AUDIT_CONTROL a loginuid that is set can be changed, and each change begins a new session."""
    code = AS_USER + "first = sessionid(); set_loginuid(42); print(loginuid(), sessionid() > first)"
    assert lab_python(code) == "42 True"


def test_a_process_writes_only_its_own() -> None:
    """Root writing another process's loginuid: EPERM."""
    code = """
import os
fd = os.open(f"/proc/{os.getppid()}/loginuid", os.O_WRONLY)
try:
    os.write(fd, b"1")
except PermissionError:
    print("EPERM")
"""
    assert lab_python(code) == "EPERM"


def test_open_session_keeps_ones_own_and_refuses_anothers() -> None:
    """open_session() changes nothing for the same user, and says why it cannot for another."""
    code = (
        AS_USER
        + f"""
first = sessionid()
open_session({USER})
print(sessionid() == first)
os.setresuid(1, 1, 1)
try:
    open_session(4)
except NotAllowed as error:
    print(error.message)
"""
    )
    same, message = lab_python(code).split("\n")
    assert same == "True"
    assert f"from {USER} to 4" in message


def test_podmanish_keeps_it(podmanish: Podmanish) -> None:
    """A fork/exec engine's container has its caller's loginuid, with --init, -d and exec, too."""
    command = [*podmanish.command, "run", "--rm", "--init", "host", "cat", "/proc/self/loginuid", "/proc/1/loginuid"]
    code = AS_USER + "import sys; print(flush=True); os.execv(sys.argv[1], sys.argv[1:])"
    assert lab_python(code, *command) == f"{USER}{USER}"
    lab_python(code, *podmanish.command, "run", "-d", "--name", "kept", "host", "sleep", "60")
    code = AS_USER.replace(str(USER), "7") + "import sys; print(flush=True); os.execv(sys.argv[1], sys.argv[1:])"
    seen = lab_python(code, *podmanish.command, "exec", "kept", "cat", "/proc/1/loginuid", "/proc/self/loginuid")
    assert seen == f"{USER}7"


@pytest.mark.needs("setpriv")
def test_reads_are_translated(rootless: Podmanish) -> None:
    """In a user namespace the loginuid is read through its map: 0 for the mapped caller, unset where it is unmapped."""
    uid = rootless.root.parent.stat().st_uid
    command = [*rootless.command, "run", "--rm", "host", "cat", "/proc/self/loginuid"]
    command.insert(command.index("run") - 3, "env")
    command.insert(command.index("env") + 1, "PATH=/nowhere")
    code = "import sys; print(flush=True); os.execvp(sys.argv[1], sys.argv[1:])"
    assert lab_python(AS_USER.replace(str(USER), str(uid)) + code, *command) == "0"
    assert lab_python(AS_USER + code, *command) == str(UNSET)


def test_ancestry_leads_to_the_top() -> None:
    """The ancestry goes from the process to pid 1, parent by parent, with the values of /proc."""
    line = ancestry(os.getpid())
    assert [a.pid for a in line[:2]] == [os.getpid(), os.getppid()]
    assert line[-1].ppid == 0
    assert all(child.ppid == parent.pid for child, parent in pairwise(line))
    assert (line[0].loginuid, line[0].uid) == (loginuid(), os.geteuid())
    assert ancestry(2**22 + 1) == []


def test_names() -> None:
    """ausearch -i's names: root, unset, and the number where there is no name."""
    assert [name_of(uid) for uid in (0, UNSET, 2**31)] == ["root", "unset", str(2**31)]
