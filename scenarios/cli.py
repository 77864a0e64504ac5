"""The command `lab`: demo, run, list, doctor, restore, image."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lab import interpreter
from lab.errors import AuditUnavailable, InvalidArgument, LabError, NotAllowed
from lab.identity import UNSET, loginuid, name_of
from lab.images import Images
from lab.paths import SOCKET, state_directory
from lab.runtime import compiled
from lab.shown import image_row
from scenarios import claims as article
from scenarios import doctor
from scenarios.audiences.terminal import FAILED, HELD, UNKNOWN, Pace, Screen
from scenarios.props.labd import Daemon
from scenarios.props.real_engines import LABS, REAL, Choice, with_image
from scenarios.safety.journal import Journal
from scenarios.safety.traces import Traces
from scenarios.stage.engines import Engine, lab_engines
from scenarios.stage.login import Login
from scenarios.stage.stage import Report, Stage, Story
from scenarios.stories import REAL_ONLY, STORIES

ALL = (*STORIES, *REAL_ONLY)
HELD_ALL, SOME_FAILED, SOME_UNKNOWN = 0, 1, 3
SECOND_WITNESS = "auditd runs: its log must agree with what the lab reads from the kernel itself."
ONE_WITNESS = "No auditd runs here: the lab reads the kernel's records itself, which needs none."
LAB_MACHINE = Path("/etc/loginuid-lab")  # made by the provisioning of the lab's own virtual machine


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 all claims held, 1 a claim failed, 3 something inconclusive or not showable, 125 the lab failed."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.act(arguments)
    except LabError as error:
        print(error.told_by("lab"), file=sys.stderr)
        return 125
    except KeyboardInterrupt:
        return 130
    return code


def demo(arguments: argparse.Namespace) -> int:
    """Tell the stories that were asked for."""
    stories = _chosen(arguments.only, arguments.engines)
    _refuse_what_cannot_be()
    screen = Screen(json=arguments.json, color=not arguments.no_color, pace=_pace(arguments))
    real_file = arguments.target or "/etc/shadow"
    interpreter.executable()  # the one mount that stays, by intent
    before = Traces.now(real_file)
    with _stage(arguments, screen) as stage:
        reports = [stage.tell(ALL.index(story) + 1, story) for story in stories]
    before.expect_same(Traces.now(real_file), stage.keys)
    return _conclude(reports, screen, arguments.json)


def _chosen(names: Sequence[str], engines: Sequence[str]) -> list[Story]:
    known = {story.NAME: story for story in ALL}
    for name in names:
        if name not in known:
            raise InvalidArgument(f'there is no story "{name}"', f"there are: {', '.join(known)}")
    return [known[name] for name in names] or list(ALL if REAL.keys() & set(engines) else STORIES)


def _pace(arguments: argparse.Namespace) -> Pace:
    if arguments.pause:
        return "step"
    return "story" if sys.stdin.isatty() and not (arguments.auto or arguments.json) else "auto"


def _refuse_what_cannot_be() -> None:
    """Before anything is changed."""
    for finding in doctor.examine():
        if finding.needed and not finding.good:
            kind = NotAllowed if finding.what == "root" else AuditUnavailable
            raise kind(f"{finding.what}: {finding.detail}", "`lab doctor` shows all that was looked at")


@contextmanager
def _stage(arguments: argparse.Namespace, screen: Screen) -> Iterator[Stage]:
    """Everything that a run sets up; taken down again in the opposite order, whatever happens."""
    found_engines = _choice(arguments).find()
    with ExitStack() as stack:
        journal = stack.enter_context(Journal())
        for line in journal.restored:
            screen.say(f"restored after an earlier run: {line}")
        target = arguments.target or _default_target(journal)
        login = stack.enter_context(Login(_user(arguments.login_as)))
        path = arguments.host.removeprefix("unix://") or SOCKET
        daemon = stack.enter_context(Daemon(journal, path))
        screen.say(_introduction(login, daemon, target))
        engines = lab_engines(f"unix://{path}" if path != SOCKET else "")
        chosen = [with_image(found, journal) if isinstance(found, Engine) else found for found in found_engines]
        stage = Stage(screen, journal, login, daemon, engines, target, chosen)
        screen.say(SECOND_WITNESS if stage.auditd else ONE_WITNESS)
        yield stage


def _choice(arguments: argparse.Namespace) -> Choice:
    return Choice(arguments.engines, _by_engine(arguments.engine_option), _by_engine(arguments.run_option))


def _by_engine(options: Sequence[str]) -> dict[str, list[str]]:
    """From ENGINE=WORD as often as it was given."""
    found: dict[str, list[str]] = {}
    for option in options:
        name, _, word = option.partition("=")
        found.setdefault(name, []).append(word)
    return found


def _user(wanted: str) -> int:
    """--as, else who logged in here, else who called sudo, else the first ordinary user, else 1000."""
    if wanted:
        return _uid(wanted)
    if loginuid() != UNSET:
        return loginuid()
    if "SUDO_UID" in os.environ:
        return _uid(os.environ["SUDO_UID"])
    return min((entry.pw_uid for entry in pwd.getpwall() if 1000 <= entry.pw_uid < 60000), default=1000)


def _uid(user: str) -> int:
    try:
        return int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    except KeyError:
        raise InvalidArgument(f"there is no user {user}", "give a name that /etc/passwd has, or a number") from None


def _default_target(journal: Journal) -> str:
    """/etc/shadow in the lab's own machine, a decoy elsewhere."""
    if LAB_MACHINE.exists():
        return "/etc/shadow"
    directory = journal.directory("decoy", mode=0o755)  # as open as /etc: the file's own mode must refuse
    decoy = directory / "shadow"
    decoy.write_text("root:*:19000:0:99999:7:::\n")
    decoy.chmod(0o640)
    return str(decoy)


