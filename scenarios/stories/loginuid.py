"""The mark that login leaves: PAM sets it, fork and exec keep it, sudo and setuid do not change it."""

from collections.abc import Mapping

from lab.identity import UNSET
from scenarios.props.capabilities import capabilities
from scenarios.stage.stage import Stage

NAME = "loginuid"
TITLE = "The mark that login leaves"
NOBODY = "65534"
OTHER = "4242"  # any uid that is not the user's
BOTH = "cat /proc/self/loginuid; echo; id -u"
WRITE = f"echo {OTHER} > /proc/self/loginuid; cat /proc/self/loginuid"


def play(stage: Stage) -> None:
    seen: dict[str, object] = {}
    inherited(stage, seen)
    other_uids(stage, seen)
    unset(stage, seen)
    only_once(stage, seen)
    first_write(stage, seen)
    compare(stage, seen)


def inherited(stage: Stage, seen: dict[str, object]) -> None:
    stage.say("{user} logs in, and pam_loginuid writes the uid, {uid}, into /proc/self/loginuid.",
        user=stage.user, uid=stage.user_id)  # fmt: skip
    stage.ask("What do the shell and its grandchild read there?", stage.user, "nobody")
    login = stage.shell("cat", "/proc/self/loginuid")
    child = stage.shell("sh", "-c", "sh -c 'cat /proc/self/loginuid'")
    stage.prints(login, stage.user_id, "login has set it")
    stage.prints(child, stage.user_id, "fork(2) copies it, execve(2) keeps it")
    seen["after the login"], seen["after fork and exec"] = login.printed, child.printed


def other_uids(stage: Stage, seen: dict[str, object]) -> None:
    stage.ask("sudo and setuid(2) change the uid. Do they change the loginuid?", "yes", "no")
    root = stage.shell("sudo", "sh", "-c", BOTH) if stage.sudo else None
    other = stage.shell("setpriv", f"--reuid={NOBODY}", "sh", "-c", BOTH)
    if root:
        kept = root.stdout.split() == [str(stage.user_id), "0"]
        stage.expect(kept, "sudo changes the uid, not the loginuid", " as uid ".join(root.stdout.split()))
        seen["after sudo, as uid 0"] = root.printed
    kept = other.stdout.split() == [str(stage.user_id), NOBODY]
    stage.expect(kept, "setuid(2) does not change it either", " as uid ".join(other.stdout.split()))
    seen["after setuid(2), as uid 65534"] = other.printed


def unset(stage: Stage, seen: dict[str, object]) -> None:
    stage.ask("Nobody logged in to start pid 1. What is its loginuid?", "0", "(uid_t)-1, which is 4294967295")
    init = stage.shell("cat", "/proc/1/loginuid")
    stage.prints(init, UNSET, "pid 1 has none")
    seen["of pid 1"] = init.printed


def only_once(stage: Stage, seen: dict[str, object]) -> None:
    stage.ask('The article says: "it can be set only once". Does the kernel refuse a second time?', "yes", "no")
    without = stage.shell("setpriv", "--bounding-set=-audit_control", "sh", "-c", WRITE)
    stage.prints(without, stage.user_id, "without CAP_AUDIT_CONTROL, the kernel refuses a second write")
    seen["after a second write, without CAP_AUDIT_CONTROL"] = without.printed
    claim = "with CAP_AUDIT_CONTROL it can be set again"
    if "CAP_AUDIT_CONTROL" not in capabilities():
        reason = "this machine gives root no CAP_AUDIT_CONTROL"
        stage.unknown(claim, reason, "run the lab on a virtual machine or on the host itself", lacking=True)
        return
    stage.ask("And with CAP_AUDIT_CONTROL?", "yes", "no")
    again = stage.shell("sh", "-c", WRITE)
    if again.printed == stage.user_id:
        reason = "refused: the audit feature loginuid_immutable is on"
        stage.unknown(claim, reason, "it stays on until the next boot: sudo reboot", lacking=True)
        return
    stage.prints(again, int(OTHER), "with it, it can be set again: the claim is overstated")
    seen["after a second write, with it"] = again.printed


def first_write(stage: Stage, seen: dict[str, object]) -> None:
    stage.ask("Where it is unset, who may set it?", "root", "anybody")
    claim = f"echo {UNSET} > /proc/self/loginuid; exec setpriv --reuid={NOBODY} sh -c '{WRITE}'"
    first = stage.shell("sh", "-c", claim)
    stage.prints(first, int(OTHER), "unset to set needs no privilege")
    seen["after a first write, by uid 65534"] = first.printed


def compare(stage: Stage, seen: Mapping[str, object]) -> None:
    stage.contrast("", ["the loginuid", "/proc/PID/loginuid"], [[when, str(found)] for when, found in seen.items()])
