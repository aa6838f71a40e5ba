"""Any value of any knob is accepted or refused in one line, before there is a run folder."""

import copy
import gc
import random
import resource
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf, open_dict

from sr_experiments.config.resolve import plain_config
from sr_experiments.errors import SRError
from sr_experiments.training.assemble import assemble
from tests.conftest import ROOT, TINY_GAN, TINY_MODEL, TINY_RUN, TINY_VIDEO, TINY_VIDEO_RUN, others_slow
from tests.hostile.conftest import MEMORY, assert_refused

SHORT = ["trainer.max_steps=2", "callbacks.samples.size=32", "output_dir=out", "data.num_workers=0"]
RUNS = {
    "pixel": [*TINY_MODEL["msrresnet"], *TINY_RUN, *SHORT],
    "gan": [*TINY_MODEL["srresnet"], *TINY_RUN, *TINY_GAN, *SHORT, "degradation=real_esrgan", "degradation.pool=4"],
    "video": [*TINY_VIDEO, *TINY_VIDEO_RUN, *TINY_GAN, *SHORT[1:], "loss/discriminator=tecogan", "stages=[joint]"],
}  # fmt: skip
# How long a run is, and other machines it waits for: any sensible value is as good as the next.
LONG = ("trainer.max_steps", "trainer.num_nodes", "stage.flow.steps", "stage.sr.steps", "stage.joint.steps",
        "data.val.sample_video.frames")  # fmt: skip

NONSENSE: list[Any] = [
    None, True, False, "", "abc", "1", "../x", "/etc/x", "~", "😀", "\0", "a" * 300, "${nothing}", "${seed}", "???",
    [], {}, [1, 2, 3], [[1]], [0.5, "x"], {"a": 1}, {"name": "x"}, {"name": ["x"]}, {"name": None, "root": 3},
    -1, 0, 1, 3, 1000, 10**6, 10**12, 10**30, 0.5, -0.5, 2.5, 1e-30, 1e308, float("nan"), float("inf"), float("-inf"),
]  # fmt: skip
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8))
VALUES = st.one_of(
    st.sampled_from(NONSENSE),
    SCALARS,
    st.lists(SCALARS, max_size=4),
    st.dictionaries(st.text("abn. /", max_size=4), SCALARS, max_size=2),
)


@pytest.fixture(params=RUNS)
def composed(request: pytest.FixtureRequest) -> Iterator[DictConfig]:
    """A tiny run's configuration, as Hydra gives it to `train.py`."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", RUNS[request.param], return_hydra_config=True)
        HydraConfig.instance().set_config(copy.deepcopy(cfg))
        with open_dict(cfg):
            del cfg["hydra"]
        OmegaConf.set_struct(cfg, False)
        yield cfg
    HydraConfig.instance().cfg = None


@pytest.fixture
def little_memory() -> Iterator[None]:
    """What is tried may take MEMORY bytes beyond what is taken now; more is a MemoryError, which no one expects."""
    _, hard = limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + MEMORY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


def keys(config: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys of all groups and settings, also of those in lists."""
    for name, value in config.items() if isinstance(config, dict) else enumerate(config):
        yield f"{prefix}{name}"
        if isinstance(value, dict | list):
            yield from keys(value, f"{prefix}{name}.")


def known_keys(cfg: DictConfig) -> list[str]:
    config = OmegaConf.to_container(cfg, resolve=False)
    return [key for key in keys(config) if key not in ("resume", "output_dir")]  # folders that are there, or made


def accepted(cfg: DictConfig, key: str, value: Any) -> bool:
    """Whether a run with this value is put together; anything but that and a line of the user's is an error."""
    changed = copy.deepcopy(cfg)
    try:
        try:
            OmegaConf.update(changed, key, value, merge=False)
        except Exception:  # OmegaConf's grammar of keys and interpolations: Hydra refuses it, see below
            return False
        config, _ = plain_config(changed)
        assemble(config)
    except SRError as error:
        assert str(error).strip() and "\n" not in str(error) and len(str(error)) < 1200, (key, value, str(error))
        return False
    return True


@pytest.mark.parametrize("composed", others_slow(["pixel"], RUNS), indirect=True)
def test_what_is_no_number_is_no_number_anywhere(composed):
    """Of every number in the configuration: the wrong kinds, and what no number may be."""
    config = OmegaConf.to_container(composed, resolve=True)
    numbers = [k for k in known_keys(composed) if type(at(config, k)) in (int, float)]
    assert len(numbers) > 20
    for key in numbers:
        for value in (float("nan"), float("inf"), -1e9, [[1]], {"a": 1}, True):
            if (key.split(".")[-1], value) != ("update_margin", -1e9):  # the discriminator never learns
                assert not accepted(composed, key, value), (key, value)