def _introduction(login: Login, daemon: Daemon, target: str) -> str:
    who = f"{name_of(login.loginuid)} ({login.loginuid})"
    if loginuid() == UNSET:
        opened = f"No login here (loginuid is unset): the lab opened a session for {who}, as pam_loginuid does."
    else:
        opened = f"You are logged in as {who}."
    served = "started for this run" if daemon.started_here else "found running"
    watched = (
        ""
        if target == "/etc/shadow"
        else f"\nThe file to watch is a decoy, {target} (--target /etc/shadow for the real one)."
    )
    return f"{opened}\nlabd: pid {daemon.pid}, {served}, loginuid {name_of(loginuid(daemon.pid))}.{watched}"


def _conclude(reports: Sequence[Report], screen: Screen, as_json: bool) -> int:
    verdicts = [claim["verdict"] for report in reports for claim in report.claims]
    totals = {verdict: verdicts.count(verdict) for verdict in (HELD, FAILED, UNKNOWN)}
    stories = [report.to_dict() for report in reports]
    screen.summary(stories, totals)
    claims = [row for row in article.rows(reports) if row.story in [report.name for report in reports]]
    screen.article(claims)
    code = SOME_FAILED if totals[FAILED] else SOME_UNKNOWN if totals[UNKNOWN] else HELD_ALL
    if as_json:
        answer = {"exit_code": code, "claims": totals, "stories": stories, "article": [vars(row) for row in claims]}
        json.dump(answer, sys.stdout, indent=2)
        print()
    return code


def list_stories(arguments: argparse.Namespace) -> int:
    for number, story in enumerate(ALL, 1):
        print(f"{number:2}  {story.NAME:12} {story.TITLE}")
    return 0


def show_doctor(arguments: argparse.Namespace) -> int:
    """What this machine can show; 3 if the demo cannot run."""
    findings = doctor.examine()
    if arguments.json:
        json.dump([vars_of(finding) for finding in findings], sys.stdout, indent=2)
        print()
    for finding in () if arguments.json else findings:
        mark = "ok" if finding.good else "MISSING" if finding.needed else "-"
        print(f"{mark:8}{finding.what:24}{finding.detail}")
    return SOME_UNKNOWN if any(finding.needed and not finding.good for finding in findings) else HELD_ALL


def vars_of(finding: doctor.Finding) -> dict[str, object]:
    return {"what": finding.what, "good": finding.good, "detail": finding.detail, "needed": finding.needed}


