"""What can be said of a configuration before PyTorch is imported, which takes seconds: conf/schema.json knows it.

It refuses only what `sr_experiments.config.schema.check` refuses too, or what will not be found; the rest is left to
the code itself. A component or argument that conf/schema.json doesn't know may be a new one.
"""

import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from sr_experiments.config.declared import Declared, Schema, conf_folder, words_of
from sr_experiments.config.explain import Part, Problem, near
from sr_experiments.config.resolve import is_sweep, resolved_config
from sr_experiments.errors import SRError, one_line

KINDS: dict[str, tuple[type, ...]] = {
    "number": (int, float), "integer": (int,), "string": (str,), "boolean": (bool,), "null": (type(None),),
    "array": (list,), "object": (dict,),
}  # fmt: skip


def check_before_imports(cfg: DictConfig) -> None:
    """Refuse a composed configuration that no run can have, and say that PyTorch is being loaded.

    Raises:
        SystemExit: with 2 after a user error, which is printed.
        SRError: the same, in a job of a sweep.
    """
    if "torch" in sys.modules:
        return  # a later job of a sweep: the whole check is as quick
    try:
        config, folder = resolved_config(cfg)
        refuse(config, f"resume={folder}: " if folder else "")
    except SRError as error:
        if is_sweep():
            raise
        sys.stderr.write(f"error: {one_line(error)}\n")
        raise SystemExit(2) from None
    if "LOCAL_RANK" not in os.environ:
        sys.stderr.write("loading PyTorch ...\n")


def refuse(config: Mapping[str, Any], prefix: str = "") -> None:
    """Refuse a configuration with a value that its declaration excludes, or a path that leads nowhere.

    Raises:
        SRError: the first problem, after a prefix.
    """
    declared = Declared(conf_folder())
    try:
        _check(config, declared.schema, (), declared, "")
    except Problem as problem:
        raise SRError(prefix + problem.line("")) from None


def _check(value: Any, schema: Schema, path: tuple[Part, ...], declared: Declared, takes: str) -> None:
    takes = schema.get("takes", takes)
    options = list(declared.alternatives(schema))
    if isinstance(value, Mapping):
        group = _group(value, options)
        if group is not None:
            _check_group(value, group, path, declared)
            return
        if any(option.get("type") == "object" for option in options):
            # A component that conf/schema.json doesn't know, or a validation set whose kind follows from elsewhere.
            for key, inner in value.items() if "name" not in value else ():
                schemas = [schema for option in options for schema in declared.inside(option, str(key))]
                _check_path(inner, [a for schema in schemas for a in declared.alternatives(schema)], (*path, key))
            return
    if takes and options and not any(_fits(value, option, declared) for option in options):
        raise Problem("wrong", path, value, takes)
    _check_path(value, options, path)


def _group(value: Mapping[str, Any], options: list[Schema]) -> Schema | None:
    """Return the declaration of a group, of a component that of its name; None if there is none."""
    groups = [option for option in options if option.get("type") == "object"]
    named = [group for group in groups if "const" in group.get("properties", {}).get("name", {})]
    if named:
        return next((g for g in named if g["properties"]["name"]["const"] == value.get("name")), None)
    return groups[0] if len(groups) == 1 else None


def _check_group(value: Mapping[str, Any], group: Schema, path: tuple[Part, ...], declared: Declared) -> None:
    properties, others = group.get("properties", {}), group.get("additionalProperties")
    component = "const" in properties.get("name", {})
    for key, inner in value.items():
        if key == "name" and component:
            continue
        if key in properties:
            _check(inner, properties[key], (*path, key), declared, "")
        elif isinstance(others, Mapping):
            _check(inner, others, (*path, key), declared, "")
        elif others is False and not component:
            known = [name for name in properties if name not in ("hydra", "defaults")]
            raise Problem("unknown", (*path, str(key)), help=near(key, known))


def _fits(value: Any, option: Schema, declared: Declared) -> bool:
    if "const" in option:
        return bool(value == option["const"]) and isinstance(value, bool) == isinstance(option["const"], bool)
    if "enum" in option:
        return value in option["enum"]
    kind = option.get("type")
    if kind is None:
        return True
    if not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        return math.isfinite(value) and _in_bounds(value, option)
    if isinstance(value, list):
        few = option.get("minItems", 0) <= len(value) <= option.get("maxItems", len(value))
        inner = list(declared.alternatives(option.get("items", {})))
        return few and all(any(_fits(one, i, declared) for i in inner) or not inner for one in value)
    return True


def _in_bounds(value: float, option: Schema) -> bool:
    infinity = math.inf
    return (
        option.get("minimum", -infinity) <= value <= option.get("maximum", infinity)
        and option.get("exclusiveMinimum", -infinity) < value < option.get("exclusiveMaximum", infinity)
    )  # fmt: skip


def _check_path(value: Any, options: Sequence[Schema], path: tuple[Part, ...]) -> None:
    """Refuse a path that leads nowhere; recipes have words in <> in the place of one."""
    must_exist = any(option.get("format") == "existing-path" for option in options)
    if not must_exist or not isinstance(value, str) or value in words_of(options) or value.startswith("<"):
        return
    key = ".".join(map(str, path))
    try:
        there = Path(value).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, no such user
        there = False
    if not there:
        place = f" ({Path(value).absolute()})" if not value.startswith(("/", "~")) and "\0" not in value else ""
        raise SRError(f"{key}={value}: no such file or folder{place}; check the path")
