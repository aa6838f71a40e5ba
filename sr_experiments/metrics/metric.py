"""The base of all metrics: a mean, with its direction, digits, unit and convention."""

import torch
from torch import Tensor
from torchmetrics import Metric


class SRMetric(Metric):
    """Mean of values, correct under DDP: sum and count are summed over processes.

    A subclass sets the attributes that tables, sweeps and records use.
    """

    full_state_update = False
    higher_is_better: bool  # whether higher values are better
    digits: int = 4  # number of significant decimals
    unit: str = ""  # "dB", "px", or "" for a plain number
    temporal: bool = False  # whether consecutive frames are compared, so that images alone have no value
    needs_rgb: bool = False  # whether grey images have no value
    any_channels: bool = False  # whether images of other channels than grey and RGB have a value
    least_size: int = 1  # smallest side in pixels, without the border
    pretrained: tuple[str, ...] = ()  # pretrained weights that it uses, by their names in `pretrained.catalogue`
    convention: str  # what exactly is measured; set by the constructor, as it depends on the arguments
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def compute(self) -> Tensor:
        """Return the mean of all values."""
        return self.total / self.count
