#!/usr/bin/env bash
# step() of schedulefree's AdamW, and of eight optimisers of pytorch-optimizer, overwrites the gradients it is given.
#
# One would expect: step() reads p.grad and changes the weights; p.grad stays until zero_grad(), as in PyTorch's own.
# What happens: AdamWScheduleFree divides p.grad in place by the root of the mean square: after step() it is what Adam would
#   do, of about one per weight, however small or large the gradient was; SGDScheduleFree and RAdamScheduleFree leave it.
#   pytorch-optimizer's Adan leaves it too, or, with foreach=False, turns its sign around. Adalite, GrokFastAdamW, LARS,
#   NovoGrad, Ranger, ScheduleFreeAdamW, SCIONLight and StableSPAM leave other values there.
# Why it matters: gradient norms and histograms that are taken after step() are of something else, and say nothing of
#   gradients that explode or vanish. Gradients that are kept for the next update, in the place of zero_grad(), lead
#   elsewhere: with Adan uphill.
# Instead: take norms before step(); copy gradients that are to be kept.
# Versions: schedulefree 1.4.1, pytorch-optimizer 4.1.0, torch 2.15.0, Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
uv venv -q --python 3.11 venv
uv pip install -q --python venv/bin/python schedulefree==1.4.1 pytorch-optimizer==4.1.0 torch==2.15.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys
import warnings

import schedulefree
import torch
from pytorch_optimizer import load_optimizer

warnings.simplefilter("ignore")


def after(make, size=1.0, steps=5):
    """Gradient of a matrix before and after the last of several updates with gradients of this size."""
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(32, 32)), torch.nn.Parameter(torch.randn(32))]
    optimizer = make(weights)
    if hasattr(optimizer, "train"):
        optimizer.train()
    for _ in range(steps):
        for weight in weights:
            weight.grad = size * torch.randn_like(weight)
        before = weights[0].grad.clone()
        optimizer.step()
    return before, weights[0].grad


def kept(make):
    before, found = after(make)
    return torch.equal(before, found)


def of(name, **options):
    return lambda weights: load_optimizer(name)(weights, lr=1e-3, **options)


as_found = all(kept(lambda w, kind=kind: kind(w, lr=1e-3)) for kind in (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD))
as_found &= kept(lambda w: schedulefree.SGDScheduleFree(w, lr=1e-3)) and kept(of("adan"))
print("PyTorch's, SGDScheduleFree and Adan leave gradients as they are:", as_found)
for size in (1e-4, 1.0, 1e4):
    before, found = after(lambda w: schedulefree.AdamWScheduleFree(w, lr=1e-3), size)
    norms = float(before.norm()), float(found.norm())
    print(f"AdamWScheduleFree: the gradient's norm is {norms[0]:.3g}, and {norms[1]:.3g} after step()")
    as_found &= 25 < norms[1] < 50
before, found = after(of("adan", foreach=False))
print("Adan, foreach=False: after step() the gradient is minus itself:", torch.equal(found, -before))
as_found &= torch.equal(found, -before)
for name in ("adalite", "grokfastadamw", "lars", "novograd", "ranger", "schedulefreeadamw", "scionlight", "stablespam"):
    before, found = after(of(name))
    print(f"{name}: norm {float(before.norm()):.3g}, after step() {float(found.norm()):.3g}")
    as_found &= not torch.equal(before, found)
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
