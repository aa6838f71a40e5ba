"""The documentation: its commands are ones that the product takes, and its reference has all there is."""

import json
import re
import shlex

import pytest
from hydra import compose, initialize_config_dir
from typer import Context
from typer.core import TyperGroup
from typer.main import get_command

from sr_experiments.cli import app
from sr_experiments.config.hydra_app import read_arguments
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TRAIN = ("python train.py ", "sr train ")
SR = get_command(app)
assert isinstance(SR, TyperGroup)


def commands(*beginnings: str) -> list[list[str]]:
    """The words of each command in a block of code of any page, without comments."""
    found = {}
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for line in re.findall(r"^(?:    )?((?:srun .*?)?(?:sr|python train\.py) .*)$", text, re.MULTILINE):
            line = line[line.index("sr train") :] if line.startswith("srun") and "sr train" in line else line
            if line.startswith(beginnings) and "..." not in line:
                found[tuple(shlex.split(line, comments=True))] = page.name
    return [list(words) for words in found]


def first_of_each(override: str) -> str:
    """An override of a sweep with the first of its values."""
    key, value = override.split("=", 1)
    return override if "(" in value or value.startswith("[") else f"{key}={value.split(',')[0]}"


@pytest.mark.slow
def test_commands_that_train_compose():
    lines = commands(*TRAIN)
    assert len(lines) > 40
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for words in lines:
            overrides = words[2:]
            # Those with --config-dir are for the folder that sr init creates: tests/test_wheel.py types them.
            if {"--help", "-sc", "--config-dir"} & {*overrides} or any(o.startswith("resume=") for o in overrides):
                continue
            if "-m" in overrides:
                overrides = [first_of_each(o) for o in overrides if o != "-m"]
            if not any(o.startswith("hydra") for o in overrides):
                compose("train", read_arguments(overrides, ROOT / "conf"))


def test_commands_of_sr_have_the_options_that_are_given():
    lines = [words for words in commands("sr ") if words[1] != "train"]
    assert len(lines) > 30
    for _, name, *words in lines:
        options = {o for parameter in SR.commands[name].params for o in (*parameter.opts, *parameter.secondary_opts)}
        given = {word.split("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)}
        assert given <= options, (name, given - options)


@pytest.mark.parametrize("page, directive", [("commands", "command"), ("components", "components")])
def test_the_reference_has_all_there_is(page, directive):
    has = set(re.findall(rf"^```{{{directive}}} (\S+)", (ROOT / f"docs/reference/{page}.md").read_text(), re.MULTILINE))
    if page == "commands":
        assert has == set(SR.list_commands(Context(SR)))
        return
    definitions = json.loads((ROOT / "conf/schema.json").read_text())["$defs"]
    named = {key for key, group in definitions.items() if "const" in group.get("properties", {}).get("name", {})}
    assert [key for key in named if not key.startswith((*has, "SR-net"))] == []


def test_all_pages_are_in_the_table_of_contents():
    index = (ROOT / "docs/index.md").read_text()
    pages = {page.relative_to(ROOT / "docs").with_suffix("").as_posix() for page in PAGES[1:]} - {"index"}
    assert pages <= set(index.split())
