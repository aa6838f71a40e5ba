"""No key, password or environment variable gets into a file, whatever is run."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest
import wandb

from sr_experiments.config.secrets import refuse_secrets
from sr_experiments.errors import SRError
from tests.conftest import TINY_MODEL, TINY_RUN
from tests.wandb_sessions import records

CANARY = "canary-in-the-name"  # is written to files, so that the search is known to find
ENVIRONMENT = {
    "WANDB_API_KEY": "5ec2e7a0" * 5,
    "AWS_SECRET_ACCESS_KEY": "aws/5ec2e7b0",
    "HF_TOKEN": "hf_5ec2e7c0",
    "HTTPS_PROXY": "http://me:5ec2e7d0@127.0.0.1:9",
    "DATABASE_URL": "postgres://me:5ec2e7e0@localhost/runs",
    "PLAIN_VARIABLE": "5ec2e7f0 is no secret, but the environment is nobody's business",
}
SECRETS = [f"5ec2e7{digit}0" for digit in "0abcdef"]
REMOTE = "https://ghp_5ec2e700:5ec2e700@github.com/someone/something.git"


def contents(path: Path) -> bytes:
    """Of a file, with what is packed or split in it as it was."""
    content = path.read_bytes()
    if path.suffix == ".wandb":
        content += b"".join(str(record).encode() for record in records(path.parent))
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            content += b"".join(archive.read(name) for name in archive.namelist())
    return content


def assert_none_leaked(place: Path, *said: str) -> list[str]:
    """No secret in any file below, nor in a file's name; returns the names of those that hold the canary."""
    files = [path for path in place.rglob("*") if path.is_file() and ".git" not in path.parts]
    found = []
    for path in files:
        content = contents(path) + str(path.relative_to(place)).encode()
        assert not [secret for secret in SECRETS if secret.encode() in content], path
        found += [path.name] if CANARY.encode() in contents(path) else []
    for text in said:
        assert not [secret for secret in SECRETS if secret in text], text[-3000:]
    return found


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Secrets all around: in the environment, and in the address of the repository that one works in."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("WANDB_SERVICE", raising=False)  # of a process with the environment of before
    monkeypatch.setenv("MPLCONFIGDIR", os.environ.get("MPLCONFIGDIR", str(Path("~/.config/matplotlib").expanduser())))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for arguments in (["init", "-q"], ["remote", "add", "origin", REMOTE]):
        subprocess.run(["git", *arguments], check=True)


def all_written(tmp_path: Path, train_py, sr, *commands: tuple[object, ...]) -> list[str]:
    """What `assert_none_leaked` says after a run with W&B and commands on it; FOLDER stands for the run's."""
    wandb.teardown()  # so that its process is started with this environment too
    trained = train_py(*TINY_MODEL["msrresnet"], *TINY_RUN, f"name={CANARY}", "logger=wandb")
    assert trained.code == 0, trained.err[-3000:]
    [folder] = Path("outputs").glob("*/2*")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(next(folder.glob("samples/**/*.png")).read_bytes())
    said = [sr(*[folder if one == "FOLDER" else one for one in command]) for command in commands]
    assert not [one.err for one in said if one.code]
    texts = [text for one in said for text in (one.out, one.err)]
    return assert_none_leaked(tmp_path, trained.out, trained.err, *texts)


@pytest.mark.slow
def test_no_file_has_a_secret_in_it(environment, tmp_path, train_py, sr):
    found = all_written(
        tmp_path,
        train_py,
        sr,
        ("compare", "outputs", "-o", "report.html"),
        ("export", "FOLDER", "-o", "x.safetensors", "--card"),
    )
    session = next(Path("outputs").glob("*/2*/wandb/*run-*/*.wandb"))
    assert {"config.yaml", "summary.json", "report.html", session.name} <= set(found)
    assert b"github.com/someone" in contents(session)  # W&B was told of the repository


@pytest.mark.slow
def test_no_picture_export_or_measurement_has_a_secret_in_it(environment, tmp_path, train_py, sr):
    all_written(
        tmp_path,
        train_py,
        sr,
        ("runs", "outputs", "--json"),
        ("upscale", tmp_path / "pictures", "-o", "large", "--checkpoint", "FOLDER", "--runtime", "torch"),
        ("evaluate", "--checkpoint", "FOLDER", "--hr", tmp_path / "pictures", "--json", "e.json", "--csv", "e.csv"),
        ("export", "FOLDER", "-o", "x.pth"),
        ("export", "FOLDER", "-o", "x.onnx"),
        ("export", "FOLDER", "-o", "x.pt2"),
    )


def test_a_run_that_fails_tells_no_secret(environment, tmp_path, train, capsys):
    with pytest.raises(SystemExit):
        train("optim.learning_rate=1e30", "optim/schedule=constant", f"name={CANARY}")
    said = capsys.readouterr()
    assert "became" in said.err
    found = assert_none_leaked(tmp_path, said.out, said.err)
    assert found.count("config.yaml") == 2  # one beside the batch


REFUSED = {
    "a variable's value": (f"+note=x{ENVIRONMENT['WANDB_API_KEY']}", "note holds the value of", "WANDB_API_KEY"),
    "a reference": ("+note=${oc.env:HF_TOKEN}", "note holds the value of", "HF_TOKEN"),
    "its password alone": ("+note=5ec2e7e0", "note holds the value of", "DATABASE_URL"),
    "a name": (f"+data.{ENVIRONMENT['HF_TOKEN']}=1", "a setting's name holds", "HF_TOKEN"),
    "a setting of that name": ("+logger.api_key=0123456789", "logger.api_key would be written", "WANDB_API_KEY"),
    "a URL": ("+data.url=https://me:letmein@host/x", "data.url holds a URL with a password", ""),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_settings_with_a_secret_are_refused_before_anything_is_written(environment, tmp_path, train, capsys, kind):
    setting, says, name = REFUSED[kind]
    with pytest.raises(SystemExit) as stop:
        train(setting)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert says in said and name in said and len(said.splitlines()) == 1
    assert_none_leaked(tmp_path, said)
    assert not list(tmp_path.glob("run/**/*.*"))


def test_what_only_looks_like_a_secret_is_no_hindrance(environment, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "short")
    monkeypatch.setenv("PWD", "/data/sets")
    refuse_secrets({"a": ["short", "/data/sets/x", 7, None], "env": {"KEY": "${oc.env:WANDB_API_KEY}", "token": None}})
    refuse_secrets({"b": "s3://bucket/x", "c": "https://host:8080/x@2", "d": "5ec2e7f0 is no secret"})
    with pytest.raises(SRError, match=r"^a\[0\]\.b holds the value of the environment variable HF_TOKEN"):
        refuse_secrets({"a": [{"b": "hf_5ec2e7c0"}]})
