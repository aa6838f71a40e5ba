"""Model cards beside an exported file: the network, its training, and its measured quality.

`<name>.json` has the fields of OpenModelDB's models, `<name>.md` is for people, `<name>.png` shows the baseline and SR.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import yaml
from PIL import Image

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.data.sample import sample_paths
from sr_experiments.display.pictures import labelled
from sr_experiments.errors import SRError
from sr_experiments.export.export import Exported
from sr_experiments.export.usage import usage
from sr_experiments.files.writing import replacing, sha256_of, write_json
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.spandrel_arch import SpandrelModel
from sr_experiments.inference.engine import Engine
from sr_experiments.metrics.baseline import BASELINES, baseline
from sr_experiments.quantization.file import holds_int8
from sr_experiments.quantization.file import read as read_int8
from sr_experiments.runs.series import read_series, validated_at

SIDE = 96  # LR pixels of the example picture
TRAINED_WITH = ("model", "loss", "data", "degradation", "optim", "stage", "stages", "scale", "channels", "seed")
# OpenModelDB's ids of architectures (its data/architectures.json); of networks that it lacks, what it would call them.
ARCHITECTURES = {
    "srresnet": "sr-res-net",
    "msrresnet": "sr-res-net",
    "rrdbnet": "esrgan",
    "unet": "nafnet",
}


def check_places(file: Path, checkpoint: Path, overwrite: bool) -> None:
    """Refuse, before the export, to replace a file unasked, and damaged files of the run that a card is made from."""
    _training_files(checkpoint)
    for place in _places(file.expanduser()):
        if place.exists() and not overwrite:
            raise SRError(f"{place} exists: give --overwrite to replace")


@dataclass(frozen=True)
class Card:
    """What a card says.

    Attributes:
        facts: the fields of an OpenModelDB model, and further ones.
        summary: of the run; empty where there is none.
        picture: the baseline beside SR; None for networks of bands, which photographs don't have.
    """

    facts: dict[str, Any]
    summary: dict[str, Any]
    picture: Image.Image | None
    _words: Mapping[str, str]
    _exported: Exported
    _config: dict[str, Any]
    _usage: str

    def markdown(self, picture: str) -> str:
        """Return the text for people; `picture` is the name of the picture's file, if there is a picture."""
        shown = picture if self.picture is not None else None
        return _markdown(self.facts, self._exported, self._words, self._config, self.summary, shown, self._usage)


def make_card(exported: Exported, checkpoint: Path, words: Mapping[str, str]) -> Card:
    """Collect what a card says.

    The author's words are "name", "author", "license" and "description". How the network was trained is read from the
    run folder of the checkpoint that was exported, if it has one.
    """
    config, summary = _training_files(checkpoint)
    if holds_int8(checkpoint.expanduser()):
        generator = read_int8(checkpoint.expanduser()).generator
    else:
        generator, found = load_generator(checkpoint)
        summary = _of_step(summary, found.step, checkpoint)
    facts = {**_facts(exported, words, generator), **_training(config, summary)}
    how = usage(exported.file, exported.kind, exported.precision, generator)
    of_photographs = generator.channels in (1, 3)
    picture = _before_and_after(Engine(generator, "cpu", "fp32")) if of_photographs else None
    return Card(facts, summary, picture, words, exported, config, how)


def write_card(exported: Exported, checkpoint: Path, words: Mapping[str, str]) -> list[Path]:
    """Write the files of a card, made as by `make_card`; return their paths."""
    card = make_card(exported, checkpoint, words)
    markdown, listing, picture = _places(exported.file)
    if card.picture is not None:
        with replacing(picture) as temporary:
            card.picture.save(temporary, "PNG")
    write_json(listing, card.facts)
    with replacing(markdown) as temporary:
        temporary.write_text(card.markdown(picture.name), encoding="utf-8")
    return [markdown, listing, *([picture] if card.picture is not None else [])]


def _places(file: Path) -> tuple[Path, Path, Path]:
    return file.with_suffix(".md"), file.with_suffix(".json"), file.with_suffix(".png")


