"""The page in a real browser: it draws and answers. Needs Chromium and Playwright."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sr_experiments.evaluation.record import write_report_json
from sr_experiments.evaluation.results import Report, Result
from sr_experiments.report.command import write_page
from tests.report.browser import CHROMIUM, Page
from tests.report.made import HOSTILE, SCRIPT, config_of, study_of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium in PATH, and Playwright (uv sync)")

Make = Callable[..., Path]
GAN = {"gan/d_accuracy": [0.6, 0.9, 1.0], "gan/margin": [0.1, 0.5, 2.0], "loss_weighted/adversarial": [0.1, 0.2, 0.3]}


@pytest.fixture
def report(run_folder: Make, tmp_path: Path) -> Path:
    """Of three runs with LPIPS and pictures; one of them is a GAN."""
    reached = {"a": (30.0, 0.3), "b": (29.5, 0.1), "c": (29.0, 0.2)}
    for number, (name, (psnr, lpips)) in enumerate(reached.items()):
        run_folder(
            name,
            config_of(name, features=8 * 2**number, learning_rate=10.0**-number),
            metrics={
                "val/s/psnr_y": [psnr - 1, psnr],
                "val/s/psnr_y_bicubic": [28.0] * 2,
                "val/s/lpips_alex": [0.5, lpips],
                "val/s/lpips_alex_bicubic": [0.6] * 2,
                "loss/pixel": [1.0 / (i + 1) for i in range(40)],
                **(GAN if name == "b" else {}),
            },
            strips={"s_x": 1, "s_y": 7},
            sr_seed=number,
        )
    write_page([tmp_path / "outputs"], tmp_path / "page.html", [], 8, 60)
    return tmp_path / "page.html"


def _names(page: Page) -> list[str]:
    return [name.strip() for name in page.locator("#runs tbody td.first").all_inner_texts()]


def _traces(page: Page, plot: str) -> list[Any]:
    traces: list[Any] = page.evaluate(
        f"document.querySelector('{plot}').data.map(t => ({{name: t.name, x: [...t.x], y: [...t.y]}}))"
    )
    return traces


def test_the_table_sorts_by_any_column(visit: Callable[..., Page], report: Path) -> None:
    page = visit(report)
    assert _names(page) == ["a", "b", "c"]

    page.click("#runs th button:has-text('lpips_alex')")
    assert _names(page) == ["b", "c", "a"]  # the best first: lower is better
    page.click("#runs th button:has-text('lpips_alex')")
    assert _names(page) == ["a", "c", "b"]
    page.click("#runs th button:has-text('learning_rate')")
    assert _names(page) == ["c", "b", "a"]
    assert page.locator("#runs th[aria-sort=ascending]").inner_text().startswith("learning_rate")
    assert page.locator("#runs td.best .value").all_inner_texts() == ["0.1000", "30.00"]


def test_filter_and_boxes_choose_what_is_drawn(visit: Callable[..., Page], report: Path) -> None:
    page = visit(report)

    page.fill("#runs input[type=search]", "psnr_y>29.2 features<=16")
    assert _names(page) == ["a", "b"]
    assert {t["name"] for t in _traces(page, "#curve-plot")} == {"a", "b", "bicubic, a", "bicubic, b"}
    page.uncheck("#runs tbody tr:first-child input")
    assert {t["name"] for t in _traces(page, "#curve-plot")} == {"b", "bicubic, b"}
    assert page.locator("#pictures .tiles figure").count() == 4  # lr, bicubic, b, hr
    page.fill("#runs input[type=search]", "")
    assert _names(page) == ["a", "b", "c"]


def test_curves_can_be_smoothed_and_put_by_hour(visit: Callable[..., Page], report: Path) -> None:
    page = visit(report)
    page.select_option("#curves select[aria-label=metric]", "loss/pixel")
    (raw, *_) = _traces(page, "#curve-plot")

    page.locator("#curves input[type=range]").fill("0.9")
    assert page.locator("#curves output").inner_text() == "0.9"
    below, smooth, *_ = _traces(page, "#curve-plot")
    assert below == raw
    assert smooth["y"][0] == raw["y"][0]
    assert smooth["y"][5] > raw["y"][5]
    page.select_option("#curves select[aria-label=by]", "hours")
    hours = page.evaluate("document.querySelector('#curve-plot').data[0].x.at(-1)")
    assert hours == pytest.approx(390 / 3600, abs=1e-4)


def test_the_plane_draws_the_pareto_front(visit: Callable[..., Page], report: Path) -> None:
    page = visit(report)

    traces = _traces(page, "#plane-plot")

    assert [(t["name"], t["x"], t["y"]) for t in traces[:1]] == [("Pareto front", [29.5, 30], [0.1, 0.3])]
    assert [t["name"] for t in traces[1:]] == ["a", "b", "c", "bicubic"]


def test_the_plane_names_its_points_and_the_runs_that_are_not_in_it(
    visit: Callable[..., Page], report: Path, run_folder: Make, tmp_path: Path
) -> None:
    run_folder("without_lpips", config_of(features=99))
    write_page([tmp_path / "outputs"], tmp_path / "page.html", [], 8, 60)

    page = visit(tmp_path / "page.html")

    assert page.locator("#plane .legend .entry").all_inner_texts() == ["●\na", "●\nb", "●\nc", "◆\nbicubic"]
    assert "Not in the plane: without_lpips (no lpips_alex)." in page.locator("#plane").inner_text()


def test_a_flow_is_a_curve_in_the_plane(visit: Callable[..., Page], run_folder: Make, tmp_path: Path) -> None:
    run_folder("gan", metrics={"val/s/psnr_y": [29.5], "val/s/lpips_alex": [0.2]})
    steps = {"": (29.0, 0.25), "_steps1": (30.0, 0.3), "_steps4": (29.0, 0.25), "_steps16": (28.0, 0.15)}
    values = {f"val/s/psnr_y{way}": [p] for way, (p, _) in steps.items()}
    run_folder("flow", metrics={**values, **{f"val/s/lpips_alex{way}": [q] for way, (_, q) in steps.items()}})
    write_page([tmp_path / "outputs"], tmp_path / "page.html", [], 8, 60)

    traces = _traces(visit(tmp_path / "page.html"), "#plane-plot")

    by_name = {trace["name"]: (trace["x"], trace["y"]) for trace in traces}
    assert by_name["flow, by steps"] == ([30, 29, 28], [0.3, 0.25, 0.15])
    assert by_name["Pareto front"] == ([28, 29.5, 30], [0.15, 0.2, 0.3])
    assert {"gan", "flow"} <= by_name.keys()


def test_a_gain_is_positive_where_the_run_is_better(
    visit: Callable[..., Page], run_folder: Make, tmp_path: Path
) -> None:
    values = {"psnr_y": (29.0, 28.0), "lpips_alex": (0.3, 0.4), "fine_detail": (9.0, 8.0)}
    metrics = {
        f"val/s/{key}{end}": [v] for key, of in values.items() for end, v in zip(("", "_bicubic"), of, strict=True)
    }
    run_folder("a", metrics=metrics)
    write_page([tmp_path / "outputs"], tmp_path / "page.html", [], 8, 60)

    page = visit(tmp_path / "page.html")

    assert page.locator("#runs .gain").all_inner_texts() == ["+1.00", "+0.1000", "−1.0000"]
    assert page.locator("#runs .gain.better").count() == 2 and page.locator("#runs .gain.worse").count() == 1


def test_no_chart_offers_to_upload_itself(visit: Callable[..., Page], report: Path) -> None:
    page = visit(report)
    page.hover("#curve-plot")

    titles = page.locator(".modebar-btn").evaluate_all("all => all.map(e => e.getAttribute('data-title'))")
    assert any("Download" in title for title in titles)
    assert not [title for title in titles if any(word in title.lower() for word in ("share", "cloud", "send", "edit"))]
    contexts = page.locator(".js-plotly-plot").evaluate_all("all => all.map(e => e._context.plotlyServerURL)")
    assert contexts and set(contexts) == {""}


@pytest.mark.parametrize(("width", "cut"), [(390, True), (2560, False)])
def test_a_table_that_is_cut_says_so(visit: Callable[..., Page], report: Path, width: int, cut: bool) -> None:
    page = visit(report, viewport={"width": width, "height": 900})

    assert page.locator("#runs .hint").is_visible() == cut
    assert (page.locator("#runs .scrollable.more").count() == 1) == cut
    page.locator("#runs .scroll").evaluate("e => { e.scrollLeft = e.scrollWidth; }")
    page.locator("#runs .scrollable.more").wait_for(state="detached")


def test_the_plane_says_why_it_is_missing(visit: Callable[..., Page], run_folder: Make, tmp_path: Path) -> None:
    run_folder("a", summary={"left_out": {"metric lpips_alex": "no alexnet weights"}})
    write_page([tmp_path / "outputs"], tmp_path / "page.html", [], 8, 60)

    page = visit(tmp_path / "page.html")

    assert "no alexnet weights" in page.locator("#plane").inner_text()


def test_before_and_after_is_dragged(visit: Callable[..., Page], report: Path) -> None:
    page = visit(report)
    handle, over = page.locator(".pair .handle"), page.locator(".pair .over")
    handle.scroll_into_view_if_needed()
    box, view = handle.bounding_box(), page.locator(".pair").bounding_box()
    assert box and view
    assert "inset(0px 50% 0px 0px)" in over.evaluate("e => e.style.clipPath")

    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(view["x"] + view["width"] / 4, box["y"] + 10, steps=4)
    page.mouse.up()
    assert handle.get_attribute("aria-valuenow") == "25"
    handle.press("ArrowRight")
    assert handle.get_attribute("aria-valuenow") == "27"
    page.select_option("#pictures select[aria-label=right]", label="c")
    assert page.locator(".pair .tag.right").inner_text() == "c"


def test_pictures_zoom_together_and_turn_into_error_maps(visit: Callable[..., Page], report: Path) -> None:
    page = visit(report)
    assert page.locator("#pictures .tiles figure").count() == 6

    page.locator("#pictures .tiles .view").first.dblclick()
    transforms = page.locator("#pictures .view img").evaluate_all("all => all.map(e => e.style.transform)")
    assert len(transforms) == 8
    assert len(set(transforms)) == 1
    assert "scale(4)" in transforms[0]
    page.click("text=error maps")
    assert page.locator("#pictures .tiles figure").count() == 4  # bicubic and three runs
    assert "64 levels" in page.locator("#pictures").inner_text()
    page.select_option("#pictures select[aria-label=picture]", label="s_y")
    assert page.locator("#pictures .level, #pictures .view").count() == 5
    options = page.locator("#pictures select[aria-label=left] option").all_inner_texts()
    assert options == ["bicubic", "a", "b", "c"]  # error maps with error maps: lr and hr have none
    assert page.locator(".pair .tag").all_inner_texts() == ["bicubic, error", "a, error"]


def test_a_sweep_has_parallel_coordinates_that_can_be_brushed(visit: Callable[..., Page], report: Path) -> None:
    page = visit(report)
    lines = page.locator(".parallel path")
    lines.first.scroll_into_view_if_needed()
    assert lines.count() == 3

    axis = page.locator(".parallel .hit").first.bounding_box()
    assert axis
    x = axis["x"] + axis["width"] / 2
    page.mouse.move(x, axis["y"] + 2)
    page.mouse.down()
    page.mouse.move(x, axis["y"] + axis["height"] * 0.3, steps=3)
    page.mouse.up()

    assert page.locator(".parallel path.out").count() == 2


def test_gan_health_is_drawn_of_gans_alone(visit: Callable[..., Page], report: Path) -> None:
    page = visit(report)

    assert {t["name"] for t in _traces(page, "#gan .plot")} == {"b"}
    assert page.locator("#gan .plot svg.main-svg").count() > 0


def test_commands_are_copied(visit: Callable[..., Page], report: Path) -> None:
    page = visit(report, permissions=["clipboard-read", "clipboard-write"])

    page.locator("#commands button").first.click()
    page.wait_for_selector("text=copied")

    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#commands code").first.inner_text()


def test_differences_by_image_have_their_interval(visit: Callable[..., Page], run_folder: Make, tmp_path: Path) -> None:
    run_folder("a")
    results = [
        Result(name, "", {str(i): {"psnr_y": 28.0 + better + i % 2 * better} for i in range(5)})
        for name, better in (("bicubic", 0.0), (HOSTILE, 1.0))
    ]
    report = Report(
        results, [], 4, 4, "image", "bicubic", {"hr": SCRIPT, "lr": HOSTILE}, {"psnr_y": HOSTILE}, {"psnr_y": True}
    )
    write_report_json(tmp_path / "e.json", report)
    write_page([tmp_path / "outputs"], tmp_path / "page.html", [tmp_path / "e.json"], 8, 60)

    page = visit(tmp_path / "page.html")

    text = page.locator("#evaluation0").inner_text()
    assert "Mean difference +1.40 (95 % interval +0.72 to +2.08, 5 images)" in text
    assert f"{HOSTILE} is better" in text
    assert page.evaluate("document.querySelector('#evaluation0 .plot').data[0].y.length") == 5


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_it_fits_laptops_and_phones_by_day_and_night(
    visit: Callable[..., Page], report: Path, width: int, height: int, scheme: str
) -> None:
    page = visit(report, viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=width < 500)

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor].map("
        "c => c.match(/\\d+/g).slice(0, 3).reduce((sum, v) => sum + Number(v), 0))"
    )
    assert (ink < paper) == (scheme == "light")
    if shots := os.environ.get("SR_SHOTS"):  # a folder to look at them in
        page.screenshot(path=f"{shots}/report_{width}_{scheme}.png", full_page=True)


@pytest.mark.slow
@pytest.mark.parametrize("objectives", [1, 2])
def test_a_study_shows_what_matters(
    visit: Callable[..., Page], run_folder: Make, tmp_path: Path, objectives: int
) -> None:
    pytest.importorskip("optuna")
    (tmp_path / "sweep").mkdir()
    for number in range(12):
        shutil.move(run_folder(f"r{number}", config_of(features=number)), tmp_path / "sweep" / str(number))
    study_of(tmp_path / "sweep", 12, objectives)
    write_page([tmp_path / "sweep"], tmp_path / "page.html", [], 8, 60)

    page = visit(tmp_path / "page.html")

    (bars,) = _traces(page, "#study0 .importance")
    assert bars["y"][-1] == "decides" and bars["x"] == sorted(bars["x"])
    line, *dots = _traces(page, "#study0 .trials")
    assert line["name"] == ("Pareto front" if objectives == 2 else "best so far") and len(dots) == 12
    page.fill("#runs input[type=search]", "features<4")
    assert len(_traces(page, "#study0 .trials")) == 5  # the line stays
    assert "PED-ANOVA" in page.locator("#study0").inner_text()
    if shots := os.environ.get("SR_SHOTS"):
        page.fill("#runs input[type=search]", "")
        page.locator("#study0").screenshot(path=f"{shots}/study_{objectives}.png")
