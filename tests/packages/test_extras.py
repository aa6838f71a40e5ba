"""Messages that ask for an extra name the command that installs it."""

import re
import shlex
import sys

import pytest
from packaging.requirements import Requirement

from sr_experiments.config.quoting import BY_UV
from sr_experiments.packages import extras
from tests.conftest import ROOT


def test_the_command_is_of_the_installation_at_hand(monkeypatch, tmp_path):
    monkeypatch.delenv(BY_UV, raising=False)
    assert shlex.split(extras.install_extra("heic")) == ["pip", "install", "-e", ".[heic]"]
    monkeypatch.setenv(BY_UV, "1")
    assert extras.install_extra("heic") == "uv sync --inexact --extra heic"
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "site-packages/sr_experiments/packages/extras.py"))
    word = shlex.split(extras.install_extra("heic"))[-1]
    assert (Requirement(word).name, Requirement(word).extras) == ("sr-experiments", {"heic"})


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is new in Python 3.11")
def test_all_extras_that_are_asked_for_exist():
    import tomllib

    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()
    asked = set()
    for path in (ROOT / "sr_experiments").rglob("*.py"):
        text = path.read_text()
        asked |= set(re.findall(r"install_extra\([\"'](\w+)[\"']\)", text))
        assert "pip install -e '.[" not in text or path.name == "extras.py", path
        assert "sr-experiments[" not in text or path.name == "extras.py", path
    assert asked and asked <= known
