"""Networks from LR to SR. To add one: one file with its nn.Module, and its name here."""

from collections.abc import Callable

from sr_experiments.generators.frvsr import FRVSR
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.msrresnet import MSRResNet
from sr_experiments.generators.rrdbnet import RRDBNet
from sr_experiments.generators.spandrel_arch import SpandrelGenerator
from sr_experiments.generators.srresnet import SRResNet

GENERATORS: dict[str, Callable[..., Generator]] = {
    "srresnet": SRResNet,
    "msrresnet": MSRResNet,
    "rrdbnet": RRDBNet,
    "frvsr": FRVSR,
    "spandrel": SpandrelGenerator,
}
