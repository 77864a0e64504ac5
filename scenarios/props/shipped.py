"""The sample rules that audit ships: read where auditd is installed, else as audit 3.0.9 has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lab.audit.rules import Rule
from lab.errors import InvalidArgument

PLACES = (Path("/usr/share/doc/auditd/examples/rules"), Path("/usr/share/audit-rules"))  # Debian's, Fedora's
OSPP, STIG, CONTAINERS = "30-ospp-v42.rules", "30-stig.rules", "41-containers.rules"
SHADOW = "/etc/shadow"

# Of each file what matters here: all that names /etc/shadow, or what watches for containers, of 64-bit calls.
AS_IN_3_0_9: Mapping[str, Sequence[str]] = {
    OSPP: (
        "-a always,exit -F arch=b64 -S openat,open_by_handle_at -F a2&03 -F path=/etc/shadow"
        " -F auid>=1000 -F auid!=unset -F key=user-modify",
        "-a always,exit -F arch=b64 -S open -F a1&03 -F path=/etc/shadow"
        " -F auid>=1000 -F auid!=unset -F key=user-modify",
        "-a always,exit -F path=/etc/shadow -F perm=wa -F auid>=1000 -F auid!=unset -F key=user-modify",
    ),
    STIG: ("-w /etc/shadow -p wa -k identity",),
    CONTAINERS: ("-a always,exit -F arch=b64 -S clone -F a0&0x7C020000 -F key=container-create",),
}
WANTED = {OSPP: SHADOW, STIG: SHADOW, CONTAINERS: "-S clone "}


def lines(name: str) -> list[str]:
    """Those lines of that file."""
    file = next((place / name for place in PLACES if (place / name).exists()), None)
    found = file.read_text(encoding="utf-8").splitlines() if file else AS_IN_3_0_9[name]
    return [line for line in found if line.startswith("-") and WANTED[name] in line and "arch=b32" not in line]


def rules(name: str, path: str = SHADOW) -> list[Rule]:
    """The rules of those lines, for this file and without their key, to which a watch adds its own."""
    made = []
    for line in lines(name):
        with suppress(InvalidArgument):  # arm64 has no open(2): there auditctl refuses the line, too
            rule = Rule.parse(line.replace(SHADOW, path))
            made.append(Rule(tuple(part for part in rule.fields if part.name != "key"), rule.syscalls))
    return made
