"""What else a fork inherits and a socket loses: one table, measured on the container's first process."""

import os
from collections.abc import Mapping
from pathlib import Path

from lab.identity import UNSET, loginuid, name_of, sessionid
from scenarios.performance.text import Text
from scenarios.props.capabilities import capabilities
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.stage import Stage

NAME = "inherit"
TITLE = "What else comes along"
# Tools of util-linux and coreutils: each puts a mark on its own process, then executes the words after it.
MARKS = (
    "nice", "-n", "5",
    "taskset", "-c", "0",
    "choom", "-n", "200", "--",
    "prlimit", "--nofile=777:", "--nproc=4242",
    "setpriv", "--no-new-privs", "--bounding-set=-net_raw",
    "env", "LAB_MARK=1",
)  # fmt: skip
WORKLOAD = ("sh", "-c", "umask; exec cat")
CARRIED = (
    "loginuid", "session id", "nice", "CPU affinity", "oom_score_adj", "open files", "processes", "no_new_privs",
    "CAP_NET_RAW",
)  # fmt: skip
# The same marks as options of `run`: a client has to send each again, and there is no option for the others.
SENT = (
    "--ulimit", "nofile=777", "--ulimit", "nproc=4242", "--cpuset-cpus", "0", "--oom-score-adj", "200",
    "--security-opt", "no-new-privileges", "--cap-drop", "NET_RAW",
)  # fmt: skip
SENDABLE = ("CPU affinity", "oom_score_adj", "open files", "processes", "no_new_privs", "CAP_NET_RAW")
# podman's containers.conf(5) and its OCI specification set these whatever the session had; crun sets the affinity.
SET_ANEW = {"podman": ("CPU affinity", "oom_score_adj", "open files", "processes")}


def play(stage: Stage) -> None:
    stage.say("Put marks on the session: lower priority, one CPU, fewer files, fewer rights, first to be killed.")
    marked = stage.shell_watched(*MARKS, *WORKLOAD, look=measure).facts
    columns = {"session": marked}
    for engine in [*stage.each(FORK), *stage.each(DAEMON)]:
        how = "Through a fork, by {engine}." if engine.model == FORK else "Through a socket, by {engine}."
        stage.say(how, engine=engine.name)
        stage.ask("Which marks reach the container?", "all", "some", "none")
        columns[engine.name] = stage.run_watched(engine, WORKLOAD, wrapper=MARKS, look=measure, show=False).facts
        judge(stage, engine, marked, columns[engine.name])
    columns["sent again"] = sent_again(stage, marked)
    compare(stage, columns)


def sent_again(stage: Stage, marked: Mapping[str, str]) -> Mapping[str, str]:
    """Through the socket once more, with an option for each mark that has one."""
    stage.say("Through the socket again, with an option for each mark that has one.")
    stage.ask("Which marks reach the container now?", "all", "those that were sent", "none")
    engine = stage.engine(DAEMON)
    found = stage.run_watched(engine, WORKLOAD, *SENT, look=measure, show=False).facts
    wanted = [name for name in SENDABLE if name in marks_that_tell()]
    lost = [name for name in wanted if found.get(name) != marked.get(name)]
    seen = Text("lost: {names}", {"names": ", ".join(lost)}) if lost else Text("none is lost")
    claim = "each of the {count} marks that are sent arrives"
    stage.expect(bool(marked) and not lost, claim, seen, count=len(wanted))
    kept = [name for name in ("loginuid", "session id", "nice") if found.get(name) == marked.get(name)]
    seen = Text("kept: {names}", {"names": ", ".join(kept)}) if kept else Text("none is kept")
    stage.expect(bool(marked) and not kept, "no option sends the loginuid, the session, or the priority", seen)
    return found


def judge(stage: Stage, engine: Engine, marked: Mapping[str, str], found: Mapping[str, str]) -> None:
    """What is a mark of the session must come along by every fork, and through no socket."""
    telling = marks_that_tell()
    if engine.model == FORK:
        names = [name for name in telling if name not in SET_ANEW.get(engine.name, ())]
        lost = [name for name in names if found.get(name) != marked.get(name)]
        claim = "by {engine}'s fork all {count} marks come along"
        seen = Text("lost: {names}", {"names": ", ".join(lost)}) if lost else Text("none is lost")
        stage.expect(bool(marked) and not lost, claim, seen, engine=engine.name, count=len(names))
        return
    kept = [name for name in telling if found.get(name, marked.get(name)) == marked.get(name)]
    claim = "through {engine}'s socket not one comes along"
    seen = Text("kept: {names}", {"names": ", ".join(kept)}) if kept else Text("none is kept")
    stage.expect(bool(marked) and not kept, claim, seen, engine=engine.name)


def compare(stage: Stage, columns: Mapping[str, Mapping[str, str]]) -> None:
    rows = [[name, *(column.get(name, "?") for column in columns.values())] for name in columns["session"]]
    stage.contrast("The same marks; a runtime sets the last rows anew", ["", *columns], rows)
    if processors() < 2:
        claim, reason = "the CPU affinity comes along by a fork alone", "this machine has one processor"
        stage.unknown(claim, reason, "give the virtual machine a second processor", lacking=True)


def marks_that_tell() -> list[str]:
    """CARRIED, without the affinity where there is one processor: every process has the same."""
    return [name for name in CARRIED if name != "CPU affinity" or processors() > 1]


def processors() -> int:
    """How many processors init may use, and so its children."""
    return len(os.sched_getaffinity(1))


def measure(pid: int) -> dict[str, str]:
    """One process, from the host's /proc; proc(5)."""
    status = dict(line.split(":\t", 1) for line in _read(pid, "status").splitlines() if ":\t" in line)
    stat = _read(pid, "stat").rpartition(")")[2].split()
    limits = {line[:25].strip(): line[25:].split()[0] for line in _read(pid, "limits").splitlines()[1:]}
    return {
        "loginuid": name_of(loginuid(pid)),
        "session id": "unset" if sessionid(pid) == UNSET else str(sessionid(pid)),
        "nice": stat[16],
        "CPU affinity": status["Cpus_allowed_list"],
        "oom_score_adj": _read(pid, "oom_score_adj").strip(),
        "open files": limits["Max open files"],
        "processes": limits["Max processes"],
        "no_new_privs": status["NoNewPrivs"],
        "CAP_NET_RAW": "yes" if "CAP_NET_RAW" in capabilities(pid, "CapBnd") else "no",
        "cgroup": _read(pid, "cgroup").splitlines()[-1].partition("::")[2] or "?",
        "seccomp": status["Seccomp"],
        "umask": status["Umask"],
        "LAB_MARK": "yes" if "LAB_MARK=1" in _read(pid, "environ").split("\0") else "no",
    }


def _read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
