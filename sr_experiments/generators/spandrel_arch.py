"""Any super-resolution architecture that spandrel knows, as a generator to train or fine-tune."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.padding import continued, whole_blocks, without_padding

# What the architectures' authors called the same things.
SCALE_NAMES = ("scale", "upscale", "upscale_factor", "up_scale", "upscaling_factor")
IN_NAMES = ("in_channels", "in_chans", "in_ch", "in_nc", "num_in_ch", "inp_channels", "n_colors", "img_channel")
OUT_NAMES = ("out_channels", "out_chans", "out_ch", "out_nc", "num_out_ch")

# The published x4 networks, where the constructor's own defaults make none that works.
SWIN = {"depths": [6] * 6, "num_heads": [6] * 6, "embed_dim": 180, "mlp_ratio": 2.0}
PUBLISHED: dict[str, dict[str, Any]] = {
    "SwinIR": {**SWIN, "window_size": 8},  # classical SR, arXiv 2108.10257
    "Swin2SR": {**SWIN, "window_size": 8},  # classical SR, arXiv 2209.11345
    "HAT": {**SWIN, "window_size": 16},  # arXiv 2205.04437
    "SAFMN": {"dim": 36},  # arXiv 2302.13800
}


@GENERATORS.register("spandrel", small={"arch": "SPAN", "options": {"feature_channels": 8}})
class SpandrelGenerator(nn.Module):
    """A freshly initialised network of one of spandrel's architectures, without its weights' history.

    The state dict is the architecture's own below `net.`. Inputs are padded to the sizes it needs and the output
    cropped. Each network is tried on a small image as it is built, so a mistake shows before training.

    Args:
        scale: upsampling factor.
        arch: spandrel's id of the architecture, in any case: "SwinIR", "span", "PLKSR".
        channels: of the input and the output image.
        options: further arguments of the architecture's constructor, for example `{"embed_dim": 60}`.

    Raises:
        SRError: spandrel is not installed; unknown architecture or option; the architecture can't do the scale or
            the channels.
    """

    def __init__(
        self, scale: int = 4, arch: str = "SPAN", channels: int = 3, options: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        try:
            from spandrel import MAIN_REGISTRY
        except ModuleNotFoundError as error:
            raise SRError('model=spandrel needs spandrel: pip install "sr-experiments[spandrel]"') from error
        known = {support.architecture.id.lower(): support.architecture for support in MAIN_REGISTRY.architectures()}
        if arch.lower() not in known:
            names = ", ".join(sorted((a.id for a in known.values()), key=str.lower))
            raise SRError(f"spandrel has no architecture {arch!r}: choose one of {names}")
        architecture = known[arch.lower()]
        network = _network(architecture, scale)
        arguments = _arguments(architecture.id, network, scale, channels, options or {})
        self.scale = scale
        self.channels = channels
        try:
            self.net = network(**arguments)
            descriptor = architecture.load(self.net.state_dict())  # spandrel's own view of what this is
            self._needs = descriptor.size_requirements
            tried = self._try(channels)
        except Exception as error:  # each architecture fails in its own way
            given = ", ".join(f"{k}={v}" for k, v in arguments.items())
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise SRError(f"{architecture.id} can't be built with {given}: {reason}") from error
        if descriptor.scale != scale or tried is not None:
            wrong = tried or f"spandrel takes it for scale={descriptor.scale}"
            raise SRError(f"{architecture.id} can't do scale={scale}, channels={channels}: {wrong}")

    def forward(self, lr: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to (N, C, scale * H, scale * W)."""
        sr = self.net(_padded(lr, self._needs))
        sr = sr[0] if isinstance(sr, tuple) else sr  # some also give what they estimated on the way
        return _cropped(sr, lr, self.scale, self._needs)

    @torch.no_grad()
    def _try(self, channels: int) -> str | None:
        """What is wrong with the output for a small grey image; None if nothing is."""
        training = self.training
        shape = tuple(self.eval()(torch.full((1, channels, 15, 17), 0.5)).shape)
        self.train(training)
        wanted = (1, channels, 15 * self.scale, 17 * self.scale)
        return None if shape == wanted else f"its output is {shape} instead of {wanted}"


class SpandrelModel(nn.Module):
    """A network as spandrel read it, with its weights.

    Attributes:
        arch: spandrel's name of the architecture.
    """

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.arch: str = descriptor.architecture.name
        self.scale: int = descriptor.scale
        self.channels: int = descriptor.input_channels
        self.net = descriptor.model
        self._needs = descriptor.size_requirements
        self._call = descriptor._call_fn

    def forward(self, lr: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to (N, C, scale * H, scale * W)."""
        return _cropped(self._call(self.net, _padded(lr, self._needs)), lr, self.scale, self._needs)


def recognised(state_dict: Mapping[str, Tensor]) -> SpandrelModel | None:
    """The network that a state dict belongs to; None if spandrel doesn't know it.

    Raises:
        SRError: it is a network of another purpose than super-resolution.
    """
    from spandrel import MAIN_REGISTRY, ImageModelDescriptor

    try:
        descriptor = MAIN_REGISTRY.load(dict(state_dict))
    except SRError:
        raise
    except Exception:  # unknown, or of a known one's names without its shapes, at which each fails in its own way
        return None
    if not isinstance(descriptor, ImageModelDescriptor) or descriptor.input_channels != descriptor.output_channels:
        raise SRError(f"a network of {descriptor.architecture.name} for {descriptor.purpose}: not for super-resolution")
    return SpandrelModel(descriptor)


def _padded(lr: Tensor, needs: Any) -> Tensor:
    """LR (N, C, H, W) continued by its edge pixels to a size that the architecture takes."""
    if torch.compiler.is_exporting():  # for sizes of at least needs.minimum
        return whole_blocks(lr, needs.multiple_of) if needs.multiple_of > 1 else lr
    right, bottom = needs.get_padding(lr.shape[-1], lr.shape[-2])
    return continued(lr, 0, right, 0, bottom) if right or bottom else lr


def _cropped(sr: Tensor, lr: Tensor, scale: int, needs: Any) -> Tensor:
    if torch.compiler.is_exporting() and needs.multiple_of == 1:
        return sr
    return without_padding(sr, scale * lr.shape[-2], scale * lr.shape[-1])


def _network(architecture: Any, scale: int) -> type[nn.Module]:
    """The architecture's class; the one for `scale` where it has a class for each."""
    module = inspect.getmodule(type(architecture))
    classes = [c for c in vars(module).values() if inspect.isclass(c) and issubclass(c, nn.Module)]
    return next((c for c in classes if c.__name__.endswith(f"{scale}x")), classes[0])


def _arguments(
    arch: str, network: type[nn.Module], scale: int, channels: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    parameters = inspect.signature(network).parameters
    for key in options:
        if key not in parameters:
            raise SRError(f"{arch} has no option {key!r}: it takes {', '.join(parameters)}")
    if not set(SCALE_NAMES) & set(parameters) and not network.__name__.endswith(f"{scale}x"):
        raise SRError(f"{arch} has no upsampling factor to set: it is no super-resolution network for scale={scale}")
    arguments: dict[str, Any] = {}
    for names, value in ((SCALE_NAMES, scale), (IN_NAMES, channels), (OUT_NAMES, channels)):
        arguments |= {name: value for name in names if name in parameters}
    if "upsampler" in parameters and not parameters["upsampler"].default:
        arguments["upsampler"] = "pixelshuffle"  # without one, the transformers only restore
    return {**arguments, **PUBLISHED.get(arch, {}), **options}