def at(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config[int(part)] if isinstance(config, list) else config[part]
    return config


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("foo=1", "there is no setting foo"),
        ("model=edvr", "rrdbnet"),
        ("loss.name=mse", "pixel or gan"),
        ("init_from={srnet:3}", "init_from.srnet"),
        ("metrics.psnr_y.name=[1]", "metrics.psnr_y.name is [1]: give dists, fine_detail"),
        ("~metrics.psnr_y.name", "metrics.psnr_y.name is not set"),
        ("+trainer.max_stepz=3", "did you mean max_steps"),
        ("+model.blocs=3", "model has no blocs: did you mean blocks?"),
        ("+model.scale=2", "scale is the run's: set scale="),
        ("model.num_blocks=1", "model has no num_blocks: did you mean blocks?"),
        ("model=rrdb", "did you mean rrdbnet?"),
        ("lossx=gan", "did you mean loss?"),
        ("batch_size=4", "there is no setting batch_size: did you mean data.batch_size?"),
        ("loss/pixl=l1", "did you mean loss/pixel?"),
        ("data.train.augment=false", "add it with +data.train.augment="),
        ("model=frvsr stage.flo.steps=3", "stage has no flo: did you mean flow?"),
        ("scale=0", "scale"),
        ("model.features=1000", "at most 512"),
        ("model.features=512 model.blocks=1000", "memory"),
        ("data.batch_size=1000000", "data.batch_size"),
        ("name=../elsewhere", "name"),
        ("+data.val={../x:{root:.}}", "file's name"),
        ("trainer.devices=999", "trainer.devices"),
        ("trainer=[1", "input"),
        ("scale=${nothing}", "nothing"),
        ("data=3", "string"),
        ("loss=[1,2]", "model=rrdbnet"),
        ("loss.terms.pixel.weight=1" + "0" * 30, "pixel.weight"),
        ("trainer.accelerator=cpu trainer.devices=abc", "auto"),
        ("trainer.accelerator=cpu trainer.devices=-1", "CPU cores"),
        ("trainer.accelerator=cpu trainer.devices=[0]", "CPU cores"),
        ("data=images data.train.root=" + "a" * 300, "too long"),
        ("loss=gan loss/perceptual=none ~metrics.lpips_alex ~loss.terms.perceptual.name", "perceptual.name is not set"),
        ("loss=gan loss/perceptual=none ~metrics.lpips_alex loss.discriminator.features=512", "discriminator"),
        ("callbacks.samples.size=3", "at least 16"),
        ("~metrics.lpips_alex metrics.fine_detail.scale=0", "at least 1"),
        ("~metrics.lpips_alex output_dir=" + "a" * 300, "too long"),
        ("loss/pixel=charbonnier loss.terms.pixel.eps=1e300", "at most 1"),
        ("model=frvsr stages=1000", "give a list"),
        ("model=frvsr stages=[[1]]", "stages.0 is [1]"),
        ("data.crop=256 degradation=real_esrgan degradation.pool=100000", "degradation.pool"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_written(commands, override, says):
    assert_refused(commands("train.py", "logger=none", "output_dir=out", *override.split()), says)


@pytest.mark.fuzz
def test_any_value_of_any_knob_is_accepted_or_refused(composed, little_memory):
    tried, good = 0, 0

    @settings(max_examples=10 * settings().max_examples)
    @given(st.sampled_from(known_keys(composed)), VALUES)
    def attempt(key, value):
        nonlocal tried, good
        tried, good = tried + 1, good + accepted(composed, key, value)
        gc.collect()  # networks are in cycles, and what they take counts for the next attempt

    attempt()
    sys.stdout.write(f"\n{tried} values, {good} accepted\n")


@pytest.mark.fuzz
@pytest.mark.parametrize("run", RUNS)
def test_what_is_accepted_trains_or_ends_in_one_line(commands, run):
    """Through the command, to the end of a tiny run: all values of all knobs, half an hour a run, or 60 of them."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        pixel, known = (known_keys(compose("train", RUNS[name])) for name in ("pixel", run))
    own = [key for key in known if key not in LONG and (run == "pixel" or key not in pixel)]
    pairs = [(key, value) for key in own for value in NONSENSE if value not in ("", "\0")]
    if settings().max_examples < len(pairs) and settings.get_current_profile_name() == "ci":
        pairs = random.sample(pairs, settings().max_examples)
    wrong, trained = [], 0
    for key, value in pairs:
        try:
            override = f"{key}={'null' if value is None else value}"
            # trainer.compile=true starts a compiler, and data workers talk to the training.
            done = commands("train.py", *RUNS[run], override, harmless=("g++", "socket"))
            # A loss that overflows is found as it trains: the run folder says so, too.
            lines = [line for line in done.err.splitlines() if line.startswith("error: ")]
            assert (done.code, len(lines)) in ((0, 0), (2, 1)), (done.code, done.err[-3000:])
            assert done.grown < 2 << 30, f"{done.grown >> 20} MiB"
            trained += done.code == 0
        except AssertionError as error:
            wrong.append((key, value, str(error)))
        shutil.rmtree(commands.folder / "out", ignore_errors=True)
    sys.stdout.write(f"\n{len(pairs)} values, {trained} trained to the end\n")
    assert not wrong
