"""The settings as their declarations say them: what is accepted, what an error asks for, and the written schema."""

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from annotated_types import Ge
from hydra import compose, initialize_config_dir
from jsonschema import Draft202012Validator
from omegaconf import OmegaConf
from torch import nn

from sr_experiments.config.constraints import Interval, Odd
from sr_experiments.config.explain import words
from sr_experiments.config.json_schema import FOLDERS, json_schema
from sr_experiments.config.schema import Data, Trainer, check, check_group
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.losses import LOSSES
from sr_experiments.registry import Problem, Registry, build
from tests.conftest import ROOT

PIXEL = {"name": "pixel", "terms": {"pixel": {"name": "l1", "weight": 1.0}}}
GAN = {
    "name": "gan",
    "terms": {
        "pixel": {"name": "l1", "weight": "auto"},
        "perceptual": {"name": "vgg19", "layers": {"conv5_4": 1.0}, "weight": 1.0, "start": 100},
        "adversarial": {"name": "vanilla", "weight": 5e-3, "start": 100, "ramp": 50, "ramp_shape": "cosine"},
    },
    "discriminator": {"name": "vgg", "features": 64, "every": 1, "update_margin": None},
}


@pytest.fixture
def config() -> dict[str, Any]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        composed: Any = OmegaConf.to_container(compose("train", ["model=frvsr"]), resolve=True)
    return {**composed, "loss": PIXEL}


def changed(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    copy = OmegaConf.create(config)
    OmegaConf.update(copy, key, value, merge=False, force_add=True)
    return OmegaConf.to_container(copy)  # type: ignore[return-value]


def test_a_loss_is_named_terms_and_perhaps_a_discriminator(config):
    check(config)
    check({**config, "loss": GAN})
    check({**config, "loss": {**PIXEL, "terms": {**PIXEL["terms"], "perceptual": {"name": "none"}}}})


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("loss.terms.pixel.weight", -1, "loss.terms.pixel.weight is -1: give a number of at least 0 or auto"),
        ("loss.terms.pixel.wieght", 1, "loss.terms.pixel has no wieght: did you mean weight?"),
        ("loss.terms.pixel.ramp_shape", "step", "loss.terms.pixel.ramp_shape is 'step': give cosine or linear"),
        ("loss.terms.pixel.name", "huber", "loss.terms.pixel.name is 'huber': give boundary, charbonnier, consistency"),
        ("model.srnet.blocks", 0, "model.srnet.blocks is 0: give a whole number of at least 1 and at most 1000"),
        ("model.srnet.scale", 2, "model.srnet.scale can't be set: scale is the run's: set scale=..."),
        ("model.channels", 1, "model.channels can't be set: channels is the run's: set channels=..."),
        ("data.train.cache", "x", "data.train.cache can't be set: cache is the run's: set data.cache=..."),
        ("data.cache", 3, "data.cache is 3: give true or false or text"),
        ("metrics.psnr_y.crop_border", 1, "metrics.psnr_y.crop_border can't be set: crop_border follows from scale"),
        ("stage.flow.steps", 0, "stage.flow.steps is 0: give a whole number of at least 1"),
        ("optim.betas", [0.9], "optim.betas is [0.9]: give two numbers, each of at least 0 and at most 0.999999"),
        ("optim.learning_rate", float("nan"), "optim.learning_rate is nan: give a finite number"),
        ("seed", 10**30, "no computer counts so far"),
        ("channels", True, "channels is True: give a whole number of at least 1 and at most 32"),
        ("trainer.channels_last", 1, "trainer.channels_last is 1: give true or false"),
        ("trainer.max_steps", "400", "trainer.max_steps is '400': give a whole number of at least 1"),
        ("sede", 3, "there is no setting sede: did you mean seed?"),
        ("init_from", {"srnet": 3}, "init_from.srnet is 3: give text"),
        ("logger.colour", 1, "logger has no colour: it has"),
    ],
)
def test_mistakes_are_one_line_that_names_the_setting(config, key, value, says):
    with pytest.raises(SRError) as error:
        check(changed(config, key, value))
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("key", "says"), [("batch_size", "batch_size"), ("train", "train")])
def test_a_missing_setting_is_named(key, says):
    data = {"batch_size": 2, "crop": 32, "train": {"name": "sample"}}
    check_group(Data, data)
    with pytest.raises(Problem, match=f"{says} is not set"):
        check_group(Data, {k: v for k, v in data.items() if k != key})


