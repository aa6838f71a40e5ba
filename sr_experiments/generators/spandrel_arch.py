"""Any super-resolution architecture that spandrel knows, as a generator to train or fine-tune."""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sr_experiments.errors import SRError, first_line
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.padding import crop, pad_to_multiple, replicate_pad
from sr_experiments.packages.extras import install_extra

if TYPE_CHECKING:  # spandrel is optional
    from spandrel import Architecture, ImageModelDescriptor, SizeRequirements

# The names of the same constructor arguments in different architectures.
SCALE_NAMES = ("scale", "upscale", "upscale_factor", "up_scale", "upscaling_factor")
IN_NAMES = ("in_channels", "in_chans", "in_ch", "in_nc", "num_in_ch", "inp_channels", "n_colors", "img_channel")
OUT_NAMES = ("out_channels", "out_chans", "out_ch", "out_nc", "num_out_ch")

# Options of the published x4 networks, where the constructor's defaults don't make a working network.
SWIN = {"depths": [6] * 6, "num_heads": [6] * 6, "embed_dim": 180, "mlp_ratio": 2.0}
PUBLISHED: dict[str, dict[str, Any]] = {
    "SwinIR": {**SWIN, "window_size": 8},  # classical SR, arXiv 2108.10257
    "Swin2SR": {**SWIN, "window_size": 8},  # classical SR, arXiv 2209.11345
    "HAT": {**SWIN, "window_size": 16},  # arXiv 2205.04437
    "SAFMN": {"dim": 36},  # arXiv 2302.13800
}

# Ids of architectures that torch.export can't keep free of the image's size: they make masks, windows, index tables or
# pooled sizes out of it, or choose layers by its content. Tried with torch 2.15 and spandrel 0.4.
FIXED_SIZES = frozenset((
    "ATD", "CRAFT", "DAT", "DITN", "DRCT", "FDAT", "GRL", "HAT", "OmniSR", "RGT", "SAFMN", "SeemoRe", "Swin2SR",
    "SwinIR",
))  # fmt: skip


