"""A folder for the Hugging Face Hub: README.md with its front matter, config.json, model.safetensors, a picture.

Fields of the front matter: https://huggingface.co/docs/hub/model-cards.
"""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from sr_experiments.checkpoints.places import HUB_WEIGHTS
from sr_experiments.checkpoints.reading import FORMAT
from sr_experiments.errors import SRError
from sr_experiments.export.card import Card, check_places, make_card, metrics_of
from sr_experiments.export.export import Exported, export
from sr_experiments.files.writing import give_usual_mode, write_json, writing_failed

PICTURE = "sample.png"


def export_folder(
    checkpoint: Path, folder: Path, precision: str | None, overwrite: bool, words: Mapping[str, str]
) -> tuple[Exported, list[Path]]:
    """Write a network as a folder for the Hub; return the export, and the paths of the other files.

    The folder gets them when all are made. The author's words are as for `make_card`.

    Raises:
        SRError: the folder has files and `overwrite` is not given, or as `export`.
    """
    folder = folder.expanduser()
    if folder.exists() and not folder.is_dir():
        raise SRError(f"{folder} is a file: --hub writes a folder, give another name")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise SRError(f"{folder} has files: give --overwrite to replace those of the same names")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            made = Path(temporary)
            check_places(made / HUB_WEIGHTS, checkpoint, overwrite)
            done = export(checkpoint, made / HUB_WEIGHTS, "safetensors", precision, name=words["name"])
            card = make_card(done, checkpoint, words)
            if card.picture is not None:
                card.picture.save(made / PICTURE)
            write_json(made / "config.json", _config(done, card.facts))
            (made / "README.md").write_text(_front_matter(card, words) + card.markdown(PICTURE), encoding="utf-8")
            folder.mkdir(exist_ok=True)
            pictures = [PICTURE] if card.picture is not None else []
            names = ["README.md", "config.json", *pictures, HUB_WEIGHTS]
            for name in names:
                give_usual_mode(made / name)
                (made / name).replace(folder / name)
    except OSError as error:
        raise writing_failed(folder, error) or error from error
    return replace(done, file=folder / HUB_WEIGHTS), [folder / name for name in names if name != HUB_WEIGHTS]


def _config(done: Exported, facts: dict[str, Any]) -> dict[str, Any]:
    """Return what a program needs to build the network; the same is in the metadata of the weights."""
    own = {"sr_experiments": {"format": FORMAT, "generator": done.generator}} if done.generator else {}
    shown = ("architecture", "scale", "inputChannels", "outputChannels", "parameters")
    return {**{key: facts[key] for key in shown}, "range": [0, 1], "precision": done.precision, **own}


def _front_matter(card: Card, words: Mapping[str, str]) -> str:
    facts = card.facts
    fields: dict[str, Any] = {
        "license": words["license"].lower() or None,
        "pipeline_tag": "image-to-image",
        "library_name": "sr-experiments",
        "tags": ["super-resolution" if facts["scale"] > 1 else "image-restoration", facts["architecture"],
                 f"{facts['scale']}x"],
        "model-index": _results(card) or None,
    }  # fmt: skip
    filled = {key: value for key, value in fields.items() if value is not None}
    return f"---\n{yaml.safe_dump(filled, sort_keys=False, allow_unicode=True, width=1000)}---\n\n"


def _results(card: Card) -> list[dict[str, Any]]:
    """Return the metrics of the run, named with their conventions, as the Hub's index of results has them."""
    conventions: Mapping[str, str] = card.summary.get("conventions") or {}
    results: dict[str, list[dict[str, Any]]] = {}
    for key, value in metrics_of(card.summary)[1].items():
        _, dataset, metric = key.split("/")
        if math.isfinite(value):
            name = f"{metric} ({conventions[metric]})" if metric in conventions else metric
            results.setdefault(dataset, []).append({"type": metric.split("_")[0], "name": name, "value": value})
    scale = card.facts["scale"]
    task = {"type": "image-to-image", "name": f"Super-resolution x{scale}" if scale > 1 else "Restoration"}
    entries = [
        {"task": task.copy(), "dataset": {"type": dataset, "name": dataset}, "metrics": metrics}
        for dataset, metrics in results.items()
    ]
    return [{"name": card.facts["name"], "results": entries}] if entries else []
