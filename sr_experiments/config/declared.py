"""What conf/schema.json declares of a setting, by its keys. It loads no PyTorch."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

Schema = Mapping[str, Any]

PACKAGE = Path(__file__).parents[1]
OF_HYDRA = ("hydra.sweep.dir", "hydra.sweep.subdir", "hydra.run.dir")  # paths of Hydra's own
PATHS = ("path", "existing-path")
REFERENCE = "#/$defs/"


def conf_folder() -> Path:
    """Return the folder of the YAML files: in the installed package, else beside it in a checkout."""
    installed = PACKAGE / "conf"
    return installed if installed.is_dir() else PACKAGE.parent / "conf"


@lru_cache(maxsize=8)
def _read(path: Path, _modified: float) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def group_place(group: str, option: str) -> str:
    """Return the dotted key at which the file of a group's option stands in the configuration."""
    try:
        first = (conf_folder() / group / f"{option}.yaml").read_text(encoding="utf-8").split("\n", 1)[0]
    except OSError:
        first = ""
    package = re.fullmatch(r"# @package (\S+)", first)
    return group.replace("/", ".") if package is None or package[1] == "_global_" else package[1]


class Declared:
    """The declarations of conf/schema.json; nothing is declared where there is no such file.

    Args:
        folder: of the YAML files.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "schema.json"
        self.schema: Schema = _read(path, path.stat().st_mtime) if path.is_file() else {}

    def alternatives(self, schema: Any) -> Iterator[Schema]:
        """Yield the simple schemas of which a value must fit one."""
        if not isinstance(schema, Mapping):
            return
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(REFERENCE)
            if name != "interpolation":
                yield from self.alternatives(self.schema["$defs"][name])
        elif "anyOf" in schema:
            for option in schema["anyOf"]:
                yield from self.alternatives(option)
        else:
            yield schema

    def inside(self, schema: Any, key: str) -> Iterator[Any]:
        """Yield what may be declared for a key of a group, of whichever component the group turns out to be."""
        for group in self.alternatives(schema):
            if key in group.get("properties", {}):
                yield group["properties"][key]
            elif isinstance(group.get("additionalProperties"), Mapping):
                yield group["additionalProperties"]

    def setting(self, dotted: str) -> list[Schema]:
        """Return the simple schemas of a setting; none if it is not declared."""
        if dotted in OF_HYDRA:
            return [{"type": "string", "format": "path"}]
        found: list[Any] = [self.schema]
        for key in dotted.split("."):
            found = [inner for schema in found for inner in self.inside(schema, key)]
        return [simple for schema in found for simple in self.alternatives(schema)]

    def common(self, dotted: str) -> set[str]:
        """Return the settings that a group has, with the same values, whichever component it names.

        "none", which has no settings, is left aside.
        """
        groups = [schema.get("properties", {}) for schema in self.setting(dotted)]
        having = [group for group in groups if group.get("name", {}).get("const") != "none"]
        takes = [{key: group[key].get("takes") for key in group if key != "name"} for group in having]
        named = {"name"} if having else set()
        return named | {
            key for key in (takes[0] if takes else ()) if all(one.get(key, ()) == takes[0][key] for one in takes)
        }


def is_path(schemas: Sequence[Schema]) -> bool:
    """Return whether a setting may be a path."""
    return any(schema.get("format") in PATHS for schema in schemas)


def is_text(schemas: Sequence[Schema]) -> bool:
    """Return whether a setting may be any text."""
    return any(schema.get("type") == "string" and not {"enum", "const"} & set(schema) for schema in schemas)


def takes(schemas: Sequence[Schema], kind: str) -> bool:
    """Return whether a setting may be of one of JSON's kinds: "null", "boolean", "array"."""
    return any(schema.get("type") == kind for schema in schemas)


def words_of(schemas: Sequence[Schema]) -> set[Any]:
    """Return the fixed values that a setting may have."""
    return {word for s in schemas for word in (*s.get("enum", ()), *([s["const"]] if "const" in s else ()))}


YES, NO = ("true", "yes", "on"), ("false", "no", "off")  # as YAML 1.1 writes them
NULL = ("null", "none", "~")


def with_plain_words(config: Any, declared: Declared) -> Any:
    """Return a configuration in which the words for true, false and null are these values, where a setting takes them.

    On the command line Hydra takes `off`, `yes` and Python's `None` for text, and YAML 1.1 the first two for truth
    values. W&B writes the values of its sweeps as Python does.

    Args:
        config: plain data.
        declared: what settings take.
    """
    return _converted(config, [declared.schema], declared)


def _converted(value: Any, schemas: Sequence[Any], declared: Declared) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _converted(inner, [s for schema in schemas for s in declared.inside(schema, str(key))], declared)
            for key, inner in value.items()
        }
    if not isinstance(value, str):
        return value
    simple = [s for schema in schemas for s in declared.alternatives(schema)]
    word, fixed = value.lower(), words_of(simple)
    if value in fixed or not simple:
        return value
    if takes(simple, "boolean") and word in (*YES, *NO):
        return word in YES
    null = NULL if is_text(simple) else (*NULL, *NO)  # a number that is off, but a text may be "off"
    return None if takes(simple, "null") and word in null else value
