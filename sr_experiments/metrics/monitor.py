"""Which metric decides: the best checkpoint of a run, and what a sweep searches for."""

from collections.abc import Mapping, Sequence
from typing import Any

from sr_experiments.config.run_kind import ends_with_sr, is_flow, is_gan
from sr_experiments.errors import SRError
from sr_experiments.metrics.metric import SRMetric


def resolve_monitor(
    choice: str,
    config: Mapping[str, Any],
    metrics: Mapping[str, SRMetric],
    sets: Sequence[str],
    left_out: Mapping[str, str],
    setting: str = "trainer.monitor",
) -> tuple[str, str]:
    """Return the metric that a setting names, as the name of the validation set and the metric's key.

    Args:
        choice: `psnr_y` (on the first validation set), `<set>/psnr_y`, `val/<set>/psnr_y`, or "auto": LPIPS for a GAN
            or a flow, whose pictures PSNR punishes; PSNR of the warped frames for a run that trains the flow net alone;
            else PSNR.
        config: of the run.
        metrics: by key, what is measured. A `MetricSuite` builds only those that are asked for.
        sets: names of the validation sets.
        left_out: metrics that were asked for and are not measured, with the reason.
        setting: for the message.

    Raises:
        SRError: it is not measured.
    """
    if choice == "auto":
        wanted = "lpips_alex" if is_gan(config) or is_flow(config) else "psnr_y"
        if not ends_with_sr(config):
            wanted = "warp_psnr"
        metric = wanted if wanted in metrics else "psnr_y" if "psnr_y" in metrics else next(iter(metrics), "psnr_y")
        place = sets[0]
    else:
        place, _, metric = choice.removeprefix("val/").rpartition("/")
        place = place or sets[0]
    if metric in metrics and place in sets:
        return place, metric
    if metric in left_out:
        raise SRError(f"{setting}={choice} is not measured: {left_out[metric]}")
    known = ", ".join(metrics)
    raise SRError(f"{setting}={choice} is not measured: choose one of {known}; or <set>/<metric>, of {', '.join(sets)}")
