"""The schema of the settings as JSON Schema, draft 2020-12: for editors, and for `--help`, which loads no PyTorch.

Beside the standard's keywords a setting has `takes`, what is possible in words. In YAML files anything may be an
interpolation, and a file may give a part of a group: only a whole run's configuration must have every group.
"""

import json
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union

from annotated_types import Len, MinLen
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sr_experiments.config.explain import is_kind, words
from sr_experiments.config.schema import Run
from sr_experiments.registry import Component, Group, component_model

INTERPOLATION = {"type": "string", "pattern": r"^\?\?\?$|\$\{"}
# Which part of a run the YAML files of each folder of conf/ hold; "" is the whole, as in @package _global_.
FOLDERS = {
    "": "", "experiment": "", "local": "", "model": "model", "degradation": "degradation", "data": "data",
    "augment": "augment.*", "metrics": "metrics.*", "loss": "loss", "loss/terms": "loss.terms.*",
    "loss/pixel": "loss.terms.*", "loss/perceptual": "loss.terms.*", "loss/adversarial": "loss.terms.*",
    "loss/discriminator": "loss.discriminator", "optim": "optim",
    "optim/schedule": "optim.schedule", "trainer": "trainer", "logger": "logger",
    "callbacks": "callbacks", "stage": "stage.*",
}  # fmt: skip
OR_WHOLE = ("model",)  # parts of which some files are in @package _global_


class _Writer:
    """Collects the definitions that a schema refers to."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {"interpolation": INTERPOLATION}

    def group(self, model: type[BaseModel], name: str, also: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Define the group, if it isn't, and return a reference to it."""
        if name not in self.definitions:
            self.definitions[name] = {}  # a component may hold others of its kind
            properties = {key: self.setting(field) for key, field in model.model_fields.items()}
            self.definitions[name] = {
                "type": "object",
                "description": " ".join((model.__doc__ or "").split("\n\n")[0].split()),
                "properties": {**properties, **(also or {}), "defaults": {"type": "array"}},
                "additionalProperties": model.model_config.get("extra") == "allow",
            }
        return {"$ref": f"#/$defs/{name}"}

    def setting(self, field: FieldInfo) -> dict[str, Any]:
        """Return a setting's schema, with its meaning and what it takes."""
        annotation = Annotated.__class_getitem__((field.annotation, *field.metadata, None))  # type: ignore[attr-defined]
        said = {"description": " ".join(field.description.split())} if field.description else {}
        default = (
            {} if field.default in (PydanticUndefined, None) or field.default_factory else {"default": field.default}
        )
        return {
            **said,
            "takes": words(annotation),
            **json.loads(json.dumps(default, default=str)),
            **self.value(annotation),
        }

    def value(self, annotation: Any) -> dict[str, Any]:
        """Return the schema of a type."""
        if typing.get_origin(annotation) is Annotated:
            kind, *constraints = typing.get_args(annotation)
        else:
            kind, constraints = annotation, []
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if component := next((c for c in constraints if isinstance(c, Component)), None):
            null = [{"type": "null"}] if type(None) in arguments else []
            return {"anyOf": [self.component(component), {"$ref": "#/$defs/interpolation"}, *null]}
        if is_kind(kind, BaseModel):
            return self.group(kind, kind.__name__)
        if origin in (Union, types.UnionType) and any(is_kind(typing.get_origin(a), Mapping) for a in arguments):
            return {"anyOf": [self.value(member) for member in arguments]}
        if is_kind(origin, Mapping):
            return {"type": "object", "additionalProperties": self.value(arguments[1])}
        if is_kind(origin, Sequence) and typing.get_origin(arguments[0]) in (Annotated, Sequence):
            bounds = next((c for c in constraints if isinstance(c, Len | MinLen)), None)
            least = {"minItems": bounds.min_length} if bounds else {}
            most = {"maxItems": bounds.max_length} if isinstance(bounds, Len) and bounds.max_length else {}
            items = {"type": "array", "items": self.value(arguments[0]), **least, **most}
            return {"anyOf": [items, {"$ref": "#/$defs/interpolation"}]}
        if kind is Any or annotation is Any:
            return {}
        return {"anyOf": [TypeAdapter(annotation).json_schema(), {"$ref": "#/$defs/interpolation"}]}

    def component(self, component: Component) -> dict[str, Any]:
        """Return the schema of a component: any of its registry, and nothing by the name of none where that goes."""
        registry = component.registry
        names: list[tuple[str, Any]] = [(name, registry[name]) for name in sorted(registry)]
        names += [("", factory) for factory in registry.by_argument.values()]
        options = []
        for name, factory in names:
            model = component_model(factory, component.base, frozenset(registry.given))
            meaning = {"description": " ".join((model.__doc__ or "").split())}  # shown where the pointer is on the name
            named = {**meaning, "const": name} if name else {"type": "string"}
            parts = [
                registry.kind,
                name or factory.__name__,
                "" if component.base is Group else component.base.__name__,
            ]
            definition = "-".join(filter(None, parts)).replace(" ", "-")
            options.append(self.group(model, definition, {"name": named}))
        if component.none:
            options.append({"type": "object", "properties": {"name": {"const": "none"}}, "required": ["name"]})
        return {"anyOf": options}


def json_schema() -> dict[str, Any]:
    """Return the schema of a run's configuration, and under `$defs` one for the YAML files of each part of it."""
    writer = _Writer()
    run = writer.group(Run, "run", {"hydra": {"type": "object"}})
    required = [key for key, field in Run.model_fields.items() if field.is_required()]
    definitions = writer.definitions
    for place in filter(None, dict.fromkeys(FOLDERS.values())):
        part, whole = _part(definitions, place), {**run, "required": [place]}
        definitions[f"file-{part_name(place)}"] = {"anyOf": [part, whole]} if place in OR_WHOLE else part
    definitions["file-run"] = run
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A run of sr_experiments",
        "description": "Written by `sr schema` from the signatures and groups that declare the settings.",
        **run,
        "required": required,
        "$defs": dict(sorted(definitions.items())),
    }


def part_name(place: str) -> str:
    """Return what the schema of a part of a run is called: "loss-terms" for "loss.terms.*"."""
    return place.removesuffix(".*").replace(".", "-") or "run"


def _part(definitions: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return the schema of one part of a run's: "optim.schedule", or "metrics.*" for any of the metrics."""
    schema: dict[str, Any] = definitions["run"]
    for key in place.split("."):
        while "$ref" in schema or "anyOf" in schema:  # all components of a kind have the settings of their base
            schema = schema["anyOf"][0] if "anyOf" in schema else definitions[schema["$ref"].removeprefix("#/$defs/")]
        schema = schema["additionalProperties"] if key == "*" else schema["properties"][key]
    return schema
