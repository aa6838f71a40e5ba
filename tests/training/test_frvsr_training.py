"""Staged video training through the real command: what trains when, resuming in every stage, what is left behind."""

import csv
import json
import signal

import pytest
import torch
from PIL import Image

from sr_experiments.tracking.loggers import MetricsCSV
from tests.conftest import TINY_GAN, TINY_VIDEO, TINY_VIDEO_RUN
from tests.same_runs import assert_same, state

GAN = [*TINY_GAN, "stage.joint.update_margin=0.05", "optim.discriminator_learning_rate=1e-3"]


def weights(folder, name, of="generator"):
    record = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
    return {k.removeprefix(f"{of}."): v for k, v in record.items() if k.startswith(f"{of}.")}


def part(state_dict, name):
    return {k: v for k, v in state_dict.items() if k.startswith(f"{name}.")}


def same(a, b):
    assert a
    return all(torch.equal(a[k], b[k]) for k in a)


def stop_in_this_process(train, root, run, after, video=True):
    """Run until `after` steps are logged, then be sent SIGTERM; the run's folder."""
    log = MetricsCSV.log_metrics

    def stopping(self, metrics, step=None):
        log(self, metrics, step)
        if step == after and any(key.startswith("loss/") for key in metrics):
            signal.raise_signal(signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(SystemExit) as stop:
        patched.setattr(MetricsCSV, "log_metrics", stopping)
        train(*run, name=root.name, video=video)
    assert stop.value.code == 128 + signal.SIGTERM
    return next(root.glob("*/*"))


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return {(int(r["step"]), r["metric"]): float(r["value"]) for r in csv.DictReader(file)}


def test_each_stage_trains_what_it_says_and_leaves_its_checkpoint_and_metrics(train):
    folder = train(video=True)
    flow, sr, joint = (weights(folder, f"stage_{name}") for name in ("1_flow", "2_sr", "3_joint"))
    begin = train("stages=[flow]", "stage.flow.steps=1", "optim.learning_rate=1e-30", name="begin", video=True)
    fresh = weights(begin, "last")

    assert same(part(fresh, "srnet"), part(flow, "srnet")) and not same(part(fresh, "fnet"), part(flow, "fnet"))
    assert same(part(flow, "fnet"), part(sr, "fnet")) and not same(part(flow, "srnet"), part(sr, "srnet"))
    assert not same(part(sr, "fnet"), part(joint, "fnet")) and not same(part(sr, "srnet"), part(joint, "srnet"))

    logged = rows(folder)
    assert [logged[step, "stage"] for step in (1, 2, 3, 4, 5, 6)] == [1, 1, 2, 2, 3, 3]
    assert {m for s, m in logged if s == 1 and m.startswith("loss/")} == {"loss/warp", "loss/generator"}
    assert {m for s, m in logged if s == 2 and m.startswith("val/")} == {
        "val/sample_video/warp_psnr",
        "val/sample_video/flow_epe",
    }
    assert {m for s, m in logged if s == 3 and m.startswith("loss/")} == {"loss/pixel", "loss/generator"}
    assert {m for s, m in logged if s == 5 and m.startswith("loss/")} == {"loss/pixel", "loss/warp", "loss/generator"}
    # Cosine within each stage; the flow net's share of the rate in the joint stage is a tenth.
    assert logged[3, "learning_rate/fnet"] == 0 and logged[1, "learning_rate/srnet"] == 0
    assert logged[5, "learning_rate/fnet"] == pytest.approx(0.1 * logged[5, "learning_rate/srnet"])
    assert logged[1, "learning_rate/fnet"] == logged[3, "learning_rate/srnet"] == logged[5, "learning_rate/srnet"]

    summary = json.loads((folder / "summary.json").read_text())
    assert list(summary["stages"]) == ["1_flow", "2_sr", "3_joint"]
    assert summary["max_steps"] == 6 and summary["best"]["step"] == 6, "the best is chosen in the last stage"
    for metric in ("psnr_y", "tof", "warping_error", "flow_epe", "warp_psnr"):
        assert f"val/sample_video/{metric}" in summary["stages"]["2_sr"]
    assert "val/sample_video/warping_error_bicubic" in summary["final"]
    assert any("tlp" in what for what in summary["left_out"]), "no LPIPS weights here: left out, not invented"

    pictures = folder / "samples" / "3_joint" / "step_00000006"
    names = sorted(p.name for p in pictures.iterdir())
    assert names == ["sample_video_camera.mp4", "sample_video_camera_0005.png", "sample_video_camera_xt.png"]
    assert Image.open(pictures / "sample_video_camera_xt.png").width == 3 * 64 + 2 * 4

    flow_pictures = folder / "samples" / "1_flow" / "step_00000002"
    assert [p.name for p in flow_pictures.iterdir()] == ["sample_video_camera_0005.png"]
    assert Image.open(flow_pictures / "sample_video_camera_0005.png").width == 4 * 64 + 3 * 4

    import av

    with av.open(str(pictures / "sample_video_camera.mp4")) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == 6 and frames[0].shape == (84, 200, 3)


def test_frozen_networks_are_in_eval_mode_and_get_no_gradients(train, monkeypatch):
    from sr_experiments.training.video import VideoModule

    seen = []
    update = VideoModule.update

    def watched(module, loss, *names):
        result = update(module, loss, *names)
        for name in ("fnet", "srnet"):
            network = getattr(module.generator, name)
            frozen = not network.training and not any(p.requires_grad for p in network.parameters())
            assert frozen != network.training
            assert all(p.grad is None for p in network.parameters())
            seen.append((module.step, name, frozen))
        return result

    monkeypatch.setattr(VideoModule, "update", watched)
    train("trainer.val_every=1", video=True)  # validation between any two steps
    frozen = {(step, name) for step, name, is_frozen in seen if is_frozen}
    assert frozen == {(0, "srnet"), (1, "srnet"), (2, "fnet"), (3, "fnet")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "after"), [((60, 4, 4), 20), ((4, 60, 4), 25), ((4, 4, 60), 25)], ids=["flow", "sr", "joint"]
)
def test_resume_mid_stage_equals_uninterrupted_run(train, tmp_path, steps, after):
    """A GAN that is killed: tests/crash/test_training_killed.py."""
    run = [
        *TINY_VIDEO,
        *TINY_VIDEO_RUN,
        *(f"stage.{name}.steps={n}" for name, n in zip(("flow", "sr", "joint"), steps, strict=True)),
        "trainer.val_every=1000",
        "trainer.checkpoint_every=15",
        "callbacks.clips.count=0",
    ]
    folder = stop_in_this_process(train, tmp_path / "stopped", run, after)
    stopped_at = state(folder)["sr_experiments"]["step"]
    assert 8 < stopped_at < sum(steps)
    train(f"resume={folder}")
    reference = train(*run, name="reference", video=True)
    assert state(folder)["sr_experiments"]["step"] == sum(steps)
    assert_same(state(folder), state(reference))


