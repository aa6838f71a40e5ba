"""Training on a GPU: bf16 and torch.compile compared with eager fp32 and TF32; memory of large batches; degradations.

    python benchmarks/training_on_gpu.py --json training_on_gpu.json
    python benchmarks/training_on_gpu.py --accelerator cpu --small      # tests the script itself without a GPU

Both are complete trainings with all features of the framework, on sample data: `fast` with trainer.precision=
bf16-mixed and trainer.compile=true, `eager` with 32-true, NCHW and TF32 allowed. Steps per second and the fraction of
time waiting for data are medians of the values in metrics.csv, over windows of ten steps, without the first windows, in
which networks are compiled. ESRGAN's VGG19 has random weights if the trained ones are not available; the speed is the
same. Then RRDBNet at batch 48 of HR 256, with and without trainer.checkpoint_activations: peak GPU memory, and the
milliseconds of a batch's second-order degradation as a fraction of that step.
"""

import argparse
import gc
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torchvision
from degradations import milliseconds, second_order
from rich.console import Console
from training import composed, fit

from sr_experiments.display.logging_setup import log_training
from sr_experiments.pretrained.catalogue import weights_file
from sr_experiments.runs.series import read_series
from sr_experiments.training.assemble import assemble

WANTED, WAITING, SHARE = 3.0, 0.02, 0.2
WINDOW = 10  # steps that are timed together
WARM_UP = 3  # windows
SMALL = ["model.features=8", "model.blocks=1"]
SMALL_RRDB = [*SMALL, "model.growth=4"]
SMALL_FRVSR = ["model.srnet.features=8", "model.srnet.blocks=1"]
ESRGAN = [
    "model=rrdbnet",
    "loss=gan",
    "loss/pixel=l1",
    "loss/perceptual=vgg19",
    "loss/adversarial=relativistic",
    "loss.terms.perceptual.required=true",
    "loss.terms.perceptual.start=0",
    "loss.terms.adversarial.start=0",
]
FRVSR = ["model=frvsr", "stages=[joint]", "stage.joint.clip_length=10"]
TRAININGS: dict[str, tuple[list[str], list[str], int]] = {  # settings, those of --small, batch
    "msrresnet": (["model=msrresnet"], SMALL, 16),
    "rrdbnet": (["model=rrdbnet"], SMALL_RRDB, 16),
    "esrgan": (ESRGAN, [*SMALL_RRDB, "loss.discriminator.features=4"], 16),
    "frvsr": (FRVSR, SMALL_FRVSR, 4),
}
VARIANTS = {
    "eager": ["trainer.precision=32-true", "trainer.compile=false", "trainer.channels_last=false"],
    "fast": ["trainer.precision=bf16-mixed", "trainer.compile=true"],
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", nargs="*", choices=TRAININGS, default=list(TRAININGS))
    parser.add_argument("--steps", type=int, default=100, help="steps of each training, including warm-up")
    parser.add_argument("--accelerator", default="gpu", choices=("gpu", "cpu"))
    parser.add_argument("--small", action="store_true", help="small networks, crops and batches")
    parser.add_argument("--no-large", action="store_true", help="skip the large batch and its degradation")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    arguments = parser.parse_args()
    os.environ["WANDB_MODE"] = "offline"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    log_training(Console(stderr=True))
    on_gpu = arguments.accelerator == "gpu"
    common = [f"trainer.accelerator={arguments.accelerator}", f"trainer.log_every={WINDOW}", "optim/schedule=constant"]
    figures: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "torch": torch.__version__,
        "trainings": {},
    }
    with tempfile.TemporaryDirectory(prefix="sr_benchmark_") as name:
        folder = Path(name)
        if "esrgan" in arguments.trainings and not weights_file("vgg19").is_file():
            random_vgg(folder)
        for training in arguments.trainings:
            settings, small, batch = TRAININGS[training]
            batch, crop = (2, 32) if arguments.small else (batch, 128)
            settings = [*settings, *(small if arguments.small else [])]
            figures["trainings"][training] = both = {
                variant: trained([*settings, *options, *common], arguments.steps, batch, crop, folder)
                for variant, options in VARIANTS.items()
            }
            report_training(f"{training}, batch {batch}, HR {crop}", both)
        if not arguments.no_large:
            batch, crop = (4, 64) if arguments.small else (48, 256)
            small = SMALL_RRDB if arguments.small else []
            settings = ["model=rrdbnet", *small, "trainer.precision=bf16-mixed", *common]
            figures["large"] = large_batch(settings, batch, crop, folder)
            figures["degradation"] = milliseconds(second_order(), batch, crop, "cuda" if on_gpu else "cpu", repeats=12)
            report_large(figures, f"batch {batch}, HR {crop}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def trained(settings: list[str], steps: int, batch: int, crop: int, folder: Path) -> dict[str, Any]:
    """Steps a second of a training, the share of time that waits for data, GB of the GPU at most."""
    sizes = [f"data.batch_size={batch}", f"data.crop={crop}"]
    every = [f"trainer.{key}={steps}" for key in ("max_steps", "val_every", "checkpoint_every")]
    every += [f"stage.joint.steps={steps}"] if "model=frvsr" in settings else []
    config = composed(*settings, *sizes, *every)
    gc.collect()  # the networks of the training before
    on_gpu = config["trainer"]["accelerator"] == "gpu"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    place = Path(tempfile.mkdtemp(dir=folder))
    fit(config, assemble(config), place, pl.Callback())
    series = read_series(place / "metrics.csv")
    speed, waiting = (series[f"speed/{key}"].values[WARM_UP:] for key in ("samples_per_second", "data_wait_share"))
    return {
        "steps_per_second": statistics.median(speed) / batch,
        "all": [value / batch for value in speed],
        "data_wait_share": statistics.median(waiting),
        "gigabytes": torch.cuda.max_memory_allocated() / 1e9 if on_gpu else None,
    }


def large_batch(settings: list[str], batch: int, crop: int, folder: Path) -> dict[str, Any]:
    """The same with and without checkpointed activations; None where it does not fit."""
    found: dict[str, Any] = {}
    for kind, checkpointed in (("checkpointed", "true"), ("kept", "false")):
        options = [*settings, f"trainer.checkpoint_activations={checkpointed}"]
        try:
            found[kind] = trained(options, (WARM_UP + 2) * WINDOW, batch, crop, folder)
        except torch.OutOfMemoryError:
            found[kind] = None
    return found


def random_vgg(home: Path) -> None:
    """VGG19's convolutions with random weights, where torchvision would have the trained ones."""
    os.environ["TORCH_HOME"] = str(home)
    weights_file("vgg19").parent.mkdir(parents=True)
    features = torchvision.models.vgg19(weights=None).features.state_dict()
    torch.save({f"features.{key}": value for key, value in features.items()}, weights_file("vgg19"))


# -- report ------------------------------------------------------------------------------------------------


def report_training(title: str, both: dict[str, Any]) -> None:
    """Print what was measured of one."""
    print(title)  # noqa: T201
    for variant, found in both.items():
        memory = f", {found['gigabytes']:.1f} GB" if found["gigabytes"] else ""
        waiting = f"{found['data_wait_share']:.1%} waiting for data"
        print(f"  {variant:6} {found['steps_per_second']:8.2f} steps/s, {waiting}{memory}")  # noqa: T201
    ratio = both["fast"]["steps_per_second"] / both["eager"]["steps_per_second"]
    print(f"  fast / eager: {ratio:.2f} (wanted: {WANTED}; waiting: under {WAITING:.0%})")  # noqa: T201


def report_large(figures: dict[str, Any], title: str) -> None:
    """Print what was measured of the large batch."""
    print(f"rrdbnet, bf16, {title}")  # noqa: T201
    for kind, found in figures["large"].items():
        if found is None:
            print(f"  {kind:13} does not fit")  # noqa: T201
            continue
        memory = f", {found['gigabytes']:.1f} GB" if found["gigabytes"] else ""
        share = figures["degradation"] / (1e3 / found["steps_per_second"])
        print(f"  {kind:13}{found['steps_per_second']:8.2f} steps/s{memory}; the degradation is {share:.1%} of a step "  # noqa: T201
              f"({figures['degradation']:.1f} ms; wanted: under {SHARE:.0%})")  # fmt: skip


if __name__ == "__main__":
    main()
