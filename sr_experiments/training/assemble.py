"""From a plain configuration to the objects of a run. What can't be had is left out loudly, or stops the run."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from sr_experiments.checkpoints.initialise import LoadReport, load_weights
from sr_experiments.checkpoints.limits import Limited
from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.checkpoints.reading import read
from sr_experiments.data.augments import Augments
from sr_experiments.data.augments.cutblur import CutBlur
from sr_experiments.data.augments.rgb import PermuteChannels
from sr_experiments.data.degradations import CHANGING, DEGRADATIONS, LR_IS_HR, Degradation
from sr_experiments.data.degradations.bicubic import Bicubic
from sr_experiments.data.depth import DTYPES
from sr_experiments.data.images import ImageValidation
from sr_experiments.data.module import SRDataModule
from sr_experiments.data.paired import PairedValidation
from sr_experiments.errors import SRError, path_error
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.flow import DistilledFlow, Flow, FlowNetwork
from sr_experiments.generators.generator import Generator
from sr_experiments.inference.device import out_of_memory
from sr_experiments.inference.memory import free_on_host
from sr_experiments.losses import LOSSES
from sr_experiments.losses.adversarial import AdversarialLoss
from sr_experiments.losses.objective import Objective, build_objective
from sr_experiments.losses.perceptual import PerceptualLoss
from sr_experiments.metrics.image_metric import ImageMetric
from sr_experiments.metrics.metric import SRMetric
from sr_experiments.metrics.suite import MetricSuite, usual_crop
from sr_experiments.pretrained.catalogue import sources_of
from sr_experiments.registry import build
from sr_experiments.training.activations import checkpoint_activations
from sr_experiments.training.adversary import Adversary, build_adversary
from sr_experiments.training.flow import DistillationModule, FlowModule
from sr_experiments.training.int8 import Int8Module
from sr_experiments.training.module import OptimConfig, SRModule
from sr_experiments.training.stages import Stages, make_stages
from sr_experiments.training.validation import FlowMetrics, Validation, ways_to_validate
from sr_experiments.training.video import VideoModule

log = logging.getLogger(__name__)

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
    substituted: dict[str, str] = field(default_factory=dict)  # losses in whose place others stand, and why
    pretrained: dict[str, str] = field(default_factory=dict)  # where weights of its losses and metrics come from


def assemble(config: Config) -> Assembly:
    """Build module and data.

    Raises:
        SRError: the configuration asks for what does not exist, does not fit together or can't be read.
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
    substituted: dict[str, str] = {}
    scale, trainer = config["scale"], config["trainer"]
    stages = make_stages(config) if "stages" in config else None
    frames = max((s.batch_size * s.clip_length for s in stages.stages) if stages else [config["data"]["batch_size"]])
    crop = config["data"]["crop"]
    pixels = config["channels"] * crop**2
    _check_free(f"a batch of {frames} crops of {crop}x{crop}", frames * pixels * FLOAT, "data.batch_size or data.crop")
    # The network before the data: what it can't do, such as a scale, no change of the data mends.
    degradation = build("degradation", DEGRADATIONS, config["degradation"], scale=scale)
    degradation.bits = config["data"].get("bits", 8)
    degradation.check_channels(config["channels"])
    _check_terms(config)
    generator_config = {**config["model"], "scale": scale, "channels": config["channels"]}
    if generator_config.get("phase") == "auto":
        generator_config["phase"] = degradation.phase
    free = free_on_host()
    in_memory = Limited(  # activations need the other half of the memory
        free // (2 * COPIES * FLOAT),
        10**7,
        f"training these networks would take more than half of the memory that is free ({free / 2**30:.1f} GiB): "
        "lower their knobs, such as model.features and loss.discriminator.features",
    )
    with in_memory:
        generator = build("generator", GENERATORS, generator_config)
    compared = _compared(config["val"]["compare_with"], scale, config["channels"])
    data = SRDataModule(
        **{**config["data"], **({"batch_size": max(s.batch_size for s in stages.stages)} if stages else {})},
        scale=scale,
        channels=config["channels"],
        seed=config["seed"],
        val_every=trainer["val_every"],
        ends=stages.ends if stages else [trainer["max_steps"]],
        clips_of_step=stages.clips if stages else None,
        lookahead=max(getattr(network, "lookahead", 0) for network in (generator, compared)),
        phase=degradation.phase,
    )
    _check_that_lr_differs(config, data, degradation)
    if data.clips and degradation.pool_size:
        raise SRError("degradation.pool mixes single images, and this data is clips: set degradation.pool=0")
    if pairs := degradation.pool_size:
        stored = pairs * pixels * np.dtype(DTYPES[data.bits]).itemsize
        _check_free(f"a pool of {pairs} pairs of {crop}x{crop}", stored, "degradation.pool or data.crop")
    if stages and not data.clips:
        raise SRError(
            f"model={config['model']['name']} learns from clips: use data=sample_video, videos, reds or vimeo90k"
        )
    for stage in stages.stages if stages and hasattr(data.train_set, "windows") else ():
        data.train_set.windows(stage.clip_length)  # refuses clips that are too short for a later stage now
    reports = _initialise(generator, config["init_from"]) if config["init_from"] else {}
    if stages and "fnet" in getattr(generator, "parts", {}):
        _check_flow_net_learns(stages, reports.values())
    ways = ways_to_validate(generator, config["loss"])
    with_true_flow = [name for name, dataset in data.val_sets.items() if getattr(dataset, "true_flow", False)]
    metrics = _metrics(config, data.clips, left_out)
    _check_sizes(data, metrics, scale)
    base: dict[str, Any] = {
        "generator": generator,
        "generator_config": generator_config,
        "degradation": degradation,
        "validation": Validation(
            metrics,
            data.val_names,
            scale,
            phase=degradation.phase,
            bits=degradation.bits,
            compared=compared,
            flow=FlowMetrics(data.val_names, with_true_flow) if getattr(generator, "fnet", None) is not None else None,
            ways=ways,
            own_way=next((key for key, way in ways.items() if way.items() <= generator.sampling.items()), ""),
            of_images=trainer.get("validate_start", False),
        ),
        "optim": OptimConfig.of(config["optim"]),
        "max_steps": trainer["max_steps"],
        "seed": config["seed"],
        "channels_last": trainer["channels_last"],
        "augments": _augments(config, data, degradation, [s.batch_size for s in stages.stages] if stages else []),
    }
    objective = build_objective(stages.terms if stages else config["loss"]["terms"], left_out, substituted)
    with in_memory:
        adversary = _adversary(config, objective, judged_channels=config["channels"] * (9 if stages else 1))
    module: SRModule
    if stages:
        _refuse_int8(not config.get("int8"))
        module = VideoModule(stages=stages, objective=objective, adversary=adversary, **base)
    else:
        objective.check_always_acts(objective.terms)
        kinds: dict[type[Generator], Callable[..., SRModule]] = {Flow: FlowModule, DistilledFlow: DistillationModule}
        kind: Callable[..., SRModule] = kinds.get(type(generator), SRModule)
        if ranges := config.get("int8"):
            _refuse_int8(kind is SRModule)
            kind = partial(Int8Module, ranges=ranges)
        module = kind(objective=objective, adversary=adversary, **base)
    if trainer["checkpoint_activations"]:
        trained = generator.velocity if isinstance(generator, FlowNetwork) else generator
        checkpoint_activations(trained, trainer["compile"])
    if trainer["compile"]:
        for network in module.networks().values():
            if getattr(network, "compiles", True):
                network.compile()
    for what, why in objective.unreached(module.steps_of_terms()).items():
        left_out[what] = why
        log.warning("%s is LEFT OUT: %s", what, why)
    for name, term in config["loss"]["terms"].items():
        if term.get("weight") == "auto" and name in objective.weights:  # not if the term was left out
            log.info("loss.terms.%s.weight=auto is %g", name, objective.weights[name])
    pretrained = sources_of([*(term.loss for term in objective.terms.values()), *module.validation.metrics.values()])
    initialised_from = "; ".join(f"{where}: {report.summary()}" for where, report in reports.items()) or None
    return Assembly(module, data, left_out, initialised_from, substituted, pretrained)


