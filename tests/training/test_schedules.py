"""Schedules against the definitions in the papers and in PyTorch."""

import pytest
import torch
from pytorch_optimizer.lr_scheduler import get_wsd_schedule

from sr_experiments.training.schedules import constant, cosine_restart, make_schedule, multistep, with_warmup


def test_multistep_halves_at_milestones_as_pytorch_does():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5, 8], gamma=0.5)
    ours = multistep(10, milestones=[3, 5, 8])
    for step in range(10):
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()


def test_cosine_restart_matches_pytorch():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=25, eta_min=5e-4)
    ours = cosine_restart(100, cycles=4, floor=5e-4)
    for step in range(100):
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        reference.step()


def test_warmup_rises_to_the_schedule():
    ours = with_warmup(constant(10), 4)
    assert [ours(s) for s in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def rates(scheduler, optimizer, steps):
    """Learning rates of PyTorch's schedulers."""
    for _ in range(steps):
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()


@pytest.fixture
def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def test_cosine_begins_where_the_warm_up_ends(optimizer):
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=90, eta_min=0.1)
    ours = make_schedule({"name": "cosine", "floor": 0.1}, 100, warmup_steps=10)
    assert [ours(step) for step in range(10)] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert [ours(10 + step) for step in range(91)] == pytest.approx(list(rates(reference, optimizer, 91)))
    assert ours(10**6) == pytest.approx(0.1)


@pytest.mark.parametrize(("shape", "theirs"), [("sqrt", "1-sqrt"), ("linear", "linear"), ("cosine", "cosine")])
def test_wsd_is_that_of_another_library(optimizer, shape, theirs):
    floor = 0.05 if shape == "cosine" else 0.0  # theirs knows a floor of this shape alone
    reference = get_wsd_schedule(optimizer, 0, 80, 20, min_lr_ratio=floor, cooldown_type=theirs)
    ours = make_schedule({"name": "wsd", "shape": shape, "floor": floor}, 100, warmup_steps=0)
    assert [ours(step) for step in range(110)] == pytest.approx(list(rates(reference, optimizer, 110)))


def test_wsd_before_its_decay_knows_nothing_of_the_length():
    short, long = (make_schedule({"name": "wsd"}, steps, warmup_steps=5) for steps in (100, 1000))
    assert [short(step) for step in range(80)] == [long(step) for step in range(80)] != [1.0] * 80
    assert make_schedule({"name": "wsd", "decay": 0.0}, 100, 0)(99) == 1
    assert make_schedule({"name": "wsd", "floor": 0.3}, 100, 0)(99) > 0.3
