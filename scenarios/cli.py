"""The command `lab`: one verb a function, most of them in a module of their own."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from lab import interpreter
from lab.errors import InvalidArgument, LabError, NotAllowed
from lab.images import Images
from lab.images.views import image_rows
from lab.paths import state_directory
from lab.runtime import compiled
from scenarios import doctor
from scenarios.audiences.page.page import PORT
from scenarios.classroom.handing import class_new, grade
from scenarios.classroom.learn import learn
from scenarios.classroom.verbs import exercise
from scenarios.demo import demo
from scenarios.languages.choice import LANGUAGES, chosen, in_arguments
from scenarios.languages.helping import argparse_in, in_language, printable
from scenarios.pages import page, report
from scenarios.playing import ALL, HELD_ALL, SOME_UNKNOWN
from scenarios.props.real_engines import LABS, REAL
from scenarios.records import records
from scenarios.replay import play, verify
from scenarios.safety.journal import CHECKS, Journal
from scenarios.shell import shell
from scenarios.talk import talk


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 all claims held, 1 a claim failed, 3 one is inconclusive or not showable, 125 the lab failed.

    128+n after signal n: SIGINT, SIGTERM and SIGHUP end a run early, with everything taken back.
    """
    language = printable(chosen(in_arguments(sys.argv[1:] if argv is None else argv)))
    with argparse_in(language):
        parser = _parser()
        in_language(parser, language)
        arguments = parser.parse_args(argv)
    arguments.language = chosen(arguments.lang)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup(1)
            signal.signal(number, _end)
    try:
        code: int = arguments.act(arguments)
        sys.stdout.flush()
    except LabError as error:
        translate = arguments.language.translate
        print(LabError(translate(error.message), translate(error.hint)).told_by("lab"), file=sys.stderr)
        return 125
    except KeyboardInterrupt as error:
        return 128 + next(iter(error.args), signal.SIGINT)
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for the flush at the interpreter's end; signal module, SIGPIPE
        return 141
    except Exception:  # Python's own exit status would be 1, which says that the kernel contradicted a claim
        traceback.print_exc()
        return 125
    return code