class SpandrelNetwork(Generator):
    """Base of the two: inputs are padded to the sizes that the architecture needs, the output is cropped.

    Attributes:
        net: the architecture's own module; its names in the state dict begin with `net.`.
        arch_id: spandrel's id of the architecture.
    """

    net: nn.Module
    arch_id: str
    _requirements: "SizeRequirements"
    _run: Callable[[nn.Module, Tensor], Tensor]  # the module on an image of a size that it takes

    def forward(self, lr: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to (N, C, scale * H, scale * W)."""
        height, width = lr.shape[-2:]
        if torch.compiler.is_exporting():  # programs are for images of at least smallest_size
            if self.size_multiple == 1:
                return self._run(self.net, lr)
            lr = pad_to_multiple(lr, self.size_multiple)
        else:
            right, bottom = self._requirements.get_padding(width, height)
            lr = replicate_pad(lr, 0, right, 0, bottom) if right or bottom else lr
        return crop(self._run(self.net, lr), self.scale * height, self.scale * width)

    def prepare_for_export(self) -> None:
        """Merge the parallel convolutions of SPAN and its relatives; done in every call, it can't be traced."""
        for module in self.modules():
            merge = getattr(module, "update_params", None)
            if callable(merge) and isinstance(getattr(module, "eval_conv", None), nn.Module):
                merge()
                vars(module)["update_params"] = lambda: None

    def _require(self, requirements: "SizeRequirements") -> None:
        self._requirements = requirements
        self.size_multiple = requirements.multiple_of
        self.smallest_size = requirements.minimum


@GENERATORS.register("spandrel", small={"arch": "SPAN", "options": {"feature_channels": 8}})
class SpandrelGenerator(SpandrelNetwork):
    """A randomly initialised network of any architecture in spandrel.

    Each network is run on a small image as it is built, so that wrong options show before training.

    Args:
        arch: name of the architecture in spandrel, case-insensitive: "SwinIR", "span", "PLKSR".
        options: additional arguments of the architecture's constructor, for example `{"embed_dim": 60}`.

    Raises:
        SRError: spandrel is not installed; unknown architecture or option; the architecture can't do the scale or
            the channels.
    """

    def __init__(
        self, scale: int = 4, arch: str = "SPAN", channels: int = 3, options: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(scale, channels)
        try:
            from spandrel import MAIN_REGISTRY
        except ModuleNotFoundError as error:
            raise SRError(f"model=spandrel needs spandrel: {install_extra('spandrel')}") from error
        known = {support.architecture.id.lower(): support.architecture for support in MAIN_REGISTRY.architectures()}
        if arch.lower() not in known:
            names = ", ".join(sorted((a.id for a in known.values()), key=str.lower))
            raise SRError(f"spandrel has no architecture {arch!r}: choose one of {names}")
        self._run = _first_output
        architecture = known[arch.lower()]
        self.arch_id = architecture.id
        network = _network(architecture, scale)
        arguments = _arguments(architecture.id, network, scale, channels, options or {})
        try:
            self.net = network(**arguments)
            descriptor = architecture.load(self.net.state_dict())  # what spandrel infers from the weights' shapes
            self._require(descriptor.size_requirements)
            mistake = self._try(channels)
        except Exception as error:  # each architecture fails in its own way
            given = ", ".join(f"{k}={v}" for k, v in arguments.items())
            raise SRError(f"{architecture.id} can't be built with {given}: {first_line(error)}") from error
        if descriptor.scale != scale or mistake is not None:
            wrong = mistake or f"spandrel takes it for scale={descriptor.scale}"
            raise SRError(f"{architecture.id} can't do scale={scale}, channels={channels}: {wrong}")

    @torch.no_grad()
    def _try(self, channels: int) -> str | None:
        """Run the network on a small grey image; return what is wrong with the output, if anything."""
        training = self.training
        shape = tuple(self.eval()(torch.full((1, channels, 15, 17), 0.5)).shape)
        self.train(training)
        expected = (1, channels, 15 * self.scale, 17 * self.scale)
        return None if shape == expected else f"its output is {shape} instead of {expected}"


class SpandrelModel(SpandrelNetwork):
    """A network that spandrel recognised by its weights; `arch` is spandrel's name of the architecture."""

    def __init__(self, descriptor: "ImageModelDescriptor[nn.Module]") -> None:
        super().__init__(descriptor.scale, descriptor.input_channels)
        self.arch: str = descriptor.architecture.name
        self.arch_id = descriptor.architecture.id
        self.net = descriptor.model
        self._require(descriptor.size_requirements)
        self._run = descriptor._call_fn


def recognise(state_dict: Mapping[str, Tensor]) -> SpandrelModel | None:
    """Build the network that a state dict belongs to, with its weights; None if spandrel doesn't know it.

    Raises:
        SRError: it is a network for another purpose than super-resolution.
    """
    from spandrel import MAIN_REGISTRY, ImageModelDescriptor

    try:
        descriptor = MAIN_REGISTRY.load(dict(state_dict))
    except SRError:
        raise
    except Exception:  # unknown, or an architecture's names with other shapes: each fails in its own way
        return None
    if not isinstance(descriptor, ImageModelDescriptor) or descriptor.input_channels != descriptor.output_channels:
        raise SRError(f"a network of {descriptor.architecture.name} for {descriptor.purpose}: not for super-resolution")
    return SpandrelModel(descriptor)


def _first_output(network: nn.Module, lr: Tensor) -> Tensor:
    sr = network(lr)
    return sr[0] if isinstance(sr, tuple) else sr  # some return intermediate estimates too


def _network(architecture: "Architecture[nn.Module]", scale: int) -> type[nn.Module]:
    """Find the architecture's class, or its class for `scale` where it has one for each."""
    module = inspect.getmodule(type(architecture))
    classes = [c for c in vars(module).values() if inspect.isclass(c) and issubclass(c, nn.Module)]
    return next((c for c in classes if c.__name__.endswith(f"{scale}x")), classes[0])


def _arguments(
    arch: str, network: type[nn.Module], scale: int, channels: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments for the network's constructor: scale and channels under its own names, then options."""
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
        arguments["upsampler"] = "pixelshuffle"  # the transformers' default is restoration at scale 1
    return {**arguments, **PUBLISHED.get(arch, {}), **options}
