"""What differs between the configurations of runs, and only that."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

# What says where a run is and how it is shown, not what it is.
NO_KNOBS = ("name", "output_dir", "resume", "offline", "hydra", "defaults", "logger", "callbacks")


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


@dataclass(frozen=True)
class Knob:
    """A setting that differs.

    Attributes:
        key: in the configuration, with dots.
        values: of each run; MISSING where it has none.
        also: keys of settings that have the same values everywhere, such as those that are derived from this one.
        label: short name, which tells it from the others.
    """

    key: str
    values: list[Any]
    also: list[str] = field(default_factory=list)
    label: str = ""


def differing(configs: Sequence[dict[str, Any]]) -> list[Knob]:
    """The knobs in which configurations differ, choices such as `model` and `loss` first, then in their order.

    A part that some have and others don't, such as `stage`, is one knob. What comes and goes with a choice, as the
    settings of the discriminator with `loss=gan`, belongs to the choice.
    """
    knobs: list[Knob] = []
    for knob in _differing("", [{k: v for k, v in config.items() if k not in NO_KNOBS} for config in configs]):
        same = next((k for k in knobs if all(map(_same, k.values, knob.values))), None)
        if same is None:
            knobs.append(knob)
        else:
            same.also.append(knob.key)
    knobs = _without_parts_of_choices(knobs)
    labels = _labels([knob.key for knob in knobs])
    return [Knob(knob.key, knob.values, knob.also, label) for knob, label in zip(knobs, labels, strict=True)]


def _without_parts_of_choices(knobs: Sequence[Knob]) -> list[Knob]:
    choices = [knob for knob in knobs if knob.key.endswith(".name")]
    kept = []
    for knob in [*choices, *(knob for knob in knobs if knob not in choices)]:
        groups = (choice for choice in choices if knob.key.startswith(choice.key.removesuffix("name")))
        group = next((choice for choice in groups if choice is not knob), None)
        if group is not None and MISSING in knob.values and _follows(knob.values, group.values):
            group.also.append(knob.key)
        else:
            kept.append(knob)
    return kept


def _follows(values: Sequence[Any], choice: Sequence[Any]) -> bool:
    """Whether equal choices have equal values."""
    pairs = list(zip(choice, values, strict=True))
    return all(_same(value, other) for chosen, value in pairs for also, other in pairs if _same(chosen, also))


def text(value: Any) -> str:
    """A value in as few characters as can be read."""
    if value is MISSING:
        return "–"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return " ".join(f"{key}={_inner(inner)}" for key, inner in value.items()) or "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inner, value))}]"
    return str(value)


def _labels(keys: Sequence[str]) -> list[str]:
    """The ends of keys, as short as they can be; that of `model.name` is `model`."""
    parts = [key.removesuffix(".name").split(".") for key in keys]
    labels = []
    for part in parts:
        depth = 1
        while depth < len(part) and sum(other[-depth:] == part[-depth:] for other in parts) > 1:
            depth += 1
        labels.append(".".join(part[-depth:]))
    return labels


def _inner(value: Any) -> str:
    return f"({text(value)})" if isinstance(value, dict) and value else text(value)


def _differing(prefix: str, values: list[Any]) -> list[Knob]:
    if not all(isinstance(value, dict) for value in values):
        return [] if all(_same(value, values[0]) for value in values) else [Knob(prefix, values)]
    knobs = []
    for key in dict.fromkeys(key for value in values for key in value):
        knobs += _differing(f"{prefix}.{key}" if prefix else str(key), [value.get(key, MISSING) for value in values])
    return knobs


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
