"""Build things by name: `{"name": "rrdbnet", "blocks": 23}` becomes `RRDBNet(blocks=23)`."""

import collections.abc
import difflib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sr_experiments.errors import SRError

T = TypeVar("T")


def build(kind: str, registry: Mapping[str, Callable[..., T]], config: Mapping[str, Any], **fixed: Any) -> T:
    """Call the registered class or function that `config["name"]` names.

    Args:
        kind: what is being built, for error messages: `"generator"`.
        registry: names to classes or functions with plain keyword arguments.
        config: `name` and the keyword arguments.
        **fixed: further keyword arguments, given by the code rather than by the user.

    Raises:
        SRError: unknown name, unknown or missing argument, or one of another type than is annotated.
    """
    if not isinstance(config, Mapping):
        raise SRError(f"{kind} is {config!r}: give its name and its arguments")
    arguments = dict(config)
    name = arguments.pop("name", None)
    if not isinstance(name, str) or name not in registry:
        raise SRError(f"unknown {kind} {name!r}: choose one of {', '.join(sorted(registry))}")
    factory = registry[name]
    parameters = inspect.signature(factory).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for key in arguments:
            if key not in parameters:
                near = difflib.get_close_matches(str(key), list(parameters), 1)
                hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(parameters) or 'no arguments'}"
                raise SRError(f"{kind} {name!r} has no argument {key!r}: {hint}")
    annotated = typing.get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    for key, value in arguments.items():
        if key in annotated and not _fits(value, annotated[key]):
            raise SRError(f"{kind} {name!r}: its {key} is {value!r:.80}: give {_said(annotated[key])}")
    arguments.update(fixed)
    missing = [
        p.name
        for p in parameters.values()
        if p.default is p.empty and p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name not in arguments
    ]
    if missing:
        raise SRError(f"{kind} {name!r} needs {', '.join(missing)}")
    return factory(**arguments)


# What a configuration can hold, in words.
_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "null",
    collections.abc.Sequence: "a list",
    collections.abc.Mapping: "a mapping",
}


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a configuration's value is of an annotated type; what isn't a configuration's fits anything."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is collections.abc.Sequence:
        return isinstance(value, list | tuple) and all(_fits(one, inner[0]) for one in value)
    if origin is collections.abc.Mapping:
        return isinstance(value, Mapping) and all(_fits(one, inner[1]) for one in value.values())
    if annotation in (int, float) and isinstance(value, bool):
        return False
    if annotation is float:
        return isinstance(value, int | float)
    return annotation not in _WORDS or isinstance(value, annotation)


def _said(annotation: Any) -> str:
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(_said(one) for one in inner)
    return _WORDS.get(typing.get_origin(annotation) or annotation, str(annotation))
