"""Any metric of the package pyiqa, by its name there: with and without a reference."""

import contextlib
import socket
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NoReturn
from unittest.mock import patch

import torch
from torch import Tensor

from sr_experiments.config.explain import near
from sr_experiments.config.offline import is_offline
from sr_experiments.errors import SRError, first_line
from sr_experiments.metrics import METRICS
from sr_experiments.metrics.image_metric import ImageMetric
from sr_experiments.packages.extras import install_extra
from sr_experiments.pretrained.fetch import WeightsUnavailable

OF_SETS = ("fid", "inception_score")  # they compare sets of images


@METRICS.register("pyiqa", small={"metric": "piqe"})
class PyIQA(ImageMetric):
    """A metric of pyiqa, with its direction and range. Those without a reference ignore HR.

    pyiqa downloads weights by itself, into $TORCH_HOME/hub/pyiqa, without checking what it loads.

    Args:
        metric: its name in pyiqa: "musiq", "maniqa", "topiq_fr" ...

    Raises:
        WeightsUnavailable: its weights can't be downloaded.
        SRError: pyiqa is not installed, or has no such metric of single images.
    """

    higher_is_better = False  # until `metric` is known

    def __init__(self, metric: str, crop_border: int = 0) -> None:
        super().__init__(crop_border)
        configs = _package().default_model_configs.DEFAULT_CONFIGS
        names = [name for name in configs if not name.startswith(OF_SETS)]
        if metric not in names:
            raise SRError(f"pyiqa measures single images by no metric {metric!r}: {near(metric, names)}")
        self.metric = metric
        self.network = _network(metric)
        self.__dict__["higher_is_better"] = not self.network.lower_better  # torchmetrics refuses an assignment
        reference = "no reference" if self.network.metric_mode == "NR" else "against HR"
        about = f"pyiqa's {metric} {_package().__version__}, {reference}, range {self.network.score_range}"
        self.convention = f"{about}, RGB, crop {crop_border}, 8-bit, mean over images"

    @torch.no_grad()
    def per_image(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Measure each image: (N, 3 or 1, H, W) in [0, 1] twice to (N,).

        Raises:
            SRError: the metric can't measure images of this size.
        """
        pairs = zip(*(self.prepare(x).float().expand(-1, 3, -1, -1).split(1) for x in (sr, hr)), strict=True)
        return torch.stack([self._value(*pair) for pair in pairs])

    def _value(self, sr: Tensor, hr: Tensor) -> Tensor:
        height, width = sr.shape[-2:]
        try:
            with torch.autocast(sr.device.type, enabled=False), contextlib.redirect_stdout(sys.stderr):
                value = self.network(sr, hr if self.network.metric_mode == "FR" else None)
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            raise SRError(
                f"pyiqa's {self.metric} can't measure an image of {width}x{height}: {first_line(error)}"
            ) from error
        return (value[0] if isinstance(value, tuple) else value).double().mean()


def _package() -> ModuleType:
    try:
        import pyiqa
    except ImportError as error:
        raise SRError(f"metrics of pyiqa need the package: {install_extra('iqa')}") from error
    return pyiqa


def _network(metric: str) -> Any:
    """Build pyiqa's network; what it prints goes to stderr."""
    try:
        with contextlib.redirect_stdout(sys.stderr), _offline() if is_offline() else contextlib.nullcontext():
            return _package().create_metric(metric, device="cpu").requires_grad_(False)
    except OSError as error:
        raise WeightsUnavailable(f"no weights of pyiqa's {metric}: {first_line(error)}") from error


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Refuse to look up any address: pyiqa asks nobody before it downloads."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise OSError("they are not on this machine and offline=true or SR_OFFLINE=1")

    with patch.object(socket, "getaddrinfo", refuse):
        yield
