"""From a plain configuration to the objects of a run. What can't be had is left out loudly, or stops the run."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torchmetrics import Metric

from sr_experiments.backbones import WeightsUnavailable
from sr_experiments.checkpoints import load_weights, read
from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.data.module import SRDataModule
from sr_experiments.discriminators import DISCRIMINATORS
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.losses import ADVERSARIAL_LOSSES, PERCEPTUAL_LOSSES, PIXEL_LOSSES
from sr_experiments.metrics import METRICS
from sr_experiments.registry import build
from sr_experiments.training.base import OptimConfig, SRModule
from sr_experiments.training.gan import GANModule
from sr_experiments.training.pixel import PixelModule

log = logging.getLogger(__name__)

Config = Mapping[str, Any]


@dataclass
class Assembly:
    """What a run is made of, and what it had to do without."""

    module: SRModule
    data: SRDataModule
    left_out: dict[str, str] = field(default_factory=dict)
    initialised_from: str | None = None


def assemble(config: Config) -> Assembly:
    """Build module and data.

    Raises:
        SRError: anything the configuration asks for that does not exist or does not fit together.
    """
    left_out: dict[str, str] = {}
    scale, trainer = config["scale"], config["trainer"]
    data = SRDataModule(
        **config["data"],
        scale=scale,
        channels=config["channels"],
        seed=config["seed"],
        val_every=trainer["val_every"],
        max_steps=trainer["max_steps"],
    )
    generator_config = {**config["model"], "scale": scale, "channels": config["channels"]}
    generator = build("generator", GENERATORS, generator_config)
    initialised_from = _initialise(generator, config["init_from"]) if config["init_from"] else None
    base: dict[str, Any] = {
        "generator": generator,
        "generator_config": generator_config,
        "degradation": build("degradation", DEGRADATIONS, config["degradation"], scale=scale),
        "metrics": _metrics(config["metrics"], scale, left_out),
        "val_names": data.val_names,
        "optim": OptimConfig(**config["optim"]),
        "max_steps": trainer["max_steps"],
        "seed": config["seed"],
        "channels_last": trainer["channels_last"],
    }
    make = {"pixel": _pixel_module, "gan": _gan_module}[config["loss"]["name"]]
    module = make(config["loss"], config["channels"], base, left_out)
    if trainer["compile"]:
        for network, _ in module.networks():
            network.compile()
    return Assembly(module, data, left_out, initialised_from)


def _initialise(generator: nn.Module, path: str) -> str:
    report = load_weights(generator, read(path))
    log.info("init_from %s: %s", path, report.summary())
    return f"{path}: {report.summary()}"


def _metrics(config: Config, scale: int, left_out: dict[str, str]) -> dict[str, Metric]:
    metrics: dict[str, Metric] = {}
    for key, arguments in config.items():
        metric = _with_weights(f"metric {key}", arguments, left_out, METRICS, crop_border=scale)
        if metric is not None:
            metrics[key] = metric
    if not metrics:
        raise SRError("no metric is left to validate with: add one to metrics, for example psnr_y")
    return metrics


def _with_weights(kind: str, config: Config, left_out: dict[str, str], registry: Mapping, **fixed: Any) -> Any:
    """Build what needs pretrained weights, or leave it out, unless it is required."""
    arguments = {k: v for k, v in config.items() if k not in ("weight", "required")}
    try:
        return build(kind, registry, arguments, **fixed)
    except WeightsUnavailable as error:
        if config.get("required", False):
            raise SRError(f"{kind} is required: {error}") from error
        left_out[kind] = str(error)
        log.warning("%s is LEFT OUT: %s", kind, error)
        return None


def _without_weight(config: Config) -> dict[str, Any]:
    return {k: v for k, v in config.items() if k != "weight"}


def _pixel_module(loss: Config, channels: int, base: dict[str, Any], left_out: dict[str, str]) -> SRModule:
    pixel = build("pixel loss", PIXEL_LOSSES, _without_weight(loss["pixel"]))
    return PixelModule(pixel=pixel, pixel_weight=loss["pixel"]["weight"], **base)


def _gan_module(loss: Config, channels: int, base: dict[str, Any], left_out: dict[str, str]) -> SRModule:
    perceptual = None
    if loss["perceptual"]["name"] != "none":
        perceptual = _with_weights("perceptual loss", loss["perceptual"], left_out, PERCEPTUAL_LOSSES)
    return GANModule(
        pixel=build("pixel loss", PIXEL_LOSSES, _without_weight(loss["pixel"])),
        perceptual=perceptual,
        adversarial=build("adversarial loss", ADVERSARIAL_LOSSES, _without_weight(loss["adversarial"])),
        discriminator=build("discriminator", DISCRIMINATORS, loss["discriminator"], channels=channels),
        pixel_weight=loss["pixel"]["weight"],
        perceptual_weight=loss["perceptual"].get("weight", 0.0),
        adversarial_weight=loss["adversarial"]["weight"],
        warmup_steps=loss["warmup_steps"],
        ramp_steps=loss["ramp_steps"],
        ramp_shape=loss["ramp_shape"],
        **base,
    )
