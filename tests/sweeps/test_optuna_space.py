"""From Hydra's sweeps to Optuna's distributions."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from sr_experiments.errors import SRError
from sr_experiments.sweeps.optuna.space import as_override, example_overrides, search_space

distributions = pytest.importorskip("optuna.distributions")
Float, Int, Choice = (getattr(distributions, f"{kind}Distribution") for kind in ("Float", "Int", "Categorical"))


def space_of(*overrides):
    return search_space(OverridesParser.create().parse_overrides(list(overrides)))


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("interval(0,1)", Float(0, 1)),
        ("tag(log,interval(1e-5,1e-3))", Float(1e-5, 1e-3, log=True)),
        ("int(interval(1,8))", Int(1, 8)),
        ("tag(log, int(interval(1, 8)))", Int(1, 8, log=True)),
        ("range(4,17,4)", Int(4, 16, step=4)),
        ("range(5)", Int(0, 4)),
        ("range(10,0,-3)", Int(1, 10, step=3)),
        ("tag(log,range(1,9))", Int(1, 8, log=True)),
        ("range(0.5,1.6,0.5)", Float(0.5, 1.5, step=0.5)),
        ("range(0,1,0.3)", Float(0, 0.9, step=0.3)),
        ("range(0.1,0.8,0.1)", Float(0.1, 0.7, step=0.1)),
        ("range(0.9,0,-0.3)", Float(0.3, 0.9, step=0.3)),
        ("1,2,3", Choice(["1", "2", "3"])),
        ("choice(l1,mse)", Choice(["l1", "mse"])),
        ("choice([1,2],[3])", Choice(["[1,2]", "[3]"])),
        ("true,null", Choice(["True", "null"])),
    ],
)
def test_each_way_to_write_a_sweep(text, distribution):
    space, fixed = space_of(f"a.b={text}", "c=1")
    assert space == {"a.b": distribution} and fixed == ["c=1"]


def test_the_last_of_two_counts():
    space, fixed = space_of("a=1,2", "b=3", "b=interval(0,1)", "a=5", "~d", "+e=1,2")
    assert list(space) == ["b", "+e"] and fixed == ["a=5", "~d"]


@pytest.mark.parametrize(
    "text",
    ["tag(log,interval(0,1))", "interval(2,1)", "range(3,3)", "tag(log,range(1,9,2))", "tag(best,interval(0,1))"],
)
def test_what_makes_no_sense_is_named(text):
    with pytest.raises(SRError, match="a="):
        space_of(f"a={text}")


def test_examples_have_every_choice():
    space, _ = space_of("a=x,y,z", "b=1,2", "c=range(2,9)")
    found = {override for overrides in example_overrides(space) for override in overrides}
    assert found == {
        "a=x",
        "a=y",
        "a=z",
        "b=1",
        "b=2",
        "c=2",
    }


def test_numbers_are_written_as_they_are():
    assert as_override("a", 0.1 + 0.2) == "a=0.30000000000000004" and as_override("a", 3) == "a=3"
    parsed = OverridesParser.create().parse_override(as_override("a", 1e-05))
    assert parsed.value() == 1e-05
