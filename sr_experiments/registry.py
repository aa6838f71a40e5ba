"""Components by name: `{"name": "rrdbnet", "blocks": 23}` becomes `RRDBNet(blocks=23)`.

A component is a class or function with plain, annotated keyword arguments, registered where it is written:

    @GENERATORS.register("rrdbnet", small={"features": 8, "blocks": 1, "growth": 4})
    class RRDBNet(nn.Module):
        def __init__(self, scale: int = 4, channels: int = 3, features: Features = 64, ...) -> None:

What a configuration may say of it follows from that signature, see `sr_experiments.config.constraints`.
"""

import difflib
import importlib
import inspect
import math
import pkgutil
import re
import typing
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from sr_experiments.config.explain import Problem, either, problem, short
from sr_experiments.errors import SRError
from sr_experiments.packages.plugins import load_plugins

T = TypeVar("T")
LARGEST = 2**63 - 1  # of whole numbers


class Group(BaseModel):
    """Settings that belong together: no others, no wrong types, no infinite numbers."""

    model_config = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True, protected_namespaces=(),
        use_attribute_docstrings=True,
    )  # fmt: skip


def optional() -> Any:
    """Return the field of a setting that a configuration may lack."""
    return Field(default_factory=lambda: None)


class Registry(MutableMapping[str, Callable[..., T]], Generic[T]):
    """Names to classes and functions; filled when first read, by importing all modules of its package, and plug-ins.

    Args:
        kind: what it holds, for messages: "generator".
        package: whose modules register something, or the one module that does.
        given: arguments that the program gives, and the settings that decide them: `{"crop": "data.crop"}`.
    """

    def __init__(self, kind: str, package: str, given: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self.package = package
        self.given = dict(given or {})
        self.small: dict[str, dict[str, Any]] = {}
        self._factories: dict[str, Callable[..., T]] = {}
        self.by_argument: dict[str, Callable[..., T]] = {}
        self._is_filled = False

    F = TypeVar("F", bound=Callable[..., Any])

    def register(
        self, name: str = "", *, small: Mapping[str, Any] | None = None, with_argument: str = ""
    ) -> Callable[[F], F]:
        """Register the class or function below.

        Args:
            name: by which a configuration calls it.
            small: the arguments that make it tiny, for tests.
            with_argument: makes it what every other name stands for, if this argument is given: what a component
                does is then all in its YAML file.
        """

        def add(factory: Registry.F) -> Registry.F:
            if with_argument:
                self.by_argument[with_argument] = factory
            else:
                known = getattr(self._factories.get(name), "__module__", factory.__module__)
                if known != factory.__module__:
                    raise SRError(f"{self.kind} {name} is both in {known} and in {factory.__module__}: rename yours")
                self._factories[name] = factory
                self.small[name] = dict(small or {})
            return factory

        return add

    def factory(self, config: Mapping[str, Any]) -> Callable[..., T]:
        """Return what a configuration is of.

        Raises:
            Problem: its name is unknown, or no name.
        """
        name = config.get("name")
        if isinstance(name, str):
            if name in self:
                return self[name]
            for argument, factory in self.by_argument.items():
                if argument in config:
                    return factory
        elif "name" not in config:
            raise Problem("missing", ("name",))
        close = difflib.get_close_matches(str(name), list(self), 1)
        wanted = either([*sorted(self), *(f"a name of your own with {a}" for a in self.by_argument)])
        wanted += f"; did you mean {close[0]}?" if close else ""
        raise Problem("wrong", ("name",), name, wanted)

    def __getitem__(self, name: str) -> Callable[..., T]:
        self._fill()
        return self._factories[name]

    def __iter__(self) -> Iterator[str]:
        self._fill()
        return iter(self._factories)

    def __len__(self) -> int:
        self._fill()
        return len(self._factories)

    def __setitem__(self, name: str, factory: Callable[..., T]) -> None:
        self._fill()
        self._factories[name] = factory

    def __delitem__(self, name: str) -> None:
        del self._factories[name]

    def _fill(self) -> None:
        if self._is_filled:
            return
        self._is_filled = True  # a module may read the registry while it is imported
        try:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
                if not module.ispkg:
                    importlib.import_module(f"{self.package}.{module.name}")
            load_plugins()
        except BaseException:
            self._is_filled = False
            raise


def build(kind: str, registry: Registry[T], config: Mapping[str, Any], **fixed: Any) -> T:
    """Call the registered class or function that `config["name"]` names.

    Args:
        kind: what is being built, for error messages: `"generator"`.
        registry: of classes or functions with plain keyword arguments.
        config: `name` and the keyword arguments.
        **fixed: further keyword arguments, given by the code rather than by the user.

    Raises:
        SRError: unknown name; unknown or missing argument, one that the code gives, or a wrong value.
    """
    if not isinstance(config, Mapping):
        raise SRError(f"{kind} is {config!r}: give its name and its arguments")
    name = config.get("name")
    try:
        factory = registry.factory(config)
    except Problem:
        raise SRError(f"unknown {kind} {short(name)}: choose one of {', '.join(sorted(registry))}") from None
    try:
        check_component(registry, config, given={key: registry.given.get(key, "the run") for key in fixed})
    except Problem as error:
        raise SRError(error.line_of_component(f"{kind} {name!r}")) from None
    return factory(**{key: value for key, value in config.items() if key != "name"}, **fixed)


def check_component(
    registry: Registry[Any],
    config: Mapping[str, Any],
    base: type[BaseModel] = Group,
    given: Mapping[str, str] | None = None,
) -> None:
    """Check what a configuration says of one component.

    Args:
        registry: which kind of component.
        config: `name`, the component's arguments, and the settings of `base`.
        base: settings that all components of the kind have here, besides their arguments.
        given: arguments that the program gives, instead of the registry's own.

    Raises:
        Problem: the first thing that is wrong.
    """
    given = registry.given if given is None else given
    plain = plain_data(config)
    model = component_model(registry.factory(config), base, frozenset(given))
    try:
        model.model_validate(plain)
    except ValidationError as error:
        raise problem(error, model, plain, given) from None


@lru_cache(maxsize=1000)
def component_model(factory: Callable[..., Any], base: type[BaseModel], without: frozenset[str]) -> type[BaseModel]:
    """Return the model of a component's configuration, from its signature and the `Args` of its docstring.

    Args:
        factory: the class or function.
        base: settings besides its arguments.
        without: arguments that are not the user's.
    """
    parameters = _parameters(factory)
    hints = typing.get_type_hints(factory.__init__ if inspect.isclass(factory) else factory, include_extras=True)
    meanings = argument_meanings(factory)
    fields: dict[str, Any] = {"name": (str, ...)}
    for name, parameter in parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            base = type(base.__name__, (base,), {"model_config": ConfigDict(extra="allow")})
        elif name not in without:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (hints.get(name, Any), Field(default, description=meanings.get(name)))
    # The descriptions are there; pydantic would search the whole call stack for the source of a class without one.
    base = type(base.__name__, (base,), {"model_config": ConfigDict(use_attribute_docstrings=False)})
    name = getattr(factory, "__name__", "component")
    return create_model(name, __base__=base, __doc__=_first_sentence(factory), **fields)


class Component:
    """Marks a mapping in a signature, or a group, as the configuration of a component.

    Args:
        registry: which kind.
        base: settings besides its arguments.
        named: False if a name is not needed: what it is of then follows from elsewhere.
        none: whether `name: none` is possible: no component, whatever else is given.
    """

    def __init__(
        self, registry: Registry[Any], base: type[BaseModel] = Group, named: bool = True, none: bool = False
    ) -> None:
        self.registry = registry
        self.base = base
        self.named = named
        self.none = none

    def check(self, value: Any) -> Any:
        """Return the value.

        Raises:
            Problem: the component doesn't take it.
        """
        if isinstance(value, Mapping) and not (self.none and value.get("name") == "none"):
            if not self.named and "name" not in value:
                return value
            check_component(self.registry, value, self.base)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self.check, handler(source))


