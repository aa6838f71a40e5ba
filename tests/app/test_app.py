"""`sr app`: what the page makes is what `sr upscale` makes, and nothing leaves the machine."""

import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest
import tifffile
import torch
import yaml
from PIL import Image

from sr_experiments.app.jobs import Jobs
from sr_experiments.app.site import AppSite
from sr_experiments.errors import SRError
from sr_experiments.files.writing import write_json
from sr_experiments.generators import GENERATORS
from sr_experiments.report.loopback import Server
from tests.conftest import ROOT
from tests.inference.films import film, write
from tests.report.browser import CHROMIUM, Page, browser  # noqa: F401, a fixture
from tests.report.made import config_of

OPTIONS = {"device": "cpu", "precision": "fp32", "runtime": "torch", "tile": 96}
WORDS = ["--device", "cpu", "--precision", "fp32", "--runtime", "torch", "--tile", "96"]
HOSTILE = "<img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of tiny networks, one of which has no checkpoint, and a file of weights."""
    folder = tmp_path_factory.mktemp("outputs")
    torch.manual_seed(0)
    network = GENERATORS["msrresnet"](scale=2, **GENERATORS.small["msrresnet"])
    for name, value in (("first", 31.25), ("without", None)):
        run = folder / name / "2026-01-01_00-00-00"
        (run / "checkpoints").mkdir(parents=True)
        (run / "config.yaml").write_text(yaml.safe_dump(config_of(name)))
        if value is not None:
            best = {"monitor": "val/s/psnr_y", "step": 10, "metrics": {"val/s/psnr_y": value}}
            write_json(run / "summary.json", {"state": "finished", "step": 10, "max_steps": 10, "best": best})
            torch.save({"params": network.state_dict()}, run / "checkpoints/best.ckpt")
    compact = GENERATORS["compact"](scale=2, **GENERATORS.small["compact"])
    torch.save({"params": compact.state_dict()}, folder / "compact.pth")
    return folder


@pytest.fixture(scope="module")
def server(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    jobs = Jobs(tmp_path_factory.mktemp("files"))
    with Server(AppSite(checkpoints, jobs, OPTIONS, most_megabytes=2), 0) as served:
        threading.Thread(target=served.serve_forever, args=(0.05,), daemon=True).start()
        yield served
        served.shutdown()
    jobs.close()


class Asker:
    """Asks the server as a browser's script does."""

    def __init__(self, server: Server, checkpoint: Path) -> None:
        self.server, self.checkpoint = server, checkpoint

    def __call__(
        self, method: str, path: str, body: bytes | None = None, host: str | None = None, **headers: str
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=30)
        host = host or f"127.0.0.1:{self.server.server_port}"
        connection.request(method, path, body=body, headers={"Host": host, **headers})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def get(self, name: str) -> bytes:
        status, content = self("GET", f"/{self.server.token}/{name}")
        assert status == 200, content
        return content

    def add(self, name: str, content: bytes, **settings: object) -> tuple[int, str]:
        given = urlencode({"name": name, "checkpoint": self.checkpoint, **settings})
        status, said = self("POST", f"/{self.server.token}/add?{given}", content)
        return status, said.decode()

    def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.get("jobs"))
        return found

    def newest_when_ended(self) -> dict[str, Any]:
        return self.when(lambda jobs: jobs[0]["state"] in ("done", "failed"))[0]

    def when(self, holds: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        for _ in range(600):
            if holds(jobs := self.jobs()):
                return jobs
            time.sleep(0.05)
        raise AssertionError(f"it never came to hold: {jobs}")


@pytest.fixture
def ask(server: Server, checkpoints: Path) -> Iterator[Asker]:
    asker = Asker(server, checkpoints / "compact.pth")
    yield asker
    for job in asker.jobs():
        asker("POST", f"/{server.token}/remove?job={job['number']}")


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Page]:  # noqa: F811
    """The page; nothing may be asked of anybody else, and nothing may go wrong on it."""
    wrong: list[str] = []
    asked: list[str] = []
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    # A refused request is in the console by itself.
    opened.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("dialog", lambda dialog: wrong.append(dialog.message))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(server.address)
    yield opened
    context.close()
    assert [text for text in wrong if "400 (Bad Request)" not in text] == []
    assert asked and {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))} == {
        f"127.0.0.1:{server.server_port}"
    }


