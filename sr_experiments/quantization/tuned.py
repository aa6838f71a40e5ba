"""What a fine-tuning for int8 has left in its run folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.generators.generator import Generator
from sr_experiments.inference.int8 import QuantizedConvolution, steps_of
from sr_experiments.quantization.calibrate import Calibrated
from sr_experiments.quantization.network import quantised_part
from sr_experiments.runs.reading import read_config

START = "start.safetensors"  # the network before, with equalised channels


@dataclass(frozen=True)
class Tuned:
    """A network that was trained for int8.

    Attributes:
        original: the network before, in fp32.
        ranges: of the inputs of its convolutions, by their names.
    """

    original: Generator
    ranges: Mapping[str, tuple[float, float]]

    def calibrated(self, generator: Generator) -> dict[str, Calibrated]:
        """Return the convolutions in int8 of the network before, or of the one that was trained."""
        part, found = quantised_part(generator), {}
        for name, (low, high) in self.ranges.items():
            steps = steps_of(part.get_submodule(name).get_parameter("weight").detach())
            found[name] = Calibrated(QuantizedConvolution(low, high, steps), None)
        return found


def tuned_for_int8(run: Path | None) -> Tuned | None:
    """Read what a run folder holds beside the trained network; None if it isn't of a fine-tuning for int8."""
    ranges = (read_config(run) if run else {}).get("int8")
    if run is None or not ranges:
        return None
    original, _ = load_generator(run / START)
    return Tuned(original, {str(name): (float(low), float(high)) for name, (low, high) in ranges.items()})
