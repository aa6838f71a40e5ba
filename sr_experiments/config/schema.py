"""All settings of a run: their types, bounds and meanings. Their defaults stand in conf/, and nowhere else.

A group is a class here, a setting an annotated attribute with its meaning below it. What has a `name` (a network, a
loss, data, a degradation, a metric, a schedule) takes the arguments of its class or function, whose signature says
what is possible: here it is a mapping, marked with the registry it is built from.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import ValidationError

from sr_experiments.config.constraints import (
    AnyPath,
    BatchSize,
    Count,
    CountOrZero,
    FileName,
    FlowSteps,
    FolderName,
    InputPath,
    PictureSide,
    Positive,
    Rule,
    Share,
    Steps,
)
from sr_experiments.config.explain import Problem, problem
from sr_experiments.data import TRAINING_SETS, VALIDATION_SETS
from sr_experiments.data.augments import AUGMENTS, AugmentSettings
from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.discriminators import DISCRIMINATORS
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.losses import LOSSES
from sr_experiments.losses.objective import TermSettings
from sr_experiments.metrics import METRICS
from sr_experiments.registry import Component, Group, optional, plain_data
from sr_experiments.training.adversary import DiscriminatorSettings
from sr_experiments.training.optimizers import OPTIMIZERS, OptimSettings
from sr_experiments.training.schedules import SCHEDULES

Devices = Annotated[int, Ge(-1), Le(1023)]
Schedule = Annotated[Mapping[str, Any], Component(SCHEDULES)]


def _is_label(name: str) -> bool:
    return name not in LOSSES


class Data(Group):
    """Source of the training images and batch settings."""

    batch_size: BatchSize
    """Crops or clips per batch and device."""
    crop: Annotated[int, Ge(1), Le(2**16)]
    """Side of the HR crops in pixels, a multiple of scale."""
    num_workers: Literal["auto"] | Annotated[int, Ge(0), Le(256)] = optional()
    """Data loading processes per device; auto: the number of CPU cores, at most 8."""
    bits: Literal[8, 16, "float"] = optional()
    """Depth of HR, LR, targets and metrics: 8 or 16 bits per channel, or floating-point numbers from 0 to 1."""
    show_bands: Annotated[Sequence[Count], Len(3, 3)] = optional()
    """Bands that pictures show as red, green and blue, numbered from 1; by default the first three."""
    cache: bool | AnyPath = optional()
    """Decode once and cache the pixels: true for ~/.cache/sr_experiments ($SR_CACHE), or a folder."""
    val_share: Literal["auto"] | Annotated[float, Ge(0), Lt(1)] = optional()
    """Fraction of the training files held out for validation if val is empty; auto: a tenth, 0: none."""
    train: Annotated[Mapping[str, Any], Component(TRAINING_SETS)]
    """The training set."""
    val: Mapping[FileName, Annotated[Mapping[str, Any], Component(VALIDATION_SETS, named=False)]] = optional()
    """Validation sets by name; if empty, the files held out by val_share, otherwise sample photographs or clips."""


class Loss(Group):
    """The training objective: a sum of named terms."""

    name: Annotated[FileName, Rule(_is_label, ", a label and not a loss: choose loss=pixel or gan, and loss/pixel=l1")]
    """Label of the objective, part of the run's name."""
    terms: Mapping[FileName, Annotated[Mapping[str, Any], Component(LOSSES, TermSettings, none=True)]]
    """Terms by name; name: none disables a term."""
    discriminator: Annotated[Mapping[str, Any], Component(DISCRIMINATORS, DiscriminatorSettings)] = optional()
    """The discriminator of the adversarial term."""
    val_steps: Sequence[FlowSteps] = optional()
    """For model=flow: numbers of Euler steps to validate, in addition to model.steps."""
    val_strengths: Sequence[Share] = optional()
    """For model=flow_distilled: strengths to validate, in addition to model.strength."""


class MetricSettings(Group):
    """Settings of every metric, in addition to its own arguments."""

    required: bool = optional()
    """Stop if pretrained weights are not available, instead of leaving the metric out."""


