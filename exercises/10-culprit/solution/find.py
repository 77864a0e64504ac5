"""Walk up by the fork that returned a process's number; where no fork did, by the ppid of its first record."""

import re
import tomllib
from collections import defaultdict

events = defaultdict(list)  # number: the (type, fields) of each record
for line in open("events.log"):
    kind, number, fields = re.match(r"type=(\S+) msg=audit\([\d.]+:(\d+)\): (.*)", line).groups()
    events[int(number)].append((kind, dict(re.findall(r'([\w-]+)=("[^"]*"|\S+)', fields))))

people = {uid: name for name, _, uid, *_ in (line.split(":") for line in open("passwd"))}
removed = tomllib.load(open("case.toml", "rb"))["removed"]

first, last, forked_by, words = {}, {}, {}, defaultdict(list)
for number in sorted(events):
    records = dict(events[number])
    call = records.get("SYSCALL")
    if not call:
        continue
    first.setdefault(call["pid"], call)
    last[call["pid"]] = call
    if "EXECVE" in records:
        said = [value.strip('"') for name, value in records["EXECVE"].items() if name != "argc"]
        words[call["pid"]].append(said)
    else:
        forked_by[call["exit"]] = call["pid"]


def parent(pid):
    return forked_by.get(pid) or first[pid]["ppid"]


def line_of(pid):
    line = []
    while pid in last:
        line.append(pid)
        if last[pid]["comm"] == '"login-session"':
            break
        pid = parent(pid)
    return line


removing = [pid for pid in first for said in words[pid] if said[0] == "rm" and said[-1].endswith("/" + removed)]
line, late = line_of(removing[0]), line_of(removing[1])
adopted = [pid for pid in line if pid in forked_by and first[pid]["ppid"] != forked_by[pid]]
scripts = {word for pid in late for said in words[pid] for word in said if word.endswith(".sh")}
asked = [pid for pid in first for said in words[pid] if scripts & set(said) and first[pid]["auid"] in people]

with open("tree.txt", "w") as file:
    for pid in line:
        print(pid, last[pid]["comm"], file=file)
with open("answers.toml", "w") as file:
    print(f'culprit = "{people.get(last[line[-1]]["auid"])}"', file=file)
    print("pid =", line[0], file=file)
    print("adopted =", (adopted or [0])[0], file=file)
    print(f'late_asked_by = "{people[first[asked[0]]["auid"]]}"', file=file)
    print("late_ends_at =", last[late[-1]]["comm"], file=file)
