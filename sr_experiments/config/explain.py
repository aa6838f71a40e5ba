"""What a value should have been, in words made from its declared type; and Pydantic's errors as one line."""

import difflib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Union

from annotated_types import Ge, Gt, Le, Len, Lt, MinLen
from pydantic import BaseModel, ValidationError

from sr_experiments.config.constraints import UNREACHED, NameOf, Rule

Part = str | int
PRIORITY = {"extra_forbidden": 0, "missing": 1}  # a misspelt setting explains the one that is missing
NOUNS = {int: ("a whole number", "whole numbers"), float: ("a number", "numbers"), str: ("text", "texts"),
         bool: ("true or false", "values true or false")}  # fmt: skip
NUMBERS = {1: "one", 2: "two", 3: "three", 6: "six"}


@dataclass(eq=False)
class Problem(ValueError):
    """The first thing that is wrong with a configuration.

    Attributes:
        kind: "unknown" and "given" setting (which the program gives itself), "missing", or "wrong" value.
        path: keys and indices to it.
        value: what was given.
        help: what to do: the near or known names, the setting that decides, or the values that are possible.
    """

    kind: Literal["unknown", "given", "missing", "wrong"]
    path: tuple[Part, ...]
    value: Any = None
    help: str = ""

    def __str__(self) -> str:
        return self.line("")

    def below(self, path: Iterable[Part]) -> "Problem":
        """Return the same problem, of a configuration inside another."""
        return replace(self, path=(*path, *self.path))

    def line(self, prefix: str) -> str:
        """Return the message; `prefix` is the dotted key of the configuration, empty for a whole run's."""
        dotted = ".".join(filter(None, (prefix, *map(printable, self.path))))
        if not self.path:
            return f"{prefix or 'the configuration'} is {short(self.value)}: give {self.help}"
        parent, key = ".".join(filter(None, (prefix, *map(printable, self.path[:-1])))), printable(self.path[-1])
        if self.kind == "unknown":
            return f"{parent} has no {key}: {self.help}" if parent else f"there is no setting {key}: {self.help}"
        if self.kind == "given":
            return f"{dotted} can't be set: {key} {self.help}"
        if self.kind == "missing":
            return f"{dotted} is not set: give it on the command line as {dotted}=..."
        return f"{dotted} is {short(self.value)}: give {self.help}"

    def line_of_component(self, component: str) -> str:
        """Return the message about arguments of a component, such as "generator 'rrdbnet'"."""
        dotted = ".".join(map(printable, self.path))
        parent, key = ".".join(map(printable, self.path[:-1])), printable(self.path[-1])
        place = f"{parent} of {component}" if parent else component
        if self.kind == "unknown":
            return f"{place} has no argument {key}: {self.help}"
        if self.kind == "given":
            return f"{place} can't take {key}: it {self.help}"
        if self.kind == "missing":
            return f"{place} needs {key}"
        return f"{component}: its {dotted} is {short(self.value)}: give {self.help}"


def short(value: Any) -> str:
    """Return a value's text, cut to the length that a message has room for."""
    return text if len(text := repr(value)) < 80 else text[:77] + "..."


def printable(key: Any) -> str:
    """Return a key as it is, or escaped and cut where it would spoil the message."""
    text = str(key)
    return text if text.isprintable() and len(text) < 80 else short(text)[1:-1]


def near(name: Any, known: Sequence[str]) -> str:
    """Return the hint for an unknown name: "did you mean ...?", or all that is known."""
    close = difflib.get_close_matches(str(name), known, 1)
    return f"did you mean {close[0]}?" if close else f"it has {', '.join(known) or 'no settings'}"


def problem(
    error: ValidationError, model: type[BaseModel], config: Mapping[str, Any], given: Mapping[str, str]
) -> Problem:
    """Return the first problem of a configuration that its model refuses.

    Args:
        error: Pydantic's.
        model: which model it is of.
        config: plain data.
        given: names of arguments that are not the user's to give, and the settings that decide them.
    """
    found = _problem(error, model, config, given)
    return _misspelt(found, model, config) if found.kind == "missing" else found