class Rollback(Group):
    """Response to a loss or gradient that is NaN or infinite."""

    tries: CountOrZero = optional()
    """How many times a run may return to its last good checkpoint; 0: the run ends."""
    factor: Annotated[float, Gt(0), Lt(1)] = optional()
    """Factor applied to all learning rates at each rollback."""


class Trainer(Group):
    """Length of the run and hardware. A step is always one training batch."""

    max_steps: Steps
    """Length of the run in steps."""
    val_every: Steps
    """Steps between validations."""
    checkpoint_every: Steps
    """Steps between checkpoints; every validation also saves one."""
    log_every: Steps
    """Steps between logged values."""
    accelerator: str
    """Device type: auto, cpu, gpu or mps."""
    devices: Literal["auto"] | Devices | Sequence[Devices]
    """Number of devices, or a list of their indices; auto or -1: all."""
    num_nodes: Annotated[int, Ge(1), Le(4096)]
    """Number of machines."""
    # Sharding saves nothing: parameters, gradients, Adam and EMA of RRDBNet as a GAN take less than a gigabyte.
    strategy: Literal["auto", "ddp"]
    """Distributed strategy: ddp for several devices; no network needs sharding."""
    precision: Literal["auto", "32-true", "bf16-mixed"]
    """Numerical precision; auto: bf16-mixed on GPUs that support it, otherwise 32-true."""
    channels_last: bool
    """Use the channels-last memory layout."""
    compile: bool
    """Compile the networks with torch.compile, except the discriminators unet and projected."""
    checkpoint_activations: bool
    """Activation checkpointing: a third more time for a fraction of the generator's memory."""
    monitor: str
    """Metric that selects best.ckpt; auto: psnr_y, or lpips_alex for GANs and flows."""
    validate_start: bool = optional()
    """Also validate before the first step: the start may become best.ckpt, and each validation is compared with it."""
    patience: Count | None = optional()
    """Stop after this many validations in a row without an improvement of the monitor; null: never."""
    rollback: Rollback = optional()
    """Response to a loss or gradient that is NaN or infinite."""


class Logger(Group):
    """Where values and images are logged, in addition to the run folder."""

    name: Literal["wandb", "tensorboard", "none"]
    """Name of the logger."""
    project: str = optional()
    """W&B project."""
    entity: str | None = optional()
    """W&B user or team; null: your default."""
    group: str | None = optional()
    """W&B group; null: the name of the sweep in a sweep, otherwise none."""
    tags: Sequence[str] | None = optional()
    """W&B tags, in addition to model, loss, data, degradation, scale and stages."""
    tables: Literal["last", "every", "none"] | None = optional()
    """W&B table of LR, SR, HR and errors per image: for the last validation, every one, or none."""
    watch: Literal["gradients", "none"] | None = optional()
    """W&B histograms of the gradients every trainer.log_every steps."""


class Samples(Group):
    """Strips of validation images by step."""

    count: CountOrZero
    """Strips per validation set."""
    size: PictureSide
    """Side of the crop shown, in HR pixels; it is taken where HR has the most texture."""


class Clips(Group):
    """Validation clips as side-by-side videos and time slices."""

    count: CountOrZero
    """Clips per validation set."""
    size: PictureSide
    """Side of the centre crop shown, in HR pixels."""
    frames: Count
    """Maximum number of frames per clip."""
    fps: Annotated[int, Ge(1), Le(1000)]
    """Frames per second."""


class GANHealth(Group):
    """Monitoring of the discriminator."""

    patience: Steps = optional()
    """Number of steps a discriminator must be winning or losing before the warning."""
    won: Share = optional()
    """Accuracy at or above which the discriminator is winning."""
    lost: Share = optional()
    """Accuracy at or below which the discriminator is losing."""


class Callbacks(Group):
    """Sample images by step, and monitoring of the discriminator."""

    samples: Samples
    """Strips of validation images."""
    clips: Clips
    """Validation clips as videos."""
    gan_health: GANHealth = optional()
    """Monitoring of the discriminator."""


