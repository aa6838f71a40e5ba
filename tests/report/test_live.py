"""`sr compare --live`: the page is kept fresh while runs train, and disturbs nothing that is looked at."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from sr_experiments.config.quoting import BY_UV
from sr_experiments.display.pictures import labelled
from sr_experiments.errors import SRError
from sr_experiments.files.writing import write_json
from sr_experiments.report.command import serve_page
from sr_experiments.report.live import LiveRuns
from sr_experiments.report.loopback import Server
from sr_experiments.runs.lock import run_lock
from sr_experiments.runs.reading import read_run
from sr_experiments.runs.trouble import discriminator, troubles
from sr_experiments.tracking.loggers import MetricsCSV
from tests.conftest import ROOT, TINY_GAN, TINY_MODEL, TINY_RUN
from tests.report.browser import CHROMIUM, Page
from tests.report.made import HOSTILE, config_of, picture

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium in PATH, and Playwright")


class Training:
    """A run that trains as slowly as a test likes: its files are written by what writes those of real runs."""

    def __init__(self, folder: Path, name: str, stack: ExitStack) -> None:
        self.folder, self.stack = folder / name / "2026-01-01_00-00-00", stack
        (self.folder / "checkpoints").mkdir(parents=True)
        (self.folder / "config.yaml").write_text(
            yaml.safe_dump(config_of(name, callbacks={"gan_health": {"patience": 50}}))
        )
        self.lock = ExitStack()
        self.lock.enter_context(run_lock(self.folder))
        stack.push(self.lock)
        self.metrics = MetricsCSV(self.folder)
        self.metrics.open()
        self.best: dict[str, Any] = {"monitor": "val/s/psnr_y", "step": None, "metrics": {}}

    def step(self, step: int, loss: float = 0.01, **more: float) -> None:
        self.metrics.log_metrics({"loss/pixel": loss, **{k.replace("__", "/"): v for k, v in more.items()}}, step)

    def validate(self, step: int, psnr: float, state: str = "running", error: str = "") -> None:
        values = {"val/s/psnr_y": psnr, "val/s/psnr_y_bicubic": 28.0}
        self.metrics.log_metrics(values, step)
        place = self.folder / "samples" / f"step_{step:08d}"
        place.mkdir(parents=True, exist_ok=True)
        for strip, seed in (("s_x", 1), ("s_y", 7)):
            seeds = {"lr": seed, "bicubic": seed + 1, "sr": 1000 + step + seed, "hr": seed + 2}
            labelled({tile: picture(s) for tile, s in seeds.items()}).save(place / f"{strip}.png")
        if psnr >= self.best["metrics"].get("val/s/psnr_y", 0):
            self.best = {**self.best, "step": step, "metrics": values}
        for checkpoint in ("last", "best"):
            (self.folder / "checkpoints" / f"{checkpoint}.ckpt").touch()
        self.end(step, state, error)

    def end(self, step: int, state: str, error: str = "") -> None:
        told = {"state": state, "step": step, "max_steps": 100, "seconds": 60.0, "best": self.best}
        write_json(self.folder / "summary.json", {**told, **({"error": error} if error else {})})
        if state != "running":
            self.lock.close()


@pytest.fixture
def training(tmp_path: Path) -> Iterator[Callable[[str], Training]]:
    """`training("a")` begins a run in `<tmp>/outputs`."""
    with ExitStack() as stack:
        yield lambda name: Training(tmp_path / "outputs", name, stack)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """`served()` serves the page of `<tmp>/outputs`."""
    servers = []

    def start() -> Server:
        servers.append(Server(LiveRuns([tmp_path / "outputs"], [], 8, 60), 0))
        threading.Thread(target=servers[-1].serve_forever, args=(0.05,), daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def look(browser: Any) -> Iterator[Callable[..., Page]]:
    """`look(server)` opens its page; nothing may be asked of anybody else, and nothing may go wrong on it."""
    wrong: list[str] = []
    asked: list[str] = []
    contexts = []

    def open_page(server: Server, **options: Any) -> Page:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options}))
        page = contexts[-1].new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server.address)
        page.wait_for_selector("#now .doing")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for text in wrong if "net::ERR_FAILED" not in text] == []  # of requests that a test lets fail
    assert {urlsplit(url).hostname for url in asked if not url.startswith(("data:", "blob:"))} <= {"127.0.0.1"}


def _until(page: Page, holds: Callable[[], bool]) -> None:
    """Playwright's own wait_for_function needs `eval`, which the page forbids."""
    for _ in range(600):
        if holds():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it never came to hold")


def _points(page: Page) -> int:
    count: int = page.evaluate("document.querySelector('#curve-plot').data[0].x.length")
    return count