def _refuse_int8(fits: bool) -> None:
    if not fits:
        raise SRError("int8 is set, and only networks of images that don't sample can be fine-tuned for it: remove it")


def _check_terms(config: Config) -> None:
    """Refuse losses on networks of photographs for images that are neither grey nor RGB."""
    for name, settings in config["loss"]["terms"].items() if config["channels"] not in (1, 3) else ():
        kind = LOSSES.get(str(settings.get("name")))
        if isinstance(kind, type) and issubclass(kind, PerceptualLoss):
            raise SRError(
                f"loss.terms.{name} is of grey and RGB images, and channels={config['channels']}: remove it with "
                f"~loss.terms.{name}"
            )


def _check_that_lr_differs(config: Config, data: SRDataModule, degradation: Degradation) -> None:
    """Refuse to make LR that is HR."""
    if degradation.identity:
        train, given = config["data"]["train"], config["data"].get("val") or {}
        sets = {"train": train, **{f"val.{name}": given.get(name, train) for name in data.val_names}}
        for name, arguments in sets.items():
            if "root" in arguments or not arguments.get("lr"):
                why = f"data.{name} has no LR of its own, and {LR_IS_HR}"
                raise SRError(f"{why}: set degradation={', '.join(CHANGING[:-1])} or {CHANGING[-1]}")


