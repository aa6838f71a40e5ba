"""Training of one batch after another: losses, optimiser updates, discriminator, EMA, validation, checkpoints."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm

from sr_experiments.checkpoints.initialise import describe_mismatch
from sr_experiments.checkpoints.reading import FORMAT
from sr_experiments.data.augments import Augments, with_target
from sr_experiments.data.degradations.pool import PairPool
from sr_experiments.data.images import as_floats
from sr_experiments.errors import SRError
from sr_experiments.losses.objective import AVERAGED, IMAGES, Objective, Outputs
from sr_experiments.training.adversary import Adversary
from sr_experiments.training.ema import ema_copy, ema_update
from sr_experiments.training.optimizers import ALIKE, OptimSettings, make_optimizers
from sr_experiments.training.optimizers.schedule_free import AVERAGING, average_into, restart_average
from sr_experiments.training.scalars import Scalars
from sr_experiments.training.schedules import Schedule, make_schedule
from sr_experiments.training.validation import Validation

Pair = tuple[Tensor, Tensor, Tensor]  # LR, HR and target
KEPT_PAIRS = 10  # at most


@dataclass(frozen=True)
class OptimConfig:
    """The `optim` group: the optimiser of all networks, stepped by the same schedule."""

    optimizer: Mapping[str, Any] = field(default_factory=lambda: {"name": "adam"})  # and its arguments
    learning_rate: float = 2e-4
    discriminator_learning_rate: float = 2e-4
    warmup_steps: int = 0
    schedule: Mapping[str, Any] = field(default_factory=lambda: {"name": "constant"})
    clip_norm: float | None = None
    accumulate: int = 1
    ema_decay: float | None = 0.999

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "OptimConfig":
        """Return the configuration of the `optim` group."""
        common = {key: value for key, value in config.items() if key in OptimSettings.model_fields}
        return cls({key: value for key, value in config.items() if key not in common}, **common)

    @property
    def averages(self) -> bool:
        """Whether the optimiser has an average of the weights, in the place of an EMA."""
        return self.optimizer["name"] in AVERAGING


class SRModule(pl.LightningModule):
    """Train a generator on the terms of an objective, with a discriminator where one of them is adversarial.

    One step is one training batch, counted in `self.step`; Lightning's own counters are not used. All that
    is random within a step is drawn after seeding with (seed, step, rank), so a checkpoint needs no
    random state. Validation uses the EMA weights where there are any.

    Args:
        generator: network from LR (N, C, H, W) to SR (N, C, scale * H, scale * W), values in [0, 1].
        generator_config: its registry name and keyword arguments, plain data, kept in checkpoints.
        objective: what the generator minimises.
        adversary: discriminator of the adversarial term; None if there is none.
        degradation: makes LR from HR; see `sr_experiments.data.degradations`.
        validation: measures the generator; its sets in the order of their dataloaders.
        optim: optimiser, schedule, clipping, accumulation and EMA.
        max_steps: length of the run in batches.
        seed: of the run.
        channels_last: use the channels-last memory layout.
        augments: change batches of LR and HR in step.

    Raises:
        SRError: a term compares what this training does not produce, or no term acts at every step; two averages of
            the weights.
    """

    loss_inputs: tuple[str, ...] = (*IMAGES, AVERAGED)  # what the terms of the objective may compare

    def __init__(
        self,
        generator: nn.Module,
        generator_config: Mapping[str, Any],
        objective: Objective,
        adversary: Adversary | None,
        degradation: Any,
        validation: Validation,
        optim: OptimConfig,
        max_steps: int,
        seed: int = 0,
        channels_last: bool = True,
        augments: Augments | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator = generator
        self.generator_config = dict(generator_config)
        self.ema = ema_copy(generator) if optim.ema_decay is not None or optim.averages else None
        self.objective = objective
        self.adversary = adversary
        self.discriminator = None if adversary is None else adversary.discriminator
        available = [name for name in self.loss_inputs if name != AVERAGED or self.ema is not None]
        objective.check_inputs(available, type(generator).__name__)
        self.degradation = degradation
        self.augments = augments
        self.pool = PairPool(degradation.pool_size, degradation.bits) if degradation.pool_size else None
        # Each process mixes pairs of its own; DDP would overwrite them with those of the first.
        self._ddp_params_and_buffers_to_ignore = ["pool.lr", "pool.hr", "pool.filled"]
        if optim.averages:
            _check_average(optim, generator)
        self.optim = optim
        self.max_steps = max_steps
        self.seed = seed
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.step = 0
        self.stage_ends: dict[int, str] = {}  # number and name of each stage, by the step it ends at
        self.idle_since = 0.0  # time.perf_counter() when the last batch was done with
        self.validation = validation
        self.scalars = Scalars()
        self.pairs: dict[int, Pair] = {}  # of the steps since the last look, where they can't be made again
        self.rollbacks: list[dict[str, Any]] = []  # see `training.rollback`
        self.schedule: Schedule = make_schedule(optim.schedule, max_steps, optim.warmup_steps)

    # -- one batch ---------------------------------------------------------------------------------------

    def train_batch(self, lr: Tensor, hr: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Update the generator and, where it is due, the discriminator.

        Args:
            lr: (N, C, H, W) in [0, 1].
            hr: (N, C, scale * H, scale * W).
            target: what SR is to look like: HR, or HR sharpened by the degradation. Real images of the discriminator
                are HR itself.

        Returns:
            What is to be logged, as detached scalars.
        """
        step, weights, objective = self.step - self.stage_start(self.step), self.term_weights(), self.objective
        outputs = self.super_resolve(lr, hr, target)
        values = {name: objective.evaluate(name, outputs) for name in objective.due(step, weights)}
        adversary = self.adversary if objective.adversarial_acts(step, weights) else None
        if adversary is not None:
            pair = self.discriminator_inputs(outputs)
            if objective.terms[objective.adversarial].due(step):
                values[objective.adversarial] = adversary.generator_loss(*pair)
        total, scalars = objective.weighted_sum(values, weights, step)
        scalars |= self.update(total, *self.trained_networks())
        if adversary is not None and step % adversary.every == 0:
            scalars |= self.train_discriminator(adversary, *pair, step)
        return scalars

    def train_discriminator(self, adversary: Adversary, fake: Tensor, real: Tensor, step: int) -> dict[str, Tensor]:
        """Update the discriminator, unless it is ahead by more than its margin; return what is to be logged.

        Args:
            adversary: with the discriminator.
            fake: generated images, (N, C, H, W).
            real: real ones.
            step: of the run, or of its stage.
        """
        loss, scalars = adversary.discriminator_loss(fake.detach(), real, step)
        margin, learns = self.update_margin(adversary), True
        if margin is not None:
            ahead = torch.as_tensor(self.all_gather(scalars["gan/log_margin"])).mean()  # all processes decide alike
            learns = bool(ahead < margin)
        if learns:
            scalars |= self.update(loss, "discriminator")
        return scalars | {"gan/d_updates": torch.tensor(float(learns), device=loss.device)}

    # What another way of training, such as that of clips in stages, overrides:

    def super_resolve(self, lr: Tensor, hr: Tensor, target: Tensor) -> Outputs:
        """Run the generator on a batch."""
        sr_ema = None
        if self.ema is not None and self.objective.compares(AVERAGED, self.step - self.stage_start(self.step)):
            with torch.no_grad():
                sr_ema = self.ema(lr)
        return Outputs(lr, hr, target, self.generator(lr), sr_ema=sr_ema)

    def discriminator_inputs(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """What the discriminator is shown: generated images, with gradients, and real ones."""
        return outputs.sr, outputs.hr

    def term_weights(self) -> Mapping[str, float]:
        """Full weights of the terms that act in this step's stage, by name, in the order of their sum."""
        return self.objective.weights

    def steps_of_terms(self) -> dict[str, int]:
        """Return the steps that each term may act in, by its name."""
        return dict.fromkeys(self.objective.terms, self.max_steps)

    def update_margin(self, adversary: Adversary) -> float | None:
        """Margin from which on the discriminator rests at this step; None: it never rests."""
        return adversary.update_margin

    def trained_networks(self) -> Iterable[str]:
        """Names of the generator's networks that are trained at this step."""
        return ("generator",)

    def networks(self) -> dict[str, nn.Module]:
        """The networks that are trained, by name, in the order of their optimisers."""
        return {"generator": self.generator, **self.discriminators()}

    def discriminators(self) -> dict[str, nn.Module]:
        """The discriminator by its name, where there is one."""
        return {} if self.discriminator is None else {"discriminator": self.discriminator}

    def learning_rate(self, network: str, step: int) -> float:
        """Learning rate of a network at a step; 0 where it rests."""
        o = self.optim
        rate = o.discriminator_learning_rate if network == "discriminator" else o.learning_rate
        return rate * self.schedule(step)

    def current_rate(self, network: str, step: int) -> float:
        """The learning rate that a network is trained with: lowered each time that the run had to go back."""
        factor = math.prod(rollback["factor"] for rollback in self.rollbacks)
        return factor * self.learning_rate(network, step)

    def eligible_as_best(self) -> bool:
        """Whether a validation at this step may become the best checkpoint: all terms have their full weight."""
        if self.step == 0:  # the start, where it is validated
            return True
        full = max(term.full_step for term in self.objective.terms.values())
        return self.step > full or self.step >= self.max_steps

    def stage(self) -> str:
        """Number and name of the stage that ends with or contains the last step, where there are stages."""
        return next((stage for end, stage in self.stage_ends.items() if self.step <= end), "")

    def makes_sr(self, step: int) -> bool:
        """Whether SR is made at a step, so that it can be measured."""
        return True

    def stage_start(self, step: int) -> int:
        """First step of the stage that a step belongs to; the average of the weights begins anew there."""
        return 0

    # -- optimisation ------------------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Bring all networks into the wanted memory layout."""
        self.to(memory_format=self.memory_format)  # type: ignore[call-overload]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Make the optimisers of all trained networks; `optimizer_owners` says whose each of them is."""
        made = {
            name: make_optimizers(network, self.optim.optimizer, self.learning_rate(name, 0))
            for name, network in self.networks().items()
        }
        self.optimizer_owners = [name for name, own in made.items() for _ in own]
        return [optimizer for own in made.values() for optimizer in own]

    @property
    def at_update(self) -> bool:
        """Whether no gradients are being accumulated, so that a checkpoint loses nothing."""
        return self.step % self.optim.accumulate == 0 or self.step >= self.max_steps

    def update(self, loss: Tensor, *names: str) -> dict[str, Tensor]:
        """Backward `loss` and, at the end of an accumulation window, step the optimisers of these networks.

        Returns:
            Their gradient norms before clipping, where the optimisers stepped.
        """
        self.manual_backward(loss / self.optim.accumulate)
        if (self.step + 1) % self.optim.accumulate and self.step + 1 < self.max_steps:
            return {}
        norms = {}
        for name, network in self.networks().items():
            if name not in names:
                continue
            if self.optim.clip_norm:
                norm = clip_grad_norm_(network.parameters(), self.optim.clip_norm)
            else:
                norm = get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
            for optimizer in self._optimizers_of(name):
                for group in optimizer.param_groups:
                    group["lr"] = self.current_rate(name, self.step)
                with torch.autocast(self.device.type, enabled=False):  # its matrices are in fp32
                    optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            norms[f"grad_norm/{name}"] = norm.detach()
        return norms

    def _optimizers_of(self, *names: str) -> list[Any]:
        """Return Lightning's optimisers of networks."""
        found = self.optimizers()
        every = found if isinstance(found, list) else [found]
        return [one for one, owner in zip(every, self.optimizer_owners, strict=True) if owner in names]

    def _average(self) -> None:
        """Bring the average of the weights up to date, after an update."""
        assert self.ema is not None
        if self.optim.averages:
            average_into(self.ema, self.generator, self._generators_optimizers())
        else:
            assert self.optim.ema_decay is not None
            updates = (self.step - self.stage_start(self.step)) // self.optim.accumulate
            ema_update(self.ema, self.generator, self.optim.ema_decay, updates)

    def _generators_optimizers(self) -> list[torch.optim.Optimizer]:
        names = self.networks().keys() - {"discriminator"}
        return [optimizer.optimizer for optimizer in self._optimizers_of(*names)]

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Prepare the pair, learn from it, count the step."""
        if self.optim.averages and self.step == self.stage_start(self.step):
            restart_average(self._generators_optimizers())
        pair = self.pair_of(batch, self.step)
        if self.pool is not None:
            self.pairs[self.step] = pair
        scalars = self.train_batch(*pair)
        updated = (self.step + 1) % self.optim.accumulate == 0 or self.step + 1 >= self.max_steps
        if self.ema is not None and updated:
            self._average()
        self.step += 1
        self.scalars.add(self.step, scalars)
        if len(self.pairs) >= KEPT_PAIRS:
            self.check_finite()

    def pair_of(self, batch: dict[str, Tensor], step: int) -> Pair:
        """LR, HR and target of the batch of a step, on the device; seeds all that is random in that step."""
        seed = (self.seed * 1_000_003 + step) * 1009 + self.global_rank
        # What `torch.manual_seed` does, for the devices in use: for all others it takes a millisecond.
        torch.default_generator.manual_seed(seed)
        if self.device.type != "cpu":
            getattr(torch, self.device.type).manual_seed(seed)
        return self._pair(batch)

    @torch.no_grad()
    def _pair(self, batch: dict[str, Tensor]) -> Pair:
        """LR, HR and target of a batch, (N, C, H, W); of clips all frames, (N * T, C, H, W)."""
        rng = torch.Generator().manual_seed(torch.initial_seed())
        with torch.autocast(self.device.type, enabled=False):
            lr, hr, frames = self.images_of(batch, rng)
            if (pool := self.pool) is not None:
                lr, hr = _of_generated(batch, lambda lr, hr: pool(lr, hr, rng), lr, hr)
            target = self.target_of(batch, hr)
            if self.augments is not None:
                lr, hr, target = with_target(partial(self.augments, rng=rng, frames=frames), lr, hr, target, rng)
        laid_out = (images.contiguous(memory_format=self.memory_format) for images in (lr, hr, target))
        return tuple(laid_out)  # type: ignore[return-value]

    def target_of(self, batch: dict[str, Tensor], hr: Tensor) -> Tensor:
        """What SR is to look like, (N, C, H, W): HR of a batch, sharpened by the degradation where LR is generated."""
        (target,) = _of_generated(batch, lambda hr: (self.degradation.target(hr),), hr)
        return target

    def images_of(self, batch: dict[str, Tensor], rng: torch.Generator) -> tuple[Tensor, Tensor, int]:
        """LR and HR of a batch, (N, C, H, W), those of a clip one after the other, and how many frames a clip has."""
        hr = self._as_images(batch["hr"])
        frames = batch["hr"].shape[1] if batch["hr"].ndim == 5 else 1
        lr = self._as_images(batch["lr"]) if "lr" in batch else hr
        lr, hr = _of_generated(batch, lambda _, hr: (self.degradation(hr, rng, frames), hr), lr, hr)
        return lr, hr, frames

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End the run after `max_steps` batches; all callbacks are done with this one."""
        if self.step >= self.max_steps:
            self.trainer.should_stop = True
        self.idle_since = time.perf_counter()

    def on_train_epoch_start(self) -> None:
        """From now on, waiting is waiting for data."""
        self.idle_since = time.perf_counter()

    def _as_images(self, pixels: Tensor) -> Tensor:
        frames = pixels.flatten(0, 1) if pixels.ndim == 5 else pixels
        return as_floats(frames).contiguous(memory_format=self.memory_format)

    def check_finite(self) -> None:
        """Check the scalars since the last check; raises NotFinite, see `Scalars.check_finite`."""
        self.scalars.check_finite(self.trainer.world_size)
        self.pairs.clear()

    def drain_scalars(self) -> dict[str, float]:
        """Mean of every scalar over the steps since the last call, and the learning rates."""
        self.check_finite()
        rates = {f"learning_rate/{name}": self.current_rate(name, self.step - 1) for name in self.networks()}
        return self.scalars.means() | rates

    # -- validation --------------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """Begin anew, with weights that came from finite losses."""
        self.check_finite()
        self.validation.start(self.ema or self.generator, self.device, self.makes_sr(max(self.step - 1, 0)))

    def validation_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Super-resolve one validation image, or the next frame of a clip, and update its set's metrics."""
        hr = self._as_images(batch["hr"])
        lr, *later = (self._validation_lr(frame) for frame in (batch, *batch.get("later", ())))
        return self.validation.step(self.validation.names[dataloader_idx], lr, hr, batch, later)

    def _validation_lr(self, frame: dict[str, Any]) -> Tensor:
        """LR of a validation image or frame, (1, C, H, W)."""
        if "lr" in frame:
            lr = self._as_images(frame["lr"])
        else:
            lr = self.degradation.validation(self._as_images(frame["hr"]), int(frame.get("frame", 0)))
        return lr.contiguous(memory_format=self.memory_format)

    def on_validation_epoch_end(self) -> None:
        """Compute `val/<set>/<metric>`, and the same of the baseline."""
        values = self.validation.finish()
        # For callbacks that monitor a metric; the loggers get it from the Record callback, with our step.
        self.log_dict(values, logger=False, rank_zero_only=True)

    # -- checkpoints -------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add our own record; drop Lightning's loop counters, which ours replace."""
        checkpoint.pop("loops", None)
        checkpoint["sr_experiments"] = {
            "format": FORMAT,
            "generator": self.generator_config,
            "step": self.step,
            "rollbacks": self.rollbacks,
            "optimizer": self.optim.optimizer["name"],
            "bits": self.degradation.bits,
        }

    def check_resumable(
        self, generator: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], optimizer: str, groups: Sequence[int]
    ) -> None:
        """Refuse a checkpoint of other networks or of another optimiser.

        Args:
            generator: of the checkpoint, its name and arguments.
            shapes: of its tensors.
            optimizer: its name.
            groups: numbers of the parameters in the groups of all optimisers.

        Raises:
            SRError: the run can't go on from it.
        """
        judged = any(name.startswith("discriminator.") for name in shapes)
        own = {name: tuple(tensor.shape) for name, tensor in self.state_dict().items()}
        networks = ("generator.", "ema.", "discriminator.")  # a pool of pairs grows as it fills
        other = [n for n in (*own, *shapes) if n.startswith(networks) and own.get(n) != shapes.get(n)]
        if generator != self.generator_config:
            difference = describe_mismatch(generator, self.generator_config)
        elif judged != (self.discriminator is not None):
            difference = (
                f"the checkpoint is {'' if judged else 'not '}of a GAN, the run is {'not ' if judged else ''}one"
            )
        elif any(name.startswith("ema.") for name in other):
            averaged = self.ema is None
            difference = (
                f"the checkpoint has {'a' if averaged else 'no'} moving average of the weights, the run "
                f"{'none' if averaged else 'one'} (optim.ema_decay)"
            )
        elif other:
            part = "loss.discriminator" if other[0].startswith("discriminator.") else other[0]
            difference = f"the checkpoint has another {part} than the run"
        elif optimizer != (own_name := self.optim.optimizer["name"]) and not {optimizer, own_name} <= {*ALIKE}:
            difference = f"the checkpoint is of optim.name={optimizer}, the run of {own_name}"
        elif list(groups) != sizes_of_groups(one.state_dict() for one in self.configure_optimizers()):
            difference = "the optimiser has other groups of parameters (optim.decay_biases)"
        else:
            return
        raise SRError(f"cannot resume: {difference}; to start a new run from its weights use init_from=")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the step back from the record."""
        record = checkpoint["sr_experiments"]
        self.step = record["step"]
        self.rollbacks = list(record.get("rollbacks", ()))


def _of_generated(
    batch: Mapping[str, Tensor], function: Callable[..., tuple[Tensor, ...]], *images: Tensor
) -> tuple[Tensor, ...]:
    """Replace the images of a batch whose LR is generated, and not given, by what a function makes of them."""
    if "lr" not in batch:
        return function(*images)
    if "paired" not in batch or batch["paired"].all():  # which is on the host
        return images
    chosen = (~batch["paired"]).nonzero().flatten().to(images[0].device)
    new = function(*(one[chosen] for one in images))
    return tuple(one.index_copy(0, chosen, other) for one, other in zip(images, new, strict=True))


def sizes_of_groups(states: Iterable[Mapping[str, Any]]) -> list[int]:
    """Return the numbers of the parameters in the groups of optimisers, from their state dictionaries."""
    return [len(group["params"]) for state in states for group in state["param_groups"]]


def _check_average(optim: OptimConfig, generator: nn.Module) -> None:
    """Refuse what doesn't go with an optimiser that averages the weights."""
    name = optim.optimizer["name"]
    if optim.ema_decay is not None:
        raise SRError(f"optim={name} averages the weights itself: set optim.ema_decay=null")
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in generator.modules()):
        raise SRError(
            f"optim={name} averages the weights, and the statistics of batch norm would not be those of the average: "
            "choose a network without, such as model=msrresnet, or another optimiser"
        )