class Stage(Group):
    """A part of a run with its own networks, losses and length."""

    steps: Steps
    """Length of the stage in steps."""
    trains: Annotated[Mapping[Literal["fnet", "srnet"], Positive], Rule(bool, " that names fnet, srnet or both")]
    """Networks that train, fnet or srnet, each with its learning rate as a fraction of optim.learning_rate."""
    losses: Annotated[Mapping[str, Positive], Rule(bool, " of terms of loss.terms and their weights")]
    """Terms used in the stage and their weights; a loss without settings of its own need not be in loss.terms."""
    gan_losses: Mapping[str, Positive] = optional()
    """Additional terms and their weights, used if a term of loss.terms is adversarial."""
    update_margin: float | None = optional()
    """Overrides loss.discriminator.update_margin."""
    batch_size: BatchSize
    """Clips per batch and device."""
    clip_length: Annotated[int, Ge(1), Le(10_000)]
    """Frames per clip."""
    schedule: Schedule
    """Learning rate schedule of the stage."""


class Val(Group):
    """Additional validation settings."""

    compare_with: InputPath | None
    """A run folder or checkpoint of a network to compare with, applied frame by frame."""


class Run(Group):
    """The complete configuration of a run."""

    scale: Annotated[int, Ge(1), Le(16)]
    """Upsampling factor; most networks support 2, 3 and 4, some also 1: restoration without upscaling."""
    channels: Annotated[int, Ge(1), Le(32)]
    """3 for RGB, 1 for grey, others for that many bands."""
    seed: Annotated[int, Ge(0), Lt(2**32)]
    """Random seed."""
    name: FolderName
    """Name of the run, whose folder is <output_dir>/<name>/<timestamp>."""
    output_dir: AnyPath
    """Folder for all runs."""
    resume: InputPath | None = optional()
    """A run folder to continue exactly where the run stopped."""
    init_from: InputPath | Mapping[str, InputPath] | None
    """A run folder or any SR checkpoint to initialise the weights from; or one for each part by name: fnet and srnet of
    frvsr and basicvsr_uni, mse of flow, teacher of flow_distilled."""
    offline: bool
    """Make no network connections: no weights are downloaded, W&B logs offline."""
    val: Val
    """Additional validation settings."""
    model: Annotated[Mapping[str, Any], Component(GENERATORS)]
    """The generator, from LR to SR."""
    loss: Loss
    """The training objective."""
    data: Data
    """Source of the training images."""
    degradation: Annotated[Mapping[str, Any], Component(DEGRADATIONS)]
    """How LR is generated from HR."""
    augment: Mapping[FileName, Annotated[Mapping[str, Any], Component(AUGMENTS, AugmentSettings)]] = optional()
    """Batch augmentations, which change LR and HR in the same way; a batch gets at most one of them."""
    metrics: Mapping[FileName, Annotated[Mapping[str, Any], Component(METRICS, MetricSettings)]]
    """Metrics measured at validation."""
    optim: Annotated[Mapping[str, Any], Component(OPTIMIZERS, OptimSettings)]
    """Optimisers and learning rates."""
    trainer: Trainer
    """Length of the run and hardware."""
    logger: Logger
    """Where values and images are logged."""
    callbacks: Callbacks
    """Sample images by step."""
    stage: Mapping[FileName, Stage] = optional()
    """For model=frvsr and basicvsr_uni: stages by name."""
    stages: Sequence[str] = optional()
    """Names of the stages to run, in order."""
    arch: str = optional()
    """For model=spandrel: the architecture."""
    int8: Mapping[str, Annotated[Sequence[float], Len(2, 2)]] = optional()
    """Input ranges of the convolutions to fine-tune for int8, by name; set by sr quantize --train."""


def check(config: Mapping[str, Any]) -> None:
    """Refuse a configuration that no run can have.

    Raises:
        SRError: an unknown setting, a missing one, or a value of the wrong kind or out of bounds, named with what is
            possible.
    """
    try:
        check_group(Run, config)
    except Problem as error:
        raise SRError(error.line("")) from None


def check_group(model: type[Group], config: Mapping[str, Any]) -> None:
    """Check the settings of one group.

    Raises:
        Problem: the first thing that is wrong.
    """
    plain = plain_data(config)
    try:
        model.model_validate(plain)
    except ValidationError as error:
        raise problem(error, model, plain, {}) from None
