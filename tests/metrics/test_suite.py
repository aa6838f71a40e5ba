"""The metrics of a configuration: which are built, which are left out and why, and what each says of itself."""

from pathlib import Path

import pytest
import torch
import yaml

from sr_experiments.errors import SRError
from sr_experiments.evaluation.metrics_config import LISTS, metrics_config
from sr_experiments.metrics import METRICS
from sr_experiments.metrics.flow import FLOW_METRICS
from sr_experiments.metrics.lpips import LEAST_SIZES, LPIPS
from sr_experiments.metrics.psnr import PSNR
from sr_experiments.metrics.suite import MetricSuite, descriptions
from tests.conftest import ROOT

IMAGES = ["psnr_y", "psnr_rgb", "ssim_y", "ssim_rgb", "lpips_alex", "fine_detail"]
FILES = [path for path in sorted((ROOT / "conf/metrics").glob("*.yaml")) if path.stem not in (*LISTS, "dists")]
CLIPS = ["tof", "tlp_alex", "warping_error"]


def test_the_default_metrics_are_those_that_training_validates_with():
    listed = yaml.safe_load((ROOT / "conf/metrics/default.yaml").read_text())["defaults"]
    config = metrics_config(4)
    assert list(config) == [entry.split("@")[1] for entry in listed] == [*IMAGES, *CLIPS]
    assert config["fine_detail"] == {"name": "fine_detail", "scale": 4}
    assert list(metrics_config(2, ["lpips_vgg"])) == [*IMAGES, *CLIPS, "lpips_vgg"]
    with pytest.raises(SRError, match=r"unknown --metric psnr_z: choose one of dists, fine_detail, .*warping_error"):
        metrics_config(2, ["psnr_z"])


def test_what_cannot_be_measured_is_left_out_with_its_reason(with_weights):
    assert list(MetricSuite(metrics_config(4), 4, clips=True, channels=3)) == [*IMAGES, *CLIPS]
    images = MetricSuite(metrics_config(4), 4, clips=False, channels=3)
    assert list(images) == IMAGES and images.left_out == {}
    grey = MetricSuite(metrics_config(4), 4, clips=False, channels=1)
    assert list(grey) == ["psnr_y", "ssim_y", "lpips_alex", "fine_detail"]
    assert grey.left_out == dict.fromkeys(("psnr_rgb", "ssim_rgb"), "it needs RGB, and the images are grey")


def test_bands_have_their_own_metrics():
    suite = MetricSuite(metrics_config(4), 4, clips=False, channels=5)
    assert list(suite) == [] and set(suite.left_out) == set(IMAGES)
    assert set(suite.left_out.values()) == {"it needs grey or RGB, and the images have 5 bands"}
    suite = MetricSuite(metrics_config(4, default="bands"), 4, clips=False, channels=5, bits=16)
    assert list(suite) == ["psnr_bands", "psnr_bandwise", "ssim_bands", "sam"] and not suite.left_out
    assert all("16-bit" in metric.convention for metric in suite.values())


def test_without_weights_a_metric_is_left_out_unless_it_is_required():
    suite = MetricSuite(metrics_config(4), 4, clips=True, channels=3)
    assert list(suite) == [key for key in (*IMAGES, *CLIPS) if key not in ("lpips_alex", "tlp_alex")]
    assert list(suite.left_out) == ["lpips_alex", "tlp_alex"] and "alexnet" in suite.left_out["tlp_alex"]
    config = {"lpips_alex": {"name": "lpips", "net": "alex", "required": True}}
    with pytest.raises(SRError, match=r"metric lpips_alex is required: .*alexnet"):
        dict(MetricSuite(config, 4, clips=False, channels=3))


def test_only_what_is_asked_for_is_built(monkeypatch):
    monkeypatch.setattr(LPIPS, "__init__", None)  # would fail
    suite = MetricSuite(metrics_config(4), 4, clips=False, channels=3)
    assert suite["psnr_y"] is suite["psnr_y"] and isinstance(suite["psnr_y"], PSNR)
    assert "tof" not in suite and "psnr_z" not in suite


def test_an_unknown_metric_is_named():
    for config in ({"name": "psnrr"}, {"channels": "y"}, 3):
        with pytest.raises(SRError, match=r"metrics?.mine"):
            dict(MetricSuite({"mine": config}, 4, clips=False, channels=3))  # type: ignore[dict-item]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_metric_says_what_it_is(path: Path, monkeypatch, with_weights):
    monkeypatch.setattr(
        "sr_experiments.metrics.tlp.lpips_network", lambda net: torch.nn.Identity()
    )  # it imports lpips's
    monkeypatch.setattr("sr_experiments.metrics.lpips.lpips_network", lambda net: torch.nn.Identity())
    config = yaml.safe_load(path.read_text().replace("${scale}", "4"))
    if config["name"] == "pyiqa":
        pytest.importorskip("pyiqa")
    suite = MetricSuite({path.stem: config}, 4, clips=True, channels=3)
    said = {field: values[path.stem] for field, values in descriptions(suite).items()}
    assert said["higher_is_better"] is (config["name"] in ("psnr", "psnr_bandwise", "ssim"))
    decibels = config["name"] in ("psnr", "psnr_bandwise", "fine_detail")
    assert said["digits"] == (2 if decibels else 3 if config["name"] == "sam" else 4)
    assert said["units"] == ("dB" if decibels else {"tof": "px", "sam": "deg"}.get(config["name"], ""))
    assert len(said["conventions"]) > 20


def test_directions_stand_on_the_classes_too():
    """A sweep must know them of runs that have not begun."""
    for metric in (*METRICS.values(), *FLOW_METRICS.values()):
        assert isinstance(metric.higher_is_better, bool) and isinstance(metric.temporal, bool)
    assert {key: metric.higher_is_better for key, metric in FLOW_METRICS.items()} == {
        "warp_psnr": True,
        "flow_epe": False,
    }


@pytest.mark.parametrize("net", LEAST_SIZES)
def test_lpips_refuses_images_that_are_too_small_for_its_trunk(net, monkeypatch):
    import torchvision

    names = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
    features = getattr(torchvision.models, names[net])(weights=None).features.eval().requires_grad_(False)
    monkeypatch.setattr("sr_experiments.metrics.lpips.pretrained_features", lambda name: features)
    metric, least = LPIPS(net, crop_border=1), LEAST_SIZES[net] + 2
    assert metric.per_image(*torch.rand(2, 1, 3, least, 40)).isfinite().all()
    with pytest.raises(SRError, match=f"LPIPS needs {least - 2}x{least - 2} pixels within the border"):
        metric.per_image(*torch.rand(2, 1, 3, least - 1, 40))
