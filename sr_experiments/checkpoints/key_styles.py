"""How other programs wrap and name a generator's weights: tables, and the functions that apply them."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

StateDict = dict[str, Tensor]

# Keys under which a file may hold the state dict, preferred first: averaged weights before raw ones.
WRAPPERS = ("params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "generator", "netG")
# Prefixes of the generator's names where a discriminator and losses are saved with it.
OWNERS = ("generator.", "netG.")
# Prefixes that all names may share: of DataParallel, torch.compile, and whole training modules.
PREFIXES = ("module.", "_orig_mod.", "netG.", "generator.", "model.")


# Other programs' names for RRDBNet, by what some name begins with in this style and in no other: a label for messages,
# and patterns at the beginning of a name with their replacements in BasicSR; the first match counts.
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
        inner = next((k for k in WRAPPERS if isinstance(content.get(k), Mapping) and content[k]), None)
        if inner is None:
            break
        content, wrapper = content[inner], inner
    return {str(k): v for k, v in content.items() if isinstance(v, Tensor)}, wrapper


def strip_prefixes(state: StateDict) -> StateDict:
    """Keep the generator's tensors only, and remove prefixes that all names share."""
    for owner in OWNERS:
        if any(name.startswith(owner) for name in state):
            state = {name: tensor for name, tensor in state.items() if name.startswith(owner)}
    while not _style(state):  # `model.` is no prefix, but part of a style
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in state)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
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


def _style(state: StateDict) -> str:
    return next((prefix for prefix in KEY_STYLES if any(name.startswith(prefix) for name in state)), "")


def _renamed(name: str, renames: Mapping[str, str]) -> str:
    for pattern, replacement in renames.items():
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", replacement, name)
    return name