def _end(number: int, frame: object) -> None:
    """End like Ctrl-C. A second signal does not disturb the taking back: a closing terminal may send several."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(number)  # just this class: `with subprocess.Popen()` waits no longer for its child


def list_stories(arguments: argparse.Namespace) -> int:
    """Print number, name and title of each story."""
    for number, story in enumerate(ALL, 1):
        print(f"{number:2}  {story.NAME:12} {arguments.language.translate(story.TITLE)}")
    return HELD_ALL


def show_doctor(arguments: argparse.Namespace) -> int:
    """Print what this machine can show; exit status 3 if the demo cannot run."""
    findings = doctor.examine()
    doctor.show(findings, as_json=arguments.json, translate=arguments.language.translate)
    return SOME_UNKNOWN if any(finding.needed and not finding.good for finding in findings) else HELD_ALL


def restore(arguments: argparse.Namespace) -> int:
    """Undo what a killed run left; safe at any time, also twice."""
    if os.geteuid() != 0:
        raise NotAllowed("lab restore needs root", "run `sudo lab restore`")
    tell = arguments.language.tell
    with Journal() as journal, Journal(CHECKS) as checks:
        restored, gone, failed = (
            [*of_runs, *of_checks]
            for of_runs, of_checks in (
                (journal.restored, checks.restored), (journal.gone, checks.gone), (journal.failed, checks.failed),
            )
        )  # fmt: skip
        for line in restored:
            tell("restored: {line}", line=line)
        for line in gone:
            tell("was gone already: {line}", line=line)
        if failed:
            raise LabError(f"not restored: {'; '.join(failed)}", "remove the cause, then run `sudo lab restore` again")
    for point in interpreter.release():
        tell("unmounted: {point}, the engines' interpreter; the next container mounts it again", point=point)
    compiled.forget()
    tell("{count} things restored" if restored else "nothing to restore", count=len(restored))
    return 0


def image(arguments: argparse.Namespace) -> int:
    """`lab image import`, `ls` and `rm`."""
    images = Images(f"{state_directory()}/images")
    if arguments.verb == "import":
        with _open_tar(arguments.tar) as tar:
            print(images.import_tar(arguments.name, tar).id)
    elif arguments.verb == "rm":
        for name in arguments.names:
            for action, what in images.remove(name):
                print(f"{action}: {what}")
    else:
        for found in images.list():
            print(*image_rows(found.tags, found.id, found.size, found.damage, whole=False), sep="\n")
    return 0


def _open_tar(name: str) -> BinaryIO:
    """Standard input for -, else that file. Raises InvalidArgument."""
    try:
        return sys.stdin.buffer if name == "-" else Path(name).open("rb")
    except OSError as error:
        raise InvalidArgument(f"cannot read {name}: {error.strerror}", "give a tar, or - for standard input") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "lab", description="Client/server and fork/exec container engines, shown on the real kernel."
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    everything = verbs.add_parser("demo", help="tell all stories")
    everything.add_argument("--only", metavar="NAME,...", type=_names, default=[], help="tell these stories alone")
    one = verbs.add_parser("run", help="tell one story")
    one.add_argument("only", metavar="NAME", nargs="+", help="see `lab list`")
    for verb in (everything, one):
        _add_stage_options(verb)
        _add_engine_options(verb)
        verb.add_argument("--page", action="store_true", help="show it in a browser, too, which then sets the pace")
        _add_port(verb)
        verb.set_defaults(act=demo)
    _add_talk(verbs)
    _add_recording_verbs(verbs)
    _add_shell_verbs(verbs)
    _add_page_verbs(verbs)
    _add_class_verbs(verbs)
    _add_teacher_verbs(verbs)
    verbs.add_parser("list", help="the stories").set_defaults(act=list_stories)
    examine = verbs.add_parser("doctor", help="what this machine can and cannot show, and why")
    examine.add_argument("--json", action="store_true", help="as JSON")
    examine.set_defaults(act=show_doctor)
    verbs.add_parser("restore", help="undo what a killed run left").set_defaults(act=restore)
    _add_image_verbs(verbs.add_parser("image", help="root filesystems: import, ls, rm"))
    _add_lang(parser, "")
    return parser


def _add_lang(parser: argparse.ArgumentParser, default: str) -> None:
    """--lang, before a verb or behind it; behind it, it says nothing unless it is given."""
    told = "the language; default: the environment's, as LANG"
    parser.add_argument("--lang", choices=LANGUAGES, default=default, help=told)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in {id(verb): verb for verb in action.choices.values()}.values():
                _add_lang(verb, argparse.SUPPRESS)


def _add_talk(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verb = verbs.add_parser("talk", help="for a speaker: a step at a time, back and forth; ? lists the keys")
    add = verb.add_argument
    add("names", metavar="NAME", nargs="*", help="tell these stories alone, in this order; see `lab list`")
    add("--only", metavar="NAME,...", type=_names, default=[], help="the same")
    what = verb.add_mutually_exclusive_group()
    what.add_argument("--notes", action="store_true", help="follow the talk in a second terminal, with the notes")
    what.add_argument("--rehearse", action="store_true", help="unattended: what would go wrong, how long it takes")
    what.add_argument("--page", action="store_true", help="show it in a browser, too; its Space goes on as this one's")
    _add_port(verb)
    add("--minutes", metavar="N", type=_minutes, default=0, help="the planned time; the clock then tells the pace")
    _add_lenient(verb)
    _add_cast_options(verb)
    _add_engine_options(verb)
    verb.set_defaults(act=talk)


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0
    if not 0 < minutes < 24 * 60:
        raise argparse.ArgumentTypeError(f"{text} is no time for a talk: give minutes, for example 20")
    return minutes


def _add_recording_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    playing = verbs.add_parser("play", help="show the recording of a run; without FILE, list those of this machine")
    playing.add_argument("file", metavar="FILE", nargs="?", default="")
    playing.add_argument("--cast", metavar="OUT", default="", help="write an asciicast instead, for asciinema's player")
    playing.add_argument("--auto", action="store_true", help="never wait for a key")
    _add_look_options(playing)
    playing.set_defaults(act=play)
    again = verbs.add_parser("verify", help="judge the evidence in a recording again")
    again.add_argument("file", metavar="FILE")
    again.set_defaults(act=verify)


def _add_shell_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    playground = verbs.add_parser("shell", help="a login to play in by hand, with labd, a watched file, its records")
    playground.add_argument("--as", dest="login_as", metavar="USER", default="", help="who has logged in: name or uid")
    playground.add_argument("--target", metavar="PATH", default="", help="the file to watch; else a decoy")
    playground.add_argument("--no-pane", action="store_true", help="without tmux's pane that shows the records")
    playground.set_defaults(act=shell)
    follower = verbs.add_parser("records", help="audit records of a file as they come; of `lab shell`'s, if it is on")
    follower.add_argument("--file", metavar="PATH", default="", help="a file or a directory; default: what is watched")
    until = follower.add_mutually_exclusive_group()
    until.add_argument("--follow", action="store_true", help="until Ctrl-C: the default")
    until.add_argument("--count", metavar="N", type=int, default=0, help="until N events were printed")
    form = follower.add_mutually_exclusive_group()
    form.add_argument("--full", action="store_true", help="the whole records, as `ausearch -i` prints them")
    form.add_argument("--json", action="store_true", help="a line of JSON for each event")
    follower.add_argument("--no-color", action="store_true", help="without colours")
    follower.set_defaults(act=records)


def _add_page_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    shown = verbs.add_parser("page", help="show a recording in a browser, on this machine alone")
    shown.add_argument("file", metavar="FILE")
    shown.add_argument("--auto", action="store_true", help="never wait for a key: all steps are there at once")
    _add_port(shown)
    shown.set_defaults(act=page)
    written = verbs.add_parser("report", help="write a recording as one HTML file")
    written.add_argument("file", metavar="FILE")
    written.add_argument("-o", dest="output", metavar="OUT.html", default="", help="else FILE's name with .html, here")
    written.set_defaults(act=report)


def _add_class_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    school = verbs.add_parser(
        "learn", help="the exercises, one after the other: checked whenever you save; h for a hint"
    )
    school.add_argument("exercise", metavar="N", nargs="?", default="", help="begin with this one: number or name")
    school.add_argument("--plain", action="store_true", help="for a screen reader: ASCII")
    school.add_argument("--no-color", action="store_true", help="without colours")
    school.set_defaults(act=learn)
    parser = verbs.add_parser("exercise", help="exercises that check themselves: list, start, check, hint, ...")
    acts = parser.add_subparsers(required=True, metavar="VERB", dest="verb")
    acts.add_parser("list", help="the exercises, and which are passed")
    for name, optional, told in (
        ("start", False, "copy what you edit to ~/loginuid-exercises; asks for your predictions"),
        ("check", True, "check it; default: the first that is not passed"),
        ("hint", True, "one more hint, of three"),
        ("reset", True, "begin anew"),
        ("solution", False, "show it"),
    ):
        act = acts.add_parser(name, help=told)
        act.add_argument("exercise", metavar="N", nargs="?" if optional else None, default="", help="number or name")
    _add_enrolment(acts.choices["start"])
    acts.choices["reset"].add_argument("--all", action="store_true", help="remove all answers and all progress")
    _add_submit(acts.add_parser("submit", help="write one file to hand in: answers, code, evidence; nothing is sent"))
    for act in acts.choices.values():
        act.add_argument("--no-color", action="store_true", help="without colours")
        act.add_argument("--plain", action="store_true", help="for a screen reader: ASCII, without colours")
    parser.set_defaults(act=exercise)


def _add_enrolment(verb: argparse.ArgumentParser) -> None:
    add = verb.add_argument
    add("--class", dest="klass", metavar="CODE", default="", help="your class: its code, or its file; once is enough")
    add("--name", metavar="NAME", default="", help="your name, as your teacher knows it; once is enough")


def _add_submit(verb: argparse.ArgumentParser) -> None:
    _add_enrolment(verb)
    add = verb.add_argument
    add("-o", dest="output", metavar="FILE", default="", help="else CLASS-KEY.handin in ~/loginuid-exercises")


def _add_teacher_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    acts = verbs.add_parser("class", help="for a teacher: new").add_subparsers(required=True, metavar="VERB")
    making = acts.add_parser("new", help="a class: NAME.class to hand out, NAME.key to keep")
    making.add_argument("name", metavar="NAME")
    making.add_argument("-o", dest="output", metavar="DIR", default=".", help="the folder for both; default: here")
    making.set_defaults(act=class_new)
    grading = verbs.add_parser("grade", help="for a teacher: open hand-ins, judge them again, write the reports")
    grading.add_argument("files", metavar="FILE", nargs="+")
    grading.add_argument("--key", metavar="NAME.key", required=True, help="of `lab class new`")
    grading.add_argument("-o", dest="output", metavar="DIR", default="grades", help="for the reports; default: grades")
    grading.add_argument("--no-code", action="store_true", help="run no student's code, not even in a container")
    grading.set_defaults(act=grade)


def _add_port(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--port", type=int, default=PORT, help=f"of 127.0.0.1; 0 for any; default: {PORT}")


def _add_look_options(verb: argparse.ArgumentParser) -> None:
    add = verb.add_argument
    add("--no-color", action="store_true", help="without colours")
    add("--plain", action="store_true", help="for a screen reader: ASCII, and trees as sentences")
    detail = (
        "brief: verdicts and cards, and the commands of what did not hold; full: all records, rules and outputs whole"
    )
    add("--detail", choices=("brief", "short", "full"), default="", help=detail)


def _names(text: str) -> list[str]:
    return text.split(",")


def _add_stage_options(verb: argparse.ArgumentParser) -> None:
    add = verb.add_argument
    pace = verb.add_mutually_exclusive_group()
    pace.add_argument("--auto", action="store_true", help="never wait for a key")
    pace.add_argument("--pause", action="store_true", help="wait for Enter at each step")
    _add_lenient(verb)
    _add_look_options(verb)
    add("--json", action="store_true", help="verdicts and evidence on standard output, the rest on standard error")
    add("--record", metavar="FILE", action="append", default=[], help="record the run in this new file, too")
    _add_cast_options(verb)


def _add_lenient(verb: argparse.ArgumentParser) -> None:
    lenient = "exit status 0, not 3, where a claim is inconclusive only because this machine lacks something"
    verb.add_argument("--lenient", action="store_true", help=lenient)


def _add_cast_options(verb: argparse.ArgumentParser) -> None:
    add = verb.add_argument
    add("--as", dest="login_as", metavar="USER", default="", help="who has logged in: name or uid")
    add("--target", metavar="PATH", default="", help="the file to watch; else a decoy")
    add("--host", metavar="unix://PATH", default=os.environ.get("LAB_HOST", ""), help="labd's socket")


def _add_engine_options(verb: argparse.ArgumentParser) -> None:
    """DOCKER_HOST, CONTAINERS_CONF and CONTAINERS_STORAGE_CONF of the environment count, too."""
    known = f"which engines to compare, of {', '.join((*LABS, *REAL))}; default: the lab's two"
    before = "a further word before the verb, for example podman=--runtime=/usr/sbin/runc; may be repeated"
    after = "a further word after `run`, for example podman=--network=host; may be repeated"
    verb.add_argument("--engines", metavar="NAME,...", type=_names, default=list(LABS), help=known)
    verb.add_argument("--engine-option", metavar="ENGINE=WORD", action="append", default=[], help=before)
    verb.add_argument("--run-option", metavar="ENGINE=WORD", action="append", default=[], help=after)


def _add_image_verbs(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="VERB", dest="verb")
    importing = verbs.add_parser("import", help="unpack a root filesystem's tar")
    importing.add_argument("name")
    importing.add_argument("tar", help="a file, or - for standard input")
    verbs.add_parser("ls", help="list the images")
    verbs.add_parser("rm", help="remove images").add_argument("names", nargs="+", metavar="NAME")
    parser.set_defaults(act=image)


if __name__ == "__main__":
    sys.exit(main())
