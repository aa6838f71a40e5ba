"""NIQE against another implementation, against distributions with known parameters, and where it has no value."""

import io
import tarfile

import numpy as np
import pytest
import skimage.data
import torch
from scipy import stats

from sr_experiments.errors import SRError
from sr_experiments.metrics.niqe import NIQE, asymmetric_gaussian
from sr_experiments.pretrained.basicsr import read_niqe
from sr_experiments.pretrained.catalogue import packaged_file
from sr_experiments.pretrained.fetch import WeightsUnavailable


def photograph(name):
    return torch.from_numpy(getattr(skimage.data, name)()).permute(2, 0, 1)[None] / 255


def test_it_is_that_of_basicsr(with_weights):
    """BasicSR 1.4.2, Y, crop_border=4, with a mean of 0 and the identity as covariance of pristine photographs."""
    for name, value in {"coffee": 3.595267, "chelsea": 4.115085}.items():
        image = photograph(name)
        assert NIQE(4).per_image(image, image).item() == pytest.approx(value, rel=1e-4)


def test_parameters_of_known_distributions_are_found():
    """Quantiles of SciPy's generalised normal distributions, of another scale on each side of 0."""
    for shape, left, right in ((2.0, 1.5, 1.5), (0.8, 0.5, 2.0), (4.0, 3.0, 1.0)):
        values = []
        for scale in (-left, right):
            count = round(abs(scale) / (left + right) * 200_000)  # the density is continuous at 0
            values.append(scale * stats.gennorm(shape).ppf(0.5 + (np.arange(count) + 0.5) / count / 2))
        found = asymmetric_gaussian(torch.from_numpy(np.concatenate(values))[None])
        assert [float(one) for one in found] == pytest.approx([shape, left, right], rel=5e-3)


def test_a_flat_image_has_no_value_and_a_small_one_is_refused(with_weights):
    flat = torch.full((1, 3, 200, 200), 0.5)
    assert NIQE().per_image(flat, flat).isnan().all()
    with pytest.raises(SRError, match="NIQE needs 192x192 pixels within the border"):
        NIQE(8).per_image(flat, flat)


def test_its_parameters_come_out_of_basicsrs_archive(tmp_path):
    mean, covariance = np.arange(36.0), np.eye(36)
    arrays = io.BytesIO()
    np.savez(arrays, mu_pris_param=mean[None], cov_pris_param=covariance, gaussian_window=np.ones((7, 7)))
    archive = tmp_path / "basicsr-1.4.2.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("basicsr-1.4.2/basicsr/metrics/niqe_pris_params.npz")
        member.size = len(arrays.getvalue())
        tar.addfile(member, io.BytesIO(arrays.getvalue()))
    found = read_niqe(archive, "niqe")
    assert found["mean"].tolist() == mean.tolist() and torch.equal(found["covariance"], torch.eye(36).double())
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(SRError, match="has no readable niqe"):
        read_niqe(archive, "niqe")


def test_without_its_parameters_it_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsUnavailable, match=r"the niqe weights are not on this machine .*put niqe.safetensors"):
        NIQE()
    packaged_file("niqe").parent.mkdir(parents=True)
    packaged_file("niqe").write_bytes(b"no parameters")
    with pytest.raises(SRError, match=r"niqe.safetensors is damaged"):
        NIQE()
