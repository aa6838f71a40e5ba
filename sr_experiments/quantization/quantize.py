"""Quantise a network: calibrate, choose the convolutions, measure, and refuse what is not good enough."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sr_experiments.checkpoints.digest import network_digest
from sr_experiments.checkpoints.reading import Checkpoint
from sr_experiments.errors import SRError
from sr_experiments.evaluation.candidates import to_tensor
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.recurrent import RecurrentGenerator, State
from sr_experiments.generators.unet import UNet
from sr_experiments.inference.device import computes_in_bf16, warn_of_slow_int8
from sr_experiments.inference.engine import Engine
from sr_experiments.packages.versions import installed_versions
from sr_experiments.quantization.calibrate import Calibrated, NotGoodEnough, calibrate
from sr_experiments.quantization.choose import Bounds, Trials
from sr_experiments.quantization.equalise import equalised
from sr_experiments.quantization.measure import FRAMES, Measurement
from sr_experiments.quantization.network import QuantizedNetwork, quantised_part, with_quantised_weights
from sr_experiments.quantization.pictures import Picture, Pictures, clip_of, extremes
from sr_experiments.quantization.tuned import Tuned

log = logging.getLogger(__name__)

LEAST_SHARE = 0.25  # of the multiply-adds: with less of them in int8, bf16 is as fast
PACKAGES = ("sr-experiments", "torch", "openvino", "nncf")


def quantize(
    generator: Generator, found: Checkpoint, pictures: Pictures, bounds: Bounds, tuned: Tuned | None = None
) -> QuantizedNetwork:
    """Return a network in int8 that is within the bounds on the measured pictures.

    Args:
        generator: the network in fp32, in eval mode, on the CPU.
        found: the checkpoint that it is from.
        pictures: to calibrate and to measure with.
        bounds: what int8 may cost.
        tuned: what it was before, if it was fine-tuned for int8: int8 is then compared with that.

    Raises:
        NotGoodEnough: it can't be had.
        SRError: NNCF or OpenVINO is missing.
    """
    refuse_unsuited(generator, found)
    generator = generator.requires_grad_(False)
    warn_of_slow_int8()
    if tuned is None:
        return _within_bounds(generator, *calibrated_with(generator, pictures), found, pictures, bounds)
    chosen = tuned.calibrated(generator)
    return _within_bounds(tuned.original, generator, chosen, found, pictures, bounds, tuned)


def calibrated_with(generator: Generator, pictures: Pictures) -> tuple[Generator, dict[str, Calibrated]]:
    """Return the network with equalised channels, and its convolutions in int8.

    Raises:
        NotGoodEnough: there are none.
        SRError: NNCF or OpenVINO is missing.
    """
    inputs = [lr for image in _calibration(pictures) for lr in network_inputs(generator, image)]
    log.info("calibrating on %d pictures: %s", len(pictures.calibration), pictures.source)
    equal = equalised(generator, inputs)
    calibrated = calibrate(quantised_part(equal), generator.scale, inputs)
    if not calibrated:
        raise NotGoodEnough("this network has no convolutions that int8 could do")
    return equal, calibrated


def _within_bounds(
    generator: Generator,
    equal: Generator,
    calibrated: Mapping[str, Calibrated],
    found: Checkpoint,
    pictures: Pictures,
    bounds: Bounds,
    tuned: Tuned | None = None,
) -> QuantizedNetwork:
    """Quantise `equal`, which does what `generator` does or was trained for it."""
    with torch.inference_mode():
        trials = Trials(equal, calibrated, pictures.calibration, enlarge, generator)
        kept = trials.fewest_kept(bounds)

    fp32 = Engine(generator, "cpu", "fp32", runtime="openvino")
    measurement = Measurement(generator, pictures.measured, fp32)
    rows: dict[str, dict[str, Any]] = {"fp32": measurement.quality(fp32)}
    engines = {"fp32": fp32}
    if computes_in_bf16():
        engines["bf16"] = Engine(generator, "cpu", "bf16", runtime="openvino")
        rows["bf16"] = measurement.quality(engines["bf16"])
    if tuned is not None:
        rows["int8 before"] = measurement.quality(_engine(generator, tuned.calibrated(generator)))
    while True:
        names = trials.without(kept)
        share = trials.share(names)
        if share < LEAST_SHARE:
            raise NotGoodEnough(_reason(bounds, share, rows))
        engines["int8"] = _engine(equal, {name: calibrated[name] for name in calibrated if name in names})
        rows["int8"] = measurement.quality(engines["int8"])
        drop = rows["fp32"]["psnr_y"] - rows["int8"]["psnr_y"]
        if rows["int8"]["psnr_to_fp32"] >= bounds.fidelity and drop <= bounds.max_drop:
            break
        if kept == 0:
            with torch.inference_mode():
                trials.rank()
        kept += max(1, len(trials.groups) // 16)

    for name, seconds in measurement.seconds(engines).items():
        rows[name]["seconds"] = seconds
        rows[name]["times_fp32"] = rows["fp32"]["seconds"] / seconds
    facts = {
        "source": found.source,
        "digest": network_digest(generator),
        "fine_tuned": tuned is not None,
        "scale": generator.scale,
        "calibration": f"{len(pictures.calibration)} crops of {pictures.source}",
        "measured_on": [picture.name for picture in pictures.measured],
        "measured": rows,
        "left_out": measurement.left_out,
        "bounds": {"max_drop": bounds.max_drop, "fidelity": bounds.fidelity},
        "share": share,
        "kept": [name for name in calibrated if name not in names],
        "versions": installed_versions(PACKAGES),
    }
    network, layers = engines["int8"].generator, engines["int8"].int8
    assert layers is not None
    return QuantizedNetwork(network, layers, facts, found.generator)


def _engine(generator: Generator, chosen: Mapping[str, Calibrated]) -> Engine:
    network, layers = with_quantised_weights(generator, chosen), {name: of.layer for name, of in chosen.items()}
    try:
        return Engine(network, "cpu", "int8", int8=layers)
    except SRError as error:  # OpenVINO runs some networks in other precisions only
        raise NotGoodEnough(str(error)) from error


def refuse_unsuited(generator: Generator, found: Checkpoint) -> None:
    """Refuse a network whose inputs have no fixed ranges, or whose pictures can't be measured.

    One that draws its pictures runs several times on noise, and other options need other ranges. What a recurrent one
    hands on as features differs from clip to clip, and an error in it stays.

    Raises:
        NotGoodEnough: it is one.
    """
    if generator.sampling:
        raise NotGoodEnough(f"{found.source} draws its pictures from noise, int8 is for networks that don't")
    if isinstance(generator, RecurrentGenerator) and generator.handed_on != "sr":
        raise NotGoodEnough(f"{found.source} hands on features, in which errors of int8 would add up: use it as it is")
    if isinstance(generator, UNet):
        raise NotGoodEnough(f"{found.source} is a U-Net, which OpenVINO in int8 can crash at: use it as it is")
    if generator.channels not in (1, 3):
        raise NotGoodEnough(
            f"{found.source} is of {generator.channels} bands, and int8 is measured on grey and RGB images: "
            "use it as it is"
        )


def _calibration(pictures: Pictures) -> list[np.ndarray]:
    return [*(picture.lr for picture in pictures.calibration), *extremes(pictures.calibration)]


@torch.inference_mode()
def network_inputs(generator: Generator, lr: np.ndarray) -> list[Tensor]:
    """Return the inputs, (1, C, H, W) each, that the quantised part gets when a picture or clip is enlarged."""
    inputs: list[Tensor] = []
    hook = quantised_part(generator).register_forward_pre_hook(lambda _, given: inputs.append(given[0].clone()))
    try:
        _enlarge(generator, lr)
    finally:
        hook.remove()
    return inputs


@torch.inference_mode()
def enlarge(generator: Generator, picture: Picture) -> Tensor:
    """Return SR (1, C, H, W) of a picture, in PyTorch; of a recurrent network, of the last frame of a clip."""
    return _enlarge(generator, picture.lr)


def _enlarge(generator: Generator, lr: np.ndarray) -> Tensor:
    if not isinstance(generator, RecurrentGenerator):
        return generator(to_tensor(lr).float())
    state: State | None = None
    for frame in clip_of(lr, FRAMES):
        sr, state = generator.step(to_tensor(frame).float(), state)
    return sr


def _reason(bounds: Bounds, share: float, rows: Mapping[str, Mapping[str, float]]) -> str:
    own = rows.get("bf16", {}).get("psnr_to_fp32")
    beside = f"; bf16 has {own:.1f} dB" if own is not None else ""
    return (
        f"int8 can't be had within {bounds.max_drop:g} dB of fp32's PSNR and with {bounds.fidelity:g} dB to its "
        f"output: it would do {share:.0%} of the multiply-adds; less than {LEAST_SHARE:.0%} is not worth it{beside}"
    )
