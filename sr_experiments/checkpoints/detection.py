"""Recognise a generator by its state dict, and read its sizes from the shapes."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

Shapes = Mapping[str, Tensor]


def _count(state: Shapes, prefix: str) -> int:
    """Count the children of a Sequential."""
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


def _resnet(
    state: Shapes, first: str, upsampling: str, second_upsampling: str, blocks: str, last: str
) -> dict[str, Any]:
    features, channels = state[first].shape[:2]
    if state[last].shape[0] != channels:
        raise ValueError("it has other images as input than as output")
    step = math.isqrt(state[upsampling].shape[0] // features)  # of the pixel shuffle
    scale = 4 if second_upsampling in state else step
    return {"scale": scale, "channels": channels, "features": features, "blocks": _count(state, blocks)}


def _rrdbnet(state: Shapes) -> dict[str, Any]:
    features, in_channels = state["conv_first.weight"].shape[:2]
    channels = state["conv_last.weight"].shape[0]
    return {
        "scale": {1: 4, 4: 2, 16: 1}[in_channels // channels],  # by the pixel-unshuffle of smaller scales
        "channels": channels,
        "features": features,
        "blocks": _count(state, "body."),
        "growth": state["body.0.rdb1.conv1.weight"].shape[0],
    }


def _frvsr(state: Shapes) -> dict[str, Any]:
    channels = state["fnet.encoder1.0.weight"].shape[1] // 2
    features, in_channels = state["srnet.conv_in.0.weight"].shape[:2]
    return {
        "scale": math.isqrt(in_channels // channels - 1),  # the LR frame and scale^2 parts of the previous one
        "channels": channels,
        "srnet": {"name": "resnet", "features": features, "blocks": _count(state, "srnet.resblocks.")},
        # TecoGAN-PyTorch keeps the kernels of its bicubic upsampling in the weights of models for BD data.
        "phase": "corner" if "upsample_func.kernels" in state else "centred",
    }


def _basicvsr_uni(state: Shapes) -> dict[str, Any]:
    features, inputs = state["srnet.conv_first.weight"].shape[:2]
    channels = state["fnet.encoder1.0.weight"].shape[1] // 2
    steps = "srnet.upconv1.weight" in state
    outputs = state["srnet.upconv1.weight" if steps else "srnet.conv_last.weight"].shape[0]
    scale = 4 if "srnet.upconv2.weight" in state else math.isqrt(outputs // (features if steps else channels))
    if inputs != channels + features or (steps and features == channels * scale**2):
        raise ValueError("MSRResNet as the SR net of FRVSR, or it may be")
    return {
        "scale": scale,
        "channels": channels,
        "features": features,
        "blocks": _count(state, "srnet.body."),
        "head": "steps" if steps else "direct",
        **({"lookahead": state[fuse].shape[1] // features - 1} if (fuse := "srnet.fuse.0.weight") in state else {}),
    }


def _compact(state: Shapes) -> dict[str, Any]:
    features, channels = state["body.0.weight"].shape[:2]
    last = _count(state, "body.") - 1
    outputs = state[f"body.{last}.weight"].shape[0]
    if {name.split(".")[0] for name in state} != {"body"} or channels * math.isqrt(outputs // channels) ** 2 != outputs:
        raise ValueError("a relative of Compact")
    return {
        "scale": math.isqrt(outputs // channels),
        "channels": channels,
        "features": features,
        "convolutions": last // 2 - 1,
    }


def _esc(state: Shapes) -> dict[str, Any]:
    features, channels = state["proj.weight"].shape[:2]
    heads, distances = state["blocks.0.attn.relative_position_bias"].shape  # (2 * window - 1)^2 relative positions
    window, outputs = (math.isqrt(distances) + 1) // 2, state["to_img.weight"].shape[0]
    if (2 * window - 1) ** 2 != distances or channels * math.isqrt(outputs // channels) ** 2 != outputs:
        raise ValueError("a relative of ESC")
    return {
        "scale": math.isqrt(outputs // channels),
        "channels": channels,
        "features": features,
        "blocks": _count(state, "blocks."),
        "convolutions": _count(state, "blocks.0.pconvs."),
        "window": window,
        "heads": heads,
        "conv_features": state["plk_filter"].shape[0],
        "kernel": state["plk_filter"].shape[-1],
        "hidden": state["blocks.0.convffns.0.proj.weight"].shape[0],
    }


def _unet(state: Shapes) -> dict[str, Any]:
    features, channels = state["intro.weight"].shape[:2]
    outputs = state["ending.weight"].shape[0]
    scale = math.isqrt(outputs // channels)
    if channels * scale**2 != outputs:
        raise ValueError("a relative of NAFNet")
    return {
        "scale": scale,
        "channels": channels,
        "features": features,
        "encoder_blocks": [_count(state, f"encoders.{level}.") for level in range(_count(state, "encoders."))],
        "middle_blocks": _count(state, "middle_blks."),
        "decoder_blocks": [_count(state, f"decoders.{level}.") for level in range(_count(state, "decoders."))],
    }


# Name in the registry of generators: names of tensors that all networks of this kind have, names that only relatives of
# it have, and a function that infers the constructor's arguments from the shapes.
DETECTORS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable[[Shapes], dict[str, Any]]]] = {
    "frvsr": (("fnet.encoder1.0.weight", "fnet.flow.2.weight", "srnet.conv_in.0.weight",
               "srnet.resblocks.0.conv.0.weight", "srnet.conv_up.0.weight", "srnet.conv_out.weight"),
              (), _frvsr),
    "basicvsr_uni": (("fnet.encoder1.0.weight", "fnet.flow.2.weight", "srnet.conv_first.weight",
                      "srnet.body.0.conv1.weight", "srnet.conv_last.weight"), ("srnet.conv_up.0.weight",),
                     _basicvsr_uni),
    "rrdbnet": (("conv_first.weight", "body.0.rdb1.conv1.weight", "conv_body.weight", "conv_up1.weight",
                 "conv_up2.weight", "conv_hr.weight", "conv_last.weight"),
                ("body.0.rdb1.conv1x1.weight", "dd_embed.0.weight"), _rrdbnet),  # ESRGAN+, MM-RealSR
    "msrresnet": (("conv_first.weight", "body.0.conv1.weight", "upconv1.weight", "conv_hr.weight", "conv_last.weight"),
                  ("conv_body.weight", "feature_extraction.0.conv1.weight"),  # EDVR
                  partial(_resnet, first="conv_first.weight", upsampling="upconv1.weight",
                          second_upsampling="upconv2.weight", blocks="body.", last="conv_last.weight")),
    "compact": (("body.0.weight", "body.0.bias", "body.1.weight", "body.2.weight"), ("body.1.bias",), _compact),
    "esc": (("plk_filter", "proj.weight", "blocks.0.attn.relative_position_bias", "blocks.0.convffns.0.proj.weight",
             "blocks.0.pconvs.0.plk.dwc_proj.3.weight", "last.weight", "to_img.weight"),
            ("blocks.0.lns.0.weight",), _esc),  # ESC-Real
    "unet": (("intro.weight", "encoders.0.0.beta", "downs.0.weight", "middle_blks.0.sca.1.weight", "ups.0.0.weight",
              "decoders.0.0.gamma", "ending.weight"), ("time_embedding.1.weight",), _unet),
    "srresnet": (("conv_in.0.weight", "blocks.0.layers.0.weight", "upsampling.0.0.weight", "conv_out.weight"), (),
                 partial(_resnet, first="conv_in.0.weight", upsampling="upsampling.0.0.weight",
                         second_upsampling="upsampling.1.0.weight", blocks="blocks.", last="conv_out.weight")),
}  # fmt: skip

# Relatives whose tensors could be renamed, but which would then give wrong pictures: names of tensors, and the reason.
REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "mmagic's MSRResNet": (("conv_first.weight", "trunk_net.0.conv1.weight", "upsample1.upsample_conv.weight"),
                           "it has no activation after its pixel shuffles, so msrresnet would give other pictures"),
}  # fmt: skip


def refused(state: Shapes) -> str:
    """Return which network a state dict is of and why it isn't read; empty for all others."""
    return next((f"{name} isn't read: {why}" for name, (has, why) in REFUSED.items() if set(has) <= set(state)), "")


def detect(state: Shapes) -> dict[str, Any] | None:
    """Return registry name and arguments of the generator that a state dict belongs to; None if it is unknown."""
    for name, (has, lacks, arguments) in DETECTORS.items():
        if all(key in state for key in has) and not any(key in state for key in lacks):
            try:
                return {"name": name, **arguments(state)}
            except (ValueError, LookupError, ArithmeticError):  # the same names with other shapes
                return None
    return None
