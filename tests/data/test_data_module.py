import signal
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml
from PIL import Image
from torch import Tensor

from sr_experiments.data.batches import StepBatches, next_validation
from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.data.image_files import UnreadableImage
from sr_experiments.data.module import SRDataModule
from sr_experiments.data.workers import ignore_interrupt, worker_count, worker_message
from sr_experiments.errors import SRError
from sr_experiments.training.assemble import assemble
from tests.conftest import TINY_MODEL, TINY_RECURRENT, composed

CONF = Path(__file__).resolve().parents[2] / "conf" / "data"


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        ({"name": "images", "root": "x", "on_error": "ignore"}, {}, "on_error is 'ignore': give stop or skip"),
        ({"name": "videos", "root": "x", "on_error": "ignore"}, {}, "on_error is 'ignore': give stop or skip"),
        ({"name": "videos", "root": "x", "moving_frame": 30}, {}, "moving_frame is 30: .* at most 1"),
        ({"name": "reds", "root": "x", "lr": "blur"}, {}, "lr is 'blur': .* bicubic or null"),
        ({"name": "sample_video"}, {"mine": {"root": "x", "frames": 0}}, "frames is 0: .* at least 1"),
    ],
)
def test_a_wrong_argument_is_named_with_what_it_can_be(train: dict, val: dict, message: str) -> None:
    with pytest.raises(SRError, match=message):
        SRDataModule(train, val, crop=64)


class Recorder(pl.LightningModule):
    """Keeps the batches it is given and counts steps."""

    def __init__(self, step: int = 0, max_steps: int = 10) -> None:
        super().__init__()
        self.step, self.max_steps = step, max_steps
        self.batches: dict[int, Tensor] = {}
        self.validated: list[tuple[int, int, str]] = []

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self.batches[self.step] = batch["hr"]
        self.step += 1
        if self.step >= self.max_steps:
            self.trainer.should_stop = True

    def validation_step(self, batch: dict, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.validated.append((self.step, dataloader_idx, batch["name"][0]))

    def configure_optimizers(self) -> None:
        return None


def fit(root: Path, step: int = 0, num_workers: int = 0, max_steps: int = 10) -> Recorder:
    data = SRDataModule(
        train={"name": "images", "root": str(root)},
        val={"small": {"root": str(root), "limit": 1}, "all": {"name": "images", "root": str(root)}},
        batch_size=2,
        crop=16,
        num_workers=num_workers,
        scale=2,
        val_every=4,
        ends=[max_steps],
    )
    module = Recorder(step, max_steps)
    trainer = pl.Trainer(
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, data)
    return module


@pytest.fixture
def folder(tmp_path: Path, save_image) -> Path:
    for i in range(5):
        save_image(tmp_path / "images" / f"{i}.png", seed=i)
    return tmp_path / "images"


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_any_number_of_workers_gives_the_same_batches(folder: Path, workers: int) -> None:
    alone, helped = fit(folder), fit(folder, num_workers=workers)
    assert list(alone.batches) == list(helped.batches) == list(range(10))
    assert all(torch.equal(alone.batches[step], helped.batches[step]) for step in range(10))


@pytest.mark.parametrize("step", [3, *(pytest.param(step, marks=pytest.mark.slow) for step in (4, 9))])
def test_starting_at_a_later_step_continues_the_same_batches(folder: Path, step: int) -> None:
    whole, resumed = fit(folder), fit(folder, step=step, num_workers=1)
    assert list(resumed.batches) == list(range(step, 10))
    assert all(torch.equal(whole.batches[s], batch) for s, batch in resumed.batches.items())


def test_an_epoch_lasts_until_the_next_multiple_of_val_every(folder: Path) -> None:
    assert sorted({step for step, _, _ in fit(folder).validated}) == [4, 8, 10]
    assert sorted({step for step, _, _ in fit(folder, step=3).validated}) == [4, 8, 10]


def test_validation_sets_keep_their_order_and_their_images(folder: Path) -> None:
    first = [(loader, name) for step, loader, name in fit(folder, num_workers=1).validated if step == 4]
    assert first == [(0, "0"), (1, "0"), (1, "1"), (1, "2"), (1, "3"), (1, "4")]


def test_ranks_share_out_the_samples_of_one_process_with_the_joint_batch() -> None:
    def samples(rank: int, world_size: int, batch_size: int) -> list[list[int]]:
        return list(StepBatches(lambda: 3, batch_size, lambda step: 8, None, rank, world_size))

    joint = samples(0, 1, 4)
    assert len(joint) == 5
    assert [a + b for a, b in zip(samples(0, 2, 2), samples(1, 2, 2), strict=True)] == joint
    assert joint[0] == [12, 13, 14, 15]


def test_batches_have_no_length() -> None:
    with pytest.raises(TypeError):
        len(StepBatches(lambda: 0, 1, lambda step: 1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 4), (3, 4), (4, 6), (6, 8), (8, 10), (10, 10)], ids=lambda value: str(value)
)
def test_validation_comes_at_multiples_and_at_the_ends_of_stages(step: int, expected: int) -> None:
    assert next_validation(step, val_every=4, ends=[6, 10]) == expected


