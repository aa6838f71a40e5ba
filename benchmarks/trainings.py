"""The trainings behind docs/RESULTS.md, with the project's own commands, on your photographs.

    python benchmarks/trainings.py --photographs BSDS400 --realesrgan RealESRGAN_x4plus.pth --list
    python benchmarks/trainings.py --photographs BSDS400 --realesrgan RealESRGAN_x4plus.pth [--only msrresnet gan_vgg16]

Each is one `python train.py` on one CPU core, in `outputs/results/<training>/<timestamp>`. A tenth of the photographs
(20) is held out of training and used to select the best checkpoint. Finished trainings are skipped, interrupted ones
are resumed. `--list` prints the commands instead. Together they take about five hours, two of them for the comparison
of losses, augmentations and optimisers, `--only 'choice_*'`, which trains on all photographs.
"""

import argparse
import fnmatch
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ["data=images", "data.train.root={photographs}", "data.cache=true", "data.batch_size=8"]
GAN = [
    "model=msrresnet",
    "loss=gan",
    "loss/pixel=l1",
    *IMAGES,
    "data.crop=64",
    "init_from={msrresnet}",
    "loss.terms.pixel.weight=0.5",
    "loss.terms.adversarial.weight=0.03",
    "loss.terms.adversarial.start=20",
    "loss.discriminator.features=32",
    "optim.learning_rate=2e-4",
    "optim.discriminator_learning_rate=1e-4",
    "optim.ema_decay=0.99",
    "trainer.max_steps=600",
    "trainer.val_every=300",
]
PERCEPTUAL = ["loss.terms.perceptual.start=0"]
CLIPS = ["data=sample_video", "data.train.root={photographs}", "loss/pixel=charbonnier"]
ABLATION = ["model=frvsr", "model.srnet.features=32", "model.srnet.blocks=4", *CLIPS, "data.crop=64"]
ALL = [
    "data.num_workers=0",
    "trainer.precision=bf16-mixed",
    "trainer.accelerator=cpu",
    "logger=none",
    "output_dir=outputs/results",
]
FP32 = ["trainer.precision=32-true", "~metrics.lpips_alex", "~metrics.tlp_alex"]
SMALL_UNI = ["experiment=basicvsr_uni_minutes_x4", "data.train.root={photographs}", *FP32]
SMALL_FRVSR = [  # with the steps, data and flow of SMALL_UNI, and 1.1 times its operations
    "model=frvsr",
    "model.flow=lucas_kanade",
    "model.srnet.features=32",
    "model.srnet.blocks=3",
    *CLIPS,
    "degradation=blur_down",
    "optim/schedule=cosine_restart",
    "optim.learning_rate=1e-3",
    "optim.ema_decay=0.99",
    "stages=[sr]",
    "stage.sr.steps=1200",
    "stage.sr.clip_length=10",
    "data.batch_size=4",
    "data.crop=96",
    "trainer.val_every=400",
    "trainer.checkpoint_every=400",
    *FP32,
]
GAN_UNI = [
    *SMALL_UNI,
    "loss=gan",
    "loss/pixel=charbonnier",
    "loss/perceptual=lpips",
    "loss/discriminator=tecogan",
    "loss.discriminator.features=32",
    "loss.terms.perceptual.start=0",
    "loss.terms.adversarial.start=20",
    "+loss.terms.perceptual.every=4",
    "stage.sr.gan_losses.perceptual=1",
    "init_from={uni_0}",
    "stage.sr.steps=400",
    "stage.sr.batch_size=2",
    "trainer.val_every=200",
    "optim.learning_rate=2e-4",
    "optim.discriminator_learning_rate=1e-4",
]
SHORT = ["stage.sr.steps=400", "trainer.val_every=400", "trainer.checkpoint_every=400"]
FROM_SCRATCH = ["stages=[joint]", "stage.joint.trains.fnet=1.0", "stage.joint.steps=1400"]
STAGED = ["stage.flow.steps=1000", "stage.flow.batch_size=8", "stage.sr.steps=150", "stage.joint.steps=250"]
CHOICE = ["model=msrresnet", "loss/pixel=l1", *IMAGES, "data.crop=64", "data.val_share=0", "trainer.val_every=1000"]
CHOICE_STEPS, SEEDS = 400, 3  # steps of the default

