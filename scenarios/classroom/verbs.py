"""`lab exercise list|start|check|hint|reset|solution|submit`: what the student asks for, one at a time."""

from __future__ import annotations

import argparse
import shlex
import sys
import termios
import time
from collections.abc import Sequence

from lab.errors import InvalidArgument
from scenarios.classroom.beginning import begin, names_in, records, require, stale
from scenarios.classroom.checking import Result, check
from scenarios.classroom.comments import in_language
from scenarios.classroom.desk import Desk, Done, Prediction, Progress, evidence_of
from scenarios.classroom.evidence import Evidence, machine
from scenarios.classroom.exercise import Exercise, Question, every, find
from scenarios.classroom.handing import submit
from scenarios.classroom.seeds import filled
from scenarios.classroom.showing import Shown
from scenarios.classroom.student import Student
from scenarios.classroom.submission import enrolled
from scenarios.classroom.typed import lab
from scenarios.performance.beats import FAILED, HELD, UNKNOWN
from scenarios.performance.text import Text, Translate, in_english
from scenarios.playing import HELD_ALL, SOME_FAILED, SOME_UNKNOWN


def exercise(arguments: argparse.Namespace) -> int:
    """Do what the verb says; the exit status of `check` is 0 passed, 1 not yet, 3 it cannot be told here."""
    acts = {
        "list": show_list, "start": start, "check": check_one, "hint": hint, "reset": reset, "solution": solution,
        "submit": hand_in,
    }  # fmt: skip
    shown = Shown(color=not arguments.no_color, plain=arguments.plain, language=arguments.language)
    return acts[arguments.verb](arguments, Desk(Student.here(), arguments.language.code), shown)


def show_list(arguments: argparse.Namespace, desk: Desk, shown: Shown) -> int:
    shown.listed(every(), desk.progress())
    return HELD_ALL


def start(arguments: argparse.Namespace, desk: Desk, shown: Shown) -> int:
    one = find(arguments.exercise)
    if records(desk, one):
        require(one)
    if arguments.klass or arguments.name:
        enrolled(desk, arguments.klass, arguments.name)
        tell_stale(desk, every(), shown)
    copied = begin(desk, one, shown)
    shown.naming()
    if not copied:
        shown.say("{folder} is there already; nothing was changed", folder=str(desk.folder(one)))
    shown.gap()
    show_task(desk, one, shown)
    if sys.stdin.isatty():
        predict(desk, one, shown)
    else:
        show_questions(desk, one, shown)
    return HELD_ALL


def tell_stale(desk: Desk, among: Sequence[Exercise], shown: Shown) -> None:
    """Say which of these was begun before its student joined the class: its names do not follow from the class."""
    for one in stale(desk, among):
        again = f"{lab()} exercise reset {one.number}"
        shown.marked(
            UNKNOWN, "{name} was begun before you joined your class, and its names are not yours in it.", name=one.name
        )
        shown.say("  Begin it anew: {again}", again=again)


def show_task(desk: Desk, one: Exercise, shown: Shown) -> None:
    """The goal, and where to work."""
    about = one.about
    shown.say("{number}  {title}", number=one.number, title=Text(about.title), style="bold")
    shown.told(about.goal)
    shown.gap()
    shown.say("Edit {files} in", files=", ".join(about.files))
    shown.say("  {folder}", folder=str(desk.folder(one)))
    shown.say("Read  {readme}   ({minutes} minutes)", readme=one.page(shown.language.code), minutes=about.minutes)


def ask() -> str:
    """An answer typed with Enter; "" for none, and at the end of input."""
    print("? ", end="", flush=True)  # input() would print it on standard error
    return sys.stdin.readline()


def predict(desk: Desk, one: Exercise, shown: Shown) -> bool:
    """Ask what has not been predicted yet, and keep the answers with their time; False if the student typed q."""
    progress = desk.progress()
    done = progress.of(one)
    left = unanswered(one, done)
    if left:
        shown.gap()
        shown.say("A number and Enter answers; Enter alone gives no answer; q or Ctrl-C quits.", style="dim")
        forget_typed()
    for number, question in left:
        shown.question(question, number, len(one.about.predict))
        answer = answered(question, shown)
        if answer is None:
            return False
        if answer:
            done.predictions[question.id] = Prediction(answer=answer, time=time.time())
            desk.keep(progress)
    return True


def unanswered(one: Exercise, done: Done) -> list[tuple[int, Question]]:
    """What has not been predicted yet, with its number; nothing of an exercise that has been passed."""
    asked = () if done.passed else enumerate(one.about.predict, 1)
    return [(number, question) for number, question in asked if question.id not in done.predictions]


def show_questions(desk: Desk, one: Exercise, shown: Shown) -> None:
    """What is to be predicted, where nobody can type an answer."""
    left = unanswered(one, desk.progress().of(one))
    if left:
        again = f"{lab()} exercise start {one.number}"
        shown.gap()
        shown.say("Predict first. In a terminal, {again} asks, and keeps your answers:", again=again, style="dim")
    for number, question in left:
        shown.question(question, number, len(one.about.predict))


