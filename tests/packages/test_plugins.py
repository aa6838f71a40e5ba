"""Components of installed packages: found by their entry point, and never by what a file of a run says."""

import importlib
import sys
from pathlib import Path

import pytest
import yaml

from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.packages.plugins import load_plugins
from sr_experiments.project.lay_out import lay_out
from sr_experiments.registry import Registry
from tests.conftest import TINY_RUN


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`installed("mine", code)` puts a module and its entry point on the path, as an installed package has them."""
    packages = tmp_path / "packages"
    packages.mkdir()
    monkeypatch.syspath_prepend(str(packages))
    names, modules = set(GENERATORS), set(sys.modules)

    def install(name: str, code: str) -> None:
        info = packages / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (packages / f"{name}.py").write_text(code)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[sr_experiments]\n{name} = {name}\n")
        importlib.invalidate_caches()
        load_plugins.cache_clear()

    yield install
    for name in set(sys.modules) - modules:
        if str(packages) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    for name in set(GENERATORS) - names:
        del GENERATORS[name]
    load_plugins.cache_clear()


def fresh() -> Registry:
    """A registry that is filled when it is read, which loads the plug-ins."""
    return Registry("generator", "sr_experiments.generators")


def test_a_project_that_was_laid_out_and_installed_trains_and_upscales(installed, train_py, sr, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = sr("init", "my_project")
    assert said.code == 0 and "sr train --config-dir conf experiment=mine" in said.err
    installed("my_project", (tmp_path / "my_project/my_project.py").read_text())
    len(fresh())
    own = ("--config-dir", "my_project/conf", "experiment=mine")
    tiny = [word for word in TINY_RUN if "crop" not in word]
    done = train_py(*own, *tiny, "trainer.max_steps=2", "data.crop=32", "model.features=8", "seed=3")
    assert done.code == 0, done.err
    [run] = tmp_path.glob("outputs/mine_x4/*")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"] == {"name": "mine", "features": 8} and config["seed"] == 3
    assert config["optim"]["learning_rate"] == 5e-4
    wrong = train_py("--config-dir", "my_project/conf", "experiment=mime")
    assert wrong.code == 2 and "did you mean mine?" in wrong.err
    doctor = sr("doctor", "--config-dir", "my_project/conf", "experiment=mine", "model.features=0")
    assert doctor.code == 1 and "model.features is 0" in " ".join(doctor.out.split()), doctor.err


def test_a_run_names_components_and_no_code(train, tmp_path, monkeypatch):
    run = train("trainer.max_steps=2")
    (run / "evil.py").write_text("import pathlib; pathlib.Path('ran').touch()")
    path = run / "config.yaml"
    for name in ("evil", "evil.py", str(run / "evil.py")):
        path.write_text(path.read_text().replace("name: msrresnet\n", f"name: {name}\n", 1))
        monkeypatch.chdir(run)
        with pytest.raises(SystemExit) as stop:
            train(f"resume={run}", "trainer.max_steps=3")
        assert stop.value.code == 2
    assert not (run / "ran").exists()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import absent_module", "No module named 'absent_module'"),
        (
            "from sr_experiments.generators import GENERATORS\n@GENERATORS.register('msrresnet')\ndef f(): ...",
            "generator msrresnet is both in sr_experiments.generators.msrresnet and in broken: rename yours",
        ),
    ],
)
def test_a_package_that_cannot_be_loaded_is_named_in_one_line(code, says, installed):
    len(GENERATORS)
    installed("broken", code)
    with pytest.raises(SRError) as error:
        len(fresh())
    assert "installed package broken" in str(error.value) and says in str(error.value)
    assert "pip uninstall broken" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["1st", "a-b", "class", "sr_experiments", "é"])
def test_names_that_no_module_can_have_are_refused(name, tmp_path):
    with pytest.raises(SRError, match=r"choose one such as (?!class$)"):
        lay_out(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["torch", "json", "yaml"])
def test_names_of_installed_modules_are_refused(name, tmp_path):
    with pytest.raises(SRError, match=f"{name} is the name of an installed Python module: .*my_{name}"):
        lay_out(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_a_folder_holds_is_left_alone(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/mine.txt").write_text("mine")
    with pytest.raises(SRError, match="is there already"):
        lay_out(tmp_path / "taken")
    (tmp_path / "empty").mkdir()
    lay_out(tmp_path / "empty")
    assert 'empty = "empty"' in (tmp_path / "empty/pyproject.toml").read_text()
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["mine.txt"]