def test_gan_joint_stage_has_every_term_and_a_gated_discriminator(train):
    folder = train(*GAN, "stage.joint.steps=12", "stage.joint.update_margin=-1000", "trainer.val_every=50", video=True)
    logged = rows(folder)
    assert not any(m.startswith("gan/") or m == "loss/ping_pong" for s, m in logged if s <= 4), "pixel-only before"
    for term in ("pixel", "warp", "ping_pong", "adversarial", "discriminator"):
        assert (16, f"loss/{term}") in logged, term
    assert (5, "loss/adversarial") not in logged, "warm-up counts from the stage's start"
    assert {v for (s, m), v in logged.items() if m == "gan/d_updates"} == {0.0}
    checkpoint = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert not checkpoint["optimizer_states"][2]["state"], "the margin was never below -1000"

    free = train(
        *GAN, "stage.joint.steps=12", "stage.joint.update_margin=null", "trainer.val_every=50", name="free", video=True
    )
    assert {v for (s, m), v in rows(free).items() if m == "gan/d_updates"} == {1.0}


def test_stages_can_be_chosen_repeated_and_started_from_parts(train):
    flow = train("stages=[flow]", name="flow", video=True)
    image = train("model.blocks=1", name="image")  # a tiny MSRResNet on photographs
    parts = [
        "model.srnet.name=msrresnet",
        f"init_from={{fnet: {flow}, srnet: {image}}}",
        "stages=[sr,joint,sr]",
        "stage.sr.trains.srnet=1e-30",
    ]
    folder = train(*parts, name="parts", video=True)
    assert same(part(weights(flow, "best", of="ema"), "fnet"), part(weights(folder, "stage_1_sr"), "fnet"))
    summary = json.loads((folder / "summary.json").read_text())
    assert list(summary["stages"]) == ["1_sr", "2_joint", "3_sr"]
    # The image network's EMA weights, frame by frame: the last stage but for a rate of nothing.
    started = weights(folder, "stage_1_sr")
    trained = weights(image, "best", of="ema")
    assert torch.equal(started["srnet.conv_hr.weight"], trained["conv_hr.weight"])
    assert torch.equal(started["srnet.conv_first.weight"][:, :3], trained["conv_first.weight"])
    assert started["srnet.conv_first.weight"][:, 3:].abs().max() < 1e-20

    compared = train("stages=[joint]", f"init_from={folder}", "model.srnet.name=msrresnet", f"val.compare_with={image}",
                     name="compared", video=True)  # fmt: skip
    final = json.loads((compared / "summary.json").read_text())["final"]
    assert {"val/sample_video/warping_error_compared", "val/sample_video/psnr_y_compared"} <= set(final)


