"""The mark that login leaves: PAM sets it, fork and exec keep it, sudo and setuid do not change it."""

from lab.identity import UNSET
from scenarios.props.capabilities import capabilities
from scenarios.stage.stage import Stage

NAME = "loginuid"
TITLE = "The mark that login leaves"
NOBODY = "65534"
BOTH = "cat /proc/self/loginuid; echo; id -u"
OTHER = "4242"  # any uid that is not the user's


def play(stage: Stage) -> None:
    inherited(stage)
    unset(stage)
    only_once(stage)


def inherited(stage: Stage) -> None:
    stage.say(f"{stage.user} logs in. pam_loginuid writes the uid into /proc/self/loginuid.")
    login = stage.shell("cat", "/proc/self/loginuid")
    stage.expect(login.printed == stage.user_id, "login has set it", login.printed)
    child = stage.shell("sh", "-c", "sh -c 'cat /proc/self/loginuid'")
    stage.expect(child.printed == stage.user_id, "fork(2) copies it, execve(2) keeps it", child.printed)
    if stage.sudo:
        root = stage.shell("sudo", "sh", "-c", BOTH).stdout.split()
        kept = root == [str(stage.user_id), "0"]
        stage.expect(kept, "sudo changes the uid, not the loginuid", " as uid ".join(root))
    other = stage.shell("setpriv", f"--reuid={NOBODY}", "sh", "-c", BOTH)
    numbers = other.stdout.split()
    stage.expect(
        numbers == [str(stage.user_id), NOBODY], "setuid(2) does not change it either", " as uid ".join(numbers)
    )


def unset(stage: Stage) -> None:
    stage.then("Nobody logged in to start pid 1, so its loginuid is (uid_t)-1, which means unset.")
    init = stage.shell("cat", "/proc/1/loginuid")
    stage.expect(init.printed == UNSET, "pid 1 has none: 4294967295", init.printed)


def only_once(stage: Stage) -> None:
    stage.then('The article says: "it can be set only once". Try a second time, without CAP_AUDIT_CONTROL and with it:')
    write = f"echo {OTHER} > /proc/self/loginuid; cat /proc/self/loginuid"
    without = stage.shell("setpriv", "--bounding-set=-audit_control", "sh", "-c", write)
    refused = without.printed == stage.user_id
    stage.expect(refused, "without the capability, the kernel refuses a second write", without.printed)
    if "CAP_AUDIT_CONTROL" not in capabilities():
        stage.unknown("with the capability it can be set again", "this machine gives root no CAP_AUDIT_CONTROL",
            "run the lab on a virtual machine or on the host itself", lacking=True)  # fmt: skip
        return
    again = stage.shell("sh", "-c", write)
    if again.printed == stage.user_id:
        stage.unknown("with the capability it can be set again", "refused: the audit feature loginuid_immutable is on",
            "it stays on until the next boot: sudo reboot", lacking=True)  # fmt: skip
        return
    stage.expect(again.printed == int(OTHER), "with it, it can be set again: the claim is overstated", again.printed)
    stage.then("And where it is unset, anybody may set it, with no capability at all:")
    claim = f"echo {UNSET} > /proc/self/loginuid; exec setpriv --reuid={NOBODY} sh -c '{write}'"
    first = stage.shell("sh", "-c", claim)
    stage.expect(first.printed == int(OTHER), "unset to set needs no privilege", first.printed)