@needs_chromium
def test_curves_grow_while_what_is_looked_at_stays(training: Any, served: Any, look: Any) -> None:
    a, b = training(HOSTILE.replace("/", "")), training("b")
    for step in (10, 20):
        a.step(step, gan__d_accuracy=1.0)
        b.step(step)
    a.validate(20, 29.0)
    b.validate(20, 28.5)
    page = look(served())
    assert "step 20 / 100" in page.locator("#now .doing").first.inner_text()
    page.select_option("#curves select[aria-label=metric]", "loss/pixel")
    assert _points(page) == 2
    page.evaluate("Plotly.relayout('curve-plot', {'xaxis.range': [5, 60], 'yaxis.range': [0, 0.1]})")
    page.select_option("#pictures select[aria-label=picture]", "1")
    page.locator("#pictures .handle").focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    page.locator("#pictures button[title='zoom in']").click()
    before = page.evaluate("[...document.querySelectorAll('#pictures img')].map(i => i.src + i.style.transform)")
    page.evaluate("window.same = document.querySelector('#pictures .pair')")

    for step in (30, 40, 80):
        a.step(step, gan__d_accuracy=1.0)
    a.validate(80, 28.9)
    _until(page, lambda: _points(page) == 5)
    assert page.evaluate("document.querySelector('#curve-plot').layout.xaxis.range") == [5, 60]
    after = page.evaluate("[...document.querySelectorAll('#pictures img')].map(i => i.src + i.style.transform)")
    assert after == before and page.evaluate("document.querySelector('#pictures .pair') === window.same")
    assert page.locator("#pictures .handle").get_attribute("aria-valuenow") == "70"
    assert "discriminator: won" in page.locator("#now .doing").first.inner_text()
    assert "the discriminator has won" in page.locator("#now .events li").first.inner_text()

    page.locator(".offers button:has-text('new pictures')").click()
    page.wait_for_selector("#pictures figcaption:has-text('step 80')")
    captions = page.locator("#pictures figcaption").all_inner_texts()
    assert sum("best so far" in caption and "step 20" in caption for caption in captions) == 1
    assert page.locator("#pictures select[aria-label=picture]").input_value() == "1"  # the same picture, as large
    assert "scale(1.5)" in page.locator("#pictures .tiles img").first.get_attribute("style")
    assert page.locator(".offers button").count() == 0
    assert page.evaluate("window.hacked") is None


@pytest.mark.slow
@needs_chromium
def test_it_rings_when_a_run_ends_or_goes_wrong_and_offers_new_runs(training: Any, served: Any, look: Any) -> None:
    a, b = training("a"), training("b")
    for run in (a, b):
        run.step(10)
        run.validate(10, 29.0)
    page = look(served(), viewport={"width": 390, "height": 800})
    page.evaluate(
        """() => {
            window.rung = 0;
            const start = OscillatorNode.prototype.start;
            OscillatorNode.prototype.start = function (...at) { window.rung += 1; return start.apply(this, at); };
        }"""
    )
    page.locator("#now button:has-text('bell')").click()
    assert page.evaluate("window.rung") == 2  # so that it is known how it sounds
    a.validate(100, 30.0, "finished")
    page.wait_for_selector("#now .events li:has-text('a finished')", timeout=60000)
    assert page.evaluate("window.rung") == 4
    assert "sr train resume=" in page.locator("#commands").inner_text()  # "train longer", of a run that has ended
    b.step(20, loss=float("nan"))
    b.end(20, "failed", "pixel became NaN at step 20")
    page.wait_for_selector("#now .events li:has-text('b failed: pixel became NaN at step 20')", timeout=60000)
    assert page.locator("#now .events li:has-text('no finite number: loss/pixel')").count() == 1
    c = training("c")
    c.step(10)
    page.locator(".offers button:has-text('1 new run')").click(timeout=60000)
    page.wait_for_selector("#now .doing:nth-child(3)", timeout=60000)
    assert [row.split("\n")[0] for row in page.locator("#now .doing").all_inner_texts()] == ["a", "b", "c"]

    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.route("**/numbers*", lambda route: route.abort())
    page.wait_for_selector("#now [role=status]:has-text('does not answer')", timeout=60000)


