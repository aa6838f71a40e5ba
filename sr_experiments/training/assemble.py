"""From a plain configuration to the objects of a run. What can't be had is left out loudly, or stops the run."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torchmetrics import Metric

from sr_experiments.checkpoints.backbones import WeightsUnavailable
from sr_experiments.checkpoints.limits import Limited
from sr_experiments.checkpoints.reading import load_generator, load_weights, read
from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.data.module import SRDataModule
from sr_experiments.discriminators import DISCRIMINATORS
from sr_experiments.errors import SRError, path_error
from sr_experiments.generators import GENERATORS
from sr_experiments.inference.device import out_of_memory
from sr_experiments.inference.memory import free_on_host
from sr_experiments.losses import LOSSES
from sr_experiments.metrics import METRICS
from sr_experiments.registry import Registry, build
from sr_experiments.training.activations import checkpoint_activations
from sr_experiments.training.adversary import GANModule
from sr_experiments.training.module import OptimConfig, SRModule
from sr_experiments.training.pixel import PixelModule
from sr_experiments.training.stages import make_stages
from sr_experiments.training.validation import FlowMetrics, Validation
from sr_experiments.training.video import FRVSRModule

log = logging.getLogger(__name__)

# Weights of a GAN's pixel loss. A perceptual loss holds the picture (ESRGAN); without one the pixel loss must, a
# thousand times the adversarial loss as in SRGAN-MSE (Ledig et al. 2017).
BESIDE_PERCEPTUAL = 0.01
WITHOUT_PERCEPTUAL = 5.0

Config = Mapping[str, Any]

FLOAT = 4  # bytes
COPIES = 5  # of each weight, in training: itself, its gradient, Adam's two moments and the EMA


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
        SRError: anything the configuration asks for that does not exist, does not fit together or can't be read.
    """
    try:
        return _assemble(config)
    except OSError as error:
        raise path_error(error) or error from error
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise SRError("out of memory: the networks don't fit, make model.features or model.blocks smaller") from error


def _assemble(config: Config) -> Assembly:
    left_out: dict[str, str] = {}
    scale, trainer = config["scale"], config["trainer"]
    stages = make_stages(config) if "stages" in config else None
    frames = max((s.batch_size * s.clip_length for s in stages.stages) if stages else [config["data"]["batch_size"]])
    crop = config["data"]["crop"]
    pixels = config["channels"] * crop**2
    _check_free(f"a batch of {frames} crops of {crop}x{crop}", frames * pixels * FLOAT, "data.batch_size or data.crop")
    data = SRDataModule(
        **{**config["data"], **({"batch_size": stages.largest_batch} if stages else {})},
        scale=scale,
        channels=config["channels"],
        seed=config["seed"],
        val_every=trainer["val_every"],
        ends=stages.ends if stages else [trainer["max_steps"]],
        clips_of_step=stages.clips if stages else None,
    )
    degradation = build("degradation", DEGRADATIONS, config["degradation"], scale=scale)
    if data.clips and degradation.pool_size:
        raise SRError("degradation.pool mixes single images, and this data is clips: set degradation.pool=0")
    if pairs := degradation.pool_size:
        _check_free(f"a pool of {pairs} pairs of {crop}x{crop}", pairs * pixels, "degradation.pool or data.crop")
    generator_config = {**config["model"], "scale": scale, "channels": config["channels"]}
    if generator_config.get("phase") == "auto":
        generator_config["phase"] = degradation.phase
    in_memory = _in_memory()
    with in_memory:
        generator = build("generator", GENERATORS, generator_config)
    if stages and not data.clips:
        raise SRError("model=frvsr learns from clips: use data=sample_video, videos, reds or vimeo90k")
    for stage in stages.stages if stages and hasattr(data.train_set, "windows") else ():
        data.train_set.windows(stage.clip_length)  # refuses clips that are too short for a later stage now
    initialised_from = _initialise(generator, config["init_from"]) if config["init_from"] else None
    base: dict[str, Any] = {
        "generator": generator,
        "generator_config": generator_config,
        "degradation": degradation,
        "validation": Validation(
            _metrics(config["metrics"], scale, data.clips, left_out),
            data.val_names,
            scale,
            phase=degradation.phase,
            compared=_compared(config["val"]["compare_with"], scale, config["channels"]),
            flow=_flow_metrics(data) if stages else None,
        ),
        "optim": OptimConfig(**config["optim"]),
        "max_steps": trainer["max_steps"],
        "seed": config["seed"],
        "channels_last": trainer["channels_last"],
    }
    loss = config["loss"]
    module: SRModule
    if stages:
        module = FRVSRModule(stages=stages, **_terms(loss, 9 * config["channels"], left_out, in_memory), **base)
    elif loss["name"] == "gan":
        terms = _terms(loss, config["channels"], left_out, in_memory)
        module = GANModule(
            pixel_weight=_pixel_weight(loss["pixel"]["weight"], terms["perceptual"]),
            perceptual_weight=loss["perceptual"].get("weight", 0.0),
            adversarial_weight=loss["adversarial"]["weight"],
            **terms,
            **base,
        )
    else:
        if loss["pixel"]["weight"] == "auto":
            raise SRError("loss.pixel.weight=auto weighs it against the other losses of loss=gan: give a number")
        module = PixelModule(pixel_weight=loss["pixel"]["weight"], **_terms(loss, 0, left_out, in_memory), **base)
    if trainer["checkpoint_activations"]:
        checkpoint_activations(module.generator)
    if trainer["compile"]:
        for network in module.networks().values():
            if getattr(network, "compiles", True):
                network.compile()
    return Assembly(module, data, left_out, initialised_from)


