"""Measure a generator on validation sets, beside bicubic and, if there is one, beside another network."""

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from sr_experiments.data.resize import bicubic_upsample
from sr_experiments.generators.frvsr import warp
from sr_experiments.generators.recurrent import RecurrentGenerator, State
from sr_experiments.metrics.flow import FLOW_METRICS
from sr_experiments.metrics.image_metric import ImageMetric
from sr_experiments.metrics.metric import SRMetric
from sr_experiments.metrics.temporal import TemporalMetric


class Stream:
    """A network that gets the frames of a clip in order, or images; a recurrent one keeps its state.

    Args:
        network: a `Generator`.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.state: State | None = None

    def restart(self) -> None:
        """Forget the state: the next frame is the first of a clip."""
        self.state = None

    def __call__(self, lr: Tensor) -> Tensor:
        """Super-resolve LR (1, C, H, W); SR is in [0, 1]."""
        if isinstance(self.network, RecurrentGenerator):
            sr, self.state = self.network.step(lr, self.state)
        else:
            sr = self.network(lr)
        return sr.float().clamp(0, 1)

    def flow_only(self, lr: Tensor) -> None:
        """Advance to the next frame without super-resolving it."""
        assert isinstance(self.network, RecurrentGenerator)
        flow = None if self.state is None else self.network.flow(lr, self.state.lr)
        self.state = State(lr, lr, flow)


class FlowMetrics:
    """Measure the flow of a frame-recurrent network; see `FLOW_METRICS`.

    Values are `val/<set>/warp_psnr`, and on sets that know the true flow `val/<set>/flow_epe`.

    Args:
        names: of the validation sets.
        true_names: of those that know the true flow.
    """

    def __init__(self, names: Sequence[str], true_names: Sequence[str]) -> None:
        sets = {key: true_names if kind.needs_true_flow else names for key, kind in FLOW_METRICS.items()}
        self.metrics = {key: {name: FLOW_METRICS[key]() for name in of} for key, of in sets.items() if of}

    def start(self, device: Any) -> None:
        """Reset the metrics, on the device of the validation."""
        for metrics in self.metrics.values():
            for metric in metrics.values():
                metric.to(device).reset()

    def step(self, name: str, before: Tensor, state: State, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Add a frame, given the LR frame before it and the state after it; return the pictures of its flow."""
        assert state.flow is not None
        warped = warp(before, state.flow)
        self.metrics["warp_psnr"][name].update(warped, state.lr)
        pictures = {"before": before, "warped": warped, "flow": state.flow}
        if name in self.metrics.get("flow_epe", {}):
            pictures["true_flow"] = batch["flow"].to(state.flow)
            self.metrics["flow_epe"][name].update(state.flow, pictures["true_flow"])
        return pictures

    def finish(self) -> dict[str, float]:
        """Compute the values."""
        return {f"val/{n}/{key}": float(m.compute()) for key, of in self.metrics.items() for n, m in of.items()}


class Validation:
    """Metrics on every validation set, of the trained network, of bicubic and of a network to compare with.

    Values are named `val/<set>/<metric>`, and `..._bicubic` and `..._compared` for the other two. These
    don't change, so they are measured once.

    Attributes:
        metrics: one of each by key, for their descriptions; those of the flow, too.
        values: of the last validation, by `val/<set>/<metric>`.

    Args:
        metrics: by key; each set gets copies.
        names: of the validation sets.
        scale: upsampling factor.
        phase: of the LR pixels, see `Degradation`.
        compared: a further network, frozen; or None.
        flow: measures the flow of a frame-recurrent network; None for others.
    """

    def __init__(
        self,
        metrics: Mapping[str, SRMetric],
        names: list[str],
        scale: int,
        phase: str = "centred",
        compared: nn.Module | None = None,
        flow: FlowMetrics | None = None,
    ) -> None:
        self.names = names
        self.compared = compared
        self.values: dict[str, float] = {}
        self._bicubic = partial(bicubic_upsample, scale=scale, phase=phase)
        others = ["bicubic", *(["compared"] if compared is not None else [])]
        self._metrics = {
            of: {name: {key: copy.deepcopy(m) for key, m in metrics.items()} for name in names}
            for of in ("sr", *others)
        }
        self.flow = flow
        self.metrics = dict(self._metrics["sr"][names[0]])
        if flow is not None:
            self.metrics |= {key: next(iter(of_sets.values())) for key, of_sets in flow.metrics.items()}
        self._with_sr = True
        self._fixed: dict[str, float] = {}  # values of bicubic and the compared network, once measured
        self._streams: dict[str, Stream] = {}

    def start(self, network: nn.Module, device: Any, with_sr: bool = True) -> None:
        """Reset the metrics, on `device`, to validate `network`; without `with_sr` only its flow is measured."""
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
        """Super-resolve one image, or the next frame of a clip, of set `name`, and add it to the metrics."""
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
                    if first and isinstance(metric, TemporalMetric):
                        metric.start_clip()
                    metric.update(result, hr)
        return results

    def finish(self) -> dict[str, float]:
        """Compute the values, and repeat those that don't change."""
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
        """Measure one image, (1, C, H, W) in [0, 1] twice, without the metrics that compare frames."""
        metrics = next(iter(self._metrics["sr"].values()))
        return {key: float(m.per_image(sr, hr)) for key, m in metrics.items() if isinstance(m, ImageMetric)}

    def higher_is_better(self, key: str) -> bool:
        """Return whether the value `val/<set>/<metric>` grows as pictures get better."""
        return self.metrics[key.split("/")[2]].higher_is_better

    def _computed(self, of: str, suffix: str) -> dict[str, float]:
        return {
            f"val/{name}/{key}{suffix}": float(metric.compute())
            for name, metrics in self._metrics[of].items()
            for key, metric in metrics.items()
        }
