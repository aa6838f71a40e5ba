"""DISTS against its definition, written here for one image and one channel at a time."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sr_experiments.checkpoints.backbones import pretrained_features
from sr_experiments.errors import SRError
from sr_experiments.losses.perceptual import DISTSLoss
from sr_experiments.metrics.dists import DISTS
from sr_experiments.pretrained.catalogue import packaged_file, weights_file
from sr_experiments.pretrained.fetch import WeightsUnavailable

LAST_RELUS = (3, 8, 15, 22, 29)


def definition(x: torch.Tensor, y: torch.Tensor) -> float:
    """Equations (2), (5), (6) and (7) of the paper, in float64."""
    layers = pretrained_features("vgg16").double()
    weights = load_file(packaged_file("dists"))
    alpha, beta = (weights[key].double().flatten().numpy() for key in ("alpha", "beta"))
    taps = np.hanning(5)[1:-1]
    window = taps[:, None] * taps / taps.sum() ** 2

    def pooled(maps: np.ndarray) -> np.ndarray:
        height, width = maps.shape[1:]
        padded = np.pad(maps**2, ((0, 0), (1, 1), (1, 1)))
        rows, columns = range(0, height, 2), range(0, width, 2)
        return np.sqrt([[[(m[r : r + 3, c : c + 3] * window).sum() for c in columns] for r in rows] for m in padded])

    def maps_of(image: torch.Tensor) -> list[np.ndarray]:
        found = [image[0].double().numpy()]
        x = (image[0].double() - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor(
            [0.229, 0.224, 0.225]
        )[:, None, None]
        for i, layer in enumerate(layers[:30]):
            x = torch.from_numpy(pooled(x.numpy())) if isinstance(layer, torch.nn.MaxPool2d) else layer(x[None])[0]
            if i in LAST_RELUS:
                found.append(x.numpy())
        return found

    terms, n = 0.0, 0
    for of_x, of_y in zip(maps_of(x), maps_of(y), strict=True):
        for a, b in zip(of_x, of_y, strict=True):
            covariance = np.cov(a.ravel(), b.ravel(), bias=True)
            texture = (2 * a.mean() * b.mean() + 1e-6) / (a.mean() ** 2 + b.mean() ** 2 + 1e-6)
            structure = (2 * covariance[0, 1] + 1e-6) / (covariance[0, 0] + covariance[1, 1] + 1e-6)
            terms += alpha[n] * texture + beta[n] * structure
            n += 1
    assert n == len(alpha)
    return 1 - terms / (alpha.sum() + beta.sum())


def test_dists_is_what_the_paper_defines(with_weights):
    generator = torch.Generator().manual_seed(0)
    sr, hr = torch.rand(2, 3, 21, 34, generator=generator), torch.rand(2, 3, 21, 34, generator=generator)
    sr, hr = ((255 * x).round() / 255 for x in (sr, 0.5 * hr + 0.5 * sr))
    expected = [definition(sr[i : i + 1], hr[i : i + 1]) for i in range(2)]
    measured = DISTS().per_image(sr, hr)
    assert measured.tolist() == pytest.approx(expected, rel=1e-4) and min(expected) > 0.01
    assert DISTS().per_image(hr, hr).tolist() == pytest.approx([0, 0], abs=1e-6)
    x = sr.clone().requires_grad_(True)
    loss = DISTSLoss()(x, hr)
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-4)
    loss.backward()
    assert x.grad.isfinite().all() and x.grad.abs().sum() > 0
    assert DISTS().pretrained == ("vgg16", "dists")


def test_equal_flat_images_have_finite_gradients(with_weights):
    flat = torch.full((1, 3, 16, 16), 0.5, requires_grad=True)
    DISTSLoss()(flat, flat.detach()).backward()
    assert flat.grad.isfinite().all()


def test_without_its_weights_it_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    packaged_file("vgg16").parent.mkdir(parents=True)
    convolutions = torch.nn.Sequential(*pretrained_vgg16_layers()).state_dict()
    save_file(convolutions, packaged_file("vgg16"))
    with pytest.raises(WeightsUnavailable, match=r"the dists weights are not on this machine .*put dists.safetensors"):
        DISTS()
    packaged_file("dists").write_bytes(b"no weights")
    with pytest.raises(SRError, match=r"dists.safetensors is damaged"):
        DISTS()
    assert not weights_file("vgg16").exists()


def pretrained_vgg16_layers():
    import torchvision

    return torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
