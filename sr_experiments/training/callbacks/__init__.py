"""What happens around the training steps."""

from sr_experiments.training.callbacks.alerts import Alerts
from sr_experiments.training.callbacks.checkpoints import Checkpoints, Interrupted, signals_given_back
from sr_experiments.training.callbacks.clips import Clips
from sr_experiments.training.callbacks.gan_health import GANHealth
from sr_experiments.training.callbacks.gradients import Gradients
from sr_experiments.training.callbacks.inspection import Inspection
from sr_experiments.training.callbacks.progress import ProgressLine
from sr_experiments.training.callbacks.record import Record
from sr_experiments.training.callbacks.samples import Samples

__all__ = [
    "Alerts",
    "Checkpoints",
    "Clips",
    "GANHealth",
    "Gradients",
    "Inspection",
    "Interrupted",
    "ProgressLine",
    "Record",
    "Samples",
    "signals_given_back",
]