@pytest.mark.parametrize(("key", "value"), [("batch_size", 0), ("num_workers", "many"), ("num_workers", -1)])
def test_counts_of_data_are_counts(key, value):
    with pytest.raises(Problem, match=f"{key} is {value!r}: give"):
        check_group(Data, {"batch_size": 2, "crop": 32, "train": {"name": "sample"}, key: value})


def test_a_components_bounds_are_its_own(config, monkeypatch):
    """Two components may call different things the same."""

    class Mine(nn.Module):
        def __init__(self, scale: int = 4, channels: int = 3, layers: int = 12, blocks: Any = (2, 2)) -> None:
            super().__init__()

    class MyLoss(nn.Module):
        def __init__(self, size: Annotated[float, Ge(0)] = 0.5) -> None:
            super().__init__()

    monkeypatch.setitem(GENERATORS, "mine", Mine)
    monkeypatch.setitem(LOSSES, "mine", MyLoss)
    check({**config, "model": {"name": "mine", "layers": 12, "blocks": [2, 2]},
           "loss": {"name": "pixel", "terms": {"pixel": {"name": "mine", "size": 0.5, "weight": 1}}}})  # fmt: skip
    with pytest.raises(SRError, match=r"its size is -1: give a number of at least 0"):
        build("loss", LOSSES, {"name": "mine", "size": -1})


def test_what_the_program_gives_is_not_the_users():
    with pytest.raises(SRError, match="can't take scale: it is the run's: set scale="):
        build("generator", GENERATORS, {"name": "msrresnet", "scale": 2}, scale=4)
    small = {"name": "msrresnet", **GENERATORS.small["msrresnet"]}
    assert build("generator", GENERATORS, {**small, "scale": 2}).scale == 2  # as a checkpoint's record has it


