import io
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from sr_experiments.display.pictures import GAP, LABEL_HEIGHT, error_map, labelled
from sr_experiments.errors import SRError
from sr_experiments.evaluation.record import write_report_json
from sr_experiments.evaluation.results import Report, Result, difference
from sr_experiments.metrics.baseline import strip_tiles
from sr_experiments.report.command import read_all
from sr_experiments.report.comparison import compare, higher_is_better
from sr_experiments.report.differences import MISSING, differing, short_texts, value_text
from sr_experiments.report.evaluations import evaluation_section, read_evaluation
from sr_experiments.report.media import Media
from sr_experiments.report.next_commands import next_commands
from sr_experiments.report.page import page
from sr_experiments.report.samples import cut, picture_groups
from sr_experiments.report.table import print_comparison
from sr_experiments.runs.reading import read_run
from tests.report.made import config_of, picture

Make = Callable[..., Path]


def test_only_settings_that_differ_are_listed() -> None:
    one, other = config_of("a", features=8), config_of("b", features=16, stage={"sr": {"steps": 3}})

    settings = differing([one, other])

    assert [(s.key, s.values) for s in settings] == [
        ("model.features", [8, 16]),
        ("stage", [MISSING, {"sr": {"steps": 3}}]),
    ]
    assert [s.label for s in settings] == ["features", "stage"]
    assert [value_text(v) for v in settings[1].values] == ["–", "sr=(steps=3)"]


def test_a_setting_that_comes_with_a_choice_is_part_of_it() -> None:
    vanilla = {"name": "vanilla", "weight": 0.005}
    gan = {
        "name": "gan",
        "terms": {"pixel": {"weight": 0.01}, "adversarial": vanilla},
        "discriminator": {"name": "vgg"},
    }
    pixel = {"name": "pixel", "terms": {"pixel": {"weight": 1.0}}}
    weaker = {**gan, "terms": {**gan["terms"], "adversarial": {**vanilla, "weight": 0.001}}}
    configs = [{"seed": 0, "loss": pixel}, {"seed": 1, "loss": gan}, {"seed": 2, "loss": gan}]
    assert [s.key for s in differing(configs)] == ["loss.name", "seed", "loss.terms.pixel.weight"]
    assert differing(configs)[0].also == ["loss.terms.adversarial", "loss.discriminator"]
    configs[2]["loss"] = weaker  # now that it differs, it is one
    assert [s.label for s in differing(configs)] == ["loss", "seed", "pixel.weight", "adversarial"]


def test_settings_with_the_same_values_are_one() -> None:
    configs = [{"optim": {"learning_rate": v, "discriminator_learning_rate": v}} for v in (1e-3, 1e-4)]

    (setting,) = differing(configs)

    assert (setting.key, setting.also) == ("optim.learning_rate", ["optim.discriminator_learning_rate"])


def test_labels_are_short_but_tell_apart() -> None:
    configs = [{"model": {"name": i, "steps": 9 * i}, "loss": {"name": -i}, "stage": {"steps": 5 + i}} for i in (1, 2)]

    assert [s.label for s in differing(configs)] == ["model", "loss", "model.steps", "stage.steps"]


def test_a_label_means_one_setting_only_also_among_those_that_are_equal() -> None:
    terms = {"pixel": {"name": "l1", "weight": 1.0}, "fft": {"name": "fft", "weight": 0.1}}
    configs = [{"loss": {"terms": {**terms, "fft": {"name": "fft", "weight": w}}}, "seed": w} for w in (0.2, 0.3)]

    assert [(s.label, s.also) for s in differing(configs)] == [("fft.weight", ["seed"])]


def test_of_long_values_the_part_that_differs_is_shown() -> None:
    places = [f"/mnt/storage/datasets/super_resolution/of_all_kinds/{name}/train" for name in ("div2k", "flickr2k")]

    assert short_texts([*places, MISSING]) == ["…l_kinds/div2k/train", "…l_kinds/flickr2k/train", "–"]
    assert short_texts([1e-4, None]) == ["0.0001", "null"]
    assert [len(text) for text in short_texts(["a" * 90, "b" * 90])] == [40, 40]


