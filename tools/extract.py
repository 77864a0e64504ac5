"""Finds the messages of the lab in its code: what is told, what is raised, what the page's templates say.

A message stands where a function of MESSAGES takes one; extract() follows names, conditions, tuples and loops back to
the strings, and a function that hands its own parameter on takes a message there, too. An f-string of an error becomes
a message with {names}. What this does not see is marked with message(), of scenarios.performance.text.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from jinja2 import Environment, nodes

from scenarios.classroom.comments import translated

CHECKOUT = Path(__file__).parent.parent
ALL = range(20)
# A function or a class by its bare name: the places of the arguments that are messages.
MESSAGES: Mapping[str, Iterable[int]] = {
    "Text": (0,), "of": (0,), "words": (0,), "said": (0,), "message": (0,), "told": (0,), "tell": (0,),
    "translate": (0,), "say": (0,), "marked": (1,), "ask": ALL, "expect": (1, 2), "prints": (2,), "carries": (2,),
    "names": (2,), "in_session": (2,), "unknown": (0, 1, 2), "contrast": (0, 1, 2), "CannotTell": (0, 1),
    "Finding": (0, 2, 4), "Claim": (0, 1), "Launcher": (3,), "row": (3,), "Node": (5,),
}  # fmt: skip
KEYWORDS = {
    "message",
    "hint",
    "detail",
    "remedy",
    "without",
    "because",
    "help",
    "description",
    "title",
    "text",
    "words",
}
NAMED = ("TITLE", "HELD", "FAILED", "UNKNOWN")  # constants of modules that are messages
ERROR = re.compile(r"[A-Z]\w*(Error|Argument|Allowed|Found|Container|Image|Exec|InUse|Running|Here|Start|Executable"
                   r"|Feature|Unavailable|Locked|Space|Lost|Unreachable|Tell)|Conflict")  # fmt: skip
NOT_TOLD = {"RecordError", "ValueError", "RuntimeError", "ArgumentTypeError", "KeyError", "OSError", "ChannelError"}
WORD = re.compile(r"[A-Za-z]{2}")
MOST = 12  # choices that one expression may have


@dataclass
class Scope:
    """A function or a module: what its names stand for, and its parameters' places."""

    outer: Scope | None
    name: str = ""
    values: dict[str, list[ast.expr]] = field(default_factory=dict)
    items: dict[str, list[tuple[ast.expr, list[int]]]] = field(default_factory=dict)
    parameters: list[str] = field(default_factory=list)


