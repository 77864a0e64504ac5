"""The article's own commands, in its order; on the card, what each of its sentences is worth."""

from dataclasses import dataclass, field

from lab.audit.netlink import AuditControl
from lab.audit.records import Event
from lab.audit.rules import Rule
from lab.audit.watch import Watch
from lab.identity import UNSET, name_of
from scenarios import needs
from scenarios.needs import CannotTell
from scenarios.performance.text import Text
from scenarios.props.author import logged_in
from scenarios.props.descriptors import End, other_ends
from scenarios.props.searchlog import SearchLog
from scenarios.stage.commands import WORKLOAD
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.report import Outcome, whom
from scenarios.stage.stage import Stage

NAME = "article"
TITLE = "The article's own commands"
RULE = "-w {}"
CONTRADICTED = "refuted"


@dataclass
class Scene:
    """What the parts of the story share. writes: a record for each touch; rows: what the card says of a sentence."""

    stage: Stage
    watch: Watch
    log: SearchLog
    writes: list[Event | None] = field(default_factory=list)
    rows: dict[str, tuple[list[str], str]] = field(default_factory=dict)

    def row(self, sentence: str, kernel: str, worth: str, held: bool) -> None:
        """What the article says, what the kernel says (of each engine), and what the sentence is worth if that held."""
        said, so_far = self.rows.get(sentence, ([], worth))
        self.rows[sentence] = ([*said, kernel], so_far if held else CONTRADICTED)

    def card(self) -> list[tuple[Text, str, Text]]:
        rows = self.rows.items()
        return [(Text(name), "; ".join(dict.fromkeys(said)), Text(worth)) for name, (said, worth) in rows]

    def written(self) -> Event | None:
        """The record of the last touch."""
        self.writes.append(self.stage.witness(self.watch, comm="touch"))
        return self.writes[-1]

    def by(self, uid: int) -> list[Event]:
        """The writes whose record has that auid."""
        return [event for event in self.writes if event and event.auid == uid]


def play(stage: Stage) -> None:
    rule = RULE.format(stage.target)
    with logged_in(stage):
        stage.say("The article's rule, without -p: `auditctl {rule}`. Since audit 4.0, -w is deprecated.", rule=rule)
        with stage.watch([Rule.parse(rule)]) as watch:
            scene = Scene(stage, watch, SearchLog(stage.auditd, stage.journal))
            letter_by_letter(scene)
            by_hand(scene)
            for engine in [*stage.each(FORK), *stage.each(DAEMON)]:
                carried(scene, engine)
                touched(scene, engine)
            searched(scene)
    stage.contrast("", ["the article says", "the kernel says", "today"], scene.card())


def letter_by_letter(scene: Scene) -> None:
    """What the kernel holds of the rule; auditctl(8) prints it as the kernel lists it."""
    stage, key = scene.stage, scene.watch.key
    stage.ask("Which accesses does the kernel watch, without -p?", "writes", "reads and writes", "every access")
    if needs.installed("auditctl"):
        stage.shell(*stage.sudo, "auditctl", "-l", "-k", key)
    with AuditControl() as control:
        loaded = [Rule.unpack(packed) for packed in control.rules() if key.encode() in packed]
    accesses = " ".join(str(one) for rule in loaded for one in rule.fields if one.name == "perm")
    every = stage.expect(accesses == "perm=rwxa", "every access: -w FILE without -p becomes perm=rwxa", accesses)
    scene.row("auditctl -w FILE", accesses, "outdated", every)


def by_hand(scene: Scene) -> None:
    stage = scene.stage
    stage.say("A touch on the host, typed at a terminal. The lab's other commands have none.")
    stage.ask("Which fields tell who, and where?", "uid and tty", "auid and tty", "none tells where")
    stage.shell_on_terminal(*stage.sudo, "touch", stage.target)
    event = scene.written()
    tty = f"tty={event.tty if event else '?'}"
    who = stage.names(event, stage.user_id, "auid names {user}, uid names root", user=stage.user)
    where = stage.expect(tty.startswith("tty=pts"), "the record of a typed command names its terminal", tty)
    scene.row("its record: auid, tty", f"auid={whom(event)[0]} {tty}", "true", who and where)
    if event and scene.log.words:
        found(scene, event, tty)


def found(scene: Scene, event: Event, tty: str) -> None:
    stage = scene.stage
    stage.ask("Does ausearch find it by the file's name, and say the same?", "yes", "no")
    output = ausearch(scene, "-f", stage.target, "-i", "-ts", "recent").stdout
    lines = [line for line in output.splitlines() if f":{event.serial})" in line and "type=SYSCALL" in line]
    words = lines[0].replace(f"=unknown({stage.user_id})", f"={stage.user_id}").split() if lines else []
    wanted = [f"auid={stage.user}", f"ses={stage.login.sessionid}", tty]
    same = {*wanted} <= {*words}
    stage.expect(same, "ausearch -f FILE -i finds it, and says the same", " ".join(wanted))
    scene.row("ausearch -f finds it", "the same words" if same else "other words", "true", same)