def test_a_value_that_is_no_number_is_said(run_folder: Make) -> None:
    folder = run_folder("a", metrics={"val/s/psnr_y": [29.0, float("nan")], "val/s/ssim_y": [0.8, 0.9]})

    assert read_all([folder]).notes == ["a: no finite number at the last validation: s/psnr_y"]


def test_the_table_has_positive_gains_where_the_run_is_better(run_folder: Make) -> None:
    values = {"psnr_y": 29.0, "psnr_y_bicubic": 28.0, "lpips_alex": 0.3, "lpips_alex_bicubic": 0.4}
    stream = io.StringIO()

    folder = run_folder("a", metrics={f"val/s/{key}": [value] for key, value in values.items()})
    print_comparison(read_all([folder]), Console(file=stream, width=200))

    assert "29.00 (+1.00)" in stream.getvalue() and "0.3000 (+0.1000)" in stream.getvalue()


def test_true_is_not_one() -> None:
    assert [s.key for s in differing([{"a": True}, {"a": 1}])] == ["a"]


def test_values_stand_beside_bicubics(run_folder: Make) -> None:
    metrics = {"val/s/psnr_y": [29.0, 31.0, 30.0], "val/s/psnr_y_bicubic": [28.0] * 3, "loss/pixel": [1.0]}
    best = {"monitor": "val/s/psnr_y", "step": 20, "metrics": {"val/s/psnr_y": 31.0}}
    run = read_run(run_folder("a", metrics=metrics, summary={"best": best}), "a")

    comparison = compare([run])

    value = comparison.measured[0]["s/psnr_y"]
    assert comparison.metrics == ["s/psnr_y"]
    assert (value.best, value.final, value.baseline, value.compared) == (31.0, 30.0, 28.0, None)


def test_at_scale_1_values_and_pictures_stand_beside_the_inputs(run_folder: Make) -> None:
    metrics = {"val/s/psnr_y": [30.0], "val/s/psnr_y_input": [28.0]}
    folder = run_folder("a", config_of(scale=1), metrics=metrics)
    (folder / "samples/step_00000100").mkdir(parents=True)
    strip = labelled({tile: picture(seed) for seed, tile in enumerate(strip_tiles(1))})
    strip.save(folder / "samples/step_00000100/s_x.png")
    run, stream = read_run(folder, "a"), io.StringIO()

    comparison = compare([run])
    print_comparison(comparison, Console(file=stream, width=200))
    [group] = picture_groups([run], Media(10_000_000), most=5)

    assert comparison.metrics == ["s/psnr_y"] and comparison.measured[0]["s/psnr_y"].baseline == 28.0
    assert "30.00 (+2.00)" in stream.getvalue() and "gain over input" in stream.getvalue()
    assert [(c["label"], c["run"]) for c in group["columns"]] == [("input", None), ("", 0), ("hr", None)]
    assert page(comparison).count('"baseline":"input"') == 2  # of the page and of the run


def test_the_best_run_follows_the_metrics_direction(run_folder: Make) -> None:
    values = {"a": (30.0, 0.2), "b": (29.0, 0.1)}
    folders = [
        run_folder(name, metrics={"val/s/psnr_y": [psnr], "val/s/lpips_alex": [lpips]})
        for name, (psnr, lpips) in values.items()
    ]

    comparison = read_all(folders)

    assert (comparison.best("s/psnr_y"), comparison.best("s/lpips_alex")) == ({0}, {1})


def test_a_run_knows_the_direction_of_its_metrics(run_folder: Make) -> None:
    run = read_run(run_folder("a", summary={"higher_is_better": {"sharpness": True}}), "a")

    assert higher_is_better("s/sharpness", [run.summary])
    assert not higher_is_better("s/sharpness", [])


