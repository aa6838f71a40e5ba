"""The settings in which the configurations of runs differ."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

# Where a run is and how it is shown: no settings that change its result.
IGNORED = ("name", "output_dir", "resume", "offline", "hydra", "defaults", "logger", "callbacks")


MISSING: Any = object()  # value of a setting that a run does not have; None is one that it may have


@dataclass(frozen=True)
class Setting:
    """A setting that differs between runs."""

    key: str  # dotted key in the configuration
    values: list[Any]  # value in each run; MISSING where the run has no such setting
    # Keys of other settings with the same values in every run, such as those derived from this one.
    also: list[str] = field(default_factory=list)
    label: str = ""  # short unique name


def differing(configs: Sequence[dict[str, Any]]) -> list[Setting]:
    """Return the settings in which configurations differ: choices such as `model` and `loss` first, then the others.

    A group that only some configurations have, such as `stage`, is one setting. A setting that exists with one choice
    only, as those of the discriminator with `loss=gan`, is part of the choice.
    """
    settings: list[Setting] = []
    for setting in _differing("", [{k: v for k, v in config.items() if k not in IGNORED} for config in configs]):
        # Settings that interpolate this one, such as ${seed}, always differ with it: one row for all of them.
        same = next((s for s in settings if all(map(_same, s.values, setting.values))), None)
        if same is None:
            settings.append(setting)
        else:
            same.also.append(setting.key)
    settings = _without_parts_of_choices(settings)
    labels = _labels([setting.key for setting in settings], {key for config in configs for key in _keys("", config)})
    return [replace(setting, label=label) for setting, label in zip(settings, labels, strict=True)]


def _without_parts_of_choices(settings: Sequence[Setting]) -> list[Setting]:
    choices = [setting for setting in settings if setting.key.endswith(".name")]
    kept = []
    for setting in [*choices, *(setting for setting in settings if setting not in choices)]:
        groups = (choice for choice in choices if setting.key.startswith(choice.key.removesuffix("name")))
        group = next((choice for choice in groups if choice is not setting), None)
        if group is not None and MISSING in setting.values and _follows(setting.values, group.values):
            group.also.append(setting.key)
        else:
            kept.append(setting)
    return kept


def _follows(values: Sequence[Any], choice: Sequence[Any]) -> bool:
    """Return whether runs with equal choices have equal values."""
    pairs = list(zip(choice, values, strict=True))
    return all(_same(value, other) for chosen, value in pairs for also, other in pairs if _same(chosen, also))


def value_text(value: Any) -> str:
    """Format a value of a setting in as few characters as can be read."""
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


def short_texts(values: Sequence[Any], longest: int = 40) -> list[str]:
    """Format values; where they are long, what all begin with is left out, so that what differs is seen."""
    texts = [value_text(value) for value in values]
    given = [text for value, text in zip(values, texts, strict=True) if value is not MISSING]
    if max(map(len, texts)) > longest and len(set(given)) > 1:
        alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*given, strict=False))
        beginning = "".join(letters[0] for letters in alike).rstrip("0123456789.")  # numbers stay whole
        same = len(beginning) - 8  # some of it stays, to be recognised
        if same > 0:
            texts = [text if value is MISSING else f"…{text[same:]}" for value, text in zip(values, texts, strict=True)]
    return [text if len(text) <= longest else f"{text[: longest - 1]}…" for text in texts]


def _labels(keys: Sequence[str], all_keys: Collection[str]) -> list[str]:
    """Shorten keys to their last parts, as few as mean one setting only; that of `model.name` is `model`."""
    others = [_parts(key) for key in {*keys, *all_keys}]
    labels = []
    for part in map(_parts, keys):
        depth = 1
        while depth < len(part) and any(other != part and other[-depth:] == part[-depth:] for other in others):
            depth += 1
        labels.append(".".join(part[-depth:]))
    return labels


def _parts(key: str) -> list[str]:
    return key.removesuffix(".name").split(".")


def _keys(prefix: str, config: Any) -> Iterator[str]:
    """Yield the dotted keys of all values, but for those of IGNORED groups."""
    if not isinstance(config, dict):
        yield prefix
        return
    for key, value in config.items():
        if prefix or key not in IGNORED:
            yield from _keys(f"{prefix}.{key}" if prefix else str(key), value)


def _inner(value: Any) -> str:
    return f"({value_text(value)})" if isinstance(value, dict) and value else value_text(value)


def _differing(prefix: str, values: list[Any]) -> list[Setting]:
    if not all(isinstance(value, dict) for value in values):
        return [] if all(_same(value, values[0]) for value in values) else [Setting(prefix, values)]
    settings = []
    for key in dict.fromkeys(key for value in values for key in value):
        settings += _differing(f"{prefix}.{key}" if prefix else str(key), [value.get(key, MISSING) for value in values])
    return settings


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)  # True == 1 in Python
