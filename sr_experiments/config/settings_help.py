"""What conf/schema.json says of settings: for `--help`, and to put right a mistyped name. It loads no PyTorch."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

COLUMN = 46  # at which meanings begin
OF_HYDRA = ("hydra", "defaults")
# Settings by the names that BasicSR, neosr, traiNNer-redux, Lightning and timm have for them.
ELSEWHERE = {
    "accumulate_grad_batches": "optim.accumulate", "accum_iter": "optim.accumulate", "amp": "trainer.precision",
    "clip_grad": "optim.clip_norm", "crop_size": "data.crop", "ema": "optim.ema_decay", "epochs": "trainer.max_steps",
    "gc": "model.growth", "gpus": "trainer.devices", "gradient_clip_val": "optim.clip_norm", "gt_size": "data.crop",
    "iters": "trainer.max_steps", "lr": "optim.learning_rate", "lr_d": "optim.discriminator_learning_rate",
    "manual_seed": "seed", "max_epochs": "trainer.max_steps", "max_iters": "trainer.max_steps",
    "n_feats": "model.features", "n_resblocks": "model.blocks", "nb": "model.blocks", "nf": "model.features",
    "num_block": "model.blocks", "num_feat": "model.features", "num_gpu": "trainer.devices",
    "num_grow_ch": "model.growth", "num_in_ch": "channels", "patch_size": "data.crop",
    "pretrain_network_g": "init_from", "print_freq": "trainer.log_every", "resume_state": "resume",
    "save_checkpoint_freq": "trainer.checkpoint_every", "total_iter": "trainer.max_steps", "upscale": "scale",
    "use_amp": "trainer.precision", "val_freq": "trainer.val_every", "wd": "optim.weight_decay",
}  # fmt: skip


class Settings:
    """The settings of a composed configuration, as the schema knows them.

    Args:
        config: of a run, unresolved; what it names decides which arguments there are.
        schema: the content of conf/schema.json.
    """

    def __init__(self, config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
        self.config = {key: value for key, value in config.items() if key not in OF_HYDRA}
        self.schema = schema

    @classmethod
    def of(cls, config: Any, folder: Path) -> "Settings":
        """Return those of OmegaConf's configuration, with the schema in the folder of YAML files."""
        path = folder / "schema.json"
        schema = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        plain: Any = OmegaConf.to_container(config, resolve=False)
        return cls(plain, schema)

    def lines(self) -> Iterator[str]:
        """Give each setting as YAML, with its meaning and what it takes; those that a file leaves out after a +."""
        yield from self._lines(self.config, self.schema, "")

    def _lines(self, group: Mapping[str, Any], schema: Mapping[str, Any], indent: str) -> Iterator[str]:
        known = self._chosen(schema, group)
        properties = known.get("properties", {})
        others = known.get("additionalProperties")
        for key, value in group.items():
            setting = properties.get(key, others if isinstance(others, Mapping) else {})
            if key == "name" and "const" in setting:
                setting = {"description": known.get("description", ""), "takes": ""}
            if isinstance(value, Mapping) and value:
                yield _with_meaning(f"{indent}{key}:", setting.get("description", ""), "")
                yield from self._lines(value, setting, indent + "  ")
            else:
                text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) or not value else value
                yield _with_meaning(f"{indent}{key}: {text}", setting.get("description", ""), setting.get("takes", ""))
        for key, setting in properties.items():
            if key not in group and "takes" in setting and "const" in properties.get("name", {}):
                default = f" {json.dumps(setting['default'])}" if "default" in setting else ""
                yield _with_meaning(f"{indent}+{key}:{default}", setting.get("description", ""), setting["takes"])

    def _chosen(self, schema: Any, value: Any) -> Mapping[str, Any]:
        """Return the schema of a group itself, and of several possible ones that of the component it names."""
        if not isinstance(schema, Mapping):
            return {}
        if "$ref" in schema:
            return self._chosen(self.schema["$defs"][schema["$ref"].removeprefix("#/$defs/")], value)
        if "anyOf" not in schema:
            return schema
        groups = [self._chosen(option, value) for option in schema["anyOf"]]
        groups = [group for group in groups if group.get("type") == "object"]
        name = value.get("name") if isinstance(value, Mapping) else None
        named = [group for group in groups if group.get("properties", {}).get("name", {}).get("const") == name]
        unnamed = [group for group in groups if "const" not in group.get("properties", {}).get("name", {})]
        return next(iter([*named, *unnamed]), {})

    def group(self, path: Sequence[str]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return what a group holds, and which settings the schema knows there; nothing of a group that isn't there."""
        value: Any = self.config
        schema = self._chosen(self.schema, value)
        for key in path:
            others = schema.get("additionalProperties")
            inner = schema.get("properties", {}).get(key, others if isinstance(others, Mapping) else {})
            value = value.get(key, {}) if isinstance(value, Mapping) else {}
            schema = self._chosen(inner, value)
        held = value if isinstance(value, Mapping) else {}
        return held, {k: v for k, v in schema.get("properties", {}).items() if k != "defaults"}

    def _holds_any_names(self, path: Sequence[str]) -> bool:
        """Tell whether a group holds others under names that the user chooses, as `data.val` does."""
        _, known = self.group(path[:-1])
        return isinstance(known.get(path[-1], {}).get("additionalProperties"), Mapping)

    def unknown(self, dotted: str, groups: Sequence[str] = ()) -> str:
        """Say what is wrong with a setting that can't be overridden.

        Args:
            dotted: its key.
            groups: names that are chosen rather than set.
        """
        *parent, key = dotted.split(".")
        whole = parent
        for depth in range(len(parent)):  # the first name that isn't there is the one to put right
            held, known = self.group(parent[:depth])
            if parent[depth] not in held and parent[depth] not in known:
                parent, key = parent[:depth], parent[depth]
                break
        held, known = self.group(parent)
        place = f"{'.'.join(parent)} has no {key}" if parent else f"there is no setting {key}"
        if key in known:
            return f"{dotted} is not in the YAML file: add it with +{dotted}=... ({known[key].get('takes', 'a group')})"
        *group, name = ELSEWHERE.get(key, "").split(".")
        if name and any(name in settings for settings in self.group(group)):
            ours = ELSEWHERE[key]
            return f"{place}: did you mean {ours}?"
        if moved := next((path for path in _paths(held) if path.endswith(f".{key}")), ""):
            return f"{place}: did you mean {'.'.join([*parent, moved])}?"
        names = [*dict.fromkeys([*held, *known, *([] if parent else groups)])]
        near = difflib.get_close_matches(key, names, 1)
        if parent and not near and self._holds_any_names(parent):
            if len(whole) > len(parent):  # a setting of what isn't there
                return f"{place}: it has {', '.join(held) or 'none'}; a new one is added with +{dotted}=..."
            return f"{place}: what it holds has names, write +{'.'.join(parent)}.mine.{key}=..."
        if parent and not near and key in self.config:
            return f"{place}: {key} is the run's, set {key}=..."
        return f"{place}: did you mean {near[0]}?" if near else f"{place}: it has {', '.join(names) or 'no settings'}"


def sweep_lines(folder: Path) -> Iterator[str]:
    """Give the launchers and sweepers of a folder of YAML files, with their settings, as the comments in them explain.

    Hydra's own launcher, `basic`, has neither a file there nor settings.
    """
    for group in ("hydra/launcher", "hydra/sweeper"):
        if group == "hydra/launcher":
            yield f"{group}=basic: One job after the other, in this process; the default."
        for path in sorted((folder / group).glob("*.yaml")):
            text = path.read_text(encoding="utf-8")
            header, settings = re.split(r"^_target_:.*\n", text, maxsplit=1, flags=re.MULTILINE)
            first, *more = [line.removeprefix("#") for line in header.splitlines()]
            yield f"{group}={path.stem}:{first}"
            yield from (f"   {line}" for line in more)
            for line in settings.splitlines():
                setting, _, meaning = line.partition("#")
                yield f"  {group.replace('/', '.')}.{setting.strip()}".ljust(COLUMN) + f"# {meaning.strip()}"


def _paths(group: Mapping[str, Any]) -> Iterator[str]:
    """Give the dotted keys of all that is below a group."""
    for key, value in group.items():
        yield key
        if isinstance(value, Mapping):
            yield from (f"{key}.{inner}" for inner in _paths(value))


def _with_meaning(text: str, meaning: str, takes: str) -> str:
    said = " ".join(
        filter(None, (meaning[:1].upper() + meaning[1:], f"({takes})" if takes not in ("", "text") else ""))
    )
    return f"{text:<{COLUMN - 1}} # {said}" if said else text
