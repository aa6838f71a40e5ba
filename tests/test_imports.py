"""Commands import what they use: of the packages that take long, no others."""

import json
import subprocess
import sys

import numpy as np
from PIL import Image

from tests.conftest import ROOT
from tests.report.conftest import run_folder  # noqa: F401, a fixture

# What takes more than a twentieth of a second, and what each command may import of it.
HEAVY = {
    "av", "cv2", "hydra", "joblib", "kornia", "lpips", "matplotlib", "nncf", "numpy", "omegaconf", "onnx", "optuna",
    "PIL", "plotly", "pydantic", "pytorch_lightning", "scipy", "skimage", "spandrel", "sympy", "torch", "torchmetrics",
    "torchvision", "wandb",
}  # fmt: skip
ALWAYS = {"pydantic"}  # typer's
PICTURES = {"numpy", "PIL", "cv2"}
OF_TORCHMETRICS = {"torchmetrics", "torchvision", "sympy", "matplotlib", "scipy"}  # it imports all that is installed
RUN = """
import json, sys
from sr_experiments.cli import main
for arguments, heavy in json.loads(sys.argv[1]):
    sys.argv = ["sr", *arguments]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, arguments
    print(json.dumps([name for name in heavy if name in sys.modules]), file=sys.stderr)
"""


def test_every_command_imports_only_what_it_uses(run_folder, weights, tmp_path):  # noqa: F811
    """In one process, so each may import besides its own what those before it have."""
    runs = str(run_folder("a").parent)
    (tmp_path / "hr").mkdir()
    hr, png = str(tmp_path / "hr/a.png"), str(tmp_path / "out.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)).save(hr)
    may = [
        (["--help"], set()),
        (["runs", runs], ALWAYS),
        (["compare", runs, "--table"], {"omegaconf"}),
        (["compare", runs, "-o", str(tmp_path / "page.html")], PICTURES | {"plotly"}),
        (["degrade", hr, "-o", png], {"torch", "scipy"}),
        (["upscale", hr, "-o", png, "--overwrite", "-c", str(weights("frvsr")), "--device", "cpu"], set()),
        (
            ["evaluate", "--sr", str(tmp_path / "hr"), "--hr", str(tmp_path / "hr"), "--scale", "2"],
            OF_TORCHMETRICS | {"skimage", "kornia", "hydra"},
        ),
    ]
    given = json.dumps([(arguments, sorted(HEAVY)) for arguments, _ in may])
    done = subprocess.run([sys.executable, "-c", RUN, given], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [set(json.loads(line)) for line in done.stderr.splitlines() if line.startswith("[")]
    allowed: set[str] = set()
    for (arguments, more), imported in zip(may, found, strict=True):
        allowed |= more
        assert imported <= allowed, f"sr {arguments[0]}: {imported - allowed}"
