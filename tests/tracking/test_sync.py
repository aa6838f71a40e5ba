"""`sr sync`: what it finds, what it leaves alone, and uploads by W&B's own client to a server of ours."""

import contextlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sr_experiments.runs.lock import run_lock

KEY = "0" * 40  # of the form that W&B's have
SAID = "project is read only"


class Server(ThreadingHTTPServer):
    """As much of W&B's as its client needs to upload runs without artifacts."""

    def __init__(self, status: int) -> None:
        super().__init__(("localhost", 0), Handler)
        self.status = status
        self.url = f"http://localhost:{self.server_port}"
        self.history: list[dict] = []
        self.put: list[str] = []

    def answer(self, query: str, given: dict) -> dict:
        project = {"id": "p", "name": given.get("project"), "entity": {"id": "e", "name": "me"}}
        if "upsertBucket" in query:
            bucket = {"id": "r", "name": given["name"], "displayName": "", "config": "{}", "historyLineCount": 0}
            return {"upsertBucket": {"bucket": {**bucket, "project": project}, "inserted": True}}
        if "createRunFiles" in query:
            files = [{"name": name, "uploadUrl": f"{self.url}/put/{name}"} for name in given["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        if "RunResumeStatus" in query:
            return {"model": {**project, "bucket": None}}
        return {"serverInfo": {"features": []}}


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/graphql":
            asked = json.loads(body)
            wrong = {"errors": [{"message": SAID}]}
            data = {"data": self.server.answer(asked["query"], asked.get("variables") or {})}
            self._reply(data if self.server.status == 200 else wrong)
        else:
            if self.path.endswith("file_stream"):
                lines = json.loads(body).get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
                self.server.history += map(json.loads, lines)
            self._reply({})

    def do_PUT(self) -> None:
        self._body()
        self.server.put.append(self.path)
        self._reply({})

    def log_message(self, *_: object) -> None:
        pass

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _reply(self, content: dict) -> None:
        data = json.dumps(content).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextlib.contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, status: int = 200) -> Iterator[Server]:
    with Server(status) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two sessions: started, and resumed."""
    import wandb

    folder = tmp_path_factory.mktemp("runs") / "msrresnet_pixel_x4" / "2026-01-01_00-00-00"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("name: msrresnet_pixel_x4\n")
    (folder / "summary.json").write_text('{"state": "finished"}')
    for steps, resume in (((1, 2), None), ((3, 4), "allow")):
        settings = wandb.Settings(silent=True)
        run = wandb.init(project="sr", dir=str(folder), id="abcd1234", resume=resume, mode="offline", settings=settings)
        for step in steps:
            run.log({"loss/pixel": 1 / step}, step=step)
        run.finish()
    return folder


@pytest.fixture
def runs(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with that run, in a home where nobody is logged in."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(written, tmp_path / "outputs" / written.parent.name / written.name)
    return tmp_path / "outputs"


def another(runs: Path, name: str) -> Path:
    """A copy of the run under another name."""
    [run] = runs.glob("msrresnet_pixel_x4/*")
    return shutil.copytree(run, runs / name / run.name)


def listed(sr) -> dict[str, list[str]]:
    rows = (re.split(r"\s{2,}", line.strip()) for line in sr("sync", "--list").out.splitlines())
    return {row[0]: row[1:] for row in rows if len(row) == 4}


def test_list_tells_what_is_where(runs, sr):
    uploaded, running, online = (another(runs, name) for name in ("uploaded", "running", "online"))
    for file in uploaded.glob("wandb/*/*.wandb"):
        file.with_suffix(".wandb.synced").touch()
    for session in online.glob("wandb/offline-run-*"):
        session.rename(session.with_name(session.name.removeprefix("offline-")))
    with run_lock(running):
        found = listed(sr)
    assert found["msrresnet_pixel_x4"][:2] == ["to upload", "2"]
    assert found["uploaded"] == ["uploaded", "0", "-"]
    assert found["running"][:2] == ["running", "2"]
    assert "online" not in found
    assert listed(sr)["running"][0] == "to upload"  # its process has ended


def test_upload_is_one_run_and_happens_once(runs, sr, monkeypatch):
    [first, second] = sorted(runs.glob("*/*/wandb/offline-run-*"))
    with serving(monkeypatch) as server:
        done = sr("sync")
        assert done.code == 0, done.err
        assert done.out.strip() == f"msrresnet_pixel_x4  {server.url}/me/sr/runs/abcd1234"
        assert [row["_step"] for row in server.history] == [1, 2, 3, 4]
        assert "/put/config.yaml" in server.put
        again = sr("sync", runs)
        assert (again.code, again.out.strip()) == (0, "nothing to upload: 1 in W&B already")
        (marker,) = second.glob("*.wandb.synced")
        marker.unlink()
        server.history.clear()
        assert sr("sync", first.parent.parent).code == 0
        assert [row["_step"] for row in server.history] == [3, 4]  # the first session is there already
    assert not (runs.parent / "wandb").exists()  # nothing is left where the command was typed


def test_a_running_run_waits_and_a_single_session_can_be_named(runs, sr, monkeypatch):
    running = another(runs, "running")
    [first, second] = sorted(runs.glob("msrresnet_pixel_x4/*/wandb/offline-run-*"))
    with serving(monkeypatch) as server, run_lock(running):
        done = sr("sync", first, running)
    assert done.code == 0, done.err
    assert "running  still running: sync it when it has ended" in done.out
    assert [row["_step"] for row in server.history] == [1, 2]
    assert any(first.glob("*.synced")) and not any(second.glob("*.synced"))


def test_each_failure_is_a_line_and_the_exit_code_tells(runs, sr, monkeypatch):
    another(runs, "other")
    with serving(monkeypatch, status=403):
        done = sr("sync")
    assert done.code == 2
    assert sorted(done.out.splitlines()) == [f"{name}  failed: {SAID}" for name in ("msrresnet_pixel_x4", "other")]
    assert "2 of 2 runs were not uploaded" in done.err
    assert not list(runs.rglob("*.synced"))


def test_not_logged_in_is_one_line(runs, sr):
    done = sr("sync")
    assert done.code == 2
    assert done.err.startswith("error: not logged in to Weights & Biases: type wandb login")
    assert len(done.err.splitlines()) == 1


def test_nothing_there_is_said(runs, sr, tmp_path):
    assert "does not exist" in sr("sync", tmp_path / "no").err
    for session in runs.glob("*/*/wandb"):
        shutil.rmtree(session)
    assert sr("sync").out.strip() == "nothing to upload"
    assert sr("sync", "--dry-run").out.strip() == "no offline W&B runs"
