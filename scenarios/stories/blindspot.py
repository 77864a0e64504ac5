"""Two ways past a rule that looks right: an unset auid that the rule leaves out, and a call that it does not watch."""

from lab.audit.rules import TOUCH_CALLS, Rule, syscalls, watch
from lab.errors import MissingFeature
from scenarios.stage.engines import DAEMON, FORK, Model
from scenarios.stage.stage import Stage

NAME = "blindspot"
TITLE = "Two ways past a good-looking rule"
LOGGED_IN = "-a always,exit -F path={} -F perm=wa -F auid>=1000 -F auid!=unset"


def play(stage: Stage) -> None:
    if stage.user_id < 1000:
        raise MissingFeature(f"{stage.user} has a uid below 1000, which the STIG's rule leaves out", "use --as")
    write, stamp = ("touch", f"/host{stage.target}"), ("touch", "-c", f"/host{stage.target}")
    filtered = [Rule.parse(LOGGED_IN.format(stage.target))]
    stage.say("A rule with the two filters that hardening guides put on theirs, to see those who logged in:")
    seen(stage, filtered, FORK, write, True, "it sees the forked container's write")
    seen(stage, filtered, DAEMON, write, False, "it does NOT see the daemon's: its auid is unset")
    plain = [watch(stage.target)]
    stage.say("\nWithout the two filters:")
    seen(stage, plain, DAEMON, write, True, "now it does")
    stage.say("\nNow change the file's times without opening it, as busybox's touch and `touch -c` do:")
    seen(stage, plain, DAEMON, stamp, False, "perm=wa does NOT see utimensat(2)")
    both = [*plain, syscalls(TOUCH_CALLS, filters=[f"path={stage.target}"])]
    stage.say("\nWith a rule for those calls beside it:")
    seen(stage, both, DAEMON, stamp, True, "now it does")


def seen(stage: Stage, rules: list[Rule], model: Model, workload: tuple[str, ...], expected: bool, claim: str) -> None:
    """Run the workload under just these rules; whether it left a record."""
    with stage.watch(rules) as watching:
        outcome = stage.run(model, workload, "--privileged", "-v", "/:/host")
        event = stage.witness(watching)
        done = outcome.exit_code == 0  # no record of a write that never was proves nothing
        stage.expect(done and (event is not None) == expected, claim, "one record" if event else "no record")
