"""Metrics of pyiqa: measured as pyiqa measures them, in training, evaluation and comparison; see the extra `iqa`."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import skimage.data
from PIL import Image

from sr_experiments.errors import SRError
from sr_experiments.metrics.pyiqa import PyIQA
from sr_experiments.packages.extras import install_extra
from tests.conftest import ROOT, TINY_MODEL, TINY_RUN

BY_PYIQA = """
import json, sys
from pathlib import Path
import pyiqa, torch
from sr_experiments.data.image_files import read_image
from sr_experiments.metrics.pyiqa import PyIQA
from sr_experiments.errors import SRError
hr, sr = (torch.from_numpy(read_image(Path(path))).permute(2, 0, 1)[None] / 255 for path in sys.argv[1:])
inside = [x[..., 4:-4, 4:-4].contiguous() for x in (sr, hr)]
found = {name: float(pyiqa.create_metric(name, device="cpu")(*inside)) for name in ("gmsd", "piqe", "psnry")}
metrics = {name: PyIQA(name, 4) for name in found}
print(json.dumps({
    "theirs": found,
    "ours": {name: float(metric.per_image(sr, hr)) for name, metric in metrics.items()},
    "higher": {name: metric.higher_is_better for name, metric in metrics.items()},
    "said": metrics["piqe"].convention,
}))
for wrong in ("musik", "fid"):
    try:
        PyIQA(wrong)
    except SRError as error:
        print(error)
"""


@pytest.mark.skipif(importlib.util.find_spec("pyiqa") is not None, reason="pyiqa is installed")
def test_without_the_package_one_line_says_how_to_install_it():
    with pytest.raises(SRError, match=re.escape(install_extra("iqa"))):
        PyIQA("musiq")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")
@pytest.mark.timeout(600)
def test_pyiqas_metrics_are_measured_wherever_metrics_are(tmp_path):
    """In an environment of its own, since the extra has twenty packages that nothing else needs."""

    def run(*words, cwd=tmp_path):
        done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        return done

    run("uv", "venv", "-q", "-p", sys.executable, "venv")
    python, sr = tmp_path / "venv/bin/python", tmp_path / "venv/bin/sr"
    run("uv", "pip", "install", "-q", "--python", python, f"{ROOT}[iqa]", cwd=ROOT)  # where uv reads the override
    packages = run("uv", "pip", "list", "--python", python).stdout
    assert "opencv-python-headless " in packages and "opencv-python " not in packages

    rng = np.random.default_rng(0)
    for name in ("chelsea", "coffee"):
        hr = getattr(skimage.data, name)()[:200, :240]
        (tmp_path / "hr").mkdir(exist_ok=True)
        (tmp_path / "sr").mkdir(exist_ok=True)
        Image.fromarray(hr).save(tmp_path / f"hr/{name}.png")
        Image.fromarray((hr + rng.normal(0, 9, hr.shape)).clip(0, 255).astype(np.uint8)).save(
            tmp_path / f"sr/{name}.png"
        )

    said, *refused = run(python, "-c", BY_PYIQA, "hr/coffee.png", "sr/coffee.png").stdout.strip().splitlines()[-3:]
    found = json.loads(said)
    assert found["ours"] == pytest.approx(found["theirs"], rel=1e-5)
    assert found["higher"] == {"gmsd": False, "piqe": False, "psnry": True}
    assert "pyiqa's piqe" in found["said"] and "no reference, range 0, 100" in found["said"]
    assert "did you mean musiq" in refused[0] and "no metric 'fid'" in refused[1]

    folders = ["--hr", "hr", "--sr", "sr", "--scale", "4", "--json", "measured.json"]
    wanted = [word for name in ("gmsd", "piqe", "musiq") for word in ("--metric", f"pyiqa:{name}")]
    shown = run("env", "SR_OFFLINE=1", sr, "evaluate", *folders, *wanted)
    measured = json.loads((tmp_path / "measured.json").read_text())
    values = measured["results"][-1]["per_image"]["coffee"]
    assert {name: values[f"pyiqa_{name}"] for name in ("gmsd", "piqe")} == pytest.approx(
        {name: found["theirs"][name] for name in ("gmsd", "piqe")}, rel=1e-5
    )
    assert "pyiqa's musiq" in measured["left_out"]["pyiqa_musiq"] and "pyiqa_musiq" in shown.stdout + shown.stderr

    tiny = [*TINY_MODEL["msrresnet"], *TINY_RUN, "trainer.max_steps=2", "trainer.monitor=piqe"]
    metric = "+metrics.piqe={name: pyiqa, metric: piqe}"
    run(sr, "train", *tiny, metric, "++data.val.sample.size=96", "offline=true", "name=iqa")
    [summary] = (json.loads(file.read_text()) for file in tmp_path.glob("outputs/iqa/*/summary.json"))
    assert summary["best"]["monitor"] == "val/sample/piqe" and summary["higher_is_better"]["piqe"] is False
    assert "piqe" in run(sr, "compare", "outputs", "--table").stdout
