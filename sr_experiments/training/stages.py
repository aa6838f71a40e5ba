"""Stages of a run as data: what trains, on which losses, for how long. What holds at a step follows from the step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sr_experiments.errors import SRError
from sr_experiments.registry import build
from sr_experiments.training.schedules import SCHEDULES, Schedule, with_warmup

LOSSES = ("pixel", "warp")
GAN_LOSSES = ("perceptual", "ping_pong", "adversarial")
NETWORKS = ("fnet", "srnet")


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: as in the configuration.
        start: step it begins at.
        steps: its length.
        trains: the networks that train, with their share of `optim.learning_rate`; all others are frozen.
        losses: weights of the terms: pixel, warp, and in a GAN run perceptual, ping_pong, adversarial.
        clip_length: frames of a training clip.
        batch_size: clips a batch, per device.
        schedule: factor of the learning rate at a step of the stage, counted from its start.
        update_margin: the discriminator learns only while mean log D(real) - mean log D(fake) is below it;
            None: always.
    """

    name: str
    start: int
    steps: int
    trains: Mapping[str, float]
    losses: Mapping[str, float]
    clip_length: int
    batch_size: int
    schedule: Schedule
    update_margin: float | None = None


@dataclass(frozen=True)
class Stages:
    """The stages of a run, in order."""

    stages: Sequence[Stage]

    def at(self, step: int) -> Stage:
        """The stage that the batch of `step` belongs to; after the end, the last one."""
        return next((s for s in self.stages if step < s.start + s.steps), self.stages[-1])

    def number(self, step: int) -> int:
        """Number of that stage, from 1."""
        return self.stages.index(self.at(step)) + 1

    def clips(self, step: int) -> tuple[int, int]:
        """Number and frames of the clips of a step."""
        stage = self.at(step)
        return stage.batch_size, stage.clip_length

    @property
    def largest_batch(self) -> int:
        """Of any stage."""
        return max(s.batch_size for s in self.stages)

    @property
    def ends(self) -> list[int]:
        """The steps at which the stages end: validation and a checkpoint are due there."""
        return [s.start + s.steps for s in self.stages]


def stage_configs(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The chosen stages of a configuration in their order, each with its name and checked.

    Raises:
        SRError: an unknown stage, or a wrong value in one.
    """
    names, known = config["stages"], config["stage"]
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


def make_stages(config: Mapping[str, Any]) -> Stages:
    """Stages from a configuration with `stages`, `stage`, `optim` and `loss`.

    Raises:
        SRError: see `stage_configs`.
    """
    stages, start = [], 0
    gan = config["loss"]["name"] == "gan"
    for stage in stage_configs(config):
        schedule = build("schedule", SCHEDULES, stage["schedule"], total_steps=stage["steps"])
        stages.append(
            Stage(
                name=stage["name"],
                start=start,
                steps=stage["steps"],
                trains=stage["trains"],
                losses={**stage["losses"], **(stage.get("gan_losses", {}) if gan else {})},
                clip_length=stage["clip_length"],
                batch_size=stage["batch_size"],
                schedule=with_warmup(schedule, config["optim"]["warmup_steps"]),
                update_margin=stage.get("update_margin"),
            )
        )
        start += stage["steps"]
    return Stages(stages)


def _check(where: str, stage: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    keys = ("steps", "trains", "losses", "batch_size", "clip_length", "schedule")
    for key in keys:
        if key not in stage:
            raise SRError(f"{where}.{key} is not set: a stage has {', '.join(keys)}")
    for key in ("steps", "batch_size", "clip_length"):
        if not isinstance(stage[key], int) or stage[key] < 1:
            raise SRError(f"{where}.{key} is {stage[key]!r}: give a whole number of at least 1")
    accumulate = config["optim"]["accumulate"]
    if stage["steps"] % accumulate:
        raise SRError(f"{where}.steps={stage['steps']} must be a multiple of optim.accumulate={accumulate}")
    trains, losses, gan_losses = stage["trains"], stage["losses"], stage.get("gan_losses", {})
    for key, values, known in (
        ("trains", trains, NETWORKS),
        ("losses", losses, LOSSES),
        ("gan_losses", gan_losses, GAN_LOSSES),
    ):
        for name, value in values.items():
            if name not in known:
                raise SRError(f"{where}.{key} has no {name!r}: choose of {', '.join(known)}")
            if not isinstance(value, int | float) or not value > 0:
                raise SRError(f"{where}.{key}.{name} is {value!r}: give a number above 0, or leave it out")
    if not trains:
        raise SRError(f"{where}.trains is empty: name what trains, {' or '.join(NETWORKS)}")
    if not losses:
        raise SRError(f"{where}.losses is empty: name {' or '.join(LOSSES)}")
    if "fnet" in trains and stage["clip_length"] < 2:
        raise SRError(f"{where}.clip_length is {stage['clip_length']}: the flow net needs clips of at least 2 frames")
    if "srnet" in trains and "pixel" not in losses:
        raise SRError(f"{where} trains srnet but has no pixel loss: add {where}.losses.pixel")
    if "warp" in losses and stage["clip_length"] < 2:
        raise SRError(f"{where}.clip_length is {stage['clip_length']}: the warp loss needs clips of at least 2 frames")
    if config["loss"]["name"] != "gan" or "adversarial" not in gan_losses:
        return
    if accumulate > 1 and stage.get("update_margin") is not None:
        raise SRError(
            f"{where}.update_margin doesn't go with optim.accumulate={accumulate}: set it to null, or don't accumulate"
        )
    if stage["clip_length"] < 3:
        raise SRError(f"{where}.clip_length is {stage['clip_length']}: the discriminator needs clips of 3 frames")
