"""Measure a generator on validation sets, beside bicubic and, if wished, beside another network."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric

from sr_experiments.data.resize import bicubic_upsample
from sr_experiments.metrics.flow import FlowEndPointError

Upscale = Callable[[Tensor], Tensor]


class Stream:
    """A network that is fed the frames of a clip in order, or images: recurrent ones keep their state.

    Args:
        network: with `step(lr, state) -> (sr, state)`, or `forward(lr) -> sr`.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.state: Any = None

    def restart(self) -> None:
        """Forget the frame before."""
        self.state = None

    def __call__(self, lr: Tensor) -> Tensor:
        """LR (1, C, H, W) to SR in [0, 1]."""
        if hasattr(self.network, "step"):
            sr, self.state = self.network.step(lr, self.state)  # type: ignore[operator]
        else:
            sr = self.network(lr)
        return sr.float().clamp(0, 1)


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
        flow_names: the sets with true flow, to measure the network's flow by: `val/<set>/flow_epe`.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        names: list[str],
        scale: int,
        phase: str = "centred",
        compared: nn.Module | None = None,
        flow_names: Sequence[str] = (),
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
        self._flow = {name: FlowEndPointError() for name in flow_names}
        self._fixed: dict[str, float] = {}  # values of the others, once measured
        self._streams: dict[str, Stream] = {}

    def start(self, network: nn.Module, device: Any) -> None:
        """Begin a validation of `network`: metrics on the device, empty."""
        self._streams = {"sr": Stream(network)}
        if self.compared is not None:
            self._streams["compared"] = Stream(self.compared.to(device).eval())
        for of in self._metrics.values():
            for metrics in of.values():
                for metric in metrics.values():
                    metric.to(device).reset()
        for metric in self._flow.values():
            metric.to(device).reset()

    def step(self, name: str, lr: Tensor, hr: Tensor, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Super-resolve one image, or the next frame of a clip, of set `name`, and take it into the metrics."""
        first = "frame" in batch and int(batch["frame"]) == 0
        if first:
            for stream in self._streams.values():
                stream.restart()
        results: dict[str, Tensor] = {"sr": self._streams["sr"](lr), "bicubic": self._bicubic(lr)}
        if self.compared is not None:
            results["compared"] = self._streams["compared"](lr)
        for of, result in results.items():
            if of == "sr" or not self._fixed:
                for metric in self._metrics[of][name].values():
                    if first and getattr(metric, "temporal", False):
                        metric.start_clip()  # type: ignore[operator]
                    metric.update(result, hr)
        flow = getattr(self._streams["sr"].state, "flow", None)
        if flow is not None and name in self._flow:
            self._flow[name].update(flow, batch["flow"].to(flow))
        return {"lr": lr, **results, "hr": hr, "set": name, "name": batch["name"][0]}

    def finish(self) -> dict[str, float]:
        """Compute the values, with those that don't change."""
        values = self._computed("sr", "")
        if not self._fixed:
            for of in self._metrics.keys() - {"sr"}:
                self._fixed |= self._computed(of, f"_{of}")
        for name, metric in self._flow.items():
            values[f"val/{name}/flow_epe"] = float(metric.compute())
        self.values = values | self._fixed
        return self.values

    def conventions(self) -> dict[str, str]:
        """What each metric measures, for the record."""
        metrics = dict(next(iter(self._metrics["sr"].values())))
        if self._flow:
            metrics["flow_epe"] = next(iter(self._flow.values()))
        return {key: m.convention for key, m in metrics.items()}  # type: ignore[misc]

    def higher_is_better(self, metric: str) -> bool:
        """Whether the metric of key `val/<set>/<metric>` grows as pictures get better."""
        _, name, key = metric.split("/")
        return bool(key in self._metrics["sr"][name] and self._metrics["sr"][name][key].higher_is_better)

    def _computed(self, of: str, suffix: str) -> dict[str, float]:
        return {
            f"val/{name}/{key}{suffix}": float(metric.compute())
            for name, metrics in self._metrics[of].items()
            for key, metric in metrics.items()
        }