def _ask(server: Server, path: str, host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{server.server_port}"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_only_who_has_the_address_is_answered(training: Any, served: Any) -> None:
    training("secret_name").step(10)
    server = served()
    assert server.server_address[0] == "127.0.0.1"
    status, page = _ask(server, f"/{server.token}/")
    assert status == 200 and "secret_name" in page and "connect-src 'self'" in page
    for path in ("/", f"/{server.token}", "/wrong/", "/wrong/numbers", f"/{server.token[:-1]}/", "//", "/%C3%A9/"):
        status, said = _ask(server, path)
        assert status == 404 and "secret_name" not in said, path
    status, said = _ask(server, f"/{server.token}/", host=f"evil.example:{server.server_port}")
    assert status == 404 and "secret_name" not in said
    assert _ask(server, f"/{server.token}/../../etc/passwd")[0] == 404


def test_numbers_are_sent_when_they_changed(training: Any, served: Any) -> None:
    a = training("a")
    a.step(10)
    server = served()
    first = json.loads(_ask(server, f"/{server.token}/numbers")[1])
    assert _ask(server, f"/{server.token}/numbers?have={first['version']}") == (204, "")
    a.step(20, loss=float("inf"))
    status, text = _ask(server, f"/{server.token}/numbers?have={first['version']}")
    assert status == 200 and json.loads(text)["curves"]["loss/pixel"]["runs"]["0"]["values"] == [0.01, None]
    training("0_begun_later").step(10)
    assert [run["name"] for run in json.loads(_ask(server, f"/{server.token}/numbers")[1])["runs"]] == [
        "a",
        "0_begun_later",
    ]


def test_a_port_that_is_taken_is_one_line(training: Any, served: Any, tmp_path: Path) -> None:
    training("a").step(10)
    with pytest.raises(SRError, match="choose another with --port"):
        Server(LiveRuns([tmp_path / "outputs"], [], 8, 60), served().server_port)


def test_troubles_of_a_run(training: Any) -> None:
    a = training("a")
    for step in range(10, 90, 10):
        a.step(step, gan__d_accuracy=0.5 if step > 30 else 0.9)
    run = read_run(a.folder, "a")
    assert discriminator(run) == "lost" and troubles(run) == {"GAN": "the discriminator has lost"}
    a.step(90, gan__d_accuracy=0.9, val__s__psnr_y=float("inf"))
    assert discriminator(read_run(a.folder, "a")) == "fair" and troubles(read_run(a.folder, "a")) == {}
    strict = config_of("a", callbacks={"gan_health": {"patience": 50, "lost": 0.75}})
    (a.folder / "config.yaml").write_text(yaml.safe_dump(strict))
    assert discriminator(read_run(a.folder, "a")) == "lost"


def test_a_folder_without_runs_is_waited_for(training, tmp_path, monkeypatch, capsys):
    (tmp_path / "outputs").mkdir()
    served: list[LiveRuns] = []
    monkeypatch.setattr("sr_experiments.report.live.serve_runs", lambda live, port: served.append(live))
    waits = threading.Thread(target=serve_page, args=([tmp_path / "outputs"], [], 8, 60, 0))
    waits.start()
    waits.join(0.2)
    assert waits.is_alive() and not served
    training("a")
    waits.join(20)
    assert [run.name for run in served[0].comparison().runs] == ["a"]
    assert f"no run in {tmp_path / 'outputs'} yet" in capsys.readouterr().out
    with pytest.raises(SRError, match="does not exist"):
        serve_page([tmp_path / "absent"], [], 8, 60, 0)


@pytest.mark.slow
@needs_chromium
def test_a_real_gan_is_watched_from_its_first_step_to_its_end(browser: Any, tmp_path: Path) -> None:
    words = [*TINY_MODEL["msrresnet"], *TINY_GAN, *TINY_RUN, "trainer.max_steps=40", "trainer.val_every=20"]
    environment = {key: value for key, value in os.environ.items() if key != BY_UV}
    command = [sys.executable, "train.py", *words, f"output_dir={tmp_path / 'outputs'}"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as trained:
        for line in trained.stderr:
            if "step 1/" in line:
                break
        sr = [sys.executable, "-c", "from sr_experiments.cli import main; main()"]
        live = [*sr, "compare", "--live", str(tmp_path / "outputs")]
        with subprocess.Popen(live, cwd=ROOT, stdout=subprocess.PIPE, text=True) as served:
            said = "".join(iter(served.stdout.readline, "Ctrl-C ends it; the runs go on\n"))
            [address] = re.findall(r"http://127\.0\.0\.1:\d+/\S+/", said)
            page = browser.new_page()
            page.goto(address)
            page.wait_for_selector("#now .doing:has-text('step')")
            trained.stderr.read()
            page.wait_for_selector("#now .state.finished", timeout=60000)
            page.reload()
            page.wait_for_selector("#gan .plot")
            assert page.locator("#pictures .tiles figure").count() >= 4
            served.send_signal(signal.SIGINT)
            assert served.wait(10) == 0
            page.close()