# Losses, augmentations and optimisers that are compared, each with its settings.
CHOICES: dict[str, list[str]] = {
    "default": [],
    "mse": ["loss/pixel=mse"],
    "charbonnier": ["loss/pixel=charbonnier"],
    "ms_ssim_l1": ["+loss/terms=ms_ssim_l1", "loss.terms.pixel.name=none"],
    **{
        term: [f"+loss/terms={term}"]
        for term in ("ms_ssim", "fft", "focal_frequency", "wavelet", "gradient", "total_variation", "consistency")
    },
    **{
        term: [f"+loss/perceptual={term}", "loss.terms.perceptual.required=true"]
        for term in ("vgg16", "lpips", "dists")
    },
    **{augment: [f"+augment={augment}"] for augment in ("mixup", "cutmix", "resizemix", "rgb", "blend")},
    **{optimizer: [f"optim={optimizer}"] for optimizer in ("adamw", "adan", "muon", "soap", "schedule_free_adamw")},
}

# Processor time of a training step with some of them, relative to the default's, from what benchmarks/shares.py
# measures for these batches; the others' is the default's within a few percent.
STEP_TIMES = {
    "ms_ssim": 1.06,
    "ms_ssim_l1": 1.3,
    "wavelet": 1.03,
    "gradient": 1.03,
    "vgg16": 2.61,
    "lpips": 2.77,
    "dists": 4.39,
    "adan": 1.04,
    "muon": 1.25,
    "soap": 1.58,
    "schedule_free_adamw": 1.02,
}


def choice_steps(name: str) -> int:
    """Steps with this choice that take as much processor time as the default's."""
    return round(CHOICE_STEPS / STEP_TIMES.get(name, 1.0))


# {<training>} is the folder of that training.
TRAININGS: dict[str, list[str]] = {
    "msrresnet": [
        "model=msrresnet",
        "loss/pixel=l1",
        *IMAGES,
        "data.crop=96",
        "trainer.max_steps=2000",
        "trainer.val_every=500",
    ],
    "gan_none": [*GAN, "loss/perceptual=none"],
    "gan_vgg16": [*GAN, "loss/perceptual=vgg16", *PERCEPTUAL],
    "gan_lpips": [*GAN, "loss/perceptual=lpips", *PERCEPTUAL],
    "gan_long": [
        *GAN,
        "loss/perceptual=lpips",
        *PERCEPTUAL,
        "loss/adversarial=relativistic",
        "loss.terms.pixel.weight=1",
        "loss.terms.adversarial.weight=0.005",
        "optim.learning_rate=4e-4",
        "optim.ema_decay=0.998",
        "trainer.max_steps=2000",
        "trainer.val_every=500",
    ],
    "gan_projected": [
        *GAN,
        "loss/perceptual=lpips",
        *PERCEPTUAL,
        "loss/discriminator=projected",
        "loss.discriminator.features=64",
        "loss/adversarial=hinge",
        "loss.terms.pixel.weight=5",
        "optim.learning_rate=4e-4",
        "optim.discriminator_learning_rate=2e-4",
        "optim.ema_decay=0.995",
        "trainer.max_steps=800",
        "trainer.val_every=200",
    ],
    "flow": [
        "model=flow",
        "loss=flow",
        *IMAGES,
        "data.crop=96",
        "init_from={{mse: {msrresnet}}}",
        "model.noise=0.03",
        "optim.learning_rate=1e-3",
        "trainer.max_steps=4000",
        "trainer.val_every=1000",
    ],
    "distilled": [
        "model=flow_distilled",
        "loss=flow_distilled",
        *IMAGES,
        "data.crop=96",
        "init_from={{teacher: {flow}}}",
        "optim.learning_rate=5e-4",
        "trainer.max_steps=1500",
        "trainer.val_every=500",
    ],
    "finetune": [
        "experiment=finetune_realesrgan_x4",
        "init_from={realesrgan}",
        "degradation=bicubic",
        "loss/perceptual=lpips",
        "loss/discriminator=vgg",
        *IMAGES,
        "data.batch_size=4",
        "data.crop=64",
        "loss.discriminator.features=32",
        "loss.terms.pixel.weight=0.5",
        "loss.terms.adversarial.weight=0.03",
        "loss.terms.adversarial.start=20",
        "loss.terms.adversarial.ramp=50",
        "optim.ema_decay=0.99",
        "trainer.max_steps=900",
        "trainer.val_every=100",
        "trainer.log_every=10",
    ],
    "clips_msrresnet": ["model=msrresnet", *CLIPS, "data.batch_size=20", "trainer.max_steps=800"],
    "clips_frames": [
        "model=msrresnet",
        *CLIPS,
        "init_from={clips_msrresnet}",
        "data.batch_size=20",
        "trainer.max_steps=500",
    ],
    "clips_frvsr": [
        "model=frvsr",
        "model.srnet.name=msrresnet",
        "model.srnet.blocks=16",
        *CLIPS,
        "stages=[flow,joint]",
        "init_from={{srnet: {clips_msrresnet}}}",
        "stage.flow.steps=1400",
        "stage.joint.steps=500",
    ],
    **{
        f"{name}_{seed}": [*settings, f"seed={seed}"]
        for seed in range(SEEDS)
        for name, settings in (
            ("uni", SMALL_UNI),
            ("uni_frames", [*SMALL_UNI, "model.memory=none"]),
            ("uni_frvsr", SMALL_FRVSR),
        )
    },
    "uni_gan": GAN_UNI,
    "uni_objects": [*SMALL_UNI, "data.train.objects=3"],
    "uni_flow_net": [
        *SMALL_UNI,
        "model.flow=net",
        "stages=[joint]",
        "stage.joint.steps=600",
        "stage.joint.clip_length=10",
        "stage.joint.trains.fnet=1.0",
    ],
    "uni_short": [*SMALL_UNI, *SHORT],
    "uni_ahead": [*SMALL_UNI, *SHORT, "model.lookahead=1"],
    **{f"staged_{seed}": [*ABLATION, *STAGED, f"seed={seed}"] for seed in range(3)},
    **{f"joint_{seed}": [*ABLATION, *FROM_SCRATCH, f"seed={seed}"] for seed in range(3)},
    **{
        f"choice_{name}_{seed}": [*CHOICE, *settings, f"trainer.max_steps={choice_steps(name)}", f"seed={seed}"]
        for seed in range(SEEDS)
        for name, settings in CHOICES.items()
    },
}


