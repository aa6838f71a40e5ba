"""No name of a run, a file or a setting is more than text on the page, in a real browser."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sr_experiments.report.command import write_page
from tests.report.browser import CHROMIUM, Page
from tests.report.made import HOSTILE, SCRIPT, config_of, picture

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium in PATH, and Playwright (uv sync)")

Make = Callable[..., Path]


def test_hostile_names_stay_text(visit: Callable[..., Page], run_folder: Make, tmp_path: Path) -> None:
    for number in range(3):
        run_folder(
            f"{HOSTILE}{number}",
            config_of(SCRIPT, features=number, note=f"{SCRIPT}{number}", **{HOSTILE: number}),
            metrics={f"val/{HOSTILE}/psnr_y": [29.0, 30.0 + number], f"val/{HOSTILE}/lpips_alex": [0.1, 0.2]},
            summary={
                "state": "failed",
                "error": SCRIPT,
                "left_out": {SCRIPT: HOSTILE},
                "conventions": {HOSTILE: SCRIPT},
                "device": SCRIPT,
            },
            strips={HOSTILE: 1},
            sr_seed=number,
        )
    for step in (tmp_path / "outputs").glob("*/*/samples/*"):
        picture(0).save(step / f"{HOSTILE}_xt.png")  # a time slice
    write_page([tmp_path / "outputs"], tmp_path / "page.html", [], 8, 60)

    page = visit(tmp_path / "page.html")
    page.click("text=error maps")
    page.fill("#runs input[type=search]", "<img")
    page.hover("#curve-plot")
    page.wait_for_timeout(300)

    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("script").count() == 3
    names = page.locator("#runs tbody td.first").all_inner_texts()
    assert [name.strip() for name in names] == [f"{HOSTILE}{number}" for number in range(3)]
    assert page.locator("#clips option").all_inner_texts() == [HOSTILE]
    assert SCRIPT in page.locator("#runs").inner_text()


@pytest.mark.slow
def test_a_run_trained_under_a_hostile_name_stays_text(
    visit: Callable[..., Page], train: Make, sr: Any, tmp_path: Path
) -> None:
    name = "<img src=x onerror=hacked=1> $(touch ran) `touch ran` -->"
    train(f"name='{name}'", f"+logger.tags=['{SCRIPT}']")
    assert sr("compare", tmp_path / "run", "-o", tmp_path / "page.html").code == 0

    page = visit(tmp_path / "page.html")

    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("#runs tbody td.first").inner_text().strip() == name
    for command in page.locator("#commands code").all_inner_texts():  # one word of the shell, in which nothing is run
        assert [word for word in shlex.split(command) if name in word], command
