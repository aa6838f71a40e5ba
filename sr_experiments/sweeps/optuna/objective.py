"""What a study is to find: which value of a run, and whether more of it is better."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sr_experiments.errors import SRError

OF_FLOW = {"warp_psnr": True, "flow_epe": False}  # what validation measures of the flow of FRVSR
PARAMETERS = "parameters"


@dataclass(frozen=True)
class Objective:
    """A value that is to grow or shrink.

    Attributes:
        name: of a validation metric, `psnr_y` (of the first set) or `<set>/psnr_y`; or "parameters", of the network.
        higher: whether more is better.
    """

    name: str
    higher: bool

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """As Optuna says it."""
        return "maximize" if self.higher else "minimize"

    @property
    def validated(self) -> bool:
        """Whether it is measured in validation."""
        return self.name != PARAMETERS

    def value(self, summary: dict[str, Any], which: str) -> float | None:
        """From a run's summary.json; None if it isn't there.

        Args:
            summary: what is in the file.
            which: "best", of the best checkpoint, or "final", of the last validation.
        """
        if not self.validated:
            return summary.get("parameters")
        values = (summary.get("best") or {}).get("metrics") if which == "best" else summary.get("final")
        depth = 2 - self.name.count("/")  # keys are val/<set>/<metric>, those of the first set come first
        found = next((v for key, v in (values or {}).items() if key.split("/", depth)[-1] == self.name), None)
        return float(found) if isinstance(found, int | float) else None


def resolve_objectives(choice: str | Sequence[str], config: dict[str, Any]) -> list[Objective]:
    """The objectives of `hydra.sweeper.objective`.

    Args:
        choice: one, or two. "auto" is what decides the best checkpoint of such a run.
        config: of one of the runs, resolved.

    Raises:
        SRError: one that is not measured.
    """
    names = [choice] if isinstance(choice, str) else list(choice)
    if not 1 <= len(names) <= 2:
        raise SRError(
            f"hydra.sweeper.objective={choice}: give one metric, such as psnr_y, or two as [psnr_y,parameters]"
        )
    if names == ["auto"]:
        names = [_monitored(config)]
    names = [str(name).removeprefix("val/") for name in names]
    if len(set(names)) < len(names):
        raise SRError(f"hydra.sweeper.objective={choice}: the same objective twice")
    return [Objective(name, _higher_is_better(name, config)) for name in names]


def _monitored(config: dict[str, Any]) -> str:
    if config["trainer"]["monitor"] != "auto":
        return str(config["trainer"]["monitor"])
    if config["loss"]["name"] == "gan" and "lpips_alex" in config["metrics"] and _has_alexnet():
        return "lpips_alex"
    return "psnr_y" if "psnr_y" in config["metrics"] else next(iter(config["metrics"]))


def _has_alexnet() -> bool:
    from sr_experiments.checkpoints.backbones import WeightsUnavailable, pretrained_features

    try:
        pretrained_features("alexnet")
    except WeightsUnavailable:
        return False
    return True


def _higher_is_better(name: str, config: dict[str, Any]) -> bool:
    if name == PARAMETERS:
        return False
    metric = name.rsplit("/", 1)[-1]
    if metric in config["metrics"]:
        from sr_experiments.metrics import METRICS

        kind = METRICS.get(config["metrics"][metric].get("name"))
        if isinstance(higher := getattr(kind, "higher_is_better", None), bool):
            return higher
    if metric in OF_FLOW:
        return OF_FLOW[metric]
    known = [*config["metrics"], PARAMETERS, *(OF_FLOW if "stages" in config else ())]
    raise SRError(f"hydra.sweeper.objective={name} is not measured: choose one of {', '.join(known)}")