def _training_files(checkpoint: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the configuration and the summary of the run that a checkpoint belongs to; empty where there are none."""
    folder = _run_folder(checkpoint)
    if folder is None:
        return {}, {}
    return _names_only(_read(folder / "config.yaml", yaml.safe_load)), _read(folder / "summary.json", json.loads)


def _run_folder(checkpoint: Path) -> Path | None:
    path = checkpoint.expanduser()
    if path.is_dir():
        return path
    return path.parent.parent if path.parent.name == "checkpoints" else None


def _of_step(summary: dict[str, Any], step: int | None, checkpoint: Path) -> dict[str, Any]:
    """Return a run's summary with the values of a checkpoint's step in the place of those of the best and the last."""
    folder, best = _run_folder(checkpoint), summary.get("best") or {}
    if not summary or folder is None or step in (None, best.get("step")):
        return summary
    values = validated_at(read_series(folder / "metrics.csv"), step)
    return {**summary, "best": {**best, "step": step, "metrics": values}, "final": values}


def _read(file: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        content = parse(file.read_text(encoding="utf-8"))
    except (ValueError, yaml.YAMLError) as error:
        raise SRError(f"{file} is damaged: repair it, or move it away for a card without it") from error
    return content if isinstance(content, dict) else {}


def _names_only(value: Any) -> Any:
    """Replace paths by the last part of their names: a card tells nothing of the machine."""
    if isinstance(value, dict):
        return {key: _names_only(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_names_only(inner) for inner in value]
    if isinstance(value, str) and re.match(r"(/|~|\.\.?/|\\\\|[A-Za-z]:[\\/])", value):
        return PureWindowsPath(value).name or value  # splits at both kinds of slashes
    return value


def _training(config: dict[str, Any], summary: dict[str, Any]) -> dict[str, Any]:
    """Return training and metrics, under OpenModelDB's names where it has them."""
    data, best = config.get("data") or {}, summary.get("best") or {}
    train = data.get("train") or {}
    facts = {
        "trainingIterations": best.get("step", summary.get("step")) or None,  # none where the start was best
        "trainingBatchSize": data.get("batch_size"),
        "trainingHRSize": data.get("crop"),
        "trainingOTF": train.get("name") != "paired" if train else None,
        "dataset": next((Path(str(train[key])).name for key in ("root", "hr", "name") if train.get(key)), None),
        "initFrom": config.get("init_from") or None,  # pretrainedModelG is for ids of models in OpenModelDB
        "degradation": config.get("degradation"),
        "loss": config.get("loss"),
        "seed": config.get("seed"),
        "metrics": best.get("metrics") or summary.get("final") or None,
        "conventions": summary.get("conventions"),
        "leftOut": sorted(summary.get("left_out") or {}) or None,
    }
    return {key: value for key, value in facts.items() if value is not None}


def _facts(exported: Exported, words: Mapping[str, str], generator: Generator) -> dict[str, Any]:
    """Return the fields of an OpenModelDB model."""
    config = exported.generator or {}
    sizes = {**config, **config.get("srnet", {})}
    inferred = generator.arch if isinstance(generator, SpandrelModel) else "unknown"
    name = str(config.get("arch") or config.get("name") or inferred)
    return {
        "name": words["name"],
        "author": re.sub(r"[^a-z0-9]+", "-", words["author"].lower()).strip("-"),
        "license": words["license"] or None,
        "description": words["description"].strip(),
        "tags": ["restoration"] if generator.scale == 1 else ["general-upscaler"],
        "date": date.today().isoformat(),
        "architecture": ARCHITECTURES.get(name, name.lower()),
        "size": [f"{sizes[key]}{short}" for key, short in (("features", "nf"), ("blocks", "nb")) if key in sizes],
        "scale": generator.scale,
        "inputChannels": generator.channels,
        "outputChannels": generator.channels,
        "parameters": sum(parameter.numel() for parameter in generator.parameters()),
        "resources": [
            {
                "platform": exported.kind if exported.kind in ("onnx", "ncnn") else "pytorch",
                "type": "pth" if exported.kind == "pth" else file.suffix.lstrip("."),
                "size": file.stat().st_size,
                "sha256": sha256_of(file),
                "urls": [],
            }
            for file in exported.files
        ],
        "images": [],
    }


def _markdown(
    facts: dict[str, Any],
    exported: Exported,
    words: Mapping[str, str],
    config: dict[str, Any],
    summary: dict[str, Any],
    picture: str | None,
    how: str,
) -> str:
    compared = ", ".join(f"{value:.2g} in {runtime}" for runtime, value in exported.differences.items())
    trained = {key: config[key] for key in TRAINED_WITH if key in config}
    if "step" in summary:
        trained["steps"] = summary["step"]
    lines = [
        f"# {facts['name']}",
        "",
        facts["description"] or "To be described by the author.",
        "",
        *([f"![{baseline(facts['scale'])} and SR]({picture})", ""] if picture else []),
        "| | |",
        "|---|---|",
        f"| architecture | {facts['architecture']} {' '.join(facts['size'])} |",
        f"| scale | {facts['scale']} |",
        f"| parameters | {facts['parameters']:,} |",
        f"| author | {words['author'] or 'to be filled in'} |",
        f"| licence | {facts['license'] or 'to be filled in'} |",
        f"| date | {facts['date']} |",
        *(
            f"| file | {file.name}, {exported.kind}, {exported.precision}, {resource['size']:,} bytes, "
            f"sha256 `{resource['sha256']}` |"
            for file, resource in zip(exported.files, facts["resources"], strict=True)
        ),
        f"| from | {exported.source} |",
        f"| compared | {compared}: largest difference to the original, values in [0, 1] |",
        "",
        {3: "Images are RGB in [0, 1], (N, C, H, W).", 1: "Images are grey, in [0, 1]."}.get(
            facts["inputChannels"], f"Images have {facts['inputChannels']} bands, in [0, 1], (N, C, H, W)."
        ),
        "",
        *([how] if how else []),
        *_measured(summary, baseline(facts["scale"])),
    ]
    if trained:
        lines += ["## Training", "", "```yaml", yaml.safe_dump(trained, sort_keys=False).rstrip(), "```", ""]
    return "\n".join(lines)


def _measured(summary: dict[str, Any], beside: str) -> list[str]:
    """Write the metrics of the checkpoint and of the baseline, their conventions, and what was not measured."""
    best, own = metrics_of(summary)
    if not own:
        return []
    lines = [f"## Measured at step {(summary.get('best') or {}).get('step', summary.get('step'))}", ""]
    lines += [f"| set | metric | {beside} | this |", "|---|---|---|---|"]
    for key, value in own.items():
        _, of, metric = key.split("/")
        theirs = best.get(f"{key}_{beside}")
        lines.append(f"| {of} | {metric} | {'-' if theirs is None else f'{theirs:.4f}'} | {value:.4f} |")
    lines.append("")
    lines += [f"- `{metric}`: {convention}" for metric, convention in summary.get("conventions", {}).items()]
    lines += [f"- not measured: {what}" for what in summary.get("left_out", {})]
    return [*lines, ""]


def metrics_of(summary: dict[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Return all metrics of a card's checkpoint, `val/set/metric`, and those of the network alone."""
    best = (summary.get("best") or {}).get("metrics") or summary.get("final") or {}
    others = (*(f"_{name}" for name in BASELINES), "_compared")
    return best, {key: value for key, value in best.items() if not key.endswith(others)}


def _before_and_after(engine: Engine) -> Image.Image:
    """Draw the middle of a photograph that no sample run trains on, the baseline beside SR."""
    with Image.open(sample_paths(("chelsea.png",))[0]) as file:
        photograph = file.convert("RGB" if engine.channels == 3 else "L")
    width, height = photograph.size
    side = min(SIDE, width // engine.scale, height // engine.scale)
    small = photograph.resize((width // engine.scale, height // engine.scale), Image.Resampling.BICUBIC)
    left, top = (small.width - side) // 2, max((small.height - side) // 4, 0)
    lr = np.array(small.crop((left, top, left + side, top + side))).reshape(side, side, engine.channels)
    pictures = {baseline(engine.scale): engine.bicubic(lr), "SR": engine.upscale(lr)}
    return labelled({label: Image.fromarray(pixels.squeeze()) for label, pixels in pictures.items()})