class Extractor(ast.NodeVisitor):
    """Reads one module. found has the messages in their order; grown says that another function takes messages."""

    def __init__(self, takes: dict[str, set[int]]) -> None:
        self.found: dict[str, None] = {}
        self._takes = takes
        self.grown = False
        self._functions: dict[str, ast.FunctionDef] = {}

    def read(self, tree: ast.Module) -> None:
        self._functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        self._scope = self._module = Scope(None)
        self._learn(self._scope, tree.body)
        for name in NAMED:
            self._take(*self._scope.values.get(name, ()))
        self.visit(tree)

    def _learn(self, scope: Scope, body: list[ast.stmt]) -> None:
        for node in _own(body):
            match node:
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        self._bind(scope, target, value)
                case (
                    ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value)
                ):
                    self._bind(scope, target, value)
                case ast.AugAssign(target=ast.Name(id=name), value=value):
                    scope.values.setdefault(name, []).append(value)
                case ast.For(target=target, iter=source) | ast.comprehension(target=target, iter=source):
                    for name, path in _targets(target, []):
                        scope.items.setdefault(name, []).append((source, path))

    def _bind(self, scope: Scope, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, what in zip(target.elts, value.elts, strict=False):
                self._bind(scope, one, what)
        elif isinstance(target, ast.Name):
            scope.values.setdefault(target.id, []).append(value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outer = self._scope
        self._scope = Scope(outer, node.name)
        named = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        self._scope.parameters = [name for name in named if name != "self"]
        self._learn(self._scope, node.body)
        self.generic_visit(node)
        self._scope = outer

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        error = ERROR.fullmatch(name) and name not in NOT_TOLD
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func) == "reasons.append":
            self._take(*node.args)
        places = (0, 1) if error else (*MESSAGES.get(name, ()), *self._takes.get(name, ()))
        for place in places:
            if place < len(node.args):
                self._take(node.args[place])
        if places:
            self._take(*(keyword.value for keyword in node.keywords if keyword.arg in KEYWORDS))
        if name == "teach":
            self._take(*(one.value for one in node.keywords if one.arg in ("expected", "seen", "look")))
        if name == "parametrize" and len(node.args) > 1:
            self._take(*self._sentences(node.args[1]))
        if name in ("add_parser", "add_argument", "add", "ArgumentParser"):
            self._take(*(one.value for one in node.keywords if one.arg in ("help", "description")))
        self.generic_visit(node)

    def _sentences(self, cases: ast.expr) -> Iterator[ast.expr]:
        """The names of several words among a test's cases, the keys of a mapping: a single word is not translated."""
        values = _values(cases.id, self._scope) if isinstance(cases, ast.Name) else ()
        for key in (key for value in values if isinstance(value, ast.Dict) for key in value.keys):
            if isinstance(key, ast.Constant) and " " in str(key.value):
                yield key

    def _take(self, *expressions: ast.expr) -> None:
        for expression in expressions:
            for message in self._strings(expression, self._scope):
                if WORD.search(re.sub(r"\{\w+\}", "", message)):
                    self.found.setdefault(message)

    def _strings(self, node: ast.expr, scope: Scope, depth: int = 0) -> Iterator[str]:
        """All that the expression may be, as far as its strings stand in this module."""
        if depth > 8:
            return
        below = depth + 1
        match node:
            case ast.Constant(value=str() as text):
                yield text
            case ast.IfExp(body=body, orelse=orelse):
                yield from self._strings(body, scope, below)
                yield from self._strings(orelse, scope, below)
            case ast.BoolOp(values=values):
                for value in values:
                    yield from self._strings(value, scope, below)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                both = [*self._strings(left, scope, below)][:MOST], [*self._strings(right, scope, below)][:MOST]
                yield from map("".join, product(*both))
            case ast.JoinedStr(values=values):
                yield _template(values)
            case ast.Tuple(elts=elts) | ast.List(elts=elts) | ast.Set(elts=elts):
                for one in elts:
                    yield from self._strings(one, scope, below)
            case ast.Starred(value=value):
                yield from self._strings(value, scope, below)
            case ast.Subscript(value=ast.Dict(values=values)):
                for one in values:
                    yield from self._strings(one, scope, below)
            case ast.Name(id=name):
                yield from self._named(name, scope, below)
            case ast.Call(func=ast.Name(id=name)) if name in self._functions:
                yield from self._returned(self._functions[name], below)

    def _returned(self, function: ast.FunctionDef, depth: int) -> Iterator[str]:
        scope = Scope(self._module)
        self._learn(scope, function.body)
        for node in _own(function.body):
            if isinstance(node, ast.Return) and node.value:
                yield from self._strings(node.value, scope, depth)

    def _named(self, name: str, scope: Scope, depth: int) -> Iterator[str]:
        at: Scope | None = scope
        while at and name not in at.values and name not in at.items and name not in at.parameters:
            at = at.outer
        if not at:
            return
        if name in at.parameters and at.name:
            self._learn_parameter(at.name, at.parameters.index(name))
        for value in at.values.get(name, ()):
            yield from self._strings(value, at, depth)
        for source, path in at.items.get(name, ()):
            for item in self._elements(source, at, path):
                yield from self._strings(item, at, depth)

    def _learn_parameter(self, function: str, place: int) -> None:
        if function in MESSAGES and place in MESSAGES[function]:
            return
        known = self._takes.setdefault(function, set())
        self.grown = self.grown or place not in known
        known.add(place)

    def _elements(self, source: ast.expr, scope: Scope, path: list[int]) -> Iterator[ast.expr]:
        """What stands at that place of each element of what a loop goes through."""
        match source:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="items")):
                for value in _values(name, scope):
                    if isinstance(value, ast.Dict):
                        pairs = zip(value.keys, value.values, strict=True)
                        yield from (pair[path[0]] for pair in pairs if path and pair[path[0]])  # type: ignore[misc]
            case ast.Call(func=ast.Name(id="enumerate"), args=[inner, *_]):
                yield from self._elements(inner, scope, path[1:])
            case ast.Name(id=name):
                for value in _values(name, scope):
                    yield from self._elements(value, scope, path)
            case ast.Tuple(elts=elts) | ast.List(elts=elts):
                for element in elts:
                    yield from _at(element, path)