def plain_data(value: Any, path: tuple[str | int, ...] = ()) -> Any:
    """Return mappings as dictionaries and sequences as lists, whatever their classes.

    Raises:
        Problem: it has a number that is not finite, or so large that no computer counts so far.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise Problem("wrong", path, value, "a finite number")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise Problem("wrong", path, value, "a smaller number: no computer counts so far")
    if isinstance(value, Mapping):
        return {key: plain_data(inner, (*path, key)) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain_data(inner, (*path, i)) for i, inner in enumerate(value)]
    return value


def argument_meanings(factory: Callable[..., Any]) -> dict[str, str]:
    """Return what the `Args` section of a docstring says of each argument; a class's parents say the rest."""
    meanings: dict[str, str] = {}
    for owner in reversed(inspect.getmro(factory)) if inspect.isclass(factory) else [factory]:
        section = re.search(r"\n *Args:\n(.*?)(?:\n\s*\n|\Z)", inspect.cleandoc(owner.__doc__ or ""), re.DOTALL)
        for entry in re.split(r"\n    (?=\S)", "\n" + section[1])[1:] if section else []:
            name, _, meaning = entry.partition(":")
            meanings[name.strip("* ")] = " ".join(meaning.split())
    return meanings


def _first_sentence(factory: Callable[..., Any]) -> str:
    return " ".join(inspect.cleandoc(factory.__doc__ or "").split("\n\n")[0].split())


def _parameters(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the keyword arguments; `nn.Module`'s own constructor, which takes none, says it takes any."""
    if inspect.isclass(factory) and factory.__init__.__module__.startswith("torch."):
        return {}
    return inspect.signature(factory).parameters
