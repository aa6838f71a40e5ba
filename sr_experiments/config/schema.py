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


def _is_image(channels: int) -> bool:
    return channels in (1, 3)


def _is_label(name: str) -> bool:
    return name not in LOSSES


class Data(Group):
    """Where images come from, and how many at a time."""

    batch_size: BatchSize
    """Crops, or clips, a batch, per device."""
    crop: Annotated[int, Ge(1), Le(2**16)]
    """Side of the HR crops, a multiple of scale."""
    num_workers: Literal["auto"] | Annotated[int, Ge(0), Le(256)] = optional()
    """Processes that read images, per device; auto: the CPU cores, at most 8."""
    cache: bool | AnyPath = optional()
    """Decode once and keep the pixels: true for ~/.cache/sr_experiments ($SR_CACHE), or a folder."""
    val_share: Literal["auto"] | Annotated[float, Ge(0), Lt(1)] = optional()
    """Share of the training files that is held out for validation where val is empty; auto: a tenth, 0: none."""
    train: Annotated[Mapping[str, Any], Component(TRAINING_SETS)]
    """What is trained on."""
    val: Mapping[FileName, Annotated[Mapping[str, Any], Component(VALIDATION_SETS, named=False)]] = optional()
    """Validation sets by name; with none, what val_share holds out, else sample photographs or clips."""


class Loss(Group):
    """What training minimises: a sum of named terms."""

    name: Annotated[FileName, Rule(_is_label, ", a label and not a loss: choose loss=pixel or gan, and loss/pixel=l1")]
    """Label of the objective, part of the run's name."""
    terms: Mapping[FileName, Annotated[Mapping[str, Any], Component(LOSSES, TermSettings, none=True)]]
    """The terms by name; name: none leaves one out."""
    discriminator: Annotated[Mapping[str, Any], Component(DISCRIMINATORS, DiscriminatorSettings)] = optional()
    """The network that tells real from generated images, for the adversarial term."""
    val_steps: Sequence[FlowSteps] = optional()
    """Numbers of Euler steps that are validated, besides model.steps; of model=flow."""
    val_strengths: Sequence[Share] = optional()
    """Strengths that are validated, besides model.strength; of model=flow_distilled."""


class MetricSettings(Group):
    """What every metric has besides its own arguments."""

    required: bool = optional()
    """Stop where pretrained weights can't be had, instead of leaving the metric out."""


class Rollback(Group):
    """What to do when a loss or gradient becomes NaN or infinite."""

    tries: CountOrZero = optional()
    """How often a run may go back to its last good checkpoint; 0: it ends."""
    factor: Annotated[float, Gt(0), Lt(1)] = optional()
    """Of all learning rates from there on, each time."""


class Trainer(Group):
    """How long, and on what. One step is one training batch, everywhere."""

    max_steps: Steps
    """Length of the run."""
    val_every: Steps
    """Steps between validations."""
    checkpoint_every: Steps
    """Steps between checkpoints; there is one at every validation, too."""
    log_every: Steps
    """Steps between logged values."""
    accelerator: str
    """auto, cpu, gpu or mps."""
    devices: Literal["auto"] | Devices | Sequence[Devices]
    """How many devices, or which; auto or -1: all."""
    num_nodes: Annotated[int, Ge(1), Le(4096)]
    """Machines."""
    # Sharding saves nothing: parameters, gradients, Adam and EMA of RRDBNet as a GAN take less than a gigabyte.
    strategy: Literal["auto", "ddp"]
    """ddp for several devices; no network here needs sharding."""
    precision: Literal["auto", "32-true", "bf16-mixed"]
    """auto: bf16-mixed on GPUs that have it, else 32-true."""
    channels_last: bool
    """Use the channels-last memory layout."""
    compile: bool
    """Compile the networks with torch.compile, but for discriminator=unet."""
    checkpoint_activations: bool
    """Compute activations twice: a third more time, for a fraction of the generator's memory."""
    monitor: str
    """Metric that decides best.ckpt; auto: psnr_y, or lpips_alex of GANs and flows."""
    validate_start: bool = optional()
    """Validate before the first step, too: the start may become best.ckpt, and each validation is compared with it."""
    patience: Count | None = optional()
    """Stop after so many validations in a row without a better monitor; null: never."""
    rollback: Rollback = optional()
    """When a loss or gradient becomes NaN or infinite."""


class Logger(Group):
    """Where values and pictures go, besides the run folder."""

    name: Literal["wandb", "tensorboard", "none"]
    """Of the logger."""
    project: str = optional()
    """W&B's project."""
    entity: str | None = optional()
    """W&B user or team; null: yours."""
    group: str | None = optional()
    """W&B's group; null: the sweep's name in a sweep, else none."""
    tags: Sequence[str] | None = optional()
    """W&B tags, besides model, loss, data, degradation, scale and stages."""
    tables: Literal["last", "every", "none"] | None = optional()
    """W&B table of LR, SR, HR and errors by image: last validation's, every one's, or none."""
    watch: Literal["gradients", "none"] | None = optional()
    """W&B histograms of the gradients each trainer.log_every steps."""


