"""Commands that are printed or written do what they say when they are pasted into a shell."""

import json
import subprocess

import pytest
import yaml
from hydra import compose, initialize_config_dir
from PIL import Image

from sr_experiments.config.command_line import prepared
from sr_experiments.config.quoting import BY_UV, hydra_text, override, shell_path, shell_text
from tests.conftest import ROOT, TINY_GAN, TINY_MODEL, TINY_RECURRENT, TINY_RUN, TINY_VIDEO, TINY_VIDEO_RUN

NAMES = [
    "a b", "José", "照片", "k=v (1) 照片", "it's", 'say "x"', "a,b", "[x] {y}", "#1 & ~2; !3", "back\\slash\\", "2024",
    "-dash", "a${x}b$y", "tab\tand\nline", "null", "%d*?", "1e3",
]  # fmt: skip


def pasted(commands: list[str]) -> list[list[str]]:
    """What bash makes of each command: its words."""
    script = "\n".join(f"printf '%s\\0' {command}; printf '\\1'" for command in commands)
    said = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout.decode()
    return [words.split("\0")[:-1] for words in said.split("\1")[:-1]]


def composed(words: list[str]):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", prepared(words, ROOT / "conf"))


@pytest.mark.slow
def test_names_that_are_difficult_for_a_shell_or_hydra_arrive_as_they_are():
    words = pasted([f"{override('output_dir', name)} {shell_path(name)}" for name in NAMES])
    for name, (argument, path) in zip(NAMES, words, strict=True):
        assert path == (f"./{name}" if name.startswith("-") else name)
        assert composed([argument]).output_dir == name
    for name in set(NAMES) - {"null", "a${x}b$y", "tab\tand\nline"}:  # typed by someone who quotes for the shell only
        assert composed([f"output_dir={name}"]).output_dir == name, name
        assert composed([f"+data.val.mine.root={name}"]).data.val.mine.root == name, name
    assert pasted([shell_text(json.dumps(NAMES))]) == [[json.dumps(NAMES)]]
    assert hydra_text("outputs/run_1/2026-11-28_21-58-39") == "outputs/run_1/2026-11-28_21-58-39"


@pytest.fixture
def typed(monkeypatch, train_py):
    """`typed("loss=gan", ...)` runs `python train.py ...` in this process; its exit code, and what it said."""

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.delenv(BY_UV, raising=False)
        done = train_py(*words)
        return done.code, done.out + done.err

    return run


def told(said: str, label: str) -> list[str]:
    """The words of the command that the end of a run gives after a label."""
    [line] = [line for line in said.splitlines() if line.startswith(f"  {label}")]
    [words] = pasted([line.removeprefix(f"  {label}").strip()])
    assert words[0] == "python" and words[1].endswith("train.py")  # runpy gives the whole path
    return words[2:]


QUICK = [*TINY_RUN, "trainer.max_steps=2"]
RUNS = {
    "as it comes": [*TINY_MODEL["msrresnet"], *QUICK],
    "own images at x2": [
        *TINY_MODEL["srresnet"], *QUICK, "scale=2", "data=images", "data.train.root=<tmp>/images", "data.crop=36",
        "data.batch_size=2", "loss/pixel=charbonnier", "++loss.terms.fft={name: fft, weight: 0.1}",
        "output_dir=<tmp>/k=v (1) 照片",
    ],
    "video": [*TINY_VIDEO, *TINY_VIDEO_RUN, "optim.accumulate=2", "stage.joint.clip_length=2", "name=a clip's"],
    "video without a flow network": [
        *TINY_RECURRENT["basicvsr_uni"][:-1], *TINY_VIDEO_RUN, "stage.sr.steps=2", "stage.sr.clip_length=2",
    ],
    "FRVSR without a flow network": [*TINY_VIDEO, *TINY_VIDEO_RUN, "model.flow=lucas_kanade", "stages=[sr]"],
    "grey RRDB": [*TINY_MODEL["rrdbnet"], *QUICK, "channels=1", "+loss/perceptual=none", "name=grey #1"],
    "recipe": ["experiment=msrresnet_x4", *TINY_MODEL["msrresnet"], *QUICK, "data.train.root=<tmp>/images"],
    "GAN": [*TINY_MODEL["msrresnet"], *QUICK, *TINY_GAN],
}  # fmt: skip


FIRST = ("own images at x2",)  # the others are slow


@pytest.mark.parametrize("kind", [k if k in FIRST else pytest.param(k, marks=pytest.mark.slow) for k in RUNS])
def test_what_the_end_of_a_run_tells_to_type_trains(kind, typed, tmp_path):
    (tmp_path / "images").mkdir()
    Image.effect_noise((96, 96), 60).convert("RGB").save(tmp_path / "images/a.png")
    words = [word.replace("<tmp>", str(tmp_path)) for word in ("output_dir=<tmp>/out", *RUNS[kind])]
    code, said = typed(*words)
    assert code == 0, said
    [config] = tmp_path.glob("*/*/*/config.yaml")
    before = yaml.safe_load(config.read_text())
    code, longer = typed(*told(said, "train longer"))
    assert code == 0 and json.loads((config.parent / "summary.json").read_text())["state"] == "finished", longer
    if kind in ("GAN", "FRVSR without a flow network"):  # the latter has no stage with the losses of a GAN
        assert "sharpen" not in said
    else:
        code, sharp = typed(*told(said, "sharpen"))
        assert code == 0, sharp
        [gan] = set(tmp_path.glob("*/*/*/config.yaml")) - {config}
        after, summary = yaml.safe_load(gan.read_text()), json.loads((gan.parent / "summary.json").read_text())
        assert after["loss"]["name"] == "gan" and "adversarial loss" not in summary["left_out"]
        assert str(config.parent) in summary["initialised_from"] and "gan" in gan.parent.parent.name
        for key in ("model", "scale", "channels", "data", "degradation", "output_dir", "optim", "metrics"):
            assert after[key] == before[key], key
    repeat = next(line for line in config.read_text().splitlines() if "--config-dir" in line)
    [again] = pasted([repeat.removeprefix("#")])
    code, shown = typed(*again[2:], "--cfg", "job")
    assert code == 0 and yaml.safe_load(shown[shown.index("loss:") :])["name"] == before["name"]
