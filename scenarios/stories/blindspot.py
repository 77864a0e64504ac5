"""Two ways past a rule that looks right: an unset auid that the rule leaves out, and a call that it does not watch."""

from lab.audit.rules import TOUCH_CALLS, Rule, syscalls, watch
from lab.errors import MissingFeature
from scenarios import needs
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.stage import Stage

NAME = "blindspot"
TITLE = "Two ways past a good-looking rule"
LOGGED_IN = "-a always,exit -F path={} -F perm=wa -F auid>=1000 -F auid!=unset"


def play(stage: Stage) -> None:
    if stage.user_id < 1000:
        raise MissingFeature(f"{stage.user} has a uid below 1000, which the STIG's rule leaves out", needs.AS_USER)
    write, stamp = ("touch", f"/host{stage.target}"), ("touch", "-c", f"/host{stage.target}")
    forker, client = stage.engine(FORK), stage.engine(DAEMON)
    filtered = [Rule.parse(LOGGED_IN.format(stage.target))]
    stage.say("A rule with the two filters that hardening guides add, so that only users who logged in are recorded:")
    seen(stage, filtered, forker, write, True, "it sees the forked container's write")
    seen(stage, filtered, client, write, False, "it does NOT see the daemon's: its auid is unset")
    plain = [watch(stage.target)]
    stage.then("Without the two filters:")
    seen(stage, plain, client, write, True, "now it sees the daemon's write")
    stage.then("Now change the file's times without opening it, as busybox's touch and `touch -c` do:")
    seen(stage, plain, client, stamp, False, "perm=wa does NOT see utimensat(2)")
    both = [*plain, syscalls(TOUCH_CALLS, filters=[f"path={stage.target}"])]
    stage.then("With a rule for those calls beside it:")
    seen(stage, both, client, stamp, True, "now utimensat(2) is seen")


def seen(stage: Stage, rules: list[Rule], engine: Engine, words: tuple[str, ...], expected: bool, claim: str) -> None:
    """Run these words in a container under just these rules, and expect a record, or expect none."""
    with stage.watch(rules) as watching:
        stage.run(engine, words, "--privileged", "-v", "/:/host")
        event = stage.witness(watching)
        stage.expect((event is not None) == expected, claim, "one record" if event else "no record")
