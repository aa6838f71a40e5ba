"""`sr export --hub`: a folder that the Hugging Face Hub understands, and that is read as a checkpoint."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from sr_experiments.checkpoints.loading import load_generator


@pytest.fixture
def folder(sr, train, tmp_path):
    """A run, the folder exported from it, and what the command said."""
    run = train()
    words = ["--name", "Mine", "--author", "Somebody", "--license", "CC-BY-4.0", "--description", "Enlarges: well."]
    done = sr("export", run, "-o", tmp_path / "mine-4x", "--hub", *words)
    assert done.code == 0, done.err
    return run, tmp_path / "mine-4x", done


def test_the_hub_reads_the_card_of_a_run(folder):
    run, made, _ = folder
    assert sorted(path.name for path in made.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "sample.png"
    ]  # fmt: skip
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard.load(made / "README.md")
    assert (card.data.license, card.data.pipeline_tag) == ("cc-by-4.0", "image-to-image")
    assert card.data.tags == ["super-resolution", "sr-res-net", "4x"] and card.data.model_name == "Mine"
    summary = json.loads((run / "summary.json").read_text())
    results = {(r.dataset_name, r.metric_name): r.metric_value for r in card.data.eval_results}
    name = f"psnr_y ({summary['conventions']['psnr_y']})"
    assert results["sample", name] == summary["best"]["metrics"]["val/sample/psnr_y"]
    assert "Enlarges: well." in card.text and "](sample.png)" in card.text and str(run) not in card.content
    config = json.loads((made / "config.json").read_text())
    assert config["sr_experiments"]["generator"]["name"] == "msrresnet" and config["scale"] == 4


def test_the_folder_is_a_checkpoint(folder, sr, train, tmp_path):
    run, made, _ = folder
    original, found = load_generator(run)[0].state_dict(), load_generator(made)[0].state_dict()
    assert all(torch.equal(original[key], found[key]) for key in original)
    Image.fromarray(np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)).save(tmp_path / "in.png")
    done = sr("upscale", tmp_path / "in.png", "-o", tmp_path / "out.png", "--checkpoint", made, "--device", "cpu")
    assert done.code == 0, done.err
    assert Image.open(tmp_path / "out.png").size == (36, 32)
    again = train(f"init_from={made}", "trainer.max_steps=1", name="again")
    assert (again / "checkpoints" / "last.ckpt").is_file()
    done = sr("export", run, "-o", made, "--hub")
    assert done.code == 2 and "has files: give --overwrite" in done.err and len(done.err.splitlines()) == 1
    assert sr("export", run, "-o", made, "--hub", "--overwrite", "--precision", "fp16").code == 0
    assert load_generator(made)[0].conv_first.weight.dtype == torch.float32 and not list(tmp_path.glob(".*"))


def test_a_file_of_weights_has_less_to_say(sr, weights, tmp_path):
    done = sr("export", weights("compact", 2), "-o", tmp_path / "deep" / "folder", "--hub")
    assert done.code == 0, done.err
    text = (tmp_path / "deep" / "folder" / "README.md").read_text()
    assert text.startswith("---\npipeline_tag: image-to-image\n") and "model-index" not in text
    for words in (["--card"], ["--format", "onnx"], ["--output-name", "y"]):
        done = sr("export", weights("compact", 2), "-o", tmp_path / "other", "--hub", *words)
        assert done.code == 2 and "leave --format, --card" in done.err
    done = sr("export", weights("compact", 2), "-o", weights("compact", 2), "--hub")
    assert done.code == 2 and "is a file: --hub writes a folder" in done.err
    assert not (tmp_path / "other").exists()
    done = sr("export", tmp_path / "deep", "-o", tmp_path / "x.pth")
    assert done.code == 2 and "nor model.safetensors" in done.err
