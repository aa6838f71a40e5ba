"""Whether training has made the network better than it was at its start, image by image."""

import logging
import math
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from sr_experiments.evaluation.results import Result, difference
from sr_experiments.training.module import SRModule
from sr_experiments.training.validation import Validation

log = logging.getLogger(__name__)

METRICS = ("lpips_alex", "psnr_y")  # what is compared, besides the monitor: how real, how faithful
Comparison = dict[str, Any]  # mean, low, high and images of a `Difference`, and verdict


@dataclass(eq=False)
class AgainstStart(Callback):
    """Compare each validation with that of step 0: means of paired differences with their 95 % confidence intervals.

    The verdict is "better" or "worse" where the interval excludes 0, else "no clear difference".
    """

    monitor: str  # metric key `val/<set>/<metric>` that decides the best checkpoint
    start: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)  # by set, image and metric
    found: dict[int, dict[str, Comparison]] = field(default_factory=dict)  # by step and `val/<set>/<metric>`

    def state_dict(self) -> dict[str, Any]:
        """Return the start and the comparisons so far."""
        return {"start": self.start, "found": self.found}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them."""
        self.start, self.found = state_dict["start"], state_dict["found"]

    def on_validation_end(self, trainer: pl.Trainer, module: SRModule) -> None:
        """Remember the start, or compare with it and log the verdicts, a line for each set."""
        validation = module.validation
        if module.step == 0:
            self.start = validation.images
            return
        self.found[module.step] = self._compare(validation)
        for name in validation.names if trainer.is_global_zero else ():
            own = {key: value for key, value in self.found[module.step].items() if key.split("/")[1] == name}
            if own:
                said = "; ".join(in_words(key, value, validation) for key, value in own.items())
                log.info("step %d  %s  against the start: %s", module.step, name, said)

    def summary(self, best_step: int | None) -> dict[str, Any]:
        """Return what summary.json says: of the last validation and of the best checkpoint."""
        last = max(self.found, default=0)
        return {"final": self.found.get(last, {}), "best": self.found.get(best_step or 0, {})}

    def _compare(self, validation: Validation) -> dict[str, Comparison]:
        compared = {}
        for name, images in validation.images.items():
            now, start = Result("now", "", images), Result("start", "", self.start.get(name, {}))
            for key in dict.fromkeys((*METRICS, self.monitor.rsplit("/", 1)[1])):
                metric = validation.metrics.get(key)
                if metric is None or (found := difference(now, start, key)) is None:
                    continue
                compared[f"val/{name}/{key}"] = {
                    "mean": found.mean,
                    "low": found.low,
                    "high": found.high,
                    "images": found.images,
                    "verdict": verdict(found.low, found.high, metric.higher_is_better),
                }
        return compared


def verdict(low: float | None, high: float | None, higher_is_better: bool) -> str:
    """Return what the interval of a difference to the start says."""
    if low is None or high is None or not math.isfinite(low + high) or low <= 0 <= high:
        return "no clear difference"
    return "better" if (low > 0) == higher_is_better else "worse"


def in_words(key: str, value: Comparison, validation: Validation) -> str:
    """Return a comparison as `psnr_y -0.31 dB (-0.52 to -0.10), worse`."""
    metric = validation.metrics[key.rsplit("/", 1)[1]]
    d, unit = metric.digits, f" {metric.unit}" if metric.unit else ""
    interval = "one image" if value["low"] is None else f"{value['low']:+.{d}f} to {value['high']:+.{d}f}"
    return f"{key.rsplit('/', 1)[1]} {value['mean']:+.{d}f}{unit} ({interval}), {value['verdict']}"