@pytest.mark.parametrize("damaged", [{}, {"digits": {"psnr_y": -1, "lpips_alex": "2", "tof": 10**9}}, {"digits": [2]}])
def test_a_run_knows_the_digits_of_its_metrics_and_an_older_one_has_the_usual(run_folder: Make, damaged: dict) -> None:
    metrics = {"val/s/psnr_y": [30.12345], "val/s/lpips_alex": [0.12345], "val/s/tof": [0.2]}
    newer = read_run(run_folder("new", metrics=metrics, summary={"digits": {"psnr_y": 1, "lpips_alex": 3}}), "new")
    older = read_run(run_folder("old", metrics=metrics, summary=damaged), "old")

    assert compare([newer]).digits == {"s/psnr_y": 1, "s/lpips_alex": 3, "s/tof": 4}
    assert compare([older]).digits == {"s/psnr_y": 2, "s/lpips_alex": 4, "s/tof": 4}
    stream = io.StringIO()
    print_comparison(compare([newer]), Console(file=stream, width=200))
    assert "30.1 " in stream.getvalue() and "0.123 " in stream.getvalue()


def test_other_validation_images_are_noticed(run_folder: Make) -> None:
    folders = [
        run_folder(name, metrics={"val/s/psnr_y": [30.0], "val/s/psnr_y_bicubic": [bicubic]})
        for name, bicubic in (("a", 28.0), ("b", 25.0))
    ]

    (note,) = read_all(folders).notes

    assert "not the same in all runs" in note


def test_markup_in_names_is_printed_as_it_is(run_folder: Make) -> None:
    stream = io.StringIO()

    print_comparison(read_all([run_folder("[red]a"), run_folder("b")]), Console(file=stream, width=200))

    assert "[red]a" in stream.getvalue()


def test_commands_survive_the_shell_and_hydra(run_folder: Make) -> None:
    folder = run_folder("it's a=1,b $(x)")

    lines = next_commands(read_run(folder, "a"))

    assert list(lines) == ["repeat", "train longer", "export", "upscale"]
    assert shlex.split(lines["repeat"])[3] == str(folder)
    assert shlex.split(lines["export"])[2] == str(folder)
    from hydra.core.override_parser.overrides_parser import OverridesParser

    resume, longer = OverridesParser.create().parse_overrides(shlex.split(lines["train longer"])[2:])
    assert (resume.key_or_group, resume.value()) == ("resume", str(folder))
    assert (longer.key_or_group, longer.value()) == ("trainer.max_steps", 200)


def test_an_interrupted_run_is_continued(run_folder: Make) -> None:
    run = read_run(run_folder("a", summary={"state": "interrupted"}), "a")

    assert f"sr train resume={run.folder}" in next_commands(run).values()


def test_a_lengthened_run_is_continued_to_its_new_end(run_folder: Make) -> None:
    run = read_run(run_folder("a", summary={"state": "interrupted", "max_steps": 400}), "a")
    stages = {"stages": ["sr", "joint"], "stage": {"sr": {"steps": 60}, "joint": {"steps": 40}}}
    told = {"state": "interrupted", "max_steps": 400}
    staged = read_run(run_folder("b", config_of(**stages), summary=told), "b")

    assert next_commands(run)["continue"].endswith(" trainer.max_steps=400")
    assert next_commands(staged)["continue"].endswith(" ++stage.joint.steps=340")


def test_strips_are_cut_where_they_were_joined() -> None:
    pictures = {label: picture(seed) for seed, label in enumerate(("lr", "bicubic", "sr", "hr"))}

    tiles = cut(labelled(pictures), strip_tiles(4))

    assert tiles is not None
    for label, tile in tiles.items():
        np.testing.assert_array_equal(tile, np.asarray(pictures[label]))
    assert cut(Image.new("RGB", (33, 33)), strip_tiles(4)) is None


def test_a_label_stays_above_its_own_picture() -> None:
    labels = ("bicubic 28.10 dB", "bicubic 28.10 dB, much longer than its picture", "")
    strip = labelled({label: picture(0, side=64) for label in labels})

    third = np.asarray(strip)[:LABEL_HEIGHT, 2 * (64 + GAP) :]
    assert (third == 255).all()


