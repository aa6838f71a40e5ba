"""Which metrics `sr evaluate` measures: those of conf/metrics/default.yaml, and further files of conf/metrics."""

from collections.abc import Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from sr_experiments.config.declared import conf_folder
from sr_experiments.errors import SRError

LISTS = ("default", "bands")  # files of conf/metrics that name others


def metrics_config(scale: int, further: Sequence[str] = (), default: str = "default") -> dict[str, Any]:
    """Return the configuration of the metrics, by key.

    Args:
        scale: upsampling factor, which metrics may refer to as `${scale}`.
        further: names of files in conf/metrics, besides those of the default list, or "pyiqa:" and a metric of pyiqa.
        default: name of that list: "default", or "bands" for images that are neither grey nor RGB.

    Raises:
        SRError: there is no such file.
    """
    folder = conf_folder()
    known = sorted(path.stem for path in (folder / "metrics").glob("*.yaml") if path.stem not in LISTS)
    of_pyiqa = [name.removeprefix("pyiqa:") for name in further if name.startswith("pyiqa:")]
    files = [name for name in further if not name.startswith("pyiqa:")]
    for name in files:
        if name not in known:
            raise SRError(f"unknown --metric {name}: choose one of {', '.join(known)}, or pyiqa:NAME")
    overrides = [f"+scale={scale}", f"+metrics={default}", *(f"+metrics@metrics.{name}={name}" for name in files)]
    with initialize_config_dir(str(folder), version_base="1.3"):
        config = compose(None, overrides)
    metrics: dict[str, Any] = OmegaConf.to_container(config, resolve=True)["metrics"]  # type: ignore[index, call-overload, assignment]
    return {**metrics, **{f"pyiqa_{name}": {"name": "pyiqa", "metric": name} for name in of_pyiqa}}