def _check_free(what: str, size: int, knobs: str) -> None:
    """Refuse what is more than the memory, before it is filled bit by bit.

    Raises:
        SRError: it is.
    """
    if size > (free := free_on_host()):
        raise SRError(
            f"{what} takes {size / 2**30:.1f} GiB, more than the memory that is free ({free / 2**30:.1f} GiB): "
            f"lower {knobs}"
        )


def _in_memory() -> Limited:
    """Within it, no networks can be built that could not be trained in half of the memory: activations need some."""
    free = free_on_host()
    message = (
        f"training these networks would take more than half of the memory that is free ({free / 2**30:.1f} GiB): "
        "lower their knobs, such as model.features and loss.discriminator.features"
    )
    return Limited(free // (2 * COPIES * FLOAT), 10**7, message)


def _initialise(generator: nn.Module, source: str | Config) -> str:
    """From one checkpoint, or, of a frame-recurrent network, from one for each of its parts."""
    parts = source if isinstance(source, Mapping) else {None: source}
    reports = []
    for part, path in parts.items():
        report = load_weights(generator, read(path), part)
        where = f"{part}: {path}" if part else path
        log.info("init_from %s: %s", where, report.summary())
        reports.append(f"{where}: {report.summary()}")
    return "; ".join(reports)


def _flow_metrics(data: SRDataModule) -> FlowMetrics:
    return FlowMetrics(data.val_names, [n for n, s in data.val_sets.items() if getattr(s, "true_flow", False)])


def _compared(path: str | None, scale: int, channels: int) -> nn.Module | None:
    """The network of `val.compare_with`."""
    if path is None:
        return None
    network, checkpoint = load_generator(path)
    if network.scale != scale or network.channels != channels:
        raise SRError(
            f"val.compare_with={path} ({checkpoint.source}) has scale={network.scale} channels={network.channels}, "
            f"the run scale={scale} channels={channels}: compare like with like"
        )
    return network.requires_grad_(False)


def _metrics(config: Config, scale: int, clips: bool, left_out: dict[str, str]) -> dict[str, Metric]:
    """The metrics of the configuration; of images, not those that compare frames with each other."""
    metrics: dict[str, Metric] = {}
    for key, arguments in config.items():
        if not clips and getattr(METRICS.get(str(arguments.get("name"))), "temporal", False):
            continue
        metric = _with_weights(f"metric {key}", arguments, left_out, METRICS, crop_border=scale)
        if metric is not None:
            metrics[key] = metric
    if not metrics:
        raise SRError("no metric is left to validate with: add one to metrics, for example psnr_y")
    return metrics


def _with_weights(kind: str, config: Config, left_out: dict[str, str], registry: Registry[Any], **fixed: Any) -> Any:
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


def _pixel_weight(given: float | str, perceptual: nn.Module | None) -> float:
    """Of a GAN: as given, or what suits the perceptual loss there is."""
    if given != "auto":
        return float(given)
    weight = BESIDE_PERCEPTUAL if perceptual is not None else WITHOUT_PERCEPTUAL
    log.info("loss.pixel.weight=auto is %g with%s a perceptual loss", weight, "out" if perceptual is None else "")
    return weight


def _without_weight(config: Config) -> dict[str, Any]:
    return {k: v for k, v in config.items() if k != "weight"}


def _terms(loss: Config, judged_channels: int, left_out: dict[str, str], in_memory: Limited) -> dict[str, Any]:
    """The losses of a training module by argument name, without their weights, and in a GAN the discriminator."""
    pixel = build("pixel loss", LOSSES, _without_weight(loss["pixel"]))
    if loss["name"] == "pixel":
        return {"pixel": pixel}
    perceptual = None
    if loss["perceptual"].get("name") != "none":
        perceptual = _with_weights("perceptual loss", loss["perceptual"], left_out, LOSSES)
    with in_memory:
        discriminator = build("discriminator", DISCRIMINATORS, loss["discriminator"], channels=judged_channels)
    return {
        "pixel": pixel,
        "perceptual": perceptual,
        "adversarial": build("adversarial loss", LOSSES, _without_weight(loss["adversarial"])),
        "discriminator": discriminator,
        "warmup_steps": loss["warmup_steps"],
        "ramp_steps": loss["ramp_steps"],
        "ramp_shape": loss["ramp_shape"],
    }
