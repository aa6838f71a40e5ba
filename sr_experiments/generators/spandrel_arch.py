"""Any architecture that spandrel knows, as a generator to train or fine-tune."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.errors import SRError

# What the architectures' authors called the same things.
SCALE_NAMES = ("scale", "upscale", "upscale_factor", "up_scale", "upscaling_factor")
IN_NAMES = ("in_channels", "in_chans", "in_ch", "in_nc", "num_in_ch", "inp_channels", "n_colors", "img_channel")
OUT_NAMES = ("out_channels", "out_chans", "out_ch", "out_nc", "num_out_ch")


class SpandrelGenerator(nn.Module):
    """A freshly initialised network of one of spandrel's architectures, without its weights' history.

    The state dict is the architecture's own below `net.`. Inputs are padded to the sizes it needs and the output
    cropped.

    Args:
        scale: upsampling factor.
        arch: spandrel's id of the architecture, in any case: "SwinIR", "span", "PLKSR".
        channels: of the input and the output image.
        options: further arguments of the architecture's constructor, for example `{"embed_dim": 60}`.

    Raises:
        SRError: spandrel is not installed; unknown architecture or option; the architecture can't do the scale.
    """

    def __init__(
        self, scale: int = 4, arch: str = "SPAN", channels: int = 3, options: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        try:
            from spandrel import MAIN_REGISTRY, ImageModelDescriptor
        except ModuleNotFoundError as error:
            raise SRError('model=spandrel needs spandrel: pip install "sr-experiments[spandrel]"') from error
        known = {support.architecture.id.lower(): support.architecture for support in MAIN_REGISTRY.architectures()}
        if arch.lower() not in known:
            names = ", ".join(sorted((a.id for a in known.values()), key=str.lower))
            raise SRError(f"spandrel has no architecture {arch!r}: choose one of {names}")
        architecture = known[arch.lower()]
        self.scale = scale
        try:
            self.net = _construct(architecture, scale, channels, options or {})
            descriptor = architecture.load(self.net.state_dict())  # spandrel's own view of what this is
        except SRError:
            raise
        except Exception as error:  # each architecture fails in its own way
            given = f"scale={scale} and {dict(options or {})}"
            raise SRError(f"{architecture.id} can't be built with {given}: {error}") from error
        if not isinstance(descriptor, ImageModelDescriptor) or descriptor.scale != scale:
            raise SRError(f"{architecture.id} is no network for scale={scale}")
        self._needs = descriptor.size_requirements

    def forward(self, lr: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to (N, C, scale * H, scale * W)."""
        height, width = lr.shape[-2:]
        right, bottom = self._needs.get_padding(width, height)
        sr = self.net(F.pad(lr, (0, right, 0, bottom), mode="replicate") if right or bottom else lr)
        return sr[..., : height * self.scale, : width * self.scale]


def _construct(architecture: Any, scale: int, channels: int, options: Mapping[str, Any]) -> nn.Module:
    module = inspect.getmodule(type(architecture))
    network = next(c for c in vars(module).values() if inspect.isclass(c) and issubclass(c, nn.Module))
    parameters = inspect.signature(network).parameters
    for key in options:
        if key not in parameters:
            raise SRError(f"{architecture.id} has no option {key!r}: it takes {', '.join(parameters)}")
    arguments: dict[str, Any] = {}
    for names, value in ((SCALE_NAMES, scale), (IN_NAMES, channels), (OUT_NAMES, channels)):
        arguments |= {name: value for name in names if name in parameters}
    if not set(SCALE_NAMES) & set(parameters):
        raise SRError(f"{architecture.id} has no upsampling factor: it is no super-resolution network")
    if "upsampler" in parameters and parameters["upsampler"].default == "":
        arguments["upsampler"] = "pixelshuffle"  # the transformers' default is none, for denoising
    return network(**{**arguments, **options})