def photograph(height: int = 96, width: int = 128) -> np.ndarray:
    import skimage.data

    return np.asarray(skimage.data.chelsea()[60 : 60 + height, 100 : 100 + width])


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=kind)
    return file.getvalue()


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium in PATH, and Playwright")
@pytest.mark.slow
def test_a_photograph_is_upscaled_compared_and_downloaded(
    page: Page, ask: Asker, sr: Any, checkpoints: Path, tmp_path: Path
) -> None:
    options = page.locator("select[aria-label=checkpoint] option").all_inner_texts()
    assert options == ["first, psnr_y 31.25, finished", "compact.pth"]
    source = tmp_path / HOSTILE.replace("/", "")
    source.write_bytes(encoded(np.tile(photograph(240, 300), (3, 3, 1))))
    page.evaluate(
        """() => {
            window.seen = [];
            const look = () => {
                const bar = document.querySelector(".jobs progress");
                if (bar && !bar.hidden) window.seen.push(bar.hasAttribute("value") ? bar.value : null);
            };
            new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
        }"""
    )
    page.set_input_files("#files", source)
    page.wait_for_selector("#compare .pair", timeout=60000)
    seen = page.evaluate("window.seen")
    assert None in seen and any(share and 0 < share < 1 for share in seen), seen  # loading, and a share of the tiles
    assert page.locator(".jobs strong").inner_text() == source.name
    assert "1800 × 1440" in page.locator("#compare h3").inner_text()
    tags = page.locator("#compare .tag").all_inner_texts()
    assert tags == ["bicubic", "first"]
    widths = page.evaluate("[...document.querySelectorAll('#compare img')].map((image) => image.naturalWidth)")
    assert widths == [1800, 1800]
    handle = page.locator("#compare .handle")
    handle.focus()
    page.keyboard.press("ArrowRight")
    assert handle.get_attribute("aria-valuenow") == "52"

    with page.expect_download() as download:
        page.locator(".jobs a:has-text('download')").click()
    assert download.value.suggested_filename.endswith("_sr.png")
    run = checkpoints / "first/2026-01-01_00-00-00"
    done = sr("upscale", source, "-o", tmp_path / "alone.png", "-c", run, *WORDS)
    assert done.code == 0, done.err
    assert Path(download.value.path()).read_bytes() == (tmp_path / "alone.png").read_bytes()

    # A second file, with settings: it is shown when it is done. What can't be read is one line, and the page goes on.
    page.select_option("select[aria-label=checkpoint]", "compact.pth")
    page.select_option("select[aria-label=size]", "scale")
    page.fill("input[aria-label=size]", "1.5")
    page.fill("input[aria-label=strength]", "0.5")
    page.fill("input[aria-label=denoise]", "5")
    jpeg, cut = tmp_path / "b.jpg", tmp_path / "cut.png"
    jpeg.write_bytes(encoded(photograph(), "JPEG"))
    cut.write_bytes(source.read_bytes()[:5000])
    page.set_input_files("#files", [jpeg, cut])
    page.wait_for_selector("#compare h3:has-text('b.jpg, 192 × 144')", timeout=60000)
    with page.expect_download() as download:
        page.locator(".jobs li:has-text('b.jpg') a").click()
    words = ["-c", checkpoints / "compact.pth", "--scale", "1.5", "--strength", "0.5", "--denoise", "5", *WORDS]
    done = sr("upscale", jpeg, "-o", tmp_path / "b_alone.jpg", *words)
    assert done.code == 0, done.err
    assert Path(download.value.path()).read_bytes() == (tmp_path / "b_alone.jpg").read_bytes()
    page.wait_for_selector(".jobs li:has-text('cut.png') .state.failed", timeout=60000)
    said = page.locator(".jobs li:has-text('cut.png') .text").inner_text()
    assert said.startswith("can't read image cut.png: ") and "\n" not in said and "/" not in said
    page.fill("input[aria-label=strength]", "7")
    page.set_input_files("#files", jpeg)
    page.wait_for_selector("[role=alert]:has-text('strength must be a number from 0 to 1')")
    page.set_input_files("#files", {"name": "large.png", "mimeType": "image/png", "buffer": bytes(2_000_001)})
    page.wait_for_selector("[role=alert]:has-text('large.png is larger than 2 MB')")
    page.locator(".jobs li:has-text('b.jpg') button[title='stop and remove']").click()
    page.wait_for_selector(".jobs li:has-text('b.jpg')", state="detached")
    assert not page.locator("#compare").is_visible()
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.reload()
    page.wait_for_selector("#compare .pair")  # what is done is still there


