"""The wheel is a whole product: installed elsewhere, in an empty folder, `sr` does all that a checkout does.

In most tests its dependencies are those of this environment, which the new one sees. The oldest and the newest Python
get dependencies of their own.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from sr_experiments.config.quoting import BY_UV, SCRIPT
from tests.conftest import ROOT, TINY_MODEL, TINY_RUN

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")]
PRE_RELEASE = re.compile(r"\d(a|b|rc|\.dev)\d")
APACHE_2 = "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4"  # sha256 of its text
QUICK = [*TINY_RUN, "trainer.max_steps=2"]


def run(*words: object, cwd: Path, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    # None of what `uv run pytest` sets: not its environment, and not what tells that uv started this.
    kept = {k: v for k, v in os.environ.items() if k not in (BY_UV, SCRIPT, "UV", "VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**kept, "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == code, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(["uv", "build", "--wheel", "-o", folder, ROOT], capture_output=True, text=True)
    if built.returncode and re.search(r"hatchling|network|dns|connect", built.stderr, re.IGNORECASE):
        pytest.skip(f"no package index: {built.stderr[-300:]}")
    assert built.returncode == 0, built.stderr[-2000:]
    [made] = folder.glob("sr_experiments-*.whl")
    return made


def metadata(wheel: Path) -> Message:
    archive = zipfile.ZipFile(wheel)
    [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    return message_from_bytes(archive.read(name))


def requirements(wheel: Path) -> list[str]:
    return metadata(wheel).get_all("Requires-Dist") or []


def see_this_environment(environment: Path) -> None:
    """Let an environment import what is installed in this one; this project's checkout, a .pth file there, it can't."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (environment / f"lib/{version}/site-packages/these.pth").write_text(sysconfig.get_path("purelib") + "\n")