def test_the_same_picture_of_two_runs_is_one_group(run_folder: Make) -> None:
    folders = [run_folder(name, strips={"s_x": 1, "s_y": 7}, sr_seed=i) for i, name in enumerate("ab")]
    (folders[0] / "samples" / "step_00000100" / "s_torn.png").write_bytes(b"\x89PNG\r\n")
    runs = [read_run(folder, folder.parent.name) for folder in folders]
    media = Media(10_000_000)

    groups = picture_groups(runs, media, most=5)

    assert [group["name"] for group in groups] == ["s_x", "s_y"]
    columns = groups[0]["columns"]
    assert [(c["label"], c["run"]) for c in columns] == [
        ("lr", None), ("bicubic", None), ("", 0), ("", 1), ("hr", None)
    ]  # fmt: skip
    # lr, hr, bicubic and SR of two runs, with error maps of all but the first two; the second picture's SR is shared.
    assert len(set(media.uris)) == len(media.uris) == 8 + 4 + 2


def test_other_crops_are_other_groups(run_folder: Make) -> None:
    runs = [read_run(run_folder(name, strips={"s_x": seed}), name) for name, seed in (("a", 1), ("b", 50))]

    assert len(picture_groups(runs, Media(10_000_000), most=5)) == 2


def test_media_stay_within_their_room() -> None:
    media = Media(100)

    assert media.add(b"x" * 20, "image/png") == 0
    assert media.add(b"x" * 20, "image/png") == 0
    assert media.add(b"y" * 60, "image/png") is None
    assert (len(media.uris), media.left_out) == (1, 1)


def test_error_maps_brighten_with_the_error() -> None:
    hr = np.zeros((1, 3, 3), np.uint8)
    sr = np.array([[[0] * 3, [20] * 3, [255] * 3]], np.uint8)

    levels = error_map(sr, hr).astype(int).sum(axis=2)[0]

    assert levels[0] < levels[1] < levels[2]


def _report() -> Report:
    results = [
        Result("bicubic", "", {"x": {"psnr_y": 28.0}, "y": {"psnr_y": 30.0}, "z": {"psnr_y": float("inf")}}),
        Result("net", "", {"x": {"psnr_y": 29.0}, "y": {"psnr_y": 31.5}, "z": {"psnr_y": float("inf")}}),
    ]
    for result in results:
        result.take_means()
    data = {"hr": "hr", "lr": "lr"}
    return Report(results, [], 4, 4, "image", "bicubic", data, {"psnr_y": "PSNR"}, {"psnr_y": True})


def test_evaluations_come_back_as_they_were_written(tmp_path: Path) -> None:
    report = _report()
    write_report_json(tmp_path / "e.json", report)

    back = read_evaluation(tmp_path / "e.json")

    assert back == report
    (pair,) = evaluation_section(tmp_path / "e.json")["differences"]["psnr_y"]
    expected = difference(report.results[0], report.results[1], "psnr_y")
    assert expected is not None
    assert (pair["mean"], pair["low"], pair["high"], pair["images"]) == (
        expected.mean, expected.low, expected.high, 2
    )  # fmt: skip


def test_evaluations_of_version_0_1_are_still_read(tmp_path: Path) -> None:
    write_report_json(tmp_path / "e.json", _report())
    older = json.loads((tmp_path / "e.json").read_text())
    del older["digits"], older["units"]
    for result in older["results"]:
        result["own_ruler"] = result["name"] == "net"
        del result["own_protocol"]
    (tmp_path / "e.json").write_text(json.dumps(older))

    assert [result.own_protocol for result in read_evaluation(tmp_path / "e.json").results] == [False, True]
    assert evaluation_section(tmp_path / "e.json")["digits"] == {"psnr_y": 2}


@pytest.mark.parametrize("content", ["{", "[]", '{"results": 3}', '{"results": [{"name": "a"}], "differences": []}'])
def test_what_is_no_evaluation_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "e.json"
    path.write_text(content)

    with pytest.raises(SRError, match="not a file that sr evaluate --json writes"):
        read_evaluation(path)
    with pytest.raises(SRError, match="check the path"):
        read_evaluation(tmp_path / "missing.json")


def test_section_of_an_evaluation_is_json(tmp_path: Path) -> None:
    write_report_json(tmp_path / "e.json", _report())

    json.dumps(evaluation_section(tmp_path / "e.json"), allow_nan=False)