def _values(name: str, scope: Scope | None) -> Iterator[ast.expr]:
    while scope:
        yield from scope.values.get(name, ())
        scope = scope.outer


def _at(element: ast.expr, path: list[int]) -> Iterator[ast.expr]:
    for place in path:
        if not isinstance(element, (ast.Tuple, ast.List)) or place >= len(element.elts):
            return
        element = element.elts[place]
    yield element


def _targets(target: ast.expr, path: list[int]) -> Iterator[tuple[str, list[int]]]:
    if isinstance(target, ast.Name):
        yield target.id, path
    elif isinstance(target, ast.Tuple):
        for place, one in enumerate(target.elts):
            yield from _targets(one, [*path, place])


def _own(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """The nodes of a body, without those of functions inside it."""
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(statement, ast.ClassDef):
            yield from _own(statement.body)
            continue
        stack: list[ast.AST] = [statement]
        while stack:
            node = stack.pop()
            yield node
            stack += [one for one in ast.iter_child_nodes(node) if not isinstance(one, (ast.FunctionDef, ast.ClassDef))]


def _template(values: list[ast.expr]) -> str:
    """An f-string as a message: {names} from its expressions, numbered where an expression has no name."""
    parts: list[str] = []
    names: list[str] = []
    for value in values:
        if isinstance(value, ast.FormattedValue):
            name = _name(value.value) or "value"
            if name in names:
                name = f"{name}{len(names) + 1}"
            names.append(name)
            parts.append(f"{{{name}}}")
        elif isinstance(value, ast.Constant):
            parts.append(str(value.value))
    return "".join(parts)


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=function, args=[*arguments]):
            return next(filter(None, map(_name, arguments)), "") or _name(function)
        case ast.Subscript(value=value):
            return _name(value)
    return ""


def of_python(path: Path) -> list[str]:
    """The messages of a module, in their order."""
    tree, takes = ast.parse(path.read_text(encoding="utf-8")), dict[str, set[int]]()
    while True:
        extractor = Extractor(takes)
        extractor.read(tree)
        if not extractor.grown:
            return list(extractor.found)


def of_exercise(path: Path) -> list[str]:
    """The messages of an exercise.toml, in their order."""
    about = tomllib.loads(path.read_text(encoding="utf-8"))
    asked = [text for question in about.get("predict", ()) for text in (question["ask"], *question["choices"])]
    told = [about["title"], about["goal"], *asked, *about["hints"], about["explanation"], *about["reading"]]
    return [text.strip() for text in dict.fromkeys(told) if WORD.search(text)]


def of_comments(path: Path) -> list[str]:
    """The comments of a file that a student begins with, or of a solution's, in their order."""
    found: dict[str, str] = {}
    translated(path.read_text(encoding="utf-8"), lambda comment: found.setdefault(comment, comment))
    return [text for text in found if WORD.search(text)]


def of_tests(path: Path) -> list[str]:
    """The names of the tests of an exercise, as a failed check tells them."""
    names = re.findall(r"^def test_(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return [name.replace("_", " ") for name in names]


def of_template(path: Path) -> list[str]:
    """The messages of a Jinja template: what stands, as a string, in calls of words() and said()."""
    tree = Environment(autoescape=True).parse(path.read_text(encoding="utf-8"))
    calls = (call for call in tree.find_all(nodes.Call) if getattr(call.node, "name", "") in ("words", "said"))
    strings = (one for call in calls for first in call.args[:1] for one in _constants(first))
    return [text for text in dict.fromkeys(strings) if WORD.search(text)]


def _constants(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, nodes.CondExpr):
        for one in (node.expr1, node.expr2):
            if one:
                yield from _constants(one)
    elif isinstance(node, nodes.Getitem) and isinstance(node.node, nodes.Dict):
        yield from (str(pair.value.as_const()) for pair in node.node.items)