class Samples(Group):
    """Strips of validation images by step."""

    count: CountOrZero
    """Strips of each validation set."""
    size: PictureSide
    """Side of the crop shown, in HR pixels: where HR has the most texture."""


class Clips(Group):
    """Validation clips: side by side as video, and time slices."""

    count: CountOrZero
    """Of each validation set."""
    size: PictureSide
    """Side of the centre shown, in HR pixels."""
    frames: Count
    """Of a clip, at most."""
    fps: Annotated[int, Ge(1), Le(1000)]
    """Frames a second."""


class GANHealth(Group):
    """A watch on the discriminator."""

    patience: Steps = optional()
    """Steps a discriminator must have won or lost before the warning."""
    won: Share = optional()
    """Accuracy from which it has won."""
    lost: Share = optional()
    """Accuracy up to which it has lost."""


class Callbacks(Group):
    """Pictures by step, and a watch on the discriminator."""

    samples: Samples
    """Strips of validation images."""
    clips: Clips
    """Validation clips as video."""
    gan_health: GANHealth = optional()
    """A watch on the discriminator."""


class Stage(Group):
    """A part of a run with networks, losses and a length of its own."""

    steps: Steps
    """Its length."""
    trains: Annotated[Mapping[Literal["fnet", "srnet"], Positive], Rule(bool, " that names fnet, srnet or both")]
    """What trains, fnet or srnet, and its share of optim.learning_rate."""
    losses: Annotated[Mapping[str, Positive], Rule(bool, " of terms of loss.terms and their weights")]
    """Weights of the terms that act in the stage; a loss without settings of its own need not be in loss.terms."""
    gan_losses: Mapping[str, Positive] = optional()
    """Weights of further terms, where a term of loss.terms is adversarial."""
    update_margin: float | None = optional()
    """Instead of loss.discriminator.update_margin."""
    batch_size: BatchSize
    """Clips, per device."""
    clip_length: Annotated[int, Ge(1), Le(10_000)]
    """Frames of a clip."""
    schedule: Schedule
    """Of the learning rate over the stage."""


class Val(Group):
    """What validation does besides measuring."""

    compare_with: InputPath | None
    """A run folder or checkpoint: a network to measure beside, frame by frame."""


class Run(Group):
    """A run's whole configuration."""

    scale: Annotated[int, Ge(1), Le(16)]
    """Upsampling factor; most networks do 2, 3 and 4, and some 1: restoration without enlarging."""
    channels: Annotated[int, Rule(_is_image, ", 3 or 1")]
    """3 for RGB, 1 for grey."""
    seed: Annotated[int, Ge(0), Lt(2**32)]
    """Of all that is random."""
    name: FolderName
    """A run's folder is <output_dir>/<name>/<timestamp>."""
    output_dir: AnyPath
    """Where runs are written."""
    resume: InputPath | None = optional()
    """A run folder: continue it exactly where it stopped."""
    init_from: InputPath | Mapping[str, InputPath] | None
    """A run folder or any SR checkpoint: start a new run from its weights. One for each part by name: fnet and srnet of
    frvsr and basicvsr_uni, mse of flow, teacher of flow_distilled."""
    offline: bool
    """No connection to the network: no weights are downloaded, W&B logs offline."""
    val: Val
    """What validation does besides measuring."""
    model: Annotated[Mapping[str, Any], Component(GENERATORS)]
    """The network from LR to SR."""
    loss: Loss
    """What training minimises."""
    data: Data
    """Where images come from."""
    degradation: Annotated[Mapping[str, Any], Component(DEGRADATIONS)]
    """How LR is made from HR."""
    augment: Mapping[FileName, Annotated[Mapping[str, Any], Component(AUGMENTS, AugmentSettings)]] = optional()
    """How batches of LR and HR are changed in step; each gets one augmentation at most."""
    metrics: Mapping[FileName, Annotated[Mapping[str, Any], Component(METRICS, MetricSettings)]]
    """What validation measures."""
    optim: Annotated[Mapping[str, Any], Component(OPTIMIZERS, OptimSettings)]
    """How the networks learn."""
    trainer: Trainer
    """How long, and on what."""
    logger: Logger
    """Where values and pictures go."""
    callbacks: Callbacks
    """Pictures by step."""
    stage: Mapping[FileName, Stage] = optional()
    """Stages by name, of model=frvsr and basicvsr_uni."""
    stages: Sequence[str] = optional()
    """Names of the stages that run, in their order."""
    arch: str = optional()
    """Of model=spandrel: its architecture."""
    int8: Mapping[str, Annotated[Sequence[float], Len(2, 2)]] = optional()
    """Ranges of the inputs of convolutions, by name: they are fine-tuned for int8. sr quantize --train sets it."""


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