def _misspelt(missing: Problem, model: type[BaseModel], config: Mapping[str, Any]) -> Problem:
    """Return what is missing from a group as its misspelt name, if another of nearly the same name is there."""
    *place, name = missing.path[:-1] or ("",)
    group: Any = config
    for part in place:
        group = group[part]
    annotation, _ = _walk(model, config, place)
    if name == "" or is_kind(_without_null(annotation), BaseModel) or not isinstance(group, Mapping):
        return missing
    close = difflib.get_close_matches(str(name), [str(key) for key in group if key != name], 1, cutoff=0.8)
    return Problem("unknown", (*place, name), help=f"did you mean {close[0]}?") if close else missing


def _problem(
    error: ValidationError, model: type[BaseModel], config: Mapping[str, Any], given: Mapping[str, str]
) -> Problem:
    errors = error.errors(include_url=False)
    first = min(errors, key=lambda e: PRIORITY.get(e["type"], 2))
    path = _walk(model, config, first["loc"])[1]
    # Of a union each member has errors: what is said of a part of the value is of the member that was meant.
    if PRIORITY.get(first["type"]) is None:
        inside = [e for e in errors if _walk(model, config, e["loc"])[1][: len(path)] == path]
        first = max(inside, key=lambda e: len(_walk(model, config, e["loc"])[1]))
    annotation, path = _walk(model, config, first["loc"])
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, Problem):
        return inner.below(path)
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        if key in given:
            return Problem("given", (*path, key), help=_decided_by(key, given[key]))
        parent = _without_null(annotation)
        return Problem(
            "unknown", (*path, key), help=near(key, [n for n in parent.model_fields if n not in ("name", *given)])
        )
    if first["type"] == "missing":
        return Problem("missing", (*path, str(first["loc"][-1])))
    if first["loc"][-1] == "[key]":
        key_type = typing.get_args(_without_null(_walk(model, config, first["loc"][:-2])[0]))[0]
        if typing.get_origin(key_type) is Literal:
            return Problem("unknown", path, help=near(path[-1], typing.get_args(key_type)))
        return Problem("unknown", path, help=f"give {words(key_type)}")
    value: Any = config
    for part in path:
        value = value[part]
    return Problem("wrong", path, value, words(annotation))


def _decided_by(key: str, setting: str) -> str:
    return (
        f"is the run's: set {setting}=..." if setting.split(".")[-1] == key else f"follows from {setting}: leave it out"
    )


def _walk(annotation: Any, value: Any, location: Sequence[Part]) -> tuple[Any, tuple[Part, ...]]:
    """Return the innermost declared type on the way to an error, and the way to it in the configuration."""
    path: list[Part] = []
    for part in location:
        if not _holds(value, part):
            continue  # Pydantic's name of a union's member
        inner = _child(annotation, part, value)
        if inner is None:
            break
        annotation, value = inner, value[part]
        path.append(part)
    return annotation, tuple(path)


def _holds(value: Any, part: Part) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list | tuple) and isinstance(part, int) and part < len(value)


def _child(annotation: Any, part: Part, value: Any) -> Any:
    """Return the type of an entry of a group, mapping or list; None if its type has no such parts."""
    for member in _members(annotation):
        kind, _ = _split(member)
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if is_kind(kind, BaseModel):
            field = kind.model_fields.get(part)
            return None if field is None else _annotated(field.annotation, field.metadata)
        if is_kind(origin, Mapping) and isinstance(value, Mapping):
            return arguments[1]
        if is_kind(origin, Sequence) and isinstance(value, list | tuple):
            return arguments[0]
    return None


def is_kind(kind: Any, parent: type) -> bool:
    """Return whether an annotation is a class, and one of a kind."""
    return isinstance(kind, type) and issubclass(kind, parent)


def _split(annotation: Any) -> tuple[Any, list[Any]]:
    """Return a type and the constraints around it."""
    if typing.get_origin(annotation) is Annotated:
        base, *constraints = typing.get_args(annotation)
        inner, more = _split(base)
        return inner, [*more, *constraints]
    return annotation, []


