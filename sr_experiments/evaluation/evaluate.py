"""Load checkpoints, pair pictures, measure them, and make the report."""

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.checkpoints.names import unique_names
from sr_experiments.data.degradations import CHANGING, DEGRADATIONS, LR_IS_HR, Degradation
from sr_experiments.data.depth import WORDS, Bits
from sr_experiments.data.preview import load_config
from sr_experiments.errors import SRError
from sr_experiments.evaluation.candidates import Baseline, Candidate, Finished, Network
from sr_experiments.evaluation.cost import SIDE, macs_per_pixel
from sr_experiments.evaluation.measure import Progress, measure
from sr_experiments.evaluation.metrics_config import metrics_config
from sr_experiments.evaluation.papers import CONVENTION, NAME
from sr_experiments.evaluation.protocol import Protocol
from sr_experiments.evaluation.results import Report, Result, difference
from sr_experiments.evaluation.scenes import (
    clip_scenes,
    finished_clips,
    finished_images,
    holds_clips,
    image_scenes,
    infer_scale,
    layout_of_images,
)
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.recurrent import RecurrentGenerator
from sr_experiments.inference.engine import Engine, choose_device
from sr_experiments.inference.int8 import Quantization
from sr_experiments.inference.options import SAMPLED
from sr_experiments.metrics.baseline import BASELINES
from sr_experiments.metrics.suite import descriptions, usual_crop
from sr_experiments.pretrained.catalogue import sources_of
from sr_experiments.quantization.file import holds_int8
from sr_experiments.quantization.file import read as read_int8
from sr_experiments.registry import build


@dataclass
class Request:
    """What to measure, and on which data."""

    hr: Path  # folder of the true images or clips, or a video
    checkpoints: Sequence[Path] = ()  # of networks, as for `checkpoints.read`
    sr: Sequence[Path] = ()  # folders of finished images or clips, or videos
    suffix: str | None = None  # what the names in `sr` have after those in `hr`; None to look
    lr: Path | None = None  # folder of LR, or a video; None to make it from HR
    # a file of conf/degradation: how LR is made, or how `lr` was made; "auto" for what the networks expect
    degradation: str = "auto"
    scale: int | None = None  # upsampling factor, where neither a network nor `lr` says it
    crop: int | None = None  # pixels cut from each side; None for the scale, and none at scale 1
    clips: bool | None = None  # whether `hr` holds clips; None to look
    # depth of HR, LR and SR; None for that of the deepest HR image, as far as `sr upscale` gives it to the networks
    bits: Bits | None = None
    metrics: Sequence[str] = ()  # further metrics: names of files in conf/metrics
    limit: int | None = None  # use only so many images or clips, from the first
    frames: int | None = None  # use only so many frames of each clip, from the first
    device: str = "auto"  # "auto", or torch's name of one
    precision: str = "fp32"  # "auto", "fp32", "bf16" or "fp16"
    tile: int | None = None  # side of a tile in LR pixels, or None
    save: Path | None = None  # folder for the SR pictures, or None
    # values to measure of options of networks that sample: {"steps": (1, 4)} makes two columns of each such network
    sampling: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass
class _Loaded:
    name: str
    generator: Generator
    source: str
    int8: Quantization | None = None


