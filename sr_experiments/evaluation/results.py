"""The results of a measurement as plain values, for tables, files and model cards."""

import math
import statistics
from dataclasses import dataclass, field

CONFIDENCE = 0.95


@dataclass
class Result:
    """The values of one column of the table: of a network, the baseline, or a folder of finished pictures."""

    name: str  # of the column
    source: str  # what it is, in words
    per_image: dict[str, dict[str, float]] = field(default_factory=dict)  # by image (or clip), then by metric
    # over the images (or clips), by metric; infinite where a PSNR is
    mean: dict[str, float] = field(default_factory=dict)
    parameters: int | None = None  # of the network; None where there is no network, as for the rest
    macs: float | None = None  # multiplications with addition for one LR pixel
    seconds_per_image: float | None = None  # of an image or frame, in the network alone; rough
    device: str | None = None  # on which it ran
    precision: str | None = None  # of its convolutions
    # whether it was measured by another protocol than the rest, so that it is never the best
    own_protocol: bool = False

    def take_means(self) -> None:
        """Set `mean` from `per_image`."""
        metrics = dict.fromkeys(metric for values in self.per_image.values() for metric in values)
        for metric in metrics:
            values = [of[metric] for of in self.per_image.values() if metric in of]
            self.mean[metric] = sum(values) / len(values)


@dataclass
class Difference:
    """Mean over images of `model`'s value minus that of `against`."""

    model: str  # name of a result
    against: str  # likewise
    metric: str  # of the values
    mean: float  # of the differences
    low: float | None  # lower end of the 95 % confidence interval of the mean; None for fewer than two images
    high: float | None  # upper end
    images: int  # how many were compared: those where both values are finite


@dataclass
class Report:
    """All columns, and what a reader needs to understand them."""

    results: list[Result]  # the baseline first, then in the order given
    differences: list[Difference]  # between pairs of results, image by image
    scale: int  # upsampling factor
    crop: int  # pixels cut from each side before measuring
    unit: str  # what is measured: "image" or "clip"
    degradation: str  # how LR was made; "given" where nothing is enlarged and LR is of a folder
    data: dict[str, str]  # the folders
    conventions: dict[str, str]  # what each metric measures, and how the columns were made, by name
    higher_is_better: dict[str, bool]  # by metric
    digits: dict[str, int] = field(default_factory=dict)  # decimals that mean something, by metric
    units: dict[str, str] = field(default_factory=dict)  # "dB", "px" or "", by metric
    left_out: dict[str, str] = field(default_factory=dict)  # what could not be measured, and why
    pretrained: dict[str, str] = field(default_factory=dict)  # where the weights of metrics come from, by name
    notes: list[str] = field(default_factory=list)  # what else the reader should know

    def best(self, metric: str, image: str | None = None) -> set[str]:
        """Return the names of the results with the best value of an image, or with the best mean."""
        own = [result for result in self.results if not result.own_protocol]
        found = {r.name: (r.mean if image is None else r.per_image.get(image, {})).get(metric) for r in own}
        values = {name: value for name, value in found.items() if value is not None and not math.isnan(value)}
        if len(values) < 2:
            return set()
        wanted = (max if self.higher_is_better[metric] else min)(values.values())
        return {name for name, value in values.items() if value == wanted}


def difference(result: Result, against: Result, metric: str) -> Difference | None:
    """Compare two results image by image; None if no image has a finite value in both.

    The interval is Student's t interval of the mean of paired differences.
    """
    common = (
        (values[metric], against.per_image[image][metric])
        for image, values in result.per_image.items()
        if metric in values and metric in against.per_image.get(image, {})
    )
    deltas = [ours - theirs for ours, theirs in common if math.isfinite(ours - theirs)]
    if not deltas:
        return None
    n, mean = len(deltas), statistics.fmean(deltas)
    low = high = None
    if n > 1:
        from scipy.stats import t  # it takes a second to import

        half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * statistics.stdev(deltas) / math.sqrt(n)
        low, high = mean - half, mean + half
    return Difference(result.name, against.name, metric, mean, low, high, n)
