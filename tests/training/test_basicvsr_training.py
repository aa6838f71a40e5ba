"""Training of a network that hands on features, in the stages of FRVSR; what it can start from, and what it refuses."""

import json

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from sr_experiments.evaluation.evaluate import Request, evaluate
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.upsampling import UPSAMPLING
from tests.conftest import others_slow
from tests.inference.films import film
from tests.same_runs import assert_same, state
from tests.training.test_frvsr_training import GAN, part, rows, same, stop_in_this_process, weights

FRAME_BY_FRAME = ["model.memory=none", "stages=[sr]"]
NET = "model.flow=net"


def test_stages_train_what_they_say_and_a_gan_stage_has_its_terms(train):
    folder = train(
        NET, *GAN, "~stage.sr.gan_losses", "stage.joint.steps=6", "trainer.val_every=6", video="basicvsr_uni"
    )
    flow, sr, joint = (weights(folder, f"stage_{name}") for name in ("1_flow", "2_sr", "3_joint"))
    assert same(part(flow, "fnet"), part(sr, "fnet")) and not same(part(flow, "srnet"), part(sr, "srnet"))
    assert not same(part(sr, "fnet"), part(joint, "fnet")) and not same(part(sr, "srnet"), part(joint, "srnet"))
    logged = rows(folder)
    for term in ("pixel", "warp", "ping_pong", "adversarial", "discriminator"):
        assert (10, f"loss/{term}") in logged, term
    final = json.loads((folder / "summary.json").read_text())["final"]
    assert {"val/sample_video/warp_psnr", "val/sample_video/tof", "val/sample_video/flow_epe"} <= set(final)


@pytest.mark.slow
def test_resume_in_the_joint_stage_equals_an_uninterrupted_run(train, tmp_path):
    run = [
        NET,
        "stages=[joint]",
        "stage.joint.steps=40",
        "trainer.val_every=1000",
        "trainer.checkpoint_every=15",
        "callbacks.clips.count=0",
    ]
    folder = stop_in_this_process(train, tmp_path / "stopped", run, 20, "basicvsr_uni")
    assert 8 < state(folder)["sr_experiments"]["step"] < 40
    train(f"resume={folder}")
    assert_same(state(folder), state(train(*run, name="reference", video="basicvsr_uni")))


def test_a_flow_net_that_nothing_trains_is_said(train, caplog):
    train(NET, "stages=[sr]", video="basicvsr_uni")
    assert "the flow net stays random: none of stages=[sr] trains it" in caplog.text


def test_frame_by_frame_it_learns_from_the_same_clips_without_a_flow_net(train):
    folder = train(*FRAME_BY_FRAME, video="basicvsr_uni")
    final = json.loads((folder / "summary.json").read_text())["final"]
    assert {"val/sample_video/psnr_y", "val/sample_video/tof"} <= set(final)
    assert not any("flow" in key or "warp_psnr" in key for key in final)
    kernels = weights(folder, "last")["srnet.conv_first.weight"]
    begun = train(*FRAME_BY_FRAME, "optim.learning_rate=1e-30", name="begun", video="basicvsr_uni")
    before = weights(begun, "last")["srnet.conv_first.weight"]
    assert torch.equal(kernels[:, 3:], before[:, 3:]) and not torch.equal(kernels[:, :3], before[:, :3])


@pytest.mark.parametrize(("video", "model"), [("basicvsr_uni", []), ("frvsr", ["model.flow=lucas_kanade"])])
def test_with_the_flow_of_lucas_and_kanade_only_the_sr_net_trains(train, video, model):
    folder = train(*model, "stages=[sr]", video=video)
    assert not part(weights(folder, "last"), "fnet")
    logged = rows(folder)
    assert "learning_rate/srnet" in {m for _, m in logged} and "learning_rate/fnet" not in {m for _, m in logged}
    assert {"val/sample_video/flow_epe", "val/sample_video/warp_psnr"} <= {m for _, m in logged}


def test_its_only_stage_may_be_a_gans(train):
    folder = train(*GAN, "stages=[sr]", "stage.sr.clip_length=3", "stage.sr.steps=6", video="basicvsr_uni")
    logged = rows(folder)
    for term in ("pixel", "ping_pong", "adversarial", "discriminator"):
        assert (6, f"loss/{term}") in logged, term


@pytest.fixture
def clips(tmp_path):
    for clip in ("a", "b"):
        (tmp_path / "clips" / clip).mkdir(parents=True)
        for i, frame in enumerate(film(6, 48, 64)):
            Image.fromarray(frame if clip == "a" else frame[::-1]).save(tmp_path / "clips" / clip / f"{i}.png")
    return tmp_path / "clips"


def with_lookahead(train, clips):
    run = ["stages=[sr]", "~data.val.sample_video", f"+data.val.mine.root={clips}", "optim.learning_rate=0.02"]
    return train(*run, "model.lookahead=2", name="ahead", video="basicvsr_uni")