def evaluate(request: Request, progress: Progress | None = None) -> Report:
    """Measure networks and finished pictures beside the baseline.

    Args:
        request: what to measure, and on which data.
        progress: called with the frames done, all frames and the name of the image or clip.

    Raises:
        SRError: something isn't there or doesn't fit together.
    """
    if not request.checkpoints and not request.sr:
        raise SRError("nothing to measure: give --checkpoint or --sr")
    hr, lr = request.hr.expanduser(), request.lr.expanduser() if request.lr else None
    finished = [sr.expanduser() for sr in request.sr]
    for option, place in (("--hr", hr), ("--lr", lr), *(("--sr", sr) for sr in finished)):
        if place is not None and not place.exists():
            raise SRError(f"{option}: no folder {place}; check the path")
    networks = _load(request)
    clips = _clips(request, networks, hr)
    scale = _scale(request, networks, hr, lr, clips)
    kind = _degradation(request, networks)
    degradation = _build_degradation(kind, scale)
    if lr is None and degradation.identity:
        raise SRError(f"{LR_IS_HR}: give --lr, or --degradation {', '.join(CHANGING[:-1])} or {CHANGING[-1]}")
    crop = usual_crop(scale) if request.crop is None else request.crop
    bits, channels = _layout(request, networks, hr, clips)
    degradation.bits = bits
    degradation.check_channels(channels)

    if clips:
        try:
            scenes = clip_scenes(hr, lr, scale, channels, request.limit, request.frames)
        except SRError as error:
            hint = "; if these are images rather than clips, give --images" if request.clips is None else ""
            raise SRError(f"{error}{hint}") from error
    else:
        scenes = image_scenes(hr, lr, scale, channels, request.limit, bits)
    candidates: list[Candidate] = [Baseline(scale, degradation.phase, bits)]
    costs = {}
    for network in networks:
        parameters = sum(p.numel() for p in network.generator.parameters())
        costs[network.name] = parameters, macs_per_pixel(network.generator)
        precision = request.precision if network.int8 is None else "int8"
        engine = Engine(network.generator, request.device, precision, request.tile, int8=network.int8)
        candidates.append(Network(network.name, network.source, engine))
    for name, sr in zip(unique_names(finished, [NAME, *(n.name for n in networks)]), finished, strict=True):
        if clips:
            readers = finished_clips(scenes, hr, sr, scale, channels, request.limit, request.suffix)
        else:
            readers = finished_images(scenes, hr, sr, scale, channels, request.suffix, bits)
        candidates.append(Finished(name, str(sr), readers))

    device = choose_device(request.device)
    # Metrics compute in float64, which not every accelerator has.
    metrics_device = device if device.type == "cuda" else torch.device("cpu")
    grey_or_rgb = channels in (1, 3)
    config = metrics_config(scale, request.metrics, "default" if grey_or_rgb else "bands")
    protocol = Protocol(config, crop, degradation, clips, channels, metrics_device)
    with_papers = kind == "bicubic" and scale > 1 and not clips and bits == 8 and grey_or_rgb
    results = measure(scenes, candidates, protocol, scale, with_papers, request.save, progress)
    for result in results:
        result.parameters, result.macs = costs.get(result.name, (None, None))
    baseline, ours = results[0], [result for result in results if result.name not in (*BASELINES, NAME)]
    metrics = {key: m for key, m in protocol.metrics.items() if any(key in result.mean for result in results)}
    described = descriptions(metrics)
    against = ours[0] if len(ours) > 1 else baseline
    differences = [difference(result, against, key) for result in ours if result is not against for key in metrics]
    return Report(
        results,
        [found for found in differences if found is not None],
        scale,
        crop,
        "clip" if clips else "image",
        kind if lr is None or scale > 1 else "given",
        {"hr": str(hr), "lr": str(lr) if lr else f"made from HR by {kind}"},
        _conventions(described["conventions"], results, clips, scale, bits),
        described["higher_is_better"],
        described["digits"],
        described["units"],
        protocol.left_out,
        sources_of(metrics.values()),
        [
            f"{network.name} is for LR pixels with phase={network.generator.phase}, here they have "
            f"phase={degradation.phase}: its pictures are shifted"
            for network in networks
            if network.generator.phase not in (None, degradation.phase)
        ],
    )


def _load(request: Request) -> list[_Loaded]:
    loaded = []
    for name, path in zip(unique_names(request.checkpoints, [NAME]), request.checkpoints, strict=True):
        if holds_int8(path.expanduser()):
            network = read_int8(path.expanduser())
            loaded.append(_Loaded(name, network.generator, str(network.facts["file"]), network.layers))
            continue
        generator, checkpoint = load_generator(path)
        loaded += [_Loaded(f"{name}{way}", g, checkpoint.source) for way, g in _sampled(generator, request.sampling)]
    for option, values in request.sampling.items():
        if values and not any(option in network.generator.sampling for network in loaded):
            raise SRError(f"no --checkpoint has --{option}: it is for {SAMPLED[option].split(',')[0]}")
    scales = {network.name: network.generator.scale for network in loaded}
    if len(set(scales.values())) > 1:
        found = ", ".join(f"{name} x{scale}" for name, scale in scales.items())
        raise SRError(f"the checkpoints are of different scales ({found}): each needs its own LR, measure them apart")
    return loaded


