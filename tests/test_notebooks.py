"""The notebooks: clean in git, and run from end to end in small settings."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT, TINY_MODEL, TINY_RECURRENT, TINY_RUN, TINY_VIDEO_RUN

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SMALL = [*TINY_MODEL["msrresnet"][1:], *(o for o in TINY_RUN if not o.startswith(("trainer.max", "trainer.val")))]
PARAMETERS = {
    "01_train_and_look": f"STEPS, OVERRIDES = 4, {SMALL}",
    "02_compare_runs": f"STEPS, OVERRIDES = 5, {[o for o in SMALL if not o.startswith('model.')]}",
    "03_video_and_temporal_coherence": (
        f"STEPS, OVERRIDES = 2, {[*TINY_RECURRENT['basicvsr_uni'][1:-1], *TINY_VIDEO_RUN]}; SIZE, FRAMES = 96, 6"
    ),
    "04_perception_and_distortion": (
        f"STEPS, SMALL = 3, {TINY_MODEL['msrresnet'][1:]}; FLOW = ['model.features=52']\n"
        f"OVERRIDES = {[o for o in SMALL if not o.startswith('model.')]}"
    ),
    "05_fine_tune_and_deploy": f"STEPS, OVERRIDES = 4, {SMALL}",
}


def read(path):
    return nbformat.read(path, as_version=4)


def test_there_are_five():
    assert [path.stem for path in NOTEBOOKS] == list(PARAMETERS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_are_clean(path):
    notebook = read(path)
    nbformat.validate(notebook)
    [parameters] = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    assert all(line.split("#")[0].strip() for line in parameters.source.splitlines())
    for cell in notebook.cells:
        assert not re.search(r"/(home|root|work|tmp|Users)/", cell.source)
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
            compile(cell.source, path.name, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_run(path, tmp_path, monkeypatch):
    notebook = read(path)
    [at] = [i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ())]
    small = f"{PARAMETERS[path.stem]}\nOUTPUTS = {str(tmp_path)!r}"
    notebook.cells.insert(at + 1, nbformat.v4.new_code_cell(small))
    NotebookClient(notebook, timeout=280, resources={"metadata": {"path": str(path.parent)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= {"01": 6, "02": 2, "03": 4, "04": 2, "05": 2}[path.stem[:2]]
    said = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "psnr" in said.lower()
