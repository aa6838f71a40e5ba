"""What is wrong with a run, told from its folder: it failed, a value isn't finite, a discriminator has won or lost."""

import math

from sr_experiments.runs.reading import Run

WON, LOST = 0.995, 0.55  # mean accuracy of a discriminator, from which it has won and up to which it has lost
PATIENCE = 1000  # steps of the mean, where the configuration says none
ACCURACY = "gan/d_accuracy"


def judged(mean: float, won: float = WON, lost: float = LOST) -> str:
    """Return "won", "lost" or "fair" of a discriminator that orders this share of real-fake pairs correctly."""
    return "won" if mean >= won else "lost" if mean <= lost else "fair"


def discriminator(run: Run) -> str | None:
    """Return "won", "lost" or "fair" by the last steps of a GAN, judged as `callbacks.gan_health` says.

    None of a run without a discriminator, or one that has not trained for so long yet.
    """
    series = run.series.get(ACCURACY)
    callbacks = run.config.get("callbacks")
    health = callbacks.get("gan_health") if isinstance(callbacks, dict) else None
    health = health if isinstance(health, dict) else {}
    patience = health.get("patience", PATIENCE)
    if series is None or series.steps[-1] - series.steps[0] < patience:
        return None
    window = [v for s, v in zip(series.steps, series.values, strict=True) if s > series.steps[-1] - patience]
    return judged(sum(window) / len(window), health.get("won", WON), health.get("lost", LOST))


def troubles(run: Run) -> dict[str, str]:
    """Return what is wrong by its kind, in words: "failed", "not finite", "GAN"."""
    found = {}
    if run.state.state == "failed":
        found["failed"] = str(run.summary.get("error") or "see its train.log")
    bad = sorted(key for key, series in run.series.items() if _is_bad(key, series.values[-1]))
    if bad:
        found["not finite"] = f"no finite number: {', '.join(bad)}"
    state = discriminator(run)
    if state in ("won", "lost"):
        found["GAN"] = f"the discriminator has {state}"
    return found


def _is_bad(key: str, value: float) -> bool:
    # PSNR of equal pictures is infinite, and so it is at scale 1 of an input that is HR.
    return math.isnan(value) or (math.isinf(value) and "psnr" not in key)