def test_no_batches_after_the_last_step() -> None:
    assert list(StepBatches(lambda: 8, 1, lambda step: next_validation(step, 4, [8]))) == []


def test_stages_have_their_own_number_and_length_of_clips() -> None:
    batches = StepBatches(lambda: 1, 4, lambda step: 3, clips=lambda step: (4, 2) if step < 2 else (1, 5))
    assert list(batches) == [[(4, 2), (5, 2), (6, 2), (7, 2)], [(8, 5)]]


@pytest.mark.parametrize("workers", [0, 2])
def test_validation_images_are_dealt_to_ranks_without_repeats(folder: Path, workers: int) -> None:
    data = SRDataModule(
        {"name": "sample"}, {"five": {"root": str(folder)}}, crop=16, num_workers=workers, scale=2, ends=[1]
    )

    class Rank:
        world_size, num_devices = 2, 2

        def __init__(self, rank: int) -> None:
            self.global_rank = rank
            self.strategy = type("Strategy", (), {"root_device": torch.device("cpu")})

    names = []
    for rank in range(2):
        data.trainer = Rank(rank)  # type: ignore[assignment]
        names.append([batch["name"][0] for batch in data.val_dataloader()[0]])
    assert names == [["0", "2", "4"], ["1", "3"]]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_reaches_the_main_process_as_one_line(folder: Path, truncate, workers: int) -> None:
    truncate(folder / "3.png")
    with pytest.raises(UnreadableImage) as caught:
        fit(folder, num_workers=workers)
    message = worker_message(caught.value)
    assert message.startswith(f"can't read image {folder / '3.png'}: ")
    assert "\n" not in message and "Traceback" not in message and "Caught" not in message


def test_messages_from_the_main_process_stay_as_they_are() -> None:
    assert worker_message(SRError("no folder x: check the path")) == "no folder x: check the path"


def test_worker_count_follows_cores_memory_and_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(12)), raising=False)
    assert worker_count("auto", in_memory=True) == 0
    assert worker_count("auto", in_memory=False) == 8
    assert worker_count("auto", in_memory=False, processes=4) == 3
    assert worker_count("auto", in_memory=False, processes=100) == 1
    assert worker_count(5, in_memory=True) == 5


def test_workers_leave_ctrl_c_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        ignore_interrupt(0)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_without_validation_sets_the_sample_photographs_serve(folder: Path) -> None:
    assert SRDataModule({"name": "images", "root": str(folder)}, {}, crop=16).val_names == ["sample"]


