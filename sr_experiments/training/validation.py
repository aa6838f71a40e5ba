"""Measure a generator on validation sets, beside bicubic and, if wished, beside another network."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric

from sr_experiments.data.resize import bicubic_upsample
from sr_experiments.generators.frvsr import warp
from sr_experiments.generators.recurrent import RecurrentGenerator, State
from sr_experiments.metrics.flow import FlowEndPointError
from sr_experiments.metrics.psnr import PSNR

Upscale = Callable[[Tensor], Tensor]


class Stream:
    """A network that is fed the frames of a clip in order, or images: recurrent ones keep their state.

    Args:
        network: a `Generator`.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.state: State | None = None

    def restart(self) -> None:
        """Forget the frame before."""
        self.state = None

    def __call__(self, lr: Tensor) -> Tensor:
        """LR (1, C, H, W) to SR in [0, 1]."""
        if isinstance(self.network, RecurrentGenerator):
            sr, self.state = self.network.step(lr, self.state)
        else:
            sr = self.network(lr)
        return sr.float().clamp(0, 1)

    def flow_only(self, lr: Tensor) -> None:
        """Go on to the next frame without super-resolving it."""
        assert isinstance(self.network, RecurrentGenerator)
        flow = None if self.state is None else self.network.flow(lr, self.state.lr)
        self.state = State(lr, lr, flow)


