"""Every registered generator, loss, discriminator, metric, dataset and optimiser, found by itself once it is added."""

import copy
import inspect

import pytest
import torch
import yaml

from sr_experiments.data import TRAINING_SETS, VALIDATION_SETS
from sr_experiments.data.augments import AUGMENTS
from sr_experiments.discriminators import DISCRIMINATORS
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.recurrent import RecurrentGenerator
from sr_experiments.losses import LOSSES
from sr_experiments.losses.adversarial import AdversarialLoss, by_scale
from sr_experiments.losses.objective import VELOCITIES, Objective, Outputs, Term, inputs_of
from sr_experiments.metrics import METRICS
from sr_experiments.metrics.metric import SRMetric
from sr_experiments.pretrained.fetch import WeightsUnavailable
from sr_experiments.registry import Group, argument_meanings, build, component_model
from sr_experiments.training.optimizers import OPTIMIZERS
from tests.conftest import ROOT

REGISTRIES = {
    "generator": GENERATORS,
    "loss": LOSSES,
    "discriminator": DISCRIMINATORS,
    "metric": METRICS,
    "training data": TRAINING_SETS,
    "validation data": VALIDATION_SETS,
    "augmentation": AUGMENTS,
    "optimizer": OPTIMIZERS,
}
# Groups of conf/ whose files name a component, and names that are chosen otherwise: by the stages of model=frvsr, or by
# a preset of the whole loss.
FOLDERS = {
    "generator": ["model"],
    "loss": ["loss/pixel", "loss/perceptual", "loss/adversarial", "loss/terms"],
    "discriminator": ["loss/discriminator"],
    "metric": ["metrics"],
    "training data": ["data"],
    "augmentation": ["augment"],
    "optimizer": ["optim"],
}
CHOSEN_BY_STAGES = {"loss": {"warp", "ping_pong"}}
CHOSEN_BY_PRESETS = {"loss": {"velocity", "boundary"}}  # loss=flow and flow_distilled
ALL = [(kind, name) for kind, registry in REGISTRIES.items() for name in registry]


def small(kind, name, **given):
    registry = REGISTRIES[kind]
    return build(kind, registry, {"name": name, **registry.small[name]}, **given)


def names_in(folder):
    for path in (ROOT / "conf" / folder).glob("*.yaml"):
        config = yaml.safe_load(path.read_text())
        config = config.get("model", config) if folder == "model" else config
        config = config.get("train", config) if folder == "data" else config
        if "name" in config:
            yield config["name"]


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_what_a_component_takes_is_declared_and_documented(kind, name):
    factory = REGISTRIES[kind][name]
    assert inspect.getdoc(factory), "a first sentence says what it is"
    model = component_model(factory, Group, frozenset(REGISTRIES[kind].given))
    documented = {"name", *argument_meanings(factory)}
    assert set(model.model_fields) <= documented, "the Args of its docstring say what each is"
    assert model.model_json_schema()["properties"].keys() == model.model_fields.keys()


