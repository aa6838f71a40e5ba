"""Checkpoints as W&B artifacts: which ones a run began from, and which ones it leaves."""

import contextlib
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sr_experiments.checkpoints.files import file_of
from sr_experiments.errors import SRError
from sr_experiments.runs.reading import read_config
from sr_experiments.runs.series import Series

log = logging.getLogger(__name__)

ALIASES = ("best", "last")  # the last one logged gets W&B's alias "latest" too


def wandb_run_id(folder: Path) -> str | None:
    """Id of the W&B run that a run folder already has, from the names W&B gives its files."""
    files = sorted((folder / "wandb").glob("*run-*/run-*.wandb"))
    return files[-1].stem.removeprefix("run-") if files else None


def artifact_name(run_id: str) -> str:
    """Of the artifact that has a W&B run's checkpoints."""
    return f"checkpoint-{run_id}"


def sources_of(init_from: str | Mapping[str, str] | None) -> list[dict[str, Any]]:
    """What a run is initialised from: path and file, and of this project's runs the W&B run and artifact.

    Args:
        init_from: of the configuration: one checkpoint, or one for each of a network's parts.
    """
    parts = init_from if isinstance(init_from, Mapping) else {None: init_from} if init_from else {}
    return [{**({"part": part} if part else {}), **_source(str(path))} for part, path in parts.items()]


def use_sources(run: Any, sources: list[dict[str, Any]]) -> None:
    """Draw the lineage in W&B; offline it can't be, then it is in the run's configuration alone."""
    if run.settings.mode != "online":
        return
    for source in sources:
        if "artifact" in source:
            entity = source["entity"] or run.entity
            try:
                run.use_artifact(f"{entity}/{source['project']}/{source['artifact']}", type="model")
            except Exception as error:  # never uploaded, deleted, or no access: the run is not worse for it
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                log.warning("init_from's artifact %s is not in W&B (%s): no lineage drawn", source["artifact"], reason)


def log_checkpoints(
    run: Any, folder: Path, series: Mapping[str, Series], best_step: int | None, sources: list[dict[str, Any]]
) -> None:
    """Log best.ckpt and last.ckpt as versions of one artifact, with step, metrics, network and lineage.

    Args:
        run: W&B's.
        folder: the run folder.
        series: what the run has logged.
        best_step: of best.ckpt, None if this run has none.
        sources: what it was initialised from.
    """
    import wandb

    for alias in ALIASES:
        path = folder / "checkpoints" / f"{alias}.ckpt"
        if not path.is_file() or (alias == "best" and best_step is None):
            continue
        record = torch.load(path, weights_only=True, map_location="cpu", mmap=True)["sr_experiments"]
        metadata = {
            "file": path.name,
            "step": record["step"],
            "metrics": _at(series, record["step"]),
            "generator": record["generator"],
            **({"initialised_from": sources} if sources else {}),
        }
        artifact = wandb.Artifact(artifact_name(run.id), type="model", metadata=metadata)
        offline = run.settings.mode == "offline"
        artifact.add_file(
            str(_kept(path, Path(run.dir).parent) if offline else path), name=path.name, policy="immutable"
        )
        run.log_artifact(artifact, aliases=[alias])


def _source(path: str) -> dict[str, Any]:
    source: dict[str, Any] = {"path": path}
    with contextlib.suppress(SRError, OSError):  # a resumed run doesn't need it any more
        file = file_of(Path(path).expanduser())
        source["file"] = file.name
        folder = file.parent.parent
        run_id = wandb_run_id(folder) if file.parent.name == "checkpoints" else None
        if run_id is not None:
            logger = read_config(folder)["logger"]
            source["wandb_run"] = run_id
            source |= {key: logger.get(key) for key in ("entity", "project")}
            if file.stem in ALIASES:
                source["artifact"] = f"{artifact_name(run_id)}:{file.stem}"
    return source


def _at(series: Mapping[str, Series], step: int) -> dict[str, float]:
    """The validation metrics of a step, if it was validated."""
    values = {}
    for key, of in series.items():
        if key.startswith("val/") and step in of.steps:
            values[key] = of.values[len(of.steps) - 1 - of.steps[::-1].index(step)]
    return values


def _kept(path: Path, session: Path) -> Path:
    """A second name of a checkpoint, in the offline session's folder: it may be replaced before it is uploaded."""
    kept = session / "checkpoints" / path.name
    kept.parent.mkdir(exist_ok=True)
    try:
        os.link(path, kept)
    except OSError:
        shutil.copyfile(path, kept)
    return kept