def forget_typed() -> None:
    """Drop what was typed before a question was there to answer; tcflush(3)."""
    if sys.stdin.isatty():
        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def answered(question: Question, shown: Shown) -> str | None:
    """The choice that was typed; "" for none, None for q."""
    while (typed := ask()).strip().lower() != "q":
        answer = chosen(question, typed, shown.look.translate)
        if answer is not None:
            return answer
        shown.say("Give the number of an answer, or Enter alone for none.")
    return None


def chosen(question: Question, typed: str, translate: Translate = in_english) -> str | None:
    """The choice that was typed, as its number or its words; "" for none, None for something else."""
    word = typed.strip().lower()
    if word.isdecimal() and 1 <= int(word) <= len(question.choices):
        return question.choices[int(word) - 1]
    meant = (choice for choice in question.choices if word in (choice.lower(), translate(choice).lower()))
    return next(meant, None if word else "")


def check_one(arguments: argparse.Namespace, desk: Desk, shown: Shown) -> int:
    one = find(arguments.exercise) if arguments.exercise else current(every(), desk.progress())
    if not desk.folder(one).is_dir():
        raise InvalidArgument(f"{one.name} has not been started", f"type {lab()} exercise start {one.number}")
    tell_stale(desk, [one], shown)
    result = check(one, desk.folder(one))
    keep(desk, one, result)
    shown.result(one, result, desk.progress().of(one))
    if result.good:
        shown.passed(one)
    return HELD_ALL if result.good else SOME_FAILED if result.failed else SOME_UNKNOWN


def keep(desk: Desk, one: Exercise, result: Result) -> None:
    """Note that the check ran, when it passed first, and what it saw then; nothing of one that could not be told."""
    if not (result.good or result.failed):
        return
    progress = desk.progress()
    done = progress.of(one)
    done.checks += 1
    if result.good and not done.passed:
        done.passed = time.time()
        kept = Evidence(machine=machine(), began=result.began, ended=done.passed, said=result.kernel, seen=result.seen)
        desk.put(evidence_of(one), kept.model_dump_json(indent=1).encode() + b"\n")
    desk.keep(progress)


def current(exercises: list[Exercise], progress: Progress) -> Exercise:
    """The first that has not been passed; after all, the last."""
    return next((one for one in exercises if not progress.of(one).passed), exercises[-1])


def hint(arguments: argparse.Namespace, desk: Desk, shown: Shown) -> int:
    one = find(arguments.exercise) if arguments.exercise else current(every(), desk.progress())
    next_hint(desk, one, shown)
    return HELD_ALL


def next_hint(desk: Desk, one: Exercise, shown: Shown) -> None:
    """The next hint alone; after the last one, that there is none."""
    progress = desk.progress()
    done = progress.of(one)
    number, done.hints = done.hints + 1, min(done.hints + 1, len(one.about.hints))
    desk.keep(progress)
    shown.hint(one, number)


def hand_in(arguments: argparse.Namespace, desk: Desk, shown: Shown) -> int:
    code = submit(arguments, desk, shown)
    tell_stale(desk, every(), shown)
    return code


def reset(arguments: argparse.Namespace, desk: Desk, shown: Shown) -> int:
    if arguments.all == bool(arguments.exercise):
        raise InvalidArgument("reset what?", f"type {lab()} exercise reset N, or {lab()} exercise reset --all")
    if arguments.all:
        return reset_all(desk, shown)
    one = find(arguments.exercise)
    require(one, "reset")
    old = desk.reset(one)
    begin(desk, one, shown)
    shown.say("{name} begins anew", name=one.name)
    if old:
        shown.say("what you had is in {old}", old=str(old))
    return HELD_ALL


def reset_all(desk: Desk, shown: Shown) -> int:
    """Remove everything, and say what stays and why; the exit status is 1 if something does."""
    gone, left = desk.reset_all()
    if not left:
        shown.say("{place} is removed, with all answers and all progress", place=str(desk.place))
        return HELD_ALL
    if gone:
        shown.marked(HELD, "removed: {names}", names=", ".join(gone))
    for name, why in left.items():
        shown.marked(FAILED, "{name} stays, without what could be removed: {why}", name=name, why=why)
    places = shlex.join(str(desk.place / name) for name in left)
    shown.say("Root can remove the rest: {command}", command=f"sudo rm -r {places}")
    return SOME_FAILED


def solution(arguments: argparse.Namespace, desk: Desk, shown: Shown) -> int:
    one = find(arguments.exercise)
    names = names_in(desk, one)
    files = {name: data for name, data in one.solution().items() if one.start().get(name) != data}
    progress = desk.progress()
    progress.of(one).solution_seen = time.time()
    desk.keep(progress)
    for name, data in filled(in_language(files, shown.look.translate), names).items():
        shown.say("{name}:", name=name, style="bold")
        shown.code(data.decode())
    return HELD_ALL
