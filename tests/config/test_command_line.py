"""What may be typed after `python train.py`: paths as they are, and one line for what is mistyped."""

import signal
import subprocess
import sys

import pytest
import yaml

from sr_experiments.config.command_line import prepared
from sr_experiments.config.declared import Declared, with_plain_words
from sr_experiments.config.quick_check import refuse
from sr_experiments.errors import SRError
from tests.conftest import ROOT

CONF = ROOT / "conf"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["--model", "rrdbnet"], "write model=rrdbnet"),
        (["--resume", "a b"], "write 'resume=a b'"),
        (["-model=rrdbnet"], "write model=rrdbnet"),
        (["model", "=", "rrdbnet"], "leave out the spaces, model=rrdbnet"),
        (["model", "=rrdbnet"], "leave out the spaces, model=rrdbnet"),
        (["model=", "rrdbnet"], "leave out the spaces, model=rrdbnet"),
        (["model = rrdbnet"], "leave out the spaces, model=rrdbnet"),
        (["rrdbnet"], "did you mean model=rrdbnet?"),
        (["data.train.root=my", "photos"], "write 'data.train.root=my photos'"),
        (["model=srresnet,rrdbnet"], "add -m"),
        (["model.features=8,16"], "add -m"),
        (["optim.betas=0.9,0.99"], "write 'optim.betas=[0.9,0.99]'"),
        (["name=a,b"], """'name="a,b"'"""),
        (["data.train.root="], "data.train.root= is empty: give a path"),
        (["init_from=''"], "init_from= is empty: give a path, or null for none"),
        (["-m", "hydra.sweep.dir="], "hydra.sweep.dir= is empty"),
        (["metrics.psnr_y={}"], "take parts out with ~metrics.psnr_y.<name>"),
    ],
)
def test_mistakes_show_the_right_spelling(typed, says):
    with pytest.raises(SRError) as error:
        prepared(typed, CONF)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_comma_separates_values_of_a_sweep_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert prepared(["data.train.root=a,b"], CONF) == ["data.train.root='a,b'"]
    assert prepared(["-m", "data.train.root=a,b"], CONF)[1] == "data.train.root=a,b"
    assert prepared(["-m", "data.train.root=é (1),b"], CONF)[1] == "data.train.root='é (1)',b"
    assert prepared(["-m", "hydra.sweep.dir=a,b"], CONF)[1] == "hydra.sweep.dir='a,b'"  # a sweep has one folder
    (tmp_path / "a,b").mkdir()
    with pytest.raises(SRError, match=r"""'data\.train\.root="a,b"'"""):
        prepared(["-m", "data.train.root=a,b"], CONF)


def test_what_hydra_reads_is_left_to_it():
    arguments = [
        "--cfg", "job", "--config-dir", "a=b", "model=rrdbnet", "init_from={fnet: a, srnet: b}", "~loss.terms.fft",
        "data.train.root=${oc.env:HOME}/x", "optim.betas=[0.9,0.99]", "resume=null", "data.cache=true",
    ]  # fmt: skip
    assert prepared(arguments, CONF) == arguments
    once = prepared(["data.train.root=/照片", "init_from={fnet: /照片, srnet: b}", "output_dir=2024"], CONF)
    assert prepared(once, CONF) == once


def test_words_for_true_false_and_null_are_these_where_a_setting_takes_them():
    words = {
        "data": {"cache": "off", "train": {"name": "reds", "lr": "None", "scene_cuts": "none"}},
        "trainer": {"compile": "yes", "accelerator": "no"},
        "optim": {"clip_norm": "off", "ema_decay": "none"},
        "logger": {"name": "none", "tables": "none", "watch": "None"},
        "name": "on",
    }
    read = with_plain_words(words, Declared(CONF))
    assert read["data"] == {"cache": False, "train": {"name": "reds", "lr": None, "scene_cuts": "none"}}
    assert read["trainer"] == {"compile": True, "accelerator": "no"} and read["name"] == "on"
    assert read["optim"] == {"clip_norm": None, "ema_decay": None}
    assert read["logger"] == {"name": "none", "tables": "none", "watch": None}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scal": 2}, "there is no setting scal: did you mean scale?"),
        ({"model": {"name": "msrresnet", "blocks": 0}}, "model.blocks is 0: give a whole number of at least 1"),
        ({"trainer": {"max_stepz": 2}}, "trainer has no max_stepz: did you mean max_steps?"),
        ({"data": {"train": {"name": "images", "root": "/nowhere"}}}, "data.train.root=/nowhere: no such"),
        ({"data": {"val": {"mine": {"root": "/nowhere"}}}}, "data.val.mine.root=/nowhere: no such"),
        ({"init_from": {"fnet": "nowhere"}}, "init_from.fnet=nowhere: no such"),
    ],
)
def test_before_pytorch_is_loaded(change, says):
    stored = yaml.safe_load((ROOT / "tests/config/stored/video.yaml").read_text())
    known = {key: stored[key] for key in ("scale", "seed", "optim", "trainer", "callbacks", "degradation")}
    refuse(known)
    with pytest.raises(SRError) as error:
        refuse({**known, **change})
    assert says in str(error.value)


def test_it_is_quick_and_loads_no_pytorch(command):
    refused = command("+scal=2", PYTHONPROFILEIMPORTTIME="1")
    assert refused.returncode == 2 and "did you mean scale?" in refused.stderr
    assert "torch" not in {line.split("|")[-1].strip() for line in refused.stderr.splitlines()}


def test_ctrl_c_while_it_is_loading_ends_it_without_a_traceback(tmp_path):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what is ignored here, a child ignores too
    try:
        with subprocess.Popen(
            [sys.executable, "train.py", f"output_dir={tmp_path}"], cwd=ROOT, stderr=subprocess.PIPE, text=True
        ) as started:
            assert "loading PyTorch" in started.stderr.readline()
            started.send_signal(signal.SIGINT)
            assert started.stderr.read() == "interrupted\n"
    finally:
        signal.signal(signal.SIGINT, before)
    assert started.returncode == 128 + signal.SIGINT and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("lr=1e-4", "did you mean optim.learning_rate?"),
        ("epochs=3", "did you mean trainer.max_steps?"),
        ("data.gt_size=128", "data has no gt_size: did you mean data.crop?"),
        ("model.gc=3", "model has no gc: it has name, features, blocks"),  # MSRResNet has no growth
        (
            "model=frvsr stage.gan.steps=5",
            "stage has no gan: it has flow, sr, joint; a new one is added with +stage.gan",
        ),
        ("data.val.mine.root=x", "data.val has no mine: it has none; a new one is added with +data.val.mine.root=..."),
        ("data.val.mine=x", "data.val has no mine: what it holds has names, write +data.val.mine.mine=..."),
        ("+model=rrdbnet", "model is chosen already: leave out the +"),
        ("data.val.root=photographs", "write +data.val.mine.root=..."),
        (
            "experiment=frvsr_bd_x4 model=msrresnet data.train.root=.",
            "trains in stages, which model=msrresnet doesn't have",
        ),
        ("+metrics=dists", "one more is added with +metrics@metrics.dists=dists"),
        ("++loss/pixel=l1", "loss/pixel is chosen already: leave out the +"),
    ],
)
def test_names_of_other_frameworks_and_pluses_lead_to_ours(train_py, typed, says):
    refused = train_py(*typed.split())
    assert refused.code == 2 and says in refused.err and "Traceback" not in refused.err
