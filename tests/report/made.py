"""Parts of runs written by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HOSTILE = "<img src=x onerror=hacked=1>\"'&<b>"
SCRIPT = "</script><script>window.hacked=1</script><!--"
STARTED = 1_700_000_000.0  # of each run; one value every ten seconds


def config_of(name: str = "tiny", features: int = 8, learning_rate: float = 1e-3, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "model": {"name": "msrresnet", "features": features},
        "optim": {"learning_rate": learning_rate},
        "trainer": {"max_steps": 100},
        "seed": 0,
        **more,
    }


def rows_of(metrics: Mapping[str, Sequence[float]], every: int = 10) -> list[list[str]]:
    return [
        [str((i + 1) * every), f"{STARTED + 10 * i:.3f}", metric, repr(float(value))]
        for metric, values in metrics.items()
        for i, value in enumerate(values)
    ]


def picture(seed: int, side: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def study_of(folder: Path, count: int, objectives: int = 1) -> None:
    """A journal of Optuna as a sweep leaves it: `decides` makes psnr_y, `noise` the parameters; one trial is pruned."""
    import optuna

    from sr_experiments.sweeps.optuna.study import NAME, storage_in

    directions = ["maximize", "minimize"][:objectives]
    study = optuna.create_study(storage=storage_in(folder), study_name=NAME, directions=directions)
    names = ["psnr_y", "parameters"][:objectives]
    study.set_user_attr("objectives", [{"name": n, "higher": n == "psnr_y"} for n in names])
    rng = np.random.default_rng(0)
    space: dict[str, optuna.distributions.BaseDistribution] = dict.fromkeys(
        ("decides", "noise"), optuna.distributions.FloatDistribution(0, 1)
    )
    for number in range(count):
        params = {name: float(rng.random()) for name in space}
        values = [20 + 10 * params["decides"], 1000 * params["noise"]][:objectives]
        pruned = number == 1 and objectives == 1
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE,
                params=params,
                distributions=space,
                values=values,
                user_attrs={"folder": str(number)},
            )
        )