def test_an_image_generator_learns_from_clips_frame_by_frame(train):
    video = [o for o in TINY_VIDEO_RUN if not o.startswith(("trainer", "logger"))]
    folder = train("data=sample_video", *video, "~data.val.sample")
    final = json.loads((folder / "summary.json").read_text())["final"]
    assert {"val/sample_video/tof", "val/sample_video/warping_error"} <= set(final)
    assert not any("flow" in key or "warp_psnr" in key for key in final)


@pytest.mark.slow
def test_longer_last_stage_after_the_end(train):
    options = ["optim/schedule=constant", "trainer.val_every=100"]
    folder = train(*options, video=True)
    train(f"resume={folder}", "++stage.joint.steps=4")
    assert_same(state(folder), state(train(*options, "stage.joint.steps=4", name="at_once", video=True)))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stages=[flow,fine]"], "unknown stage 'fine' in stages: choose of flow, sr, joint"),
        (["stages=[]"], "stages is []"),
        (["stage.flow.steps=0"], "stage.flow.steps is 0"),
        (["stage.flow.clip_length=1"], "stage.flow.clip_length is 1"),
        (["+stage.sr.trains.gnet=1.0"], "stage.sr.trains has no gnet: did you mean fnet?"),
        (["+stage.sr.losses.pixle=1.0"], "stage.sr.losses has no 'pixle'"),
        (["trainer.max_steps=5"], "trainer.max_steps is the sum of the stages"),
        (["loss.terms.pixel.weight=2"], "loss.terms.pixel.weight has no effect on stages"),
        (["data=sample", "data.crop=32"], "model=frvsr learns from clips"),
        (["scale=3", "data.crop=33"], "frvsr can't do scale=3"),
        (["val.compare_with=nowhere.pth"], "no checkpoint nowhere.pth"),
        (["init_from={decoder: x.pth}"], "x.pth"),
    ],
)
def test_mistakes_get_one_line(train, capsys, overrides, message):
    run = list(overrides)
    if "data=sample" in overrides:
        run.append("~data.val.sample_video")
    with pytest.raises(SystemExit) as stop:
        train(*run, video=True)
    assert stop.value.code == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(error) == 1 and message in error[0], error
