"""Stages of a run as data: what trains, on which losses, for how long. What holds at a step follows from the step."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sr_experiments.config.run_kind import compares_sr, is_gan, makes_sr, terms_of_stage
from sr_experiments.errors import SRError
from sr_experiments.losses import LOSSES
from sr_experiments.losses.objective import is_adversarial
from sr_experiments.training.schedules import Schedule, make_schedule

UNTRAINED = "pixel"  # the term that every run has by default, so that a run of the flow net alone may leave it unused

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Stage:
    """One stage."""

    name: str  # as in the configuration
    start: int  # step it begins at
    steps: int  # its length
    # the networks that train, with their share of `optim.learning_rate`; all others are frozen
    trains: Mapping[str, float]
    losses: Mapping[str, float | None]  # weights of the terms that act, by name; None for the term's own
    makes_sr: bool  # whether SR frames are made; not where the flow net alone is trained, by the warp loss
    clip_length: int  # frames of a training clip
    batch_size: int  # clips a batch, per device
    schedule: Schedule  # factor of the learning rate at a step of the stage, counted from its start
    # the discriminator learns only while mean log D(real) - mean log D(fake) is below it; None: always
    update_margin: float | None = None


@dataclass(frozen=True)
class Stages:
    """The stages of a run, in order."""

    stages: Sequence[Stage]  # one or more
    # settings of all terms: those of `loss.terms`, and losses that stages name without further settings
    terms: Mapping[str, Settings]

    def at(self, step: int) -> Stage:
        """The stage that the batch of `step` belongs to; after the end, the last one."""
        return next((s for s in self.stages if step < s.start + s.steps), self.stages[-1])

    def clips(self, step: int) -> tuple[int, int]:
        """Number and frames of the clips of a step."""
        stage = self.at(step)
        return stage.batch_size, stage.clip_length

    @property
    def ends(self) -> list[int]:
        """The steps at which the stages end: validation and a checkpoint are due there."""
        return [s.start + s.steps for s in self.stages]


def stage_configs(config: Settings) -> list[dict[str, Any]]:
    """Read the chosen stages of a configuration in their order, each with its name and checked.

    Raises:
        SRError: an unknown stage, a wrong value in one, or a network that has none.
    """
    names, known = config["stages"], config.get("stage") or {}
    if not known:
        raise SRError(
            f"stages has no effect on model={config['model']['name']}: leave it out, or set model=frvsr or basicvsr_uni"
        )
    if not isinstance(names, list) or not names:
        raise SRError(f"stages is {names!r}: give a list, for example stages=[{','.join(known)}]")
    chosen = []
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise SRError(
                f"unknown stage {name!r} in stages: choose of {', '.join(known)}, or add +stage.{name}.steps=..."
            )
        chosen.append({"name": name, **known[name]})
        _check(f"stage.{name}", known[name], config)
    return chosen


def make_stages(config: Settings) -> Stages:
    """Make the stages of a configuration with `stages`, `stage`, `optim` and `loss`.

    Raises:
        SRError: see `stage_configs`; a stage names an unknown term; or no chosen stage uses a term.
    """
    chosen = stage_configs(config)
    terms = _terms(chosen, config["loss"]["terms"])
    margin = config["loss"].get("discriminator", {}).get("update_margin")
    stages: list[Stage] = []
    for stage in chosen:
        stages.append(
            Stage(
                name=stage["name"],
                start=stages[-1].start + stages[-1].steps if stages else 0,
                steps=stage["steps"],
                trains=stage["trains"],
                losses=_weights(stage, chosen, terms),
                makes_sr=makes_sr(stage, terms),
                clip_length=stage["clip_length"],
                batch_size=stage["batch_size"],
                schedule=make_schedule(stage["schedule"], stage["steps"], config["optim"]["warmup_steps"]),
                update_margin=stage.get("update_margin", margin),
            )
        )
    used = {name for stage in stages for name in stage.losses}
    unused = [name for name in terms if name not in used and terms[name].get("name") != "none" and name != UNTRAINED]
    if unused:
        raise SRError(
            f"loss.terms.{unused[0]} is used by none of stages=[{','.join(config['stages'])}]: "
            f"name it in stage.<name>.losses, or remove it with ~loss.terms.{unused[0]}"
        )
    return Stages(stages, terms)


def _terms(chosen: Sequence[Settings], given: Mapping[str, Settings]) -> dict[str, Settings]:
    """Add to the given terms the losses that stages name without further settings."""
    terms = dict(given)
    for stage in chosen:
        for key, name in terms_of_stage(stage, terms):
            if name not in terms:
                implied = [loss for loss in LOSSES if not is_adversarial({"name": loss})]
                if name not in implied:
                    known = sorted({*terms, *implied})
                    near = difflib.get_close_matches(name, known, 1)
                    hint = f"did you mean {near[0]}?" if near else f"choose of {', '.join(known)}"
                    raise SRError(f"stage.{stage['name']}.{key} has no {name!r}: {hint}")
                terms[name] = {"name": name}
    return terms


def _weights(stage: Settings, chosen: Sequence[Settings], terms: Mapping[str, Settings]) -> dict[str, float | None]:
    """Weights of the terms that act in a stage; terms that no chosen stage names act in all that make SR."""
    active = [name for name, settings in terms.items() if settings.get("name") != "none"]
    weights: dict[str, float | None] = {
        name: stage[key][name] for key, name in terms_of_stage(stage, terms) if name in active
    }
    if makes_sr(stage, terms):
        elsewhere = {name for other in chosen for _, name in terms_of_stage(other, terms)}
        weights |= {name: None for name in active if name not in elsewhere}
    return weights


def _check(where: str, stage: Settings, config: Settings) -> None:
    keys = ("steps", "trains", "losses", "batch_size", "clip_length", "schedule")
    for key in keys:
        if key not in stage:
            raise SRError(f"{where}.{key} is not set: a stage has {', '.join(keys)}")
    accumulate, losses = config["optim"]["accumulate"], stage["losses"]
    if stage["steps"] % accumulate:
        raise SRError(f"{where}.steps={stage['steps']} must be a multiple of optim.accumulate={accumulate}")
    terms = {**{name: {"name": name} for name in losses}, **config["loss"]["terms"]}
    if "srnet" in stage["trains"] and not any(compares_sr(terms[name]) for name in losses):
        raise SRError(f"{where} trains srnet, but none of its losses compares SR: add {where}.losses.pixel")
    least, who = 1, ""
    if "fnet" in stage["trains"] or "warp" in losses:
        least, who = 2, "the flow net needs"
    if is_gan(config) and any(is_adversarial(terms.get(name, {})) for name in (*losses, *stage.get("gan_losses", {}))):
        least, who = 3, "the discriminator needs"
        if accumulate > 1 and stage.get("update_margin") is not None:
            raise SRError(
                f"{where}.update_margin doesn't go with optim.accumulate={accumulate}: "
                "set it to null, or don't accumulate"
            )
    if stage["clip_length"] < least:
        raise SRError(f"{where}.clip_length is {stage['clip_length']}: {who} clips of at least {least} frames")