def _annotated(kind: Any, constraints: Sequence[Any]) -> Any:
    return Annotated.__class_getitem__((kind, *constraints)) if constraints else kind  # type: ignore[attr-defined]


def _members(annotation: Any) -> list[Any]:
    base, _ = _split(annotation)
    return list(typing.get_args(base)) if typing.get_origin(base) in (Union, types.UnionType) else [base]


def _without_null(annotation: Any) -> Any:
    """Return the only type beside null, without constraints; a union of several stays one."""
    kinds = [kind for kind in _members(annotation) if kind is not type(None)]
    return _split(kinds[0])[0] if len(kinds) == 1 else _split(annotation)[0]


def either(choices: Sequence[str]) -> str:
    """Return choices as a sentence has them: "a, b or c"."""
    return " or ".join(filter(None, (", ".join(choices[:-1]), *choices[-1:])))


def words(annotation: Any) -> str:
    """Return what a declared type takes: "a whole number of at least 1 and at most 512, or null"."""
    base, constraints = _split(annotation)
    members = _members(annotation)
    if len(members) > 1:
        ordered = sorted(members, key=lambda kind: kind is type(None))
        return either([words(_annotated(kind, constraints)) for kind in ordered])
    if names := next((c.names for c in constraints if isinstance(c, NameOf)), None):
        return either(sorted(names))
    if base in (None, type(None)):
        return "null"
    if typing.get_origin(base) is Literal:
        return either([str(value) for value in typing.get_args(base)])
    if is_kind(typing.get_origin(base) or base, Mapping):
        return _with_bounds("a mapping", constraints)
    if base in NOUNS:
        return _with_bounds(NOUNS[base][0], constraints)
    if is_kind(typing.get_origin(base), Sequence):
        return _list_words(typing.get_args(base)[0], constraints)
    return "a group of settings" if is_kind(base, BaseModel) else "a value"


def _list_words(element: Any, constraints: Sequence[Any]) -> str:
    """Return the words of a list: "two numbers, each of at least 0, ascending"."""
    base, inner = _split(element)
    noun = NOUNS[base][1] if base in NOUNS else "mappings" if is_kind(typing.get_origin(base), Mapping) else "lists"
    count = next((c for c in constraints if isinstance(c, Len)), None)
    if any(isinstance(c, MinLen) for c in constraints):
        noun += ", not empty"
    if count is None or count.max_length is None:
        said = f"a list of {noun}"
    elif count.min_length == count.max_length:
        said = f"{NUMBERS[count.min_length]} {noun}"
    else:
        between = "or" if count.max_length == count.min_length + 1 else "to"
        said = f"{NUMBERS[count.min_length]} {between} {NUMBERS[count.max_length]} {noun}"
    if each := _with_bounds("", inner):
        said += f", each{each}"
    return _with_bounds(said, [c for c in constraints if isinstance(c, Rule)])


def _with_bounds(noun: str, constraints: Sequence[Any]) -> str:
    low: Any = next((c.ge if isinstance(c, Ge) else c.gt for c in constraints if isinstance(c, Ge | Gt)), None)
    high: Any = next((c.le if isinstance(c, Le) else c.lt for c in constraints if isinstance(c, Le | Lt)), None)
    strict = [type(c) for c in constraints if isinstance(c, Gt | Lt)]
    said = noun
    if low is not None and high is not None and Gt in strict and Lt in strict:
        said += f" between {low:g} and {high:g}"
    else:
        bounds = []
        if low is not None:
            bounds.append(f"above {low:g}" if Gt in strict else f"of at least {low:g}")
        if high is not None and high < UNREACHED:
            bounds.append(f"below {high:.10g}" if Lt in strict else f"at most {high:.10g}")
        if bounds:
            said += " " + " and ".join(bounds)
    for rule in (c for c in constraints if isinstance(c, Rule)):
        said += rule.words
    return said