@pytest.fixture(scope="module")
def by_pip(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment in which pip installed the wheel."""
    environment = tmp_path_factory.mktemp("pip") / "venv"
    run(sys.executable, "-m", "venv", environment, cwd=environment.parent)
    run(environment / "bin/python", "-m", "pip", "install", "--no-deps", wheel, cwd=environment.parent)
    see_this_environment(environment)
    return environment / "bin"


@pytest.fixture(scope="module")
def by_uv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment in which uv installed the wheel."""
    environment = tmp_path_factory.mktemp("uv") / "venv"
    run("uv", "venv", "-p", sys.executable, environment, cwd=environment.parent)
    python = environment / "bin/python"
    run("uv", "pip", "install", "--no-deps", "--python", python, wheel, cwd=environment.parent)
    see_this_environment(environment)
    return environment / "bin"


def test_it_holds_what_the_checkout_has_and_no_more(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    listed = [
        "git",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "conf",
        "sr_experiments",
        "hydra_plugins",
    ]
    tracked = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    expected = {re.sub("^conf/", "sr_experiments/conf/", name) for name in tracked}
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_it_says_under_which_licence_it_is_and_under_which_what_it_needs(wheel):
    said = metadata(wheel)
    assert said["License-Expression"] == "Apache-2.0" and said.get_all("License-File") == ["LICENSE"]
    assert said["Author"] == "sr_experiments developers" and said.get_all("Project-URL") is None
    licence = next(n for n in zipfile.ZipFile(wheel).namelist() if n.endswith(".dist-info/licenses/LICENSE"))
    text = zipfile.ZipFile(wheel).read(licence).decode()
    assert hashlib.sha256(text.encode()).hexdigest() == APACHE_2
    described = set(re.findall(r"[\w-]+", (ROOT / "docs/LICENSES.md").read_text().lower()))
    assert {re.split(r"[^\w-]", requirement)[0].lower() for requirement in requirements(wheel)} <= described


def test_two_processes_in_an_empty_folder_and_what_they_tell_to_type(by_pip, tmp_path):
    words = [*TINY_MODEL["msrresnet"], *QUICK, "trainer=ddp", "trainer.devices=2"]
    done = run(by_pip / "sr", "train", *words, cwd=tmp_path)
    [folder] = tmp_path.glob("outputs/msrresnet_pixel_x4/*")
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["state"], summary["step"], summary["processes"]) == ("finished", 2, 2)
    assert "  train longer sr train resume=" in done.stderr and "train.py" not in done.stderr
    [repeat] = [
        line.removeprefix("#") for line in (folder / "config.yaml").read_text().splitlines() if "--config-" in line
    ]
    assert repeat.split()[:2] == ["sr", "train"]
    there = {"PATH": f"{by_pip}:{os.environ['PATH']}"}
    shown = run("sh", "-c", f"{repeat} --cfg job", cwd=tmp_path, **there).stdout
    assert "name: msrresnet_pixel_x4" in shown
    again = run(by_pip / "sr", "train", "model=mssrresnet", cwd=tmp_path, code=2)
    assert "did you mean msrresnet?" in again.stderr
    helped = run(by_pip / "sr", "train", "--help", cwd=tmp_path).stdout
    assert "sr train model=rrdbnet loss=gan" in helped and "python train.py" not in helped


def test_a_project_of_ones_own_beside_the_installed_package(by_uv, tmp_path):
    environment = {"PATH": f"{by_uv}:{os.environ['PATH']}"}
    said = run("sr", "init", "my_project", cwd=tmp_path, **environment).stderr
    project = tmp_path / "my_project"
    assert shlex.split(said.splitlines()[-1]) == ["sr", "train", "--config-dir", "conf", "experiment=mine"]
    run("uv", "pip", "install", "--no-deps", "-e", ".", cwd=project, VIRTUAL_ENV=str(by_uv.parent))
    tiny = [*(word for word in QUICK if not word.startswith("model.")), "model.features=8"]
    done = run("sr", "train", "--config-dir", "conf", "experiment=mine", *tiny, cwd=project, **environment)
    [longer] = [line for line in done.stderr.splitlines() if line.startswith("  train longer")]
    assert longer.split()[2:4] == ["sr", "train"]
    [folder] = (project / "outputs/mine_x4").iterdir()
    run(
        "sr",
        "upscale",
        ROOT / "docs/msrresnet_butterfly.jpg",
        "-o",
        "large.png",
        "-c",
        folder,
        cwd=project,
        **environment,
    )
    assert (project / "large.png").stat().st_size > 10000


@pytest.mark.parametrize("python", ["3.10", "3.13"])
def test_the_oldest_and_the_newest_python(python, wheel, tmp_path):
    # uv meets pyenv's shims on the path, which end in an error for versions that are not chosen.
    by_pyenv = sorted(Path.home().glob(f".pyenv/versions/{python}.*/bin/python"))
    create = ["uv", "venv", "--seed", "-p", by_pyenv[-1] if by_pyenv else python, "venv"]
    done = subprocess.run(create, cwd=tmp_path, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no Python {python}: {done.stderr[-300:]}")
    there = tmp_path / "venv/bin"
    install = ["uv", "pip", "install", "-q", "--python", there / "python", wheel]
    done = subprocess.run(install, cwd=tmp_path, capture_output=True, text=True)
    if done.returncode and "No solution" not in done.stderr:
        pytest.skip(f"no package index: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    assert f"Python {python}." in run(there / "sr", "--version", cwd=tmp_path).stdout
    # pip finds all that it asks for among what uv installed.
    pip = [there / "python", "-m", "pip", "--isolated", "install", "--no-index", "--force-reinstall", "--no-deps"]
    run(*pip, wheel, cwd=tmp_path, PIP_CONFIG_FILE=os.devnull)
    run(there / "python", "-m", "pip", "check", cwd=tmp_path)
    run(there / "sr", "train", *TINY_MODEL["msrresnet"], *QUICK, cwd=tmp_path)
    [folder] = tmp_path.glob("outputs/msrresnet_pixel_x4/*")
    assert json.loads((folder / "summary.json").read_text())["state"] == "finished"
    picture = ROOT / "docs/msrresnet_butterfly.jpg"
    run(there / "sr", "upscale", picture, "-o", "large.png", "-c", folder, cwd=tmp_path)
    assert (tmp_path / "large.png").stat().st_size > 10000
    shutil.rmtree(tmp_path / "venv")  # 6 GB, if not of links into uv's cache


@pytest.mark.parametrize("python", ["3.10", "3.13"])
def test_dependencies_resolve_for(python, wheel, tmp_path):
    (tmp_path / "wanted.in").write_text(f"sr-experiments @ {wheel.as_uri()}\n")
    command = ["uv", "pip", "compile", "--no-config", "--python-version", python, "wanted.in", "-q"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if done.returncode and "No solution" not in done.stderr:
        pytest.skip(f"no package index: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", done.stdout, re.MULTILINE))
    own = {re.split(r"[^\w-]", requirement)[0] for requirement in requirements(wheel) if "extra" not in requirement}
    assert own <= set(pinned)
    assert not [f"{name} {pinned[name]}" for name in own if PRE_RELEASE.search(pinned[name])]


def test_slurm_brings_no_release_candidate_of_hydra(wheel, by_pip, tmp_path):
    """hydra-submitit-launcher alone lets pip choose one: it asks for hydra-core>=1.1.0.dev7."""
    wanted = [one.split(";")[0].strip() for one in requirements(wheel) if re.match("hydra|omegaconf|submitit", one)]
    assert any("submitit-launcher" in one for one in wanted)
    pip = [by_pip / "python", "-m", "pip"]
    newest = subprocess.run([*pip, "install", "-q", "--upgrade", "pip"], capture_output=True, text=True)
    if newest.returncode:
        pytest.skip(f"no package index: {newest.stderr[-300:]}")
    asked = [*pip, "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    versions = {}
    for what, given in (("ours", wanted), ("alone", ["hydra-submitit-launcher==1.2.0"])):
        report = json.loads(run(*asked, *given, cwd=tmp_path).stdout)
        metadata_of = [one["metadata"] for one in report["install"]]
        versions[what] = {one["name"].lower().replace("_", "-"): one["version"] for one in metadata_of}
    assert not [v for v in versions["ours"].values() if PRE_RELEASE.search(v)], versions["ours"]
    assert versions["ours"]["hydra-core"].startswith("1.3."), versions
    # If that is no longer so, the upper bound of hydra-core in pyproject.toml has one reason less.
    assert "rc" in versions["alone"]["hydra-core"], versions