def test_a_lookahead_is_validated_as_it_is_evaluated(train, clips):
    folder = with_lookahead(train, clips)
    report = evaluate(Request(clips, [folder / "checkpoints" / "last.ckpt"], device="cpu"))
    assert report.results[1].mean["psnr_y"] == pytest.approx(final(folder)["val/mine/psnr_y"], abs=1e-3)


@pytest.mark.slow
def test_a_causal_network_is_compared_with_one_that_looks_ahead(train, clips):
    ahead = with_lookahead(train, clips)
    run = ["stages=[sr]", "~data.val.sample_video", f"+data.val.mine.root={clips}", f"val.compare_with={ahead}"]
    values = final(train(*run, name="beside", video="basicvsr_uni"))
    assert values["val/mine/psnr_y_compared"] == pytest.approx(final(ahead)["val/mine/psnr_y"], abs=1e-4)


@pytest.mark.slow
def test_a_gan_stage_with_a_lookahead_resumes_to_the_bit(train, tmp_path):
    run = [
        "model.lookahead=1",
        *GAN,
        "stages=[sr]",
        "stage.sr.clip_length=3",
        "stage.sr.steps=12",
        "trainer.val_every=1000",
        "trainer.checkpoint_every=4",
        "callbacks.clips.count=0",
    ]
    folder = stop_in_this_process(train, tmp_path / "stopped", run, 6, "basicvsr_uni")
    assert state(folder)["sr_experiments"]["step"] < 12
    train(f"resume={folder}")
    assert_same(state(folder), state(train(*run, name="reference", video="basicvsr_uni")))
    assert (12, "loss/ping_pong") in rows(folder)


def final(folder):
    return json.loads((folder / "summary.json").read_text())["final"]


@pytest.mark.parametrize("head", others_slow(["steps"], ["direct", "steps"]))
def test_it_starts_from_an_image_network_and_from_the_flow_net_of_another(train, head):
    image = train("model.blocks=1", name="image")  # a tiny MSRResNet on photographs
    frvsr = train("stages=[flow]", name="flow", video=True)
    folder = train(
        NET,
        f"model.head={head}",
        f"init_from={{fnet: {frvsr}, srnet: {image}}}",
        "stages=[joint]",
        "optim.learning_rate=1e-30",
        name="parts",
        video="basicvsr_uni",
    )
    started, trained = weights(folder, "last"), weights(image, "best", of="ema")
    assert same(part(weights(frvsr, "best", of="ema"), "fnet"), part(started, "fnet"))
    assert torch.equal(started["srnet.conv_first.weight"][:, :3], trained["conv_first.weight"])
    assert started["srnet.conv_first.weight"][:, 3:].abs().max() < 1e-20
    assert (head == "steps") == torch.equal(
        started["srnet.conv_last.weight"][:3, :, 0, 0], trained["conv_last.weight"][..., 0, 0]
    )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model.memory=unwarped", "stages=[joint]"],
            "stage.joint trains fnet, but there is no flow net to train",
        ),
        (
            ["stages=[flow]"],
            "stage.flow trains fnet, but there is no flow net to train: set model.flow=net, or",
        ),
        (
            ["model.memory=none", "stages=[joint]", "~stage.joint.trains.fnet"],
            "stage.joint has the loss warp, but there is no flow net to train: add ~stage.joint.losses.warp",
        ),
        (["model.head=transposed"], "model.head is 'transposed'"),
        (["model.memory=long"], "model.memory is 'long'"),
        (["data=sample", "~data.val.sample_video"], "model=basicvsr_uni learns from clips"),
    ],
)
def test_mistakes_get_one_line(train, capsys, overrides, message):
    refused(train, capsys, overrides, message)


def test_weights_of_another_recurrent_network_are_refused_but_for_its_flow_net(train, capsys):
    frvsr = train("stages=[joint]", name="frvsr", video=True)
    refused(train, capsys, [f"init_from={frvsr}"], "is of frvsr, another recurrent network")
    without = ["model.memory=unwarped", "stages=[sr]", f"init_from={{fnet: {frvsr}}}"]
    refused(train, capsys, without, "init_from.fnet: the network to be trained has no such part")


def refused(train, capsys, overrides, message):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        train(*overrides, name="refused", video="basicvsr_uni")
    assert stop.value.code == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(error) == 1 and message in error[0], error


@pytest.mark.parametrize("phase", UPSAMPLING)
@pytest.mark.parametrize("head", ["direct", "steps"])
def test_it_begins_as_an_enlargement_and_stays_one_over_a_hundred_frames(phase, head):
    torch.manual_seed(0)
    network = GENERATORS["basicvsr_uni"](features=16, blocks=3, head=head, phase=phase).eval()
    memory = None
    with torch.no_grad():
        for shift in range(100):
            lr = F.interpolate(torch.rand(1, 3, 6, 6), size=(24, 24), mode="bicubic").clamp(0, 1).roll(shift, 3)
            sr, memory = network.step(lr, memory)
    off = (sr - UPSAMPLING[phase](lr, 4)).square().mean().sqrt()
    assert 0 < off < 0.03 and memory.memory.abs().max() < 100
