"""docs/NETWORKS.md: its parameters and operations are those of the networks that conf/model/ describes."""

import re

import pytest
import torch
import yaml

from sr_experiments.evaluation.cost import macs_per_pixel
from sr_experiments.generators import GENERATORS
from tests.conftest import ROOT

ROW = re.compile(r"^\| `(\w+)` \| ([\d.]+) M \| ([\d.]+) M \|", re.MULTILINE)
ROWS = {name: (parameters, macs) for name, parameters, macs in ROW.findall((ROOT / "docs/NETWORKS.md").read_text())}
COSTLY = ("frvsr_rrdb",)


def made(name):
    """The network of a file in conf/model; those of images take no memory and no time."""
    config = yaml.safe_load((ROOT / "conf" / "model" / f"{name}.yaml").read_text())
    config = {"name": "frvsr", **config.get("model", config), "phase": "centred"}
    kind = GENERATORS[config.pop("name")]
    if not name.startswith("frvsr"):
        del config["phase"]
        with torch.device("meta"):
            return kind(**config).eval()
    return kind(**config).eval()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in COSTLY else name for name in ROWS]
)
def test_parameters_and_operations_of_the_table_are_the_networks(name):
    network = made(name)
    parameters, macs = ROWS[name]
    assert f"{sum(p.numel() for p in network.parameters()) / 1e6:.3f}" == parameters
    assert f"{macs_per_pixel(network) / 1e6:.2f}" == macs


def test_the_table_has_every_network_that_was_there_when_it_was_written():
    networks = {"compact", "esc", "esc_small", "srresnet", "msrresnet", "rrdbnet", "frvsr", "frvsr_rrdb"}
    assert networks <= ROWS.keys()