@pytest.mark.parametrize("kind", FOLDERS)
def test_every_component_has_a_file_in_conf_and_every_file_a_component(kind):
    names = {name for folder in FOLDERS[kind] for name in names_in(folder)} - {"none"}
    assert names == set(REGISTRIES[kind]) - CHOSEN_BY_STAGES.get(kind, set()) - CHOSEN_BY_PRESETS.get(kind, set())


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_a_generator_enlarges_any_size_and_learns(name, scale):
    try:
        generator = small("generator", name, scale=scale, channels=3)
    except SRError as error:
        assert f"scale={scale}" in str(error) and scale in (1, 3)  # some networks double the size, once or twice
        return
    assert isinstance(generator, Generator) and (generator.scale, generator.channels) == (scale, 3)
    lr = torch.rand(2, 3, 9, 14)
    if isinstance(generator, RecurrentGenerator):
        first, state = generator.step(lr, None)
        sr, _ = generator.step(lr, state)
        assert first.shape == sr.shape
    else:
        sr = generator(lr)
    assert sr.shape == (2, 3, scale * 9, scale * 14)
    sr.square().mean().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in generator.parameters())
    loaded = small("generator", name, scale=scale, channels=3)
    loaded.load_state_dict(generator.state_dict())
    assert copy.deepcopy(generator).state_dict().keys() == generator.state_dict().keys()


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_a_scalar_that_teaches_the_generator(name, with_weights):
    torch.manual_seed(0)
    loss = small("loss", name, **({"net": "alex"} if name == "lpips" else {}))  # of which random weights are there
    if isinstance(loss, AdversarialLoss):
        fake, real = torch.randn(4, 1, requires_grad=True), torch.randn(4, 1)
        taught, values = fake, (loss.generator(fake, real), loss.discriminator(real, fake))
    else:
        lr, (sr, hr, sr_ema) = torch.rand(1, 3, 3, 16, 16), torch.rand(3, 1, 3, 3, 64, 64)
        flow = torch.zeros(1, 2, 2, 16, 16)
        velocities = {name: torch.rand(1, 3, 64, 64) for name in VELOCITIES}
        taught = {"flow": flow, **velocities}.get(inputs_of(loss)[-1 if "flow" in inputs_of(loss) else 0], sr)
        taught.requires_grad_(True)
        values = (Objective({"x": Term(loss)}).evaluate("x", Outputs(lr, hr, hr, sr, flow, velocities, sr_ema)),)
    for value in values:
        assert value.shape == () and value.isfinite()
        (gradient,) = torch.autograd.grad(value, taught, retain_graph=True)
        assert gradient.isfinite().all() and gradient.abs().sum() > 0
    assert not loss.state_dict(), "a loss has no state: checkpoints hold networks"


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_discriminator_judges_any_crop_and_learns(name, with_weights):
    discriminator = small("discriminator", name, channels=3)
    for size in ((32, 32), (36, 52)):
        image = torch.rand(2, 3, *size, requires_grad=True)
        of_scales = by_scale(discriminator(image))
        assert all(logits.shape[:2] == (2, 1) for logits in of_scales)
        sum(logits.square().mean() for logits in of_scales).backward()
        assert image.grad.abs().sum() > 0


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_what_it_is_and_knows_its_direction(name, with_weights):
    if name == "pyiqa":
        pytest.importorskip("pyiqa")  # tests/metrics/test_pyiqa.py installs it
    config = {"name": name, **METRICS.small[name], **({"scale": 4} if name == "fine_detail" else {})}
    metric = build("metric", METRICS, config, crop_border=4)
    assert isinstance(metric, SRMetric) and metric.convention and 0 <= metric.digits <= 6
    generator = torch.Generator().manual_seed(0)
    side = max(96, metric.least_size + 8)
    clip = torch.rand(8, 3, side, side, generator=generator)
    clip = torch.nn.functional.avg_pool2d(clip, 5, 1, 2)
    values = []
    for noise in (0.05, 0.4):
        metric.reset()
        if metric.temporal:
            metric.start_clip()
        for hr in clip:
            sr = hr + noise * torch.randn(hr.shape, generator=generator)
            metric.update(sr[None].clamp(0, 1), hr[None])
        values.append(float(metric.compute()))
    assert (values[0] > values[1]) == metric.higher_is_better, values


@pytest.mark.parametrize("name", TRAINING_SETS)
def test_a_dataset_is_a_function_of_the_seed_and_the_number(name):
    assert name in VALIDATION_SETS, "it has a validation set of the same name"
    try:
        first, second = (small("training data", name, crop=32, scale=4, channels=3, seed=5) for _ in range(2))
    except SRError as error:
        assert "needs" in str(error) or "is not set" in str(error)  # a folder, which only the user has
        return
    for number in (3, 0, 1000):
        sample = (number, 2) if getattr(first, "clips", False) else number
        a, b = first[sample], second[sample]
        assert a.keys() == b.keys() and all(torch.equal(torch.as_tensor(a[k]), torch.as_tensor(b[k])) for k in a)
        assert a["hr"].dtype == torch.uint8 and a["hr"].shape[-2:] == (32, 32)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(WeightsUnavailable, match="vgg19"):
        small("loss", "vgg19")
