"""The configuration of a run that is resumed: its own config.yaml, with what the command line changes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sr_experiments.config.command_line import DELETED, parsed
from sr_experiments.config.declared import group_place
from sr_experiments.config.quoting import escaped
from sr_experiments.errors import SRError
from sr_experiments.runs.changes import MISSING, Change, read_changes
from sr_experiments.runs.reading import read_config

# Where the run is and what it began from: a resume changes neither.
NOT_CHANGED = ("resume", "output_dir", "init_from", "hydra", "defaults")


def resumed_config(folder: Path, composed: DictConfig) -> DictConfig:
    """Return the configuration of the run in a folder with the overrides of the command line.

    Args:
        folder: the run's.
        composed: what Hydra composed; groups that the command line chooses are taken from there.

    Raises:
        SRError: the run's configuration can't be read; a setting has no effect on a run that is resumed.
    """
    before = read_config(folder, "restore it, or copy that of a similar run")
    config = OmegaConf.create(escaped(before))
    for key in ("defaults", "hydra"):
        config.pop(key, None)
    overrides = [parsed(override) for override in HydraConfig.get().overrides.task]
    # Groups first: they replace what the run had, and values then change them.
    for override in sorted(overrides, key=lambda one: not _options(one, composed)):
        key = override.key_or_group
        if key in ("resume", "output_dir", "experiment"):
            continue
        if key == "init_from" and override.value() not in (None, before.get("init_from")):
            raise SRError("init_from has no effect on a run that is resumed: leave it out, or leave out resume=")
        try:
            options = _options(override, composed)
            for option in options:
                place = _place(override, option)
                # merge=False: a group that is chosen replaces the run's and is not mixed with it.
                OmegaConf.update(config, place, OmegaConf.select(composed, place), merge=False, force_add=True)
            if options:
                continue
            if override.is_delete() or override.value() == DELETED:
                _remove(config, key)
            else:
                OmegaConf.update(config, key, override.value(), merge=False, force_add=True)
        except (OmegaConfBaseException, TypeError, AttributeError) as error:
            raise SRError(f"{key} can't be set in {folder}: {str(error).splitlines()[0]}") from error
    _follow(config, before, given_keys())
    return config


def given_keys() -> list[str]:
    """Return the keys given on the command line."""
    if not HydraConfig.initialized():
        return []
    return [parsed(override).key_or_group.replace("/", ".") for override in HydraConfig.get().overrides.task]


def changed_settings(folder: Path, config: Mapping[str, Any], step: int) -> list[Change]:
    """Return all changes of a run that now goes on with a configuration: the earlier ones, and those of this resume."""
    before, now = dotted_values(read_config(folder)), dotted_values(config)
    found = []
    for key in dict.fromkeys([*before, *now]):
        old, new = before.get(key, MISSING), now.get(key, MISSING)
        if key.split(".")[0] in NOT_CHANGED or (key == "trainer.max_steps" and "stages" in config):
            continue  # max_steps is the sum of the stages
        if {} in (old, new) and MISSING in (old, new):
            continue
        if (old, type(old)) != (new, type(new)) and not (_is_number(old) and _is_number(new) and old == new):
            found.append(Change(step, key, old, new))
    return _merged([*read_changes(folder), *found])


def _merged(changes: Sequence[Change]) -> list[Change]:
    """Return changes without those that were changed again before a step was trained."""
    merged: dict[tuple[int, str], Change] = {}
    for change in changes:
        first = merged.get((change.step, change.setting), change)
        merged[change.step, change.setting] = Change(change.step, change.setting, first.before, change.now)
    return [change for change in merged.values() if change.before != change.now]


def _follow(config: DictConfig, before: Mapping[str, Any], given: Sequence[str]) -> None:
    """Set what has another setting's value by default, where that one changed: config.yaml has both values."""
    pairs = [("optim.discriminator_learning_rate", "optim.learning_rate")]
    for stage in before.get("stage") or {}:
        pairs += [(f"stage.{stage}.schedule", "optim.schedule")]
    pairs += [(f"stage.{stage}.batch_size", "data.batch_size") for stage in ("sr", "joint")]
    old = OmegaConf.create(escaped(dict(before)))
    for follower, leader in pairs:
        values = [OmegaConf.select(old, key) for key in (follower, leader)]
        own = any(key == follower or key.startswith(f"{follower}.") for key in given)
        if not own and None not in values and values[0] == values[1]:
            OmegaConf.update(config, follower, OmegaConf.select(config, leader), merge=False)


def _options(override: Override, composed: DictConfig) -> list[str]:
    """Return the options that an override chooses of a group; none if it sets a value."""
    key = override.key_or_group
    choices = HydraConfig.get().runtime.choices
    if key in choices:
        return [str(choices[key])]
    value = None if override.is_delete() else override.value()
    # Hydra's choices don't list several options of one group.
    if not isinstance(value, list) or not value or OmegaConf.is_list(OmegaConf.select(composed, key.replace("/", "."))):
        return []
    places = [_place(override, str(option)) for option in value]
    return (
        [str(option) for option in value]
        if all(OmegaConf.is_dict(OmegaConf.select(composed, p)) for p in places)
        else []
    )


def _place(override: Override, option: str) -> str:
    """Return the dotted key at which the file of a group stands."""
    if override.package is not None:
        return str(override.package)
    return group_place(str(override.key_or_group), option)


def _remove(config: DictConfig, key: str) -> None:
    parent, _, name = key.rpartition(".")
    group = OmegaConf.select(config, parent) if parent else config
    if not isinstance(group, DictConfig) or name not in group:
        raise SRError(f"~{key}: the run has no such setting")
    group.pop(name)


def dotted_values(config: Any, prefix: str = "") -> dict[str, Any]:
    """Return {dotted key: value} of a configuration; lists are values."""
    if not isinstance(config, Mapping) or not config:
        return {prefix: config}
    return {
        k: v for key, inner in config.items() for k, v in dotted_values(inner, f"{prefix}.{key}".lstrip(".")).items()
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