class FlowMetrics:
    """How good the flow of a frame-recurrent network is.

    Values are `val/<set>/warp_psnr`, of the LR frame before, warped by the flow, against the LR frame, and where
    the true flow is known `val/<set>/flow_epe`.

    Args:
        names: of the sets.
        true_names: those with true flow.
    """

    def __init__(self, names: Sequence[str], true_names: Sequence[str]) -> None:
        psnr = {name: PSNR(channels="rgb", crop_border=2) for name in names}
        for metric in psnr.values():
            metric.convention = "of the LR frame before, warped by the flow: " + metric.convention
        self.metrics: dict[str, dict[str, PSNR | FlowEndPointError]] = {"warp_psnr": dict(psnr)}
        if true_names:
            self.metrics["flow_epe"] = {name: FlowEndPointError() for name in true_names}

    def start(self, device: Any) -> None:
        """Begin a validation."""
        for metrics in self.metrics.values():
            for metric in metrics.values():
                metric.to(device).reset()

    def step(self, name: str, before: Tensor, state: State, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Take a frame in: the LR frame before it, and the state after it; returns what there is to see."""
        assert state.flow is not None
        warped = warp(before, state.flow)
        self.metrics["warp_psnr"][name].update(warped, state.lr)
        seen = {"before": before, "warped": warped, "flow": state.flow}
        if name in self.metrics.get("flow_epe", {}):
            seen["true_flow"] = batch["flow"].to(state.flow)
            self.metrics["flow_epe"][name].update(state.flow, seen["true_flow"])
        return seen

    def finish(self) -> dict[str, float]:
        """Compute the values."""
        return {f"val/{n}/{key}": float(m.compute()) for key, of in self.metrics.items() for n, m in of.items()}


class Validation:
    """Metrics of every set for the trained network and what it is compared with.

    Values are named `val/<set>/<metric>`, and `..._bicubic` and `..._compared` for the other two. These
    don't change, so they are measured once.

    Args:
        metrics: by name. Those with `temporal` set are given frames in order, and told of each clip's start.
        names: of the sets.
        scale: upsampling factor.
        phase: of the LR pixels, see `Degradation`.
        compared: a further network, frozen; or None.
        flow: measures the flow of a frame-recurrent network; None for others.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        names: list[str],
        scale: int,
        phase: str = "centred",
        compared: nn.Module | None = None,
        flow: FlowMetrics | None = None,
    ) -> None:
        self.names = names
        self.compared = compared
        self.values: dict[str, float] = {}
        self._bicubic: Upscale = lambda lr: bicubic_upsample(lr, scale, phase)
        others = ["bicubic", *(["compared"] if compared is not None else [])]
        self._metrics = {
            of: {name: {key: copy.deepcopy(m) for key, m in metrics.items()} for name in names}
            for of in ("sr", *others)
        }
        self.flow = flow
        self._with_sr = True
        self._fixed: dict[str, float] = {}  # values of the others, once measured
        self._streams: dict[str, Stream] = {}

    def start(self, network: nn.Module, device: Any, with_sr: bool = True) -> None:
        """Begin a validation of `network`: metrics on the device, empty; without SR, of its flow alone."""
        self._with_sr = with_sr
        self._streams = {"sr": Stream(network)}
        if self.compared is not None:
            self._streams["compared"] = Stream(self.compared.to(device).eval())
        for of in self._metrics.values():
            for metrics in of.values():
                for metric in metrics.values():
                    metric.to(device).reset()
        if self.flow is not None:
            self.flow.start(device)

    def step(self, name: str, lr: Tensor, hr: Tensor, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Super-resolve one image, or the next frame of a clip, of set `name`, and take it into the metrics."""
        first = "frame" in batch and int(batch["frame"]) == 0
        if first:
            for stream in self._streams.values():
                stream.restart()
        stream = self._streams["sr"]
        before = stream.state
        shown = {"lr": lr, "hr": hr, "set": name, "name": batch["name"][0]}
        results: dict[str, Tensor] = {}
        if self._with_sr:
            results = self._super_resolve(name, lr, hr, first)
        else:
            stream.flow_only(lr)
        if self.flow is not None and before is not None and stream.state is not None:
            shown |= self.flow.step(name, before.lr, stream.state, batch)
        return shown | results

    def _super_resolve(self, name: str, lr: Tensor, hr: Tensor, first: bool) -> dict[str, Tensor]:
        results = {"sr": self._streams["sr"](lr), "bicubic": self._bicubic(lr)}
        if self.compared is not None:
            results["compared"] = self._streams["compared"](lr)
        for of, result in results.items():
            if of == "sr" or not self._fixed:
                for metric in self._metrics[of][name].values():
                    if first and getattr(metric, "temporal", False):
                        metric.start_clip()  # type: ignore[operator]
                    metric.update(result, hr)
        return results

    def finish(self) -> dict[str, float]:
        """Compute the values, with those that don't change."""
        values = {} if self.flow is None else self.flow.finish()
        if self._with_sr:
            values |= self._computed("sr", "")
            if not self._fixed:
                for of in self._metrics.keys() - {"sr"}:
                    self._fixed |= self._computed(of, f"_{of}")
            values |= self._fixed
        self.values = values
        return values

    def per_image(self, sr: Tensor, hr: Tensor) -> dict[str, float]:
        """The metrics of one image, (1, C, H, W) in [0, 1] twice; without those that compare frames."""
        metrics = next(iter(self._metrics["sr"].values()))
        return {key: float(m.per_image(sr, hr)) for key, m in metrics.items() if hasattr(m, "per_image")}  # type: ignore[operator]

    def conventions(self) -> dict[str, str]:
        """What each metric measures, for the record."""
        return {key: m.convention for key, m in self._one_of_each().items()}  # type: ignore[misc]

    def higher_is_better(self, metric: str) -> bool:
        """Whether the metric of key `val/<set>/<metric>` grows as pictures get better."""
        return bool(self._one_of_each()[metric.split("/")[2]].higher_is_better)

    def _one_of_each(self) -> dict[str, Metric]:
        metrics = dict(next(iter(self._metrics["sr"].values())))
        of_flow = self.flow.metrics if self.flow is not None else {}
        return metrics | {key: next(iter(of.values())) for key, of in of_flow.items()}

    def _computed(self, of: str, suffix: str) -> dict[str, float]:
        return {
            f"val/{name}/{key}{suffix}": float(metric.compute())
            for name, metrics in self._metrics[of].items()
            for key, metric in metrics.items()
        }
