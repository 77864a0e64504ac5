"""A beginning: the events of events.log by their numbers. Go on in any way you like: your answers are checked."""

import re
from collections import defaultdict

events = defaultdict(list)  # number: the (type, fields) of each record
for line in open("events.log"):
    kind, number, fields = re.match(r"type=(\S+) msg=audit\([\d.]+:(\d+)\): (.*)", line).groups()
    events[int(number)].append((kind, dict(re.findall(r'([\w-]+)=("[^"]*"|\S+)', fields))))

people = {uid: name for name, _, uid, *_ in (line.split(":") for line in open("passwd"))}

print(len(events), "events,", len(people), "people")
