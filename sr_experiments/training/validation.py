"""Measure a generator on validation sets, beside the baseline and, if there is one, beside another network."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sr_experiments.data.depth import Bits
from sr_experiments.data.resize import bicubic_upsample
from sr_experiments.errors import SRError
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.recurrent import RecurrentGenerator, State
from sr_experiments.generators.warp import warp
from sr_experiments.metrics.baseline import baseline
from sr_experiments.metrics.flow import FLOW_METRICS
from sr_experiments.metrics.image_metric import ImageMetric
from sr_experiments.metrics.metric import SRMetric
from sr_experiments.metrics.temporal import TemporalMetric


@dataclass(eq=False)
class Stream:
    """A network that gets the frames of a clip in order, or images; a recurrent one keeps its state."""

    network: nn.Module  # a `Generator`
    state: State | None = None
    way: Mapping[str, float] = field(default_factory=dict)  # of sampling, instead of the network's own

    def __call__(self, lr: Tensor, later: Sequence[Tensor] = ()) -> Tensor:
        """Super-resolve LR (1, C, H, W), given the frames after it; SR is in [0, 1]."""
        if isinstance(self.network, RecurrentGenerator):
            sr, self.state = self.network.step(lr, self.state, *later)
        else:
            sr = self.network(lr, **self.way)
        return sr.float().clamp(0, 1)


class FlowMetrics:
    """Measure the flow of a frame-recurrent network; see `FLOW_METRICS`.

    Values are `val/<set>/warp_psnr`, and on sets that know the true flow `val/<set>/flow_epe`.

    Args:
        names: of the validation sets.
        true_names: of those that know the true flow.
    """

    def __init__(self, names: Sequence[str], true_names: Sequence[str]) -> None:
        self.metrics = {
            (name, key): kind()
            for key, kind in FLOW_METRICS.items()
            for name in (true_names if kind.needs_true_flow else names)
        }

    def step(self, name: str, before: Tensor, state: State, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Add a frame, given the LR frame before it and the state after it; return the pictures of its flow."""
        assert state.flow is not None
        warped = warp(before, state.flow)
        self.metrics[name, "warp_psnr"].update(warped, state.lr)
        pictures = {"before": before, "warped": warped, "flow": state.flow}
        if (name, "flow_epe") in self.metrics:
            pictures["true_flow"] = batch["flow"].to(state.flow)
            self.metrics[name, "flow_epe"].update(state.flow, pictures["true_flow"])
        return pictures

    def finish(self) -> dict[str, float]:
        """Compute the values."""
        return {f"val/{name}/{key}": float(metric.compute()) for (name, key), metric in self.metrics.items()}