def test_a_registry_is_filled_by_its_modules(tmp_path, monkeypatch):
    package = tmp_path / "pack"
    package.mkdir()
    text = 'from sr_experiments.registry import Registry\nTHINGS = Registry("thing", "pack")\n'
    (package / "__init__.py").write_text(text)
    text = 'from pack import THINGS\n\n\n@THINGS.register("one", small={"n": 1})\ndef one(n: int = 3):\n    return n\n'
    (package / "one.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    from pack import THINGS  # type: ignore[import-not-found]

    assert isinstance(THINGS, Registry) and list(THINGS) == ["one"]
    assert build("thing", THINGS, {"name": "one"}) == 3
    assert build("thing", THINGS, {"name": "one", **THINGS.small["one"]}) == 1


def test_words_come_from_the_type():
    assert words(Interval[Annotated[float, Ge(0)]]) == "two numbers, each of at least 0, ascending"
    assert words(Odd[int] | None) == "a whole number, odd or null"
    assert words(Trainer.model_fields["monitor"].annotation) == "text"


def test_the_written_schema_is_the_declared_one():
    assert json.loads((ROOT / "conf/schema.json").read_text()) == json.loads(json.dumps(json_schema()))


def editor_schemas() -> dict[str, Draft202012Validator]:
    """Return what an editor checks each YAML file of conf/ with, by its path, as .vscode/settings.json says."""
    definitions = json_schema()["$defs"]
    validators = {}
    for schema, patterns in json.loads((ROOT / ".vscode/settings.json").read_text())["yaml.schemas"].items():
        reference = json.loads((ROOT / schema).read_text())["$ref"]
        fragment = reference.removeprefix("../../conf/schema.json")
        validator = Draft202012Validator({"$ref": fragment, "$defs": definitions})
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            validators |= {str(path.relative_to(ROOT / "conf")): validator for path in ROOT.glob(pattern)}
    return validators


def test_editors_have_a_schema_for_every_file_of_conf():
    files = {str(path.relative_to(ROOT / "conf")) for path in (ROOT / "conf").rglob("*.yaml")}
    others = {file for file in files if file.startswith(("hydra/", "local/"))} | {"wandb_sweep.yaml"}
    schemas = editor_schemas()
    assert files - others <= set(schemas)
    assert {str(Path(file).parent) for file in schemas} - {"local"} == {f or "." for f in FOLDERS} - {"local"}


def test_editors_mark_nothing_in_the_files_of_conf():
    for file, validator in editor_schemas().items():
        wrong = [error.message for error in validator.iter_errors(yaml.safe_load((ROOT / "conf" / file).read_text()))]
        assert not wrong, f"{file}: {wrong}"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("model/rrdbnet.yaml", "{name: rrdbnet, blcks: 3}"),
        ("model/rrdbnet.yaml", "{name: rrdbnet, features: 9999}"),
        ("model/rrdbnet.yaml", "{name: rrdbnet, seed: 1}"),  # the run's, and this is no file of a whole run
        ("model/frvsr.yaml", "{model: {name: frvsr, srnet: {name: resnet, bloks: 1}}}"),
        ("model/frvsr.yaml", "{model: {name: frvsr}, stags: [flow]}"),
        ("loss/gan.yaml", "{terms: {adversarial: {strt: 3}}}"),
        ("loss/gan.yaml", "{terms: {pixel: {weight: -1}}}"),
        ("loss/adversarial/vanilla.yaml", "{name: vanilla, wieght: 1}"),
        ("loss/terms/fft.yaml", "{name: fftt}"),
        ("optim/adam.yaml", "{learning_rate: fast}"),
        ("optim/adam.yaml", "{betas: [0.9, 1.5]}"),
        ("experiment/esrgan_x4.yaml", "{optim: {schedule: {milestons: [1]}}}"),
        ("data/images.yaml", "{train: {name: images, onerror: skip}}"),
        ("stage/joint.yaml", "{losses: {pixel: -1}}"),
        ("train.yaml", "{scale: 99}"),
        ("metrics/default.yaml", "{psnr_y: {name: psnr, channel: y}}"),
        ("callbacks/default.yaml", "{gan_health: {won: 3}}"),
    ],
)
def test_editors_mark_mistakes(file, text):
    assert not editor_schemas()[file].is_valid(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("model/rrdbnet.yaml", "{features: 32}"),
        ("loss/gan.yaml", "{terms: {adversarial: {start: 3}, perceptual: {name: none}}}"),
        ("optim/adam.yaml", "{learning_rate: '${.other}', betas: ['???', '${x}']}"),
        ("experiment/esrgan_x4.yaml", "{optim: {schedule: {milestones: [1]}}, trainer: {max_steps: 3}}"),
        ("data/images.yaml", "{train: {root: '???'}}"),
    ],
)
def test_editors_let_files_leave_out_what_others_give(file, text):
    assert editor_schemas()[file].is_valid(yaml.safe_load(text))


def test_sr_schema_checks_a_file(tmp_path, sr, config):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**config, "defaults": ["_self_"], "hydra": {"run": {"dir": "."}}}))
    assert sr("schema", path).code == 0
    path.write_text(yaml.safe_dump(changed(config, "model.srnet.blocs", 1)))
    wrong = sr("schema", path)
    assert wrong.code == 2 and "model.srnet has no blocs: did you mean blocks?" in wrong.err


def test_sr_schema_says_when_the_file_is_old(tmp_path, sr, monkeypatch):
    (tmp_path / "conf").mkdir()
    monkeypatch.chdir(tmp_path)
    assert sr("schema", "--check").code == 1
    assert sr("schema").code == 0 and sr("schema", "--check").code == 0
    part = tmp_path / ".vscode/schemas/model.json"
    part.write_text("{}")
    assert sr("schema", "--check").code == 1
    assert sr("schema").code == 0 and "file-model" in part.read_text()
    (part.parent / "gone.json").write_text("{}")
    assert sr("schema", "--check").code == 1
    assert sr("schema").code == 0 and sr("schema", "--check").code == 0


def test_help_says_what_settings_mean_and_take(command):
    said = command("model=rrdbnet", "--help").stdout
    assert "growth: 32" in said and "Channels added by each convolution of a dense block. (a whole number" in said
    assert "max_steps: 400" in said and "Length of the run in steps." in said
    assert "fnet and srnet of frvsr and basicvsr_uni, mse of flow" in said  # one line, though two in the source
