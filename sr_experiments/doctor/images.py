"""Checks of the training images: readable, LR aligned with HR, equal colours, no copies, none in a validation set."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from sr_experiments.data.alignment import measured_shift, reduced
from sr_experiments.data.depth import to_depth
from sr_experiments.data.image_files import UnreadableImage
from sr_experiments.data.training_crops import TrainingCrops, first_few
from sr_experiments.data.workers import worker_count
from sr_experiments.doctor.findings import Finding

MAX_SHIFT = 0.2  # LR pixels; the estimate is good to 0.1
MAX_TINT = 2.0  # levels of 255
MAX_BITS = 6  # differing bits of a hash of 64: resized and recompressed copies have fewer, other pictures 20 and more
CORNER_SHIFT = {2: 0.25, 3: 1 / 3, 4: 0.375}  # shift of LR with the corner phase by scale, in LR pixels
OF_OTHER_PHASE = {  # by the phase that was expected
    "centred": "this is every scale-th pixel of HR (corner phase): a bicubic baseline and image networks are off; set "
    "degradation=blur_down if it is to be so",
    "corner": "this is centred, as bicubic reduction makes it: set degradation=bicubic, or make LR again",
}


@dataclass(frozen=True)
class Inspected:
    """A training image that was inspected."""

    name: str  # path of the file
    fingerprint: int = 0  # perceptual hash
    shift: tuple[float, float] | None = None  # shift (dx, dy) of LR against HR in LR pixels; None without LR
    tint: tuple[float, ...] = ()  # mean of LR minus mean of the downscaled HR, by channel, in levels of 255
    problem: str = ""  # why the image couldn't be read; then the other attributes mean nothing


def check_images(
    train_set: TrainingCrops, validation: dict[str, Sequence[dict[str, Any]]], limit: int, console: Console
) -> list[Finding]:
    """Decode and check training images, evenly chosen where there are more than `limit`.

    The validation sets, by name, are of items with `hr` and `name`.
    """
    images = _inspect(train_set, limit, console)
    readable = [image for image in images if not image.problem]
    findings = [_reading_finding(images, len(train_set.paths))]
    if pairs := [image for image in readable if image.shift is not None]:
        findings.append(_alignment_finding(pairs, train_set.scale, train_set.phase))
        findings.append(_colour_finding(pairs, train_set.scale))
    return findings + _copies_findings(readable) + [_duplicates_finding(readable, validation)]


def _inspect(train_set: TrainingCrops, limit: int, console: Console) -> list[Inspected]:
    count = len(train_set.paths)
    chosen = np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(int))

    def inspect(index: int) -> Inspected:
        name = str(train_set.paths[index])
        try:
            images = train_set.load(index)
        except UnreadableImage as error:
            return Inspected(name, problem=str(error))
        images = {kind: to_depth(np.asarray(image[:]), 8) for kind, image in images.items()}
        if "lr" not in images:
            return Inspected(name, fingerprint(images["hr"]))
        return Inspected(name, fingerprint(images["hr"]), *compare(images["hr"], images["lr"]))

    with ThreadPoolExecutor(worker_count("auto", False)) as pool:
        decoded = pool.map(inspect, chosen.tolist())
        shown = console.is_terminal
        return list(track(decoded, "decoding images", len(chosen), console=console, disable=not shown))


def compare(hr: np.ndarray, lr: np.ndarray) -> tuple[tuple[float, float], tuple[float, ...]]:
    """Compare LR with the downscaled HR: return the shift (dx, dy) in LR pixels, and the difference of channel means.

    Both are uint8: HR (scale * H, scale * W, C), LR (H, W, C).
    """
    small = reduced(hr, hr.shape[0] // lr.shape[0])
    tint = (lr.astype(np.float64) - small).mean((0, 1))
    return measured_shift(lr, small), tuple(tint.tolist())


def fingerprint(image: np.ndarray) -> int:
    """Return a perceptual hash of 64 bits: the low frequencies of the image's cosine transform against their median."""
    small = cv2.resize(image[..., :4], (32, 32), interpolation=cv2.INTER_AREA).reshape(32, 32, -1).mean(2)
    # The first coefficient, the mean of the image, would distort the median.
    low = cv2.dct(small.astype(np.float32))[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int("".join("1" if bit else "0" for bit in bits), 2)


def _reading_finding(images: Sequence[Inspected], total: int) -> Finding:
    """Check that all inspected images can be read."""
    problems = [image.problem for image in images if image.problem]
    count = f"{len(images)} images" if len(images) == total else f"{len(images)} of {total} images, evenly chosen"
    if not problems:
        return Finding("images", "pass", f"{count} can be read")
    found = f"{len(problems)} of {len(images)} can't be read: {first_few(problems, 3)}"
    return Finding("images", "fail", found, "replace or remove them, or train with data.train.on_error=skip")


def _alignment_finding(pairs: Sequence[Inspected], scale: int, phase: str) -> Finding:
    """Check that LR is aligned with HR, in the phase of the run's degradation."""
    corner = CORNER_SHIFT.get(scale, 0.0)
    shifts = np.array([image.shift for image in pairs]) - (corner if phase == "corner" else 0)  # (N, 2)
    dx, dy = np.median(shifts, 0)
    if max(abs(dx), abs(dy)) > MAX_SHIFT:
        # A common mistake of other tools, which deserves its own advice.
        todo = "make LR again, or shift it back: a network learns the shift and PSNR drops by decibels"
        other_phase = -corner if phase == "corner" else corner
        if abs(dx - other_phase) < 0.1 and abs(dy - other_phase) < 0.1:
            todo = OF_OTHER_PHASE[phase]
        return Finding("alignment", "fail", f"LR is shifted by ({dx:+.2f}, {dy:+.2f}) LR pixels against HR", todo)
    shifted = [(image.name, x, y) for image, (x, y) in zip(pairs, shifts, strict=True)]
    outliers = [f"{name} by ({x:+.1f}, {y:+.1f})" for name, x, y in shifted if max(abs(x - dx), abs(y - dy)) > 0.5]
    if outliers:
        todo = "look at these pairs: another crop, or another picture?"
        return Finding("alignment", "warn", f"{len(outliers)} pairs are shifted: {first_few(outliers, 3)}", todo)
    return Finding("alignment", "pass", f"LR is aligned with HR to {np.abs(shifts).max():.2f} LR pixels")


def _colour_finding(pairs: Sequence[Inspected], scale: int) -> Finding:
    """Check that LR has the colours of HR; at scale 1 other colours may be what is to be mended."""
    tints = np.array([image.tint for image in pairs])
    median = np.median(tints, 0)
    shown = ", ".join(f"{value:+.1f}" for value in median)
    if np.abs(median).max() > MAX_TINT:
        todo = "make LR again from these HR images: the network would learn to tint (RGB/BGR, gamma or range mixed up?)"
        status = "warn" if scale == 1 else "fail"
        return Finding("colours", status, f"LR differs from HR by ({shown}) levels of 255 on average", todo)
    far = np.abs(tints - median).max(1) > 2 * MAX_TINT
    if outliers := [image.name for image, is_far in zip(pairs, far, strict=True) if is_far]:
        found = f"{len(outliers)} pairs differ in colour: {first_few(outliers, 3)}"
        return Finding("colours", "warn", found, "look at them")
    return Finding("colours", "pass", f"LR has HR's colours to ({shown}) levels of 255")


def _duplicates_finding(known: Sequence[Inspected], validation: dict[str, Sequence[dict[str, Any]]]) -> Finding:
    """Check that no training image is in a validation set too."""
    prints = np.array([image.fingerprint for image in known], np.uint64)
    duplicates, compared = [], 0
    for name, val_set in validation.items():
        for i in range(len(val_set)):
            item = val_set[i]
            own = np.uint64(fingerprint(np.ascontiguousarray(to_depth(item["hr"].permute(1, 2, 0).numpy(), 8))))
            distance = _bits(prints ^ own)
            compared += 1
            if len(distance) and distance.min() <= MAX_BITS:
                duplicates.append(f"{item['name']} of {name} is {known[int(distance.argmin())].name}")
    if duplicates:
        found = f"{len(duplicates)} validation images in training: {first_few(duplicates, 3)}"
        return Finding("duplicates", "fail", found, "remove them from training: their metrics would mean nothing")
    return Finding("duplicates", "pass", f"none of {compared} validation images among {len(known)} training images")


def _copies_findings(images: Sequence[Inspected]) -> list[Finding]:
    """Report training images that occur more than once."""
    counts = Counter(image.fingerprint for image in images)
    extra = len(images) - len(counts)
    if not extra:
        return []
    print_, _ = counts.most_common(1)[0]
    names = [image.name for image in images if image.fingerprint == print_]
    return [Finding("copies", "warn", f"{extra} training images are copies: {first_few(names, 3)}", "keep one of each")]


def _bits(values: np.ndarray) -> np.ndarray:
    """Return the number of set bits of each uint64; NumPy 1 has no bitwise_count."""
    return np.unpackbits(values.view(np.uint8).reshape(len(values), 8), axis=1).sum(1)
