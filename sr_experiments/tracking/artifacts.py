"""Checkpoints as W&B artifacts: those that a run was initialised from, and those that it saves."""

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sr_experiments.checkpoints.places import file_of
from sr_experiments.errors import SRError
from sr_experiments.files.writing import link_or_copy
from sr_experiments.runs.reading import read_config
from sr_experiments.runs.series import Series, validated_at

log = logging.getLogger(__name__)

ALIASES = ("best", "last")  # the last one logged gets W&B's alias "latest" too


def wandb_run_id(folder: Path) -> str | None:
    """Return the id of the W&B run that a run folder has, from the names of W&B's files; None if it has none."""
    # Every session of a run has a folder of its own, and all of them have the run's id in their names.
    files = sorted((folder / "wandb").glob("*run-*/run-*.wandb"))
    return files[-1].stem.removeprefix("run-") if files else None


def sources_of(init_from: str | Mapping[str, str] | None) -> list[dict[str, Any]]:
    """Return what a run is initialised from: path and file, and for runs of this project their W&B run and artifact."""
    parts = init_from if isinstance(init_from, Mapping) else {None: init_from} if init_from else {}
    return [{**({"part": part} if part else {}), **_source(str(path))} for part, path in parts.items()]


def use_sources(run: Any, sources: list[dict[str, Any]]) -> None:
    """Record the sources in W&B's lineage graph; an offline run has them in its configuration alone."""
    if run.settings.mode != "online":
        return
    for source in sources:
        if "artifact" in source:
            entity = source["entity"] or run.entity
            try:
                run.use_artifact(f"{entity}/{source['project']}/{source['artifact']}", type="model")
            except Exception as error:  # never uploaded, deleted, no access: no reason to stop the run
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                log.warning(
                    "init_from's artifact %s is not in W&B (%s): no lineage recorded", source["artifact"], reason
                )


def log_checkpoints(
    run: Any, folder: Path, series: Mapping[str, Series], best_step: int | None, sources: list[dict[str, Any]]
) -> None:
    """Log best.ckpt and last.ckpt as versions of one artifact, with step, metrics, network and lineage.

    `best_step` is that of best.ckpt, None if there is none; `sources` are what the run was initialised from.
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
            "metrics": validated_at(series, record["step"]),
            "generator": record["generator"],
            **({"initialised_from": sources} if sources else {}),
        }
        artifact = wandb.Artifact(f"checkpoint-{run.id}", type="model", metadata=metadata)
        file = path
        if run.settings.mode == "offline":  # a link in the session's folder: the file may be replaced before an upload
            file = Path(run.dir).parent / "checkpoints" / path.name
            file.parent.mkdir(exist_ok=True)
            link_or_copy(path, file)
        # Immutable: W&B then makes no copy of its own before it uploads the file.
        artifact.add_file(str(file), name=path.name, policy="immutable")
        run.log_artifact(artifact, aliases=[alias])


def _source(path: str) -> dict[str, Any]:
    source: dict[str, Any] = {"path": path}
    with contextlib.suppress(SRError, OSError):  # a resumed run works without its source, which may be gone
        file = file_of(Path(path).expanduser())
        source["file"] = file.name
        folder = file.parent.parent
        run_id = wandb_run_id(folder) if file.parent.name == "checkpoints" else None
        if run_id is not None:
            logger = read_config(folder)["logger"]
            source["wandb_run"] = run_id
            source |= {key: logger.get(key) for key in ("entity", "project")}
            # Other checkpoints, such as those of stages, are not uploaded.
            if file.stem in ALIASES:
                source["artifact"] = f"checkpoint-{run_id}:{file.stem}"
    return source