def restore(arguments: argparse.Namespace) -> int:
    """Undo what a killed run left; safe at any time, also twice."""
    if os.geteuid() != 0:
        raise NotAllowed("lab restore needs root", "sudo lab restore")
    with Journal() as journal:
        for line in journal.restored:
            print(f"restored: {line}")
        if journal.failed:
            raise LabError(f"not restored: {'; '.join(journal.failed)}", "see to that, and run `lab restore` again")
    for point in interpreter.release():
        print(f"unmounted: {point}, the engines' interpreter; the next container mounts it again")
    compiled.forget()
    print(f"{len(journal.restored)} things restored" if journal.restored else "nothing to restore")
    return 0


def image(arguments: argparse.Namespace) -> int:
    images = Images(f"{state_directory()}/images")
    if arguments.verb == "import":
        with sys.stdin.buffer if arguments.tar == "-" else Path(arguments.tar).open("rb") as tar:
            print(images.import_tar(arguments.name, tar).id)
    elif arguments.verb == "rm":
        for name in arguments.names:
            print(images.remove(name).name)
    else:
        for found in images.list():
            print(image_row(found.name, found.id, found.size, found.damage))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "lab", description="Client/server and fork/exec container engines, shown on the real kernel."
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    everything = verbs.add_parser("demo", help="tell all stories")
    everything.add_argument(
        "--only", metavar="NAME,...", type=lambda text: text.split(","), default=[], help="just these stories"
    )
    one = verbs.add_parser("run", help="tell one story")
    one.add_argument("only", metavar="NAME", nargs="+", help="see `lab list`")
    for verb in (everything, one):
        _add_stage_options(verb)
    verbs.add_parser("list", help="the stories").set_defaults(act=list_stories)
    examine = verbs.add_parser("doctor", help="what this machine can show, and why not")
    examine.add_argument("--json", action="store_true", help="as JSON")
    examine.set_defaults(act=show_doctor)
    verbs.add_parser("restore", help="undo what a killed run left").set_defaults(act=restore)
    _add_image_verbs(verbs.add_parser("image", help="root filesystems: import, ls, rm"))
    return parser


def _add_stage_options(verb: argparse.ArgumentParser) -> None:
    pace = verb.add_mutually_exclusive_group()
    pace.add_argument("--auto", action="store_true", help="wait for no key")
    pace.add_argument("--pause", action="store_true", help="wait for Enter at each step")
    verb.add_argument(
        "--json", action="store_true", help="verdicts and evidence on standard output, the rest on standard error"
    )
    verb.add_argument("--no-color", action="store_true", help="plain text")
    verb.add_argument("--as", dest="login_as", metavar="USER", default="", help="who has logged in: name or uid")
    verb.add_argument(
        "--target", metavar="PATH", default="", help="the file to watch (a decoy, outside the lab's own machine)"
    )
    verb.add_argument("--host", metavar="unix://PATH", default=os.environ.get("LAB_HOST", ""), help="labd's socket")
    verb.add_argument(
        "--engines", metavar="NAME,...", type=lambda text: text.split(","), default=list(LABS),
        help=f"which to compare, of {', '.join((*LABS, *REAL))}; default: the lab's two",
    )  # fmt: skip
    _add_engine_options(verb)
    verb.set_defaults(act=demo)


def _add_engine_options(verb: argparse.ArgumentParser) -> None:
    """For odd machines; DOCKER_HOST, CONTAINERS_CONF and CONTAINERS_STORAGE_CONF of the environment count, too."""
    verb.add_argument(
        "--engine-option", metavar="ENGINE=WORD", action="append", default=[],
        help="a further word before the verb, as podman=--runtime=/usr/sbin/runc; may be repeated",
    )  # fmt: skip
    verb.add_argument(
        "--run-option", metavar="ENGINE=WORD", action="append", default=[],
        help="a further word after `run`, as podman=--network=host; may be repeated",
    )  # fmt: skip


def _add_image_verbs(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="VERB", dest="verb")
    importing = verbs.add_parser("import", help="unpack a root filesystem's tar")
    importing.add_argument("name")
    importing.add_argument("tar", help="a file, or - for standard input")
    verbs.add_parser("ls", help="list them")
    verbs.add_parser("rm", help="remove them").add_argument("names", nargs="+", metavar="NAME")
    parser.set_defaults(act=image)


if __name__ == "__main__":
    sys.exit(main())
