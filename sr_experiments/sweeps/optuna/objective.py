"""What a study optimises: one value of a run, or two, each with its direction."""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sr_experiments.errors import SRError

PARAMETERS = "parameters"


@dataclass(frozen=True)
class Objective:
    """A value that is to grow or to shrink."""

    name: str  # a validation metric, `psnr_y` (on the first set) or `<set>/psnr_y`; or "parameters", of the network
    higher: bool  # whether more is better

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """The direction in Optuna's words."""
        return "maximize" if self.higher else "minimize"

    @property
    def validated(self) -> bool:
        """Whether it is measured in validation."""
        return self.name != PARAMETERS

    def value(self, summary: dict[str, Any], which: str) -> float | None:
        """Return the value in a run's summary.json, None if it isn't there: "best" of a checkpoint, or "final"."""
        if not self.validated:
            return summary.get("parameters")
        values = (summary.get("best") or {}).get("metrics") if which == "best" else summary.get("final")
        depth = 2 - self.name.count("/")  # keys are val/<set>/<metric>, those of the first set come first
        found = next((v for key, v in (values or {}).items() if key.split("/", depth)[-1] == self.name), None)
        return float(found) if isinstance(found, int | float) else None


def resolve_objectives(choice: str | Sequence[str], config: Mapping[str, Any]) -> list[Objective]:
    """Return the one or two objectives that `hydra.sweeper.objective` names.

    "auto" is the metric that decides the best checkpoint of a run with the resolved configuration `config`.

    Raises:
        SRError: one that is not measured.
    """
    names = [choice] if isinstance(choice, str) else list(choice)
    if not 1 <= len(names) <= 2:
        raise SRError(
            f"hydra.sweeper.objective={choice}: give one metric, such as psnr_y, or two as [psnr_y,parameters]"
        )
    objectives = [_resolve(str(name), config) for name in names]
    if len({objective.name for objective in objectives}) < len(objectives):
        raise SRError(f"hydra.sweeper.objective={choice}: the same objective twice")
    return objectives


def _resolve(name: str, config: Mapping[str, Any]) -> Objective:
    if name == PARAMETERS:
        return Objective(name, higher=False)
    # Imported here: they load torch, which a sweep for parameters alone does without.
    from sr_experiments.data import TRAINING_SETS, VALIDATION_SETS
    from sr_experiments.metrics.flow import FLOW_METRICS
    from sr_experiments.metrics.monitor import resolve_monitor
    from sr_experiments.metrics.suite import MetricSuite
    from sr_experiments.training.stages import stage_configs

    data = config["data"]
    if "stages" in config:
        stage_configs(config)  # refuses wrong ones
    clips = getattr(_dataset(TRAINING_SETS, data["train"]), "clips", False)
    sample = "sample_video" if clips else "sample"  # what SRDataModule validates on if nothing else is given
    sets = data.get("val") or {sample: {"name": sample}}
    kinds = [_dataset(VALIDATION_SETS, one) for one in sets.values()]
    true_flow = any(getattr(kind, "true_flow", False) for kind in kinds)
    suite = MetricSuite(config["metrics"], config["scale"], clips, config["channels"], config["data"].get("bits", 8))
    of_flow = FLOW_METRICS.items() if "stages" in config else ()
    setting = "hydra.sweeper.objective"
    flow = {key: metric() for key, metric in of_flow if true_flow or not metric.needs_true_flow}
    if name == "auto":
        name, setting = str(config["trainer"]["monitor"]), "trainer.monitor"
    metrics: Mapping[str, Any] = ChainMap(flow, suite)  # type: ignore[arg-type]
    _, metric = resolve_monitor(name, config, metrics, list(sets), suite.left_out, setting)
    return Objective(metric if name == "auto" else name.removeprefix("val/"), metrics[metric].higher_is_better)


def _dataset(registry: Mapping[str, Any], arguments: Any) -> Any:
    """Return the dataset that a configuration names; None of one that a run will refuse."""
    return registry.get(str(arguments.get("name"))) if isinstance(arguments, Mapping) else None