class Validation:
    """Metrics on every validation set, of the trained network, of the baseline and of a network to compare with.

    Values are named `val/<set>/<metric>`, and `..._bicubic` (at scale 1 `..._input`) and `..._compared` for the other
    two. These don't change, so they are measured once. A flow is also measured in other ways, as `..._steps8`.

    Args:
        metrics: by key; each set gets copies.
        names: of the validation sets.
        scale: upsampling factor.
        phase: of the LR pixels, see `Degradation`.
        compared: a further network, frozen; or None.
        flow: measures the flow of a frame-recurrent network; None for others.
        of_images: keep the values of each image, or frame, in `images`.
        ways: further ways of sampling to measure, by the suffix of their values: `{"steps8": {"steps": 8}}`.
        own_way: the suffix of one that is the network's own, so that it isn't measured twice.
        bits: depth of the baseline.
    """

    def __init__(
        self,
        metrics: Mapping[str, SRMetric],
        names: list[str],
        scale: int,
        phase: str = "centred",
        compared: nn.Module | None = None,
        flow: FlowMetrics | None = None,
        of_images: bool = False,
        ways: Mapping[str, Mapping[str, float]] | None = None,
        own_way: str = "",
        bits: Bits = 8,
    ) -> None:
        self.names = names
        self.of_images = of_images
        self.images: dict[str, dict[str, dict[str, float]]] = {}  # by set, image and metric, of the last validation
        self.compared = compared
        self.values: dict[str, float] = {}  # of the last validation, by `val/<set>/<metric>`
        self.baseline = baseline(scale)
        self._enlarged = partial(bicubic_upsample, scale=scale, phase=phase, bits=bits)
        self.others = [self.baseline] if compared is None else [self.baseline, "compared"]
        self.ways = dict(ways or {})
        self.own_way = own_way
        self._measured = ["sr", *(way for way in self.ways if way != own_way)]
        self._metrics = {
            (of, name, key): copy.deepcopy(metric)
            for of in (*self._measured, *self.others)
            for name in names
            for key, metric in metrics.items()
        }
        self.flow = flow
        # One of each by key, for their descriptions; those of the flow, too.
        self.metrics: dict[str, SRMetric] = {key: self._metrics["sr", names[0], key] for key in metrics}
        if flow is not None:
            self.metrics |= {key: metric for (_, key), metric in flow.metrics.items()}
        self._with_sr = True
        self._fixed: dict[str, float] = {}  # values of the baseline and the compared network, once measured
        self._streams: dict[str, Stream] = {}

    def start(self, network: nn.Module, device: Any, with_sr: bool = True) -> None:
        """Reset the metrics, on `device`, to validate `network`; without `with_sr` only its flow is measured."""
        self._with_sr = with_sr
        self.images = {}
        self._streams = {of: Stream(network, way=self.ways.get(of, {})) for of in self._measured}
        if self.compared is not None:
            self._streams["compared"] = Stream(self.compared.to(device).eval())
        for metric in (*self._metrics.values(), *(self.flow.metrics.values() if self.flow else ())):
            metric.to(device).reset()

    def step(
        self, name: str, lr: Tensor, hr: Tensor, batch: Mapping[str, Any], later: Sequence[Tensor] = ()
    ) -> dict[str, Any]:
        """Super-resolve one image, or the next frame of a clip, of set `name`, and add it to the metrics.

        A network with a lookahead needs the LR frames after it, `later`.
        """
        first = "frame" in batch and int(batch["frame"]) == 0
        if first:
            for stream in self._streams.values():
                stream.state = None
        stream = self._streams["sr"]
        before = stream.state
        shown = {"lr": lr, "hr": hr, "set": name, "name": batch["name"][0]}
        results: dict[str, Tensor] = {}
        if self._with_sr:
            results = self._super_resolve(name, lr, hr, first, later)
            if self.of_images:
                image = f"{batch['name'][0]} {int(batch['frame'])}" if "frame" in batch else batch["name"][0]
                self.images.setdefault(name, {})[image] = {
                    key: float(metric.latest)
                    for (of, place, key), metric in self._metrics.items()
                    if of == "sr" and place == name and isinstance(metric, ImageMetric) and metric.latest is not None
                }
        else:
            assert isinstance(stream.network, RecurrentGenerator)
            flow = None if before is None else stream.network.flow(lr, before.lr)
            stream.state = State(lr, lr, flow)
        if self.flow is not None and before is not None and stream.state is not None:
            shown |= self.flow.step(name, before.lr, stream.state, batch)
        return shown | results

    def _super_resolve(
        self, name: str, lr: Tensor, hr: Tensor, first: bool, later: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        results = {of: self._streams[of](lr, later) for of in self._measured} | {self.baseline: self._enlarged(lr)}
        if self.compared is not None:
            results["compared"] = self._streams["compared"](lr, later)
        for (of, place, _), metric in self._metrics.items():
            if place == name and (of not in self.others or not self._fixed):
                if first and isinstance(metric, TemporalMetric):
                    metric.start_clip()
                metric.update(results[of], hr)
        return results

    def finish(self) -> dict[str, float]:
        """Compute the values, and repeat those that don't change."""
        values = {} if self.flow is None else self.flow.finish()
        if self._with_sr:
            values |= self._computed(["sr", *self.ways])
            self._fixed = self._fixed or self._computed(self.others)
            values |= self._fixed
        if self.of_images:
            self.images = _of_all_processes(self.images)
        self.values = values
        return values

    def per_image(self, sr: Tensor, hr: Tensor) -> dict[str, float]:
        """Measure one image, (1, C, H, W) in [0, 1] twice, without the metrics that compare frames."""
        metrics = {key: metric for (_, _, key), metric in self._metrics.items() if isinstance(metric, ImageMetric)}
        return {key: float(metric.per_image(sr, hr)) for key, metric in metrics.items()}

    def higher_is_better(self, key: str) -> bool:
        """Return whether the value `val/<set>/<metric>` grows as pictures get better."""
        return self.metrics[key.split("/")[2]].higher_is_better

    def _computed(self, columns: Sequence[str]) -> dict[str, float]:
        values: dict[str, float] = {}
        for column in columns:
            measured = "sr" if column == self.own_way else column
            values |= {
                f"val/{name}/{key}" + ("" if column == "sr" else f"_{column}"): float(metric.compute())
                for (of, name, key), metric in self._metrics.items()
                if of == measured
            }
        return values


def ways_to_validate(generator: Generator, loss: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the ways of sampling that the `loss` group asks to validate, by the suffix of their values.

    Raises:
        SRError: the generator can't sample so.
    """
    ways: dict[str, dict[str, float]] = {}
    for setting, option in (("val_steps", "steps"), ("val_strengths", "strength")):
        values = loss.get(setting) or []
        if values and option not in generator.sampling:
            raise SRError(f"loss.{setting} has no effect on {type(generator).__name__}: leave it out")
        ways |= {f"{option}{value:g}": {option: value} for value in values}
    return ways


def _of_all_processes(images: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Put the images of all processes together: each has measured some."""
    if not torch.distributed.is_initialized():
        return images
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, images)
    sets = dict.fromkeys(name for part in parts for name in part)
    return {name: {image: values for part in parts for image, values in part.get(name, {}).items()} for name in sets}
