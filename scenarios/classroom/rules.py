"""For checks: the audit rule that a student has written; only about the file of the check."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

from lab.audit.rules import Rule
from lab.errors import InvalidArgument
from scenarios.classroom.lessons import Work, teach

PLACEHOLDER, DOOR = "$WATCHED", "$DOOR"


def rule_in(work: Work, target: str, name: str = "rule.txt", *, door: str = "") -> Rule:
    """The one rule in that file, about the target, or about a service's socket where the check gives one.

    The check fails for any other: it would record the whole machine. A key of the student's is left out, since the
    check adds its own, and the kernel refuses a second one (EINVAL; kernel/auditfilter.c, audit_data_to_entry).
    """
    paths = {PLACEHOLDER: target, **({DOOR: door} if door else {})}
    text = work.read(name)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    lines = [line.removeprefix("sudo ").removeprefix("auditctl ") for line in lines]
    teach(len(lines) == 1, expected=f"one rule in {name}", seen=f"{len(lines)} lines", look="auditctl(8)")
    rule, seen = None, ""
    try:
        rule = Rule.parse(reduce(lambda line, path: line.replace(*path), paths.items(), lines[0]))
    except InvalidArgument as error:
        seen = str(error)
    teach(rule is not None, expected="a rule that auditctl takes", seen=seen, look=f"{name}, auditctl(8)")
    assert rule
    named = any(field.name == "path" and field.op == "=" and field.value in paths.values() for field in rule.fields)
    names = " or ".join(paths)
    look = f"-F path={names}: without it, the rule would record the whole machine"
    teach(named, expected=f"the rule names the file, {names}", seen=lines[0], look=look)
    kind = f"-a {rule.action},{rule.filter}"
    expected = "the rule begins with -a always,exit, or with -w"
    teach((rule.action, rule.filter) == ("always", "exit"), expected=expected, seen=kind, look="auditctl(8), -a")
    return replace(rule, fields=tuple(field for field in rule.fields if field.name != "key"))