def test_a_video_is_what_sr_upscale_makes_and_its_middle_frame_is_shown(ask: Asker, sr: Any, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", film(6))
    assert ask.add("clip.mp4", clip.read_bytes()) == (200, "{}")
    job = ask.newest_when_ended()
    assert job["state"] == "done" and (job["width"], job["height"]) == (64, 48), job
    assert "clip.mp4" not in job["result"] and "6 frames of 64x48" in job["text"] and "/" not in job["text"].split()[0]
    done = sr("upscale", clip, "-o", tmp_path / "alone.mp4", "-c", ask.checkpoint, *WORDS)
    assert done.code == 0, done.err
    assert ask.get(f"result?job={job['number']}") == (tmp_path / "alone.mp4").read_bytes()
    before = np.asarray(Image.open(io.BytesIO(ask.get(f"before?job={job['number']}"))))
    assert np.abs(before[::2, ::2].astype(float) - film(6)[3]).mean() < 8


def test_an_animation_stays_one(ask: Asker, sr: Any, tmp_path: Path) -> None:
    first, *others = map(Image.fromarray, film(3))
    first.save(tmp_path / "in.webp", save_all=True, append_images=others, duration=100)
    assert ask.add("in.webp", (tmp_path / "in.webp").read_bytes()) == (200, "{}")
    job = ask.newest_when_ended()
    assert job["state"] == "done" and (job["width"], job["height"]) == (64, 48), job
    done = sr("upscale", tmp_path / "in.webp", "-o", tmp_path / "alone.webp", "-c", ask.checkpoint, *WORDS)
    assert done.code == 0, done.err
    assert ask.get(f"result?job={job['number']}") == (tmp_path / "alone.webp").read_bytes()


def test_pages_of_bands_and_numbers_beyond_white_are_shown(server: Server, checkpoints: Path, tmp_path: Path) -> None:
    network = GENERATORS["msrresnet"](scale=2, channels=5, **GENERATORS.small["msrresnet"])
    with torch.no_grad():
        network.conv_last.bias += 2
    config = {"name": "msrresnet", "scale": 2, "channels": 5, **GENERATORS.small["msrresnet"]}
    file = checkpoints / "bands.pth"
    torch.save(
        {"params": network.state_dict(), "sr_experiments": {"format": 1, "generator": config, "bits": "float"}}, file
    )
    pages = np.random.default_rng(0).random((5, 20, 24), np.float32)
    tifffile.imwrite(tmp_path / "pages.tif", pages, photometric="minisblack")
    ask = Asker(server, file)
    assert ask.add("pages.tif", (tmp_path / "pages.tif").read_bytes())[0] == 200
    job = ask.newest_when_ended()
    file.unlink()
    assert job["state"] == "done", job
    (tmp_path / "result.tif").write_bytes(ask.get(f"result?job={job['number']}"))
    assert tifffile.imread(tmp_path / "result.tif").shape == (40, 48, 5)
    ask("POST", f"/{server.token}/remove?job={job['number']}")


def test_only_who_has_the_address_is_answered(ask: Asker, server: Server) -> None:
    token, port = server.token, server.server_port
    assert server.server_address[0] == "127.0.0.1"
    given = urlencode({"name": "a.png", "checkpoint": ask.checkpoint})
    for method, path in (
        ("GET", "/"),
        ("GET", f"/{token[:-1]}/"),
        ("GET", "/wrong/jobs"),
        ("POST", f"/wrong/add?{given}"),
        ("POST", f"/add?{given}"),
    ):
        status, said = ask(method, path, b"content" if method == "POST" else None)
        assert status == 404 and b"compact" not in said, path
    assert ask("GET", f"/{token}/", host=f"evil.example:{port}")[0] == 404
    assert ask("POST", f"/{token}/add?{given}", b"x", host=f"evil.example:{port}")[0] == 404
    assert ask("GET", f"/{token}/../../etc/passwd")[0] == 404
    assert ask.jobs() == []
    page = ask.get("").decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy and "default-src 'none'" in policy[1] and "connect-src 'self'" in policy[1]
    for name in ("result", "before", "after"):
        for number in ("", "0", "99", "-1", "9" * 5000, "../1", "²"):
            assert ask("GET", f"/{token}/{name}?{urlencode({'job': number})}")[0] == 404


def test_what_can_not_be_done_is_one_line_and_leaves_nothing(ask: Asker, server: Server) -> None:
    jobs = server.site.jobs  # type: ignore[attr-defined]
    picture = encoded(photograph(8, 8))
    for settings, said in (
        ({"checkpoint": "/etc/passwd"}, "this checkpoint is no longer there"),
        ({"scale": "nan"}, "scale must be a number from 0.001 to 1000"),
        ({"scale": "inf"}, "scale must be a number"),
        ({"width": "1.5"}, "width must be a whole number"),
        ({"scale": 2, "longest": 9}, "--scale and --longest are two ways to give a size"),
    ):
        status, line = ask.add("a.png", picture, **settings)
        assert status == 400 and said in line and "\n" not in line
    status, line = ask.add("a.png", bytes(2_000_001))
    assert status == 400 and "a.png is larger than 2 MB" in line
    path = f"/{server.token}/add?{urlencode({'name': 'a.png', 'checkpoint': ask.checkpoint})}"
    assert ask("POST", path, None, **{"Content-Length": "x"})[0] == 411
    with pytest.raises(SRError, match="did not arrive whole"):
        jobs.add("a.png", [b"half"], 8, "", {})
    assert ask.jobs() == [] and list(jobs.folder.iterdir()) == []

    for name, content, said in (
        ("a.jp2", picture, "a.jp2 is of a format that isn't read: convert it to PNG"),
        ("a.exe", picture, "is neither an image nor a video"),
        ("../../a\n.png", b"", "can't read"),
        ("a.png", picture + b"", "can't make"),
    ):
        assert ask.add(name, content, **({"scale": 1000} if "make" in said else {}))[0] == 200
        job = ask.newest_when_ended()
        assert job["state"] == "failed" and said in job["error"] and "\n" not in job["error"]
        assert job["name"] == Path(name).name.replace("\n", "\\n") and str(jobs.folder) not in job["error"]


@pytest.mark.slow
def test_one_works_the_others_wait_and_what_is_killed_or_removed_makes_room(ask: Asker, server: Server) -> None:
    jobs = server.site.jobs  # type: ignore[attr-defined]
    long = encoded(photograph(240, 320))
    ask.add("killed.png", long, scale=8)
    ask.add("removed.png", long, scale=8)
    states = [job["state"] for job in ask.when(lambda found: found[1]["share"] not in (None, 0))]
    assert states == ["waiting", "working"]
    os.kill(jobs._process.pid, signal.SIGKILL)
    removed, killed = ask.when(lambda found: found[0]["share"] not in (None, 0))
    assert "killed.png: upscaling ended without a result (perhaps for lack of memory)" in killed["error"]
    worker = jobs._process
    assert ask("POST", f"/{server.token}/remove?job={removed['number']}")[0] == 200
    assert [job["name"] for job in ask.jobs()] == ["killed.png"]
    worker.wait(10)
    for _ in range(100):
        if [path.name for path in jobs.folder.iterdir()] == [str(killed["number"])]:
            return
        time.sleep(0.05)
    raise AssertionError("files of the removed job are left")


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_ends_the_page_and_its_work_and_removes_the_files(
    number: signal.Signals, checkpoints: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", "from sr_experiments.cli import main; main()", "app", "--device", "cpu"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [*command, "--checkpoints", str(checkpoints)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as served:
        said = "".join(iter(served.stdout.readline, "Ctrl-C ends it; files and results are removed then\n"))
        assert said.startswith("2 checkpoints: open")
        [(port, token)] = re.findall(r"http://127\.0\.0\.1:(\d+)/(\S+)/", said)
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
        given = urlencode({"name": "a.png", "checkpoint": checkpoints / "compact.pth"})
        connection.request("POST", f"/{token}/add?{given}", body=encoded(photograph(8, 8)))
        assert connection.getresponse().status == 200
        children = _children(served.pid)
        served.send_signal(number)
        assert served.wait(10) == (0 if number == signal.SIGINT else 143)
    assert len(children) == 1 and not Path(f"/proc/{children[0]}").exists()
    assert list(tmp_path.iterdir()) == []


def _children(pid: int) -> list[int]:
    import psutil

    for _ in range(100):
        if found := psutil.Process(pid).children():
            return [child.pid for child in found]
        time.sleep(0.02)
    return []


def test_no_checkpoint_is_one_line(sr: Any, tmp_path: Path) -> None:
    done = sr("app", "--checkpoints", tmp_path)
    assert done.code == 2 and done.err.startswith(f"error: no checkpoint in {tmp_path}: train a network")
    done = sr("app", "--checkpoints", tmp_path / "absent")
    assert done.code == 2 and done.err.startswith(f"error: no folder {tmp_path}/absent")
