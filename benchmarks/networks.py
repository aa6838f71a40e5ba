"""Parameters, operations and CPU time of every network, relative to MSRResNet: the figures of docs/NETWORKS.md.

    python benchmarks/networks.py --json networks.json                        # 128x96 to 512x384, untrained

The time is that of `sr upscale` for a frame (for a recurrent network, the second one), in its default precision
and runtime. Runs are interleaved, so that the load of other programs affects all networks, and medians are compared.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from inference import NETWORKS, alternating, engine, photograph

from sr_experiments.evaluation.cost import macs_per_pixel
from sr_experiments.generators import GENERATORS


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--size", default="128x96", help="size of the LR frames")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file to write the results to")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    frames = photograph(height, width)
    torch.manual_seed(0)
    names = dict.fromkeys(("msrresnet", *arguments.networks))
    networks = {name: GENERATORS[NETWORKS[name][0]](**NETWORKS[name][1]).eval() for name in names}
    figures: dict[str, Any] = {
        name: {"parameters": sum(p.numel() for p in network.parameters()), "macs": macs_per_pixel(network)}
        for name, network in networks.items()
    }
    runs = {name: engine(network, frames, torch.device("cpu"), "auto", "auto", 1) for name, network in networks.items()}
    for run in runs.values():  # the first call is slower
        run()
    times = {name: statistics.median(values) for name, values in alternating(runs, arguments.repeats).items()}
    for name, of in figures.items():
        of["time"] = times[name] / times["msrresnet"]
        print(  # noqa: T201
            f"{name:12}{of['parameters'] / 1e6:8.3f} M {of['macs'] / 1e6:8.2f} M MACs {of['time']:6.2f} x msrresnet"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
