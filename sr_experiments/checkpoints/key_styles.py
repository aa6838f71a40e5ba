"""How other programs wrap and name a generator's weights: tables, and the functions that apply them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from sr_experiments.checkpoints.detection import detect

StateDict = dict[str, Tensor]

# What programs call the generator, and its averaged weights, as a key of a file or at the beginning of names.
NAMES = ("generator", "netG", "net_g", "net_G", "G", "g", "gen", "net", "model", "sr_net", "net_sr", "sr_model")
AVERAGED = ("params_ema", "params-ema", *(f"{n}_ema" for n in NAMES), *(f"ema_{n}" for n in NAMES), "ema")
# Keys under which a file may hold the state dict, preferred first: averaged weights before raw ones.
WRAPPERS = (
    *AVERAGED, "ema_state_dict", "params", "state_dict", *(f"{n}_state_dict" for n in NAMES), "model", "generator",
    *(n for n in NAMES if n not in ("model", "generator")), "weights",
)  # fmt: skip
# What the generator is called where its names begin so, beside a discriminator and losses; preferred first.
OWNERS = (*AVERAGED, "params", *(n for n in NAMES if n not in ("net", "model", "g")), "student", "online_model")
# Of these, names that other networks may use for their layers.
AMBIGUOUS = ("ema", "params", "G", "gen", "student")
# What stands before the names of a network wherever it is: DataParallel, torch.compile.
PREFIXES = ("module", "_orig_mod")
# Training modules' own names for the network.
MODULES = (*PREFIXES, *OWNERS, "model", "net", "network", "backbone")
# Parts of training modules that are not the generator.
OTHERS = (
    "discriminator", "netD", "net_d", "net_D", "D", "disc", "netF", "net_f", "vgg", "perceptual", "perceptual_loss",
    "percep_loss", "feature_extractor", "lpips", "loss", "loss_fn", "criterion", "cri_pix", "cri_perceptual", "cri_gan",
    "gan_loss", "pixel_loss", "psnr", "ssim", "metrics", "train_metrics", "val_metrics", "teacher", "data_preprocessor",
    "step_counter",
)  # fmt: skip
MOST_PREFIXES = 8  # that a name can have
# Numbers that averaging and training count beside the weights.
COUNTERS = ("n_averaged", "initted", "step", "num_updates", "decay")


# Other programs' names, by what some name begins with in this style and in no other: a label for messages, and patterns
# at the beginning of a name with their replacements in BasicSR; the first match counts.
KEY_STYLES = {
    "RRDB_trunk.": (
        "ESRGAN names",  # in the ESRGAN repository
        {
            r"RRDB_trunk\.(\d+)\.RDB(\d)\.conv(\d)\.": r"body.\1.rdb\2.conv\3.",
            r"trunk_conv\.": "conv_body.",
            r"upconv(\d)\.": r"conv_up\1.",
            r"HRconv\.": "conv_hr.",
        },
    ),
    "recon_trunk.": (
        "mmsr names",  # of MSRResNet in mmsr and KAIR
        {r"recon_trunk\.(\d+)\.conv(\d)\.": r"body.\1.conv\2.", r"HRconv\.": "conv_hr."},
    ),
    "model.1.sub.": (
        "first ESRGAN names",  # as ESRGAN was first released
        {
            r"model\.0\.": "conv_first.",
            r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.": r"body.\1.rdb\2.conv\3.",
            r"model\.1\.sub\.\d+\.": "conv_body.",  # the number is that of the blocks
            r"model\.3\.": "conv_up1.",
            r"model\.6\.": "conv_up2.",
            r"model\.8\.": "conv_hr.",
            r"model\.10\.": "conv_last.",
        },
    ),
}


def unwrap(content: Mapping[str, Any]) -> tuple[StateDict, str]:
    """Return the innermost mapping of names to tensors, and the key that holds it."""
    wrapper = ""
    for _ in WRAPPERS:  # no endless loop: a mapping may contain itself
        inner = next((k for k in WRAPPERS if _holds_tensors(content.get(k))), None)
        if inner is None:
            break
        content, wrapper = content[inner], inner
    return {str(k): v for k, v in content.items() if isinstance(v, Tensor)}, wrapper


def strip_prefixes(state: StateDict) -> StateDict:
    """Keep the generator's tensors only, and remove what stands before all their names.

    A prefix of any name is removed where the rest is of a network that is known.
    """
    counters = {name for name in state if name.rpartition(".")[2] in COUNTERS and state[name].numel() == 1}
    state = {name: tensor for name, tensor in state.items() if name not in counters}
    for _ in range(MOST_PREFIXES):
        if _style(state) or detect(state):  # `model.` is no prefix, but part of a style
            return state
        prefix, without = _common_prefix(state), _without_others(state)
        if owned := next(filter(None, (_of_owner(state, owner) for owner in OWNERS)), None):
            state = owned
        elif prefix in MODULES or (prefix and _is_known(_under(state, prefix))):
            state = _under(state, prefix)
        elif len(without) < len(state) and _common_prefix(without):
            state = without
        else:
            break
    return state


def to_basicsr_names(state: StateDict) -> tuple[StateDict, str]:
    """Rename the tensors as BasicSR does; also return the label of the style that they were in, or nothing."""
    label, renames = KEY_STYLES.get(_style(state), ("", {}))
    return {_renamed(name, renames): tensor for name, tensor in state.items()}, label


def to_spandrel_names(state: StateDict, own: Mapping[str, Tensor]) -> StateDict:
    """Put `net.` before an architecture's published names, if those of the network to be filled all begin so."""
    if all(name.startswith("net.") for name in own) and not any(name.startswith("net.") for name in state):
        return {f"net.{name}": tensor for name, tensor in state.items()}
    return state


