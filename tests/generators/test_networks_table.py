"""docs/NETWORKS.md: its parameters and operations are those of the networks that conf/model/ describes."""

import re

import pytest
import torch
import yaml

from sr_experiments.evaluation.cost import macs_per_pixel
from sr_experiments.generators import GENERATORS
from tests.conftest import ROOT

ROW = re.compile(r"^\| `(\w+)`(?: at scale (\d))? \| ([\d.]+) M \| ([\d.]+) M \|", re.MULTILINE)
TABLE = (ROOT / "docs/NETWORKS.md").read_text()
ROWS = {(name, int(scale or 4)): (parameters, macs) for name, scale, parameters, macs in ROW.findall(TABLE)}
# spandrel is many networks; those of flows have another network inside, and run it several times.
WITHOUT_ROW = {"spandrel", "flow", "flow_distilled"}
COSTLY = ("frvsr_rrdb",)


def made(name, scale):
    """The network of a file in conf/model; those of images take no memory and no time."""
    config = yaml.safe_load((ROOT / "conf" / "model" / f"{name}.yaml").read_text())
    config = {"name": "frvsr", **config.get("model", config), "phase": "centred"}
    kind = GENERATORS[config.pop("name")]
    if kind not in (GENERATORS["frvsr"], GENERATORS["basicvsr_uni"]):
        del config["phase"]
        with torch.device("meta"):
            return kind(**config, scale=scale).eval()
    return kind(**config).eval()


@pytest.mark.parametrize(
    ("name", "scale"), [pytest.param(*row, marks=pytest.mark.slow if row[0] in COSTLY else ()) for row in ROWS]
)
def test_parameters_and_operations_of_the_table_are_the_networks(name, scale):
    network = made(name, scale)
    parameters, macs = ROWS[name, scale]
    assert f"{sum(p.numel() for p in network.parameters()) / 1e6:.3f}" == parameters
    assert f"{macs_per_pixel(network) / 1e6:.2f}" == macs


def test_the_table_has_every_network():
    files = {path.stem for path in (ROOT / "conf" / "model").glob("*.yaml")}
    assert {name for name, _ in ROWS} == (files | set(GENERATORS)) - WITHOUT_ROW
