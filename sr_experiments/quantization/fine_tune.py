"""Fine-tune a run's network for int8: a run of its own, with the data and the losses of the first."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from sr_experiments.checkpoints.reading import FORMAT, Checkpoint
from sr_experiments.config.quoting import shell_path, sr_command
from sr_experiments.config.schema import check
from sr_experiments.errors import SRError
from sr_experiments.export.weights import write_safetensors
from sr_experiments.generators.generator import Generator
from sr_experiments.losses.objective import is_adversarial
from sr_experiments.quantization.calibrate import Calibrated
from sr_experiments.quantization.tuned import START
from sr_experiments.runs.folder import new_run_folder
from sr_experiments.runs.reading import STAMP, read_config
from sr_experiments.training.run import train_in

log = logging.getLogger(__name__)

LEARNING_RATE = 1e-4
VALIDATIONS = 5


def fine_tune(
    run: Path, equal: Generator, calibrated: Mapping[str, Calibrated], found: Checkpoint, steps: int, console: Console
) -> Path:
    """Train the network of a run for int8; return the run folder of the training.

    Args:
        run: the run folder, whose data, losses and validation are used.
        equal: its network with equalised channels.
        calibrated: its convolutions in int8.
        found: the checkpoint that it is from.
        steps: of the training.
        console: for its progress.

    Raises:
        SRError: the run is one of clips, or as training.
        SystemExit: the training was interrupted.
    """
    config = _configuration(run, steps)
    config["int8"] = {name: [of.layer.low, of.layer.high] for name, of in calibrated.items()}
    folder = new_run_folder(Path(config["output_dir"]), config["name"])
    try:
        config["init_from"] = str(folder / START)
        check(config)
        record = {"format": FORMAT, "generator": found.generator} if found.generator else None
        write_safetensors(folder / START, equal.state_dict(), None, {"sr_experiments": record} if record else {})
        log.info(
            "fine-tuning for int8 in %s; if it is interrupted, resume it and then: %s",
            folder,
            sr_command(["quantize", shell_path(folder), "-o", "<file>"]),
        )
        train_in(folder, config, console)
    except SRError:
        if not (folder / "checkpoints").exists():
            shutil.rmtree(folder)
        raise
    return folder


def _configuration(run: Path, steps: int) -> dict[str, Any]:
    """Return the configuration of a run, changed for its fine-tuning."""
    config = {key: value for key, value in read_config(run).items() if key not in ("defaults", "hydra")}
    if "stages" in config:
        raise SRError(f"--train is for networks of images, and {run} is of clips: leave it out")
    # Without a discriminator: what is imitated, the network in floating point, is as sharp as one has made it.
    terms = {
        name: {**term, "start": 0, "ramp": 0, "every": 1, "weight": _weight(term)}
        for name, term in config["loss"]["terms"].items()
        if term["name"] != "none" and not is_adversarial(term)
    }
    beside = run.resolve().parent.parent if STAMP.match(run.resolve().name) else Path(config["output_dir"])
    return {
        **config,
        "name": f"{config['name']}_int8",
        "output_dir": str(beside),
        "resume": None,
        "loss": {"name": config["loss"]["name"], "terms": terms or {"pixel": {"name": "l1"}}},
        "val": {**config["val"], "compare_with": str(run)},
        "optim": {
            **config["optim"],
            "learning_rate": LEARNING_RATE,
            "schedule": {"name": "cosine_restart"},
            "warmup_steps": 0,
            "weight_decay": 0.0,
        },
        "trainer": {
            **config["trainer"],
            "max_steps": steps,
            "val_every": max(steps // VALIDATIONS, 1),
            "validate_start": True,
            "patience": None,
            "precision": "32-true",  # bf16 has no place for 256 levels
            "devices": 1,
            "num_nodes": 1,
            "strategy": "auto",
            "compile": False,
        },
    }


def _weight(term: Mapping[str, Any]) -> float:
    """Return the weight of a term; one that balances the discriminator becomes 1."""
    weight = term.get("weight", 1.0)
    return 1.0 if weight == "auto" else float(weight)