def test_a_set_with_lr_is_paired(folder: Path, tmp_path: Path, save_image) -> None:
    for i in range(5):
        save_image(tmp_path / "lr" / f"{i}.png", 20, 24)
    sets = {"mine": {"hr": str(folder), "lr": str(tmp_path / "lr")}, "plain": {"root": str(folder)}}
    data = SRDataModule({"name": "sample"}, sets, crop=16, scale=2)
    first, second = (next(iter(loader)) for loader in data.val_dataloader())
    assert data.val_names == ["mine", "plain"]
    assert first["lr"].shape == (1, 3, 20, 24) and first["hr"].shape == (1, 3, 40, 48)
    assert "lr" not in second


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crop": 18}, r"data\.crop=18 must be a multiple of scale=4: use 16"),
        ({"crop": 3, "train": {"name": "videos", "root": "x"}}, r"data\.crop=3 must be a multiple of scale=4: use 4"),
        ({"crop": 9, "scale": 2, "train": {"name": "sample_video"}}, r"data\.crop=9 .* multiple of scale=2: use 8"),
        ({"train": {"name": "images"}}, "training data 'images' needs root"),
        ({"train": {"name": "images", "root": "/nowhere/at/all"}}, "no folder /nowhere/at/all"),
        (
            {"train": {"name": "folder"}},
            "choose one of images, mixed, paired, reds, sample, sample_video, videos",
        ),
        ({"val": {"set5": {"rot": "x"}}}, "validation data set5: 'images' has no argument rot"),
        ({"val": {"set5": {"hr": "x"}}}, "validation data set5: 'paired' needs lr"),
        ({"val": {"set5": "x"}}, r"data\.val\.set5\.root=<folder>"),
        ({"val": {"set5": {"name": "sample", "limit": 0}}}, "validation data set5: 'sample': its limit is 0: give"),
    ],
)
def test_mistakes_name_the_knob(arguments: dict, message: str) -> None:
    with pytest.raises(SRError, match=message):
        SRDataModule(**{"train": {"name": "sample"}, "crop": 16, **arguments})


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_yaml_of_the_group_makes_a_data_module(path: Path, folder: Path, tmp_path: Path, save_image) -> None:
    for i in range(5):
        save_image(tmp_path / "lr" / f"{i}x2.png", 20, 24)
    for i in range(1, 8):
        save_image(tmp_path / "vimeo" / "sequences" / "00001" / "0001" / f"im{i}.png", 256, 448)
        save_image(tmp_path / "reds" / "train_sharp" / "001" / f"{i:08d}.png", 48, 40)
        save_image(tmp_path / "videos" / "clip" / f"{i}.png", 48, 40)
    (tmp_path / "vimeo" / "sep_trainlist.txt").write_text("00001/0001\n")
    text = path.read_text()
    config = yaml.safe_load(text)
    root = {"videos": tmp_path / "videos", "reds": tmp_path / "reds", "vimeo90k": tmp_path / "vimeo"}.get(
        path.stem, folder
    )
    folder = folder if root == folder else root
    given = {"root": str(folder), "hr": str(folder), "lr": str(tmp_path / "lr")}
    config["train"] = {key: given[key] if value == "???" else value for key, value in config["train"].items()}
    assert text.startswith("# ")
    data = SRDataModule(
        **{**config, "crop": 16, "num_workers": 0},
        scale=2,
        ends=[2],
        clips_of_step=lambda step: (config["batch_size"], 3),
    )
    batch = next(iter(data.train_dataloader()))
    frames = (3,) if data.clips else ()
    assert batch["hr"].shape == (config["batch_size"], *frames, 3, 16, 16)
    assert len(data.val_dataloader()) == 1


@pytest.mark.parametrize("degradation", ["bicubic", "blur_down"])
@pytest.mark.parametrize("kind", ["paired", "videos"])
def test_pairs_that_are_turned_fit_the_degradation_that_made_their_lr(tmp_path, save_image, kind, degradation) -> None:
    """With blur_down, LR pixels lie on the first HR pixels of their squares: of mirrored crops, too."""
    scale, margin = 4, 4  # in LR pixels; farther in than kernels reach
    make_lr = DEGRADATIONS[degradation](scale)
    (tmp_path / "lr/clip").mkdir(parents=True)
    for number in range(3):
        hr = torch.from_numpy(save_image(tmp_path / f"hr/clip/{number}.png", 72, 64, number)).permute(2, 0, 1)
        lr = make_lr.validation(hr[None] / 255)[0].mul(255).round().byte()
        Image.fromarray(lr.permute(1, 2, 0).numpy()).save(tmp_path / f"lr/clip/{number}.png")
    hr_key, model = ("hr", TINY_MODEL["msrresnet"]) if kind == "paired" else ("root", TINY_RECURRENT["frvsr"])
    folders = [f"data.train.{hr_key}={tmp_path}/hr", f"data.train.lr={tmp_path}/lr", f"degradation={degradation}"]
    clips = ["data.train.scene_cuts=none", "stages=[sr]", "stage.sr.clip_length=3"] if kind == "videos" else []
    given = [f"data={kind}", *folders, *clips, *model, "data.crop=64", "data.batch_size=8", "~metrics.lpips_alex"]
    with composed([*given, "data.val_share=0"]) as (config, _):
        assembly = assemble(config)
    inner = (..., slice(margin, -margin), slice(margin, -margin))
    wrong = []
    for crop in (64, 48):  # the first as wide as the images
        assembly.data.train_set.crop = crop
        for step in range(3):
            batch, _ = assembly.data.batch_of(step)
            hr, lr = (batch[name].reshape(-1, 3, *batch[name].shape[-2:]) / 255 for name in ("hr", "lr"))
            wrong.append((make_lr.validation(hr) - lr)[inner].abs().max() * 255)
    assert max(wrong) < 1.5
