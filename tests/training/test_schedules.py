"""Schedules against the definitions in the papers and in PyTorch."""

import pytest
import torch

from sr_experiments.training.schedules import constant, cosine_restart, multistep, with_warmup


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