def carried(scene: Scene, engine: Engine) -> None:
    """The article's `cat /proc/self/loginuid`, with an input that stays open, so that one can look who feeds it."""
    stage, forked = scene.stage, engine.model == FORK
    uid = stage.user_id if forked else UNSET
    stage.say(
        "By {engine}: a container's loginuid, as the article prints it. -i keeps its stdin open.", engine=engine.name
    )
    stage.ask("Who is at the other ends of its stdin and stdout?", "your command", "the daemon")
    ends: list[End] = []
    outcome = stage.run_watched(engine, WORKLOAD, look=lambda pid: looked_at(pid, ends), show=False)
    if {end.fd for end in ends} != {0, 1}:
        raise CannotTell(f"nobody seems to hold the other ends of `{outcome.command}`", "run this again")
    stage.show("\n".join(map(str, ends)))
    told = {"engine": engine.name, "user": name_of(uid)}
    printed = stage.prints(outcome, uid, Text("{engine}: the container's loginuid is {user}", told))
    holder = ", ".join(sorted({f"{end.comm}: {name_of(end.loginuid)}" for end in ends}))
    claim = "its pipes lead to a process of {user}'s login" if forked else "its pipes lead to a process without a login"
    same = stage.expect({end.loginuid for end in ends} == {uid}, Text("{engine}: " + claim, told), holder)
    run = "podman run: the user's" if forked else f"docker run: {UNSET}"
    scene.row(run, str(outcome.printed), "true", printed)
    scene.row("podman has no daemon" if forked else "the daemon carries I/O", holder, "true", same)


def looked_at(pid: int, ends: list[End]) -> dict[str, str]:
    ends[:] = other_ends(pid)
    return {f"descriptor {end.fd}": str(end) for end in ends}


def touched(scene: Scene, engine: Engine) -> None:
    """The article's main command, typed at a terminal; a container is no part of the terminal's session."""
    stage, forked = scene.stage, engine.model == FORK
    stage.say("By {engine}: the article's main command, typed at a terminal.", engine=engine.name)
    answers = ("{user}, and where", "{user}, not where", "neither")
    stage.ask("Does the record still tell who, and where?", *answers, user=stage.user)
    stage.shell_on_terminal(*engine.run(("touch", f"/host{stage.target}"), "--privileged", "-v", "/:/host"))
    event = scene.written()
    uid, session = (stage.user_id, stage.login.sessionid) if forked else (UNSET, UNSET)
    tty = f"tty={event.tty if event else '?'}"
    told = {"engine": engine.name}
    auid = stage.names(event, uid, Text("{engine}: auid is the login's" if forked else "{engine}: auid is unset", told))
    ses = stage.in_session(event, session, Text("{engine}: so is ses", told))
    none = stage.expect(tty == "tty=(none)", Text("{engine}: the record tells no terminal", told), tty)
    said = "auid={} ses={}".format(*whom(event))
    scene.row("podman's touch" if forked else "docker's touch", said, "true", auid and ses)
    if forked:
        scene.row("podman records all", tty, "overstated", none)


def searched(scene: Scene) -> None:
    """The login as the key of a search: what it finds, and what only a search for nobody finds."""
    stage, number = scene.stage, len(scene.writes)
    stage.say("Audit is not only for files. Search for all that this login did to it:")
    stage.ask("How many of the {count} writes does that find?", *map(str, range(1, number + 1)), count=number)
    own, nobodys = 1 + len(stage.each(FORK)), len(stage.each(DAEMON))
    count = counted(scene, stage.user_id, "--session", str(stage.login.sessionid))
    of_all = Text("{found} of {count}", {"found": count, "count": number})
    claim = "a search by login finds what was typed and what was forked"
    scene.row("audit finds processes", str(of_all), "true", stage.expect(count == own, claim, of_all))
    stage.say("And for what nobody did, which is -1:")
    stage.ask("Whom does ausearch call the writer?", "nobody", "root", "system")
    count = counted(scene, UNSET)
    stage.expect(count == nobodys, "what a daemon wrote is found as nobody's", Text("{found} found", {"found": count}))


def counted(scene: Scene, uid: int, *words: str) -> int:
    """How many touches of that loginuid a search finds; without ausearch, how many the lab's reader has."""
    if not scene.log.words:
        return len(scene.by(uid))
    login = "-1" if uid == UNSET else str(uid)
    output = ausearch(scene, "-ul", login, *words, "-k", scene.watch.key, "--format", "text").stdout
    return len([line for line in output.splitlines() if "/touch" in line])


def ausearch(scene: Scene, *words: str) -> Outcome:
    """Search the log. Exit code 1 stands for nothing found."""
    scene.log.fill(scene.watch.events)
    return scene.stage.shell(*scene.stage.sudo, *scene.log.words, *words, answers=[0, 1])
