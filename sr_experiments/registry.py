"""Build things by name: `{"name": "rrdbnet", "blocks": 23}` becomes `RRDBNet(blocks=23)`."""

import difflib
import inspect
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
        SRError: unknown name, unknown argument or missing argument.
    """
    arguments = dict(config)
    name = arguments.pop("name", None)
    if name not in registry:
        raise SRError(f"unknown {kind} {name!r}: choose one of {', '.join(sorted(registry))}")
    factory = registry[name]
    parameters = inspect.signature(factory).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for key in arguments:
            if key not in parameters:
                near = difflib.get_close_matches(str(key), list(parameters), 1)
                hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(parameters) or 'no arguments'}"
                raise SRError(f"{kind} {name!r} has no argument {key!r}: {hint}")
    arguments.update(fixed)
    missing = [
        p.name
        for p in parameters.values()
        if p.default is p.empty and p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name not in arguments
    ]
    if missing:
        raise SRError(f"{kind} {name!r} needs {', '.join(missing)}")
    return factory(**arguments)