def _holds_tensors(value: Any, depth: int = 3) -> bool:
    """Return whether a value is a mapping with tensors, directly or under further WRAPPERS."""
    if not isinstance(value, Mapping):
        return False
    if any(isinstance(inner, Tensor) for inner in value.values()):
        return True
    return depth > 0 and any(_holds_tensors(value.get(key), depth - 1) for key in WRAPPERS)


def _under(state: StateDict, prefix: str) -> StateDict:
    """Return the tensors under a prefix, without it."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in state.items() if name.startswith(f"{prefix}.")}


def _common_prefix(state: StateDict) -> str:
    """Return the first part of the names if it is the same in all, else nothing."""
    first = {name.partition(".")[0] for name in state if "." in name} if all("." in name for name in state) else set()
    return first.pop() if len(first) == 1 else ""


def _of_owner(state: StateDict, owner: str) -> StateDict:
    """Return the tensors of an owner; none where the name may as well be that of a layer."""
    owned = _under(state, owner)
    return owned if owner not in AMBIGUOUS or _is_known(owned) else {}


def _without_others(state: StateDict) -> StateDict:
    return {name: tensor for name, tensor in state.items() if name.partition(".")[0] not in OTHERS}


def behind_prefixes(state: StateDict) -> Iterator[StateDict]:
    """Yield the tensors under their names, and without each of the prefixes that all names share."""
    for _ in range(MOST_PREFIXES):
        yield state
        if not (prefix := _common_prefix(state)):
            return
        state = _under(state, prefix)


def _is_known(state: StateDict) -> bool:
    """Return whether these are the names of a known network, perhaps behind further prefixes."""
    return any(_style(inner) or detect(inner) for inner in behind_prefixes(state))


def _style(state: StateDict) -> str:
    return next((prefix for prefix in KEY_STYLES if any(name.startswith(prefix) for name in state)), "")


def _renamed(name: str, renames: Mapping[str, str]) -> str:
    for pattern, replacement in renames.items():
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", replacement, name)
    return name


def networks_in(state: StateDict) -> list[str]:
    """Return the first parts of the names under which there are known networks."""
    first = dict.fromkeys(name.partition(".")[0] for name in state if "." in name)
    return [part for part in first if _is_known(_under(state, part))]