def _augments(
    config: Config, data: SRDataModule, degradation: Degradation, batch_sizes: Sequence[int]
) -> Augments | None:
    """The augmentations of the batches of a run, or of its stages; None if there are none."""
    settings = config.get("augment") or {}
    if not settings:
        return None
    augments = Augments(settings, degradation.phase, degradation.bits)
    if config["channels"] != 3 and any(isinstance(one, PermuteChannels) for one in augments.augments.values()):
        what = "grey images have" if config["channels"] == 1 else f"images of {config['channels']} bands have"
        raise SRError(f"augment: {what} no colours to permute: leave out the augmentation rgb")
    for name, augment in augments.augments.items():
        if augment.needs_others and min(batch_sizes or [data.batch_size]) < 2:
            raise SRError(f"augment.{name} mixes the images of a batch: set data.batch_size=2 or more, or leave it out")
        if isinstance(augment, CutBlur) and isinstance(degradation, Bicubic) and not config["data"]["train"].get("lr"):
            raise SRError(
                f"augment.{name} puts clean parts into LR, and degradation=bicubic makes LR that is clean: leave it out"
            )
    return augments


def _check_free(what: str, size: int, knobs: str) -> None:
    """Refuse what is more than the memory, before it is filled bit by bit."""
    if size > (free := free_on_host()):
        raise SRError(
            f"{what} takes {size / 2**30:.1f} GiB, more than the memory that is free ({free / 2**30:.1f} GiB): "
            f"lower {knobs}"
        )


def _initialise(generator: Generator, source: str | Config) -> dict[str, LoadReport]:
    """From one checkpoint, or, of a frame-recurrent network or a flow, from one for each of its parts.

    Returns:
        What of each checkpoint matched.
    """
    parts = source if isinstance(source, Mapping) else {None: source}
    reports = {}
    for part, path in parts.items():
        if isinstance(generator, FlowNetwork):
            filled = generator.mse if part == "mse" else generator
            report = load_weights(filled, read(path))
        else:
            report = load_weights(generator, read(path), part)
        where = f"{part}: {path}" if part else path
        log.info("init_from %s: %s", where, report.summary())
        reports[where] = report
    return reports


def _check_flow_net_learns(stages: Stages, reports: Iterable[LoadReport]) -> None:
    """Warn of a flow net that is random and stays so; not refused, since runs were started with it."""
    trained = any("fnet" in stage.trains for stage in stages.stages)
    if not trained and not any(name.startswith("fnet.") for report in reports for name in report.matched):
        chosen = ",".join(stage.name for stage in stages.stages)
        log.warning(
            "the flow net stays random: none of stages=[%s] trains it, and init_from has none: set "
            "stages=[flow,sr,joint], or 'init_from={fnet: <run folder>}'",
            chosen,
        )


def _adversary(config: Config, objective: Objective, judged_channels: int) -> Adversary | None:
    """The discriminator of a GAN; None for other runs."""
    settings = config["loss"].get("discriminator")
    if not objective.adversarial:
        if settings is not None:
            raise SRError(
                "loss.discriminator is not used, for no term of loss.terms is adversarial: "
                "add +loss/adversarial=vanilla, or remove it with ~loss.discriminator"
            )
        return None
    if settings is None:
        name = objective.adversarial
        raise SRError(f"loss.terms.{name} needs a discriminator: add +loss/discriminator=vgg, or use loss=gan")
    rests = settings.get("every", 1) > 1 or settings.get("update_margin") is not None
    if config["optim"]["accumulate"] > 1 and rests:
        raise SRError(
            "loss.discriminator.every and update_margin don't go with optim.accumulate: set every=1, update_margin=null"
        )
    loss = objective.terms[objective.adversarial].loss
    assert isinstance(loss, AdversarialLoss)
    return build_adversary(loss, settings, judged_channels)


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


def _check_sizes(data: SRDataModule, metrics: dict[str, SRMetric], scale: int) -> None:
    """Refuse validation images that are too small for a metric, which the first validation would else be ended by."""
    for name, images in data.val_sets.items():
        for path, size in images.hr_sizes().items() if isinstance(images, ImageValidation | PairedValidation) else ():
            if not isinstance(size, tuple):  # unreadable, which reading it will say
                continue
            for key, metric in metrics.items():
                least = metric.least_size + 2 * getattr(metric, "crop_border", 0)
                if isinstance(metric, ImageMetric) and min(size) // scale * scale < least:
                    raise SRError(
                        f"data.val.{name}: {path} is {size[1]}x{size[0]}, and the metric {key} needs {least} pixels a "
                        f"side: leave such images out, or the metric with ~metrics.{key}"
                    )


def _metrics(config: Config, clips: bool, left_out: dict[str, str]) -> dict[str, SRMetric]:
    """Build the metrics of the configuration; say which are left out."""
    bits = config["data"].get("bits", 8)
    suite = MetricSuite(config["metrics"], usual_crop(config["scale"]), clips, config["channels"], bits)
    metrics = dict(suite)
    if not metrics and config["channels"] not in (1, 3):
        raise SRError(f"these metrics are of grey and RGB images, and channels={config['channels']}: set metrics=bands")
    for key, why in suite.left_out.items():
        left_out[f"metric {key}"] = why
        log.warning("metric %s is LEFT OUT: %s", key, why)
    if not metrics:
        raise SRError("no metric is left to validate with: add one to metrics, for example psnr_y")
    return metrics
