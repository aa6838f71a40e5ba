"""Base classes of the generators: what a network declares, and what it may offer to run faster."""

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor, nn

from sr_experiments.data.depth import Bits
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS


class Generator(nn.Module):
    """A super-resolution network: LR (N, C, H, W) in [0, 1] to SR (N, C, scale * H, scale * W).

    A subclass calls `super().__init__(scale, channels)` and defines `forward(lr) -> sr` for any H and W; nothing else
    is required. It can also

    - set the attributes below to override their defaults;
    - derive from `TwoPartGenerator`, so that inference on a CPU needs less memory and time;
    - override `optimise_for_cpu` to replace slow blocks, and `prepare_for_export` to make itself exportable.

    Video networks derive from `RecurrentGenerator`.

    Args:
        scale: upsampling factor.
        channels: number of channels of LR and SR.
        phase: where LR pixels lie on the HR grid, "centred" or "corner", see `Degradation`. None: the network learns it
            from its training data, and inference assumes "centred".

    Raises:
        SRError: the network does not support the scale.

    Attributes:
        scales: supported upsampling factors; None for any.
        receptive_radius: distance in LR pixels up to which an output pixel depends on the input; the overlap of
            tiles. None: measured, see `inference.probes.receptive_radius`.
        size_multiple: the network pads its input to multiples of this: the window of a transformer, the factor of a
            pixel-unshuffle.
        smallest_size: height and width in LR pixels to which smaller inputs are padded.
        whole_image: each output pixel depends on averages over the whole image, so tiled results differ slightly.
        sampling: for a network that samples its output: the sampling parameters, by the names of the options of
            `sr upscale`; empty for all others. Its `forward` takes the row and column of LR's first pixel in the whole
            image, for the noise, and keyword arguments that override these parameters.
        of_clips: whether it is a `RecurrentGenerator`, for video.
        bits: depth of the images that it was trained on, where its checkpoint says it.
    """

    scales: tuple[int, ...] | None = None
    receptive_radius: int | None = None
    size_multiple: int = 1
    smallest_size: int = 1
    whole_image: bool = False
    sampling: Mapping[str, float] = MappingProxyType({})
    of_clips: bool = False
    bits: Bits = 8

    def __init__(self, scale: int, channels: int, phase: str | None = None) -> None:
        super().__init__()
        if self.scales and scale not in self.scales:
            name = next((name for name in GENERATORS if GENERATORS.get(name) is type(self)), type(self).__name__)
            raise SRError(_cannot(name, self.scales, scale))
        self.scale = scale
        self.channels = channels
        self.phase = phase

    def optimise_for_cpu(self) -> None:
        """Replace blocks by equivalents that run faster on a CPU, in place.

        Called once on a copy that is used for inference only: names in the state dict may change, outputs may not
        differ by more than rounding.
        """

    def prepare_for_export(self) -> None:
        """Change, in place, what tracing can't follow; called once before the network is exported."""


class TwoPartGenerator(Generator):
    """A generator in two parts: layers at LR size, then the upscaling.

    Tensors of SR size with all features fit neither into the caches of a CPU nor into the memory of small machines.
    Inference on a CPU therefore runs `reconstruct` on strips of the image, with a measured overlap; see
    `inference.fast`. Strips are not used if the features are not of LR size, or if an output pixel of
    `reconstruct` depends on all rows.
    """

    def extract_features(self, lr: Tensor) -> Tensor:
        """First part: LR (N, C, H, W) to features (N, F, H, W)."""
        raise NotImplementedError

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        """Second part: features (N, F, H, W) and the same LR to SR (N, C, scale * H, scale * W)."""
        raise NotImplementedError

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, C, H, W) in [0, 1] to SR (N, C, scale * H, scale * W)."""
        return self.reconstruct(self.extract_features(lr), lr)


def _cannot(name: str, scales: tuple[int, ...], scale: int) -> str:
    """Say that a network can't do a scale, which it can, and which networks can."""
    own = f"{', '.join(map(str, scales[:-1]))} or {scales[-1]}"
    kinds = {other: GENERATORS.get(other) for other in GENERATORS}
    able = [other for other, kind in kinds.items() if scale in (getattr(kind, "scales", None) or (scale,))]
    if not getattr(kinds.get(name), "of_clips", False):
        able = [other for other in able if not getattr(kinds[other], "of_clips", False)]
    # A flow has the scale of the run that it starts from. spandrel's SPAN enlarges by any factor.
    able = [*sorted(set(able) - {"flow", "flow_distilled", "spandrel"}), "spandrel arch=SPAN"]
    return f"{name} can't do scale={scale}: set scale={own}, or model={' or model='.join(able)}"
