"""Exercise 8: the student's script runs as an ordinary user in the socket's group, and the records name somebody."""

from collections.abc import Sequence

import pytest

from lab.audit.records import LOGIN, Event
from lab.audit.watch import Watch
from lab.identity import UNSET
from scenarios.classroom.attacking import Attacked, attack, sockets_group
from scenarios.classroom.cases import Case
from scenarios.classroom.lessons import NUMBER, Work, teach
from scenarios.classroom.plugin import KeepRecords, KernelSaid
from scenarios.performance.text import message
from scenarios.props.forging import logins
from scenarios.stage.engines import DAEMON, FORK
from scenarios.stage.stage import Stage


@pytest.fixture
def attacked(work: Work, stage: Stage, case: Case) -> Attacked:
    """What the script left."""
    return attack(work, stage, sockets_group(stage))


def named(attacked: Attacked, case: Case) -> Event:
    """The record that names the colleague; the check fails if it names somebody else."""
    event, uid = attacked.written(), case.names["colleague_uid"]
    seen = "auid=unset" if event.auid == UNSET else f"auid={event.auid}"
    look = f"case.toml: {case.names['colleague']} is {uid}; what writes the loginuid of a process? pam_loginuid(8)"
    teach(event.auid == uid, expected=f"the record of the write has auid={uid}", seen=seen, look=look)
    return event


def test_the_colleague_is_blamed(attacked: Attacked, stage: Stage, case: Case, keep_records: KeepRecords) -> None:
    """The record of the write names the colleague."""
    keep_records("the write", stage.target, [named(attacked, case)])


def test_what_betrays_you(work: Work, attacked: Attacked, case: Case, keep_records: KeepRecords) -> None:
    """The record of the change, as the script has left it."""
    named(attacked, case)
    changes = logins(attacked.events, UNSET, int(case.names["colleague_uid"]), "1")
    assert changes, "the name changed without a record"
    keep_records("the change", "", changes[:1])
    record, answers = changes[0].of_type(LOGIN)[0], work.answers()
    look = "the records just before that of the write; README.md of the exercise says how to see them"
    answers.expect("type", record.name, look, kind=message("the type of a record, in capitals"))
    answers.expect("before", "unset", "the record of the change, its field old-auid", kind=NUMBER)
    answers.expect("after", record.fields["auid"], "the record of the change, its field auid", kind=NUMBER)
    answers.expect("result", record.fields["res"], "the record of the change, its field res", kind=message("0 or 1"))


def test_what_was_predicted(work: Work, stage: Stage, case: Case, kernel_said: KernelSaid) -> None:
    """The same change in a container of each engine, and the session that it leads to."""
    work.read("attack.sh")
    for question, model in (("daemon", DAEMON), ("fork", FORK)):
        change = f"echo {case.names['colleague_uid']} > /proc/self/loginuid && touch /host{stage.target}"
        with Watch(stage.target, journal=stage.journal) as watch:
            done = stage.run(stage.engine(model), ("sh", "-c", change), "-v", "/:/host")
            kernel_said(question, "refuses it" if done.exit_code else "accepts it")
            if model == DAEMON:
                kernel_said("session", session(stage, watch.collect()))


def session(stage: Stage, written: Sequence[Event]) -> str:
    """Whose session the record of the write has, as the question's choices say."""
    number = next((event.ses for event in written if event.success), UNSET)
    return {stage.login.sessionid: "mine", UNSET: "none"}.get(number, "a new one")
