"""Callbacks: what happens around the training steps, one idea per file."""

from sr_experiments.training.callbacks.alerts import Alerts
from sr_experiments.training.callbacks.checkpoints import Checkpoints
from sr_experiments.training.callbacks.clips import Clips
from sr_experiments.training.callbacks.gan_health import GANHealth
from sr_experiments.training.callbacks.gradients import Gradients
from sr_experiments.training.callbacks.inspection import Inspection
from sr_experiments.training.callbacks.progress import ProgressLine
from sr_experiments.training.callbacks.pruning import Pruning, make_pruning
from sr_experiments.training.callbacks.record import Record
from sr_experiments.training.callbacks.samples import Samples

__all__ = [
    "Alerts",
    "Checkpoints",
    "Clips",
    "GANHealth",
    "Gradients",
    "Inspection",
    "ProgressLine",
    "Pruning",
    "Record",
    "Samples",
    "make_pruning",
]