def main() -> None:
    """Train what is wanted and not yet finished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True, help="folder of photographs to train on")
    parser.add_argument("--realesrgan", type=Path, default="RealESRGAN_x4plus.pth", help="weights to fine-tune")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="TRAINING", help="names or patterns")
    parser.add_argument("--list", action="store_true", help="print the commands")
    arguments = parser.parse_args()
    places = {key: str(getattr(arguments, key)) for key in ("photographs", "realesrgan")}
    wanted = [name for name in TRAININGS if any(fnmatch.fnmatchcase(name, pattern) for pattern in arguments.only)]
    if not wanted:
        parser.error(f"no training is called {' or '.join(arguments.only)}; there are {', '.join(TRAININGS)}")
    for name in wanted:
        command = [*ALL, *TRAININGS[name], f"name={name}"]
        if arguments.list:
            said = [part.format(**places, **{key: f"outputs/results/{key}/<timestamp>" for key in TRAININGS})
                    for part in command]  # fmt: skip
            print("OMP_NUM_THREADS=1 python train.py", shlex.join(said))  # noqa: T201
        else:
            train(name, [part.format(**places, **latest_folders()) for part in command])


def train(name: str, overrides: list[str]) -> None:
    """One training, from where it stands."""
    before = latest_folders().get(name)
    if before is not None:
        summary = before / "summary.json"
        if summary.is_file() and json.loads(summary.read_text())["state"] == "finished":
            print(f"{name}: finished before, {before}")  # noqa: T201
            return
        if (before / "checkpoints" / "last.ckpt").is_file():
            overrides = [f"resume={before}"]
    command = [sys.executable, "train.py", *overrides]
    ended = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if ended.returncode:
        sys.exit(f"{name} ended with {ended.returncode}")


def latest_folders() -> dict[str, Path]:
    """The newest run of each training that has one."""
    found = {name: sorted((ROOT / "outputs/results" / name).glob("*/")) for name in TRAININGS}
    return {name: folders[-1] for name, folders in found.items() if folders}


if __name__ == "__main__":
    main()
