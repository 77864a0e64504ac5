"""The forged login is the one by another program; the words of its container lead to the one who asked."""

import re
from collections import defaultdict

events = defaultdict(list)  # number: the (type, fields) of each record
for line in open("events.log"):
    kind, number, fields = re.match(r"type=(\S+) msg=audit\([\d.]+:(\d+)\): (.*)", line).groups()
    events[int(number)].append((kind, dict(re.findall(r'([\w-]+)=("[^"]*"|\S+)', fields))))

people = {uid: name for name, _, uid, *_ in (line.split(":") for line in open("passwd"))}


def of(number, kind):
    """The fields of the last record of that type; none if there is no such record."""
    return ([fields for one, fields in events[number] if one == kind] or [{}])[-1]


def forged(number):
    call, login = of(number, "SYSCALL"), of(number, "LOGIN")
    return login.get("res") == "1" and "python" not in call["exe"]


def words(number):
    return [value.strip('"') for name, value in of(number, "EXECVE").items() if name != "argc"]


event = next(number for number in events if forged(number))
took = of(event, "SYSCALL")
scripts, written = set(), []
for number in events:
    call = of(number, "SYSCALL")
    if call.get("pid") == took["pid"] and call.get("auid") == "4294967295":
        scripts |= {word for word in words(number) if word.startswith("/host/")}
    if call.get("ses") == took["ses"] and of(number, "PATH") and not words(number) and int(call["a2"], 16) & 3:
        written.append(of(number, "PATH")["name"].strip('"'))
asked = [number for number in events if scripts & set(words(number)) and of(number, "SYSCALL")["auid"] in people]

with open("answers.toml", "w") as file:
    print("event =", event, file=file)
    print(f'blamed = "{people[took["auid"]]}"', file=file)
    print("program =", took["exe"], file=file)
    print(f'file = "{(written or ["?"])[0].split("/")[-1]}"', file=file)
    print(f'forger = "{people[of((asked or [event])[0], "SYSCALL")["auid"]]}"', file=file)