def _sampled(generator: Generator, sampling: Mapping[str, Sequence[float]]) -> Iterator[tuple[str, Generator]]:
    """Yield the network set to sample in each of the ways that it knows, after what names the way in a column."""
    options = [option for option in generator.sampling if sampling.get(option)]
    for values in itertools.product(*(dict.fromkeys(sampling[option]) for option in options)):
        way = dict(zip(options, values, strict=True))
        one = copy.copy(generator)  # of the same weights
        one.sampling = {**generator.sampling, **way}
        yield "".join(f" {option}={value}" for option, value in way.items()), one


def _clips(request: Request, networks: Sequence[_Loaded], hr: Path) -> bool:
    recurrent = [network.name for network in networks if isinstance(network.generator, RecurrentGenerator)]
    if recurrent and request.clips is False:
        raise SRError(f"{recurrent[0]} takes the frames of a clip in order: measure it without --images")
    return bool(recurrent) or (holds_clips(hr) if request.clips is None else request.clips)


def _scale(request: Request, networks: Sequence[_Loaded], hr: Path, lr: Path | None, clips: bool) -> int:
    if networks:
        scale = networks[0].generator.scale
        if request.scale not in (None, scale):
            raise SRError(f"{networks[0].name} enlarges {scale} times, not --scale {request.scale}: leave it out")
        return scale
    if request.scale is not None:
        return request.scale
    if lr is None:
        raise SRError("the scale isn't known: give --scale, or --lr; borders are cropped by it")
    return infer_scale(hr, lr, clips)


def _layout(request: Request, networks: Sequence[_Loaded], hr: Path, clips: bool) -> tuple[Bits, int]:
    """Return the depth and the number of channels that everything is measured with."""
    channels = {network.generator.channels for network in networks}
    if len(channels) > 1 and not channels <= {1, 3}:
        raise SRError(f"the networks are of {', '.join(map(str, sorted(channels)))} channels: measure them apart")
    if clips and (request.bits not in (None, 8) or not channels <= {1, 3}):
        raise SRError("clips are of 8 bits, grey or RGB: give images for other depths and bands")
    of_networks = (min(channels) if len(channels) == 1 else 3) if networks else None
    depth, measured = (8, of_networks or 3) if clips else layout_of_images(hr, request.limit, of_networks)
    return request.bits or _depth(networks, depth), measured


def _depth(networks: Sequence[_Loaded], of_hr: Bits) -> Bits:
    """Return the depth to measure at: that of HR, but floating-point numbers only for networks that take them."""
    if of_hr != "float" or not networks:
        return of_hr
    floating = [network.generator.bits == "float" for network in networks]
    if len(set(floating)) > 1:
        others = networks[floating.index(False)].name, networks[floating.index(True)].name
        raise SRError(
            f"HR has floating-point numbers, which {others[1]} was trained on and {others[0]} not: measure them apart, "
            "or give --bits"
        )
    return "float" if floating[0] else 16


def _degradation(request: Request, networks: Sequence[_Loaded]) -> str:
    if request.degradation != "auto":
        return request.degradation
    phases = {network.generator.phase for network in networks} - {None}
    if len(phases) > 1:
        raise SRError("the networks are for LR of different kinds: choose with --degradation bicubic or blur_down")
    return "blur_down" if "corner" in phases else "bicubic"


def _build_degradation(kind: str, scale: int) -> Degradation:
    """Build a degradation of DEGRADATIONS, or of a file of conf/degradation."""
    config = {"name": kind} if kind in DEGRADATIONS else load_config(kind, (), "--degradation")
    return build("degradation", DEGRADATIONS, config, scale=scale)


def _conventions(
    conventions: dict[str, str], results: list[Result], clips: bool, scale: int, bits: Bits
) -> dict[str, str]:
    """Add to the conventions of the metrics those of the other columns and values."""
    if any(result.name == NAME for result in results):
        conventions[NAME] = CONVENTION
    if clips:
        conventions["clips"] = "a clip's value is the mean over its frames, or pairs of frames; the mean is over clips"
    cropped = f", cropped at the bottom and the right to multiples of {scale}" if scale > 1 else ""
    conventions["hr"] = f"{WORDS[bits]}{cropped}"
    conventions["difference"] = "mean of paired differences, 95 % confidence interval after Student's t"
    if any(result.macs is not None for result in results):
        conventions["macs"] = (
            "multiplications with addition for one LR pixel, in convolutions and products of matrices, counted on an "
            f"LR image of {SIDE}x{SIDE}"
        )
        conventions["seconds_per_image"] = (
            "rough: mean over the images or frames but the first, from pixels in memory to pixels in memory, "
            "without reading, writing and measuring"
        )
    return conventions
