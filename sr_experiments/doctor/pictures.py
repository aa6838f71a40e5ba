"""Look at the training images: can all be read, do pairs lie on each other, is none of them in a validation set?"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import torch
from skimage.registration import phase_cross_correlation

from sr_experiments.data.image_files import UnreadableImage
from sr_experiments.data.resize import imresize
from sr_experiments.data.training_crops import TrainingCrops, first_few
from sr_experiments.doctor.findings import Finding

SHIFTED = 0.2  # LR pixels; the estimate is good to 0.1
TINTED = 2.0  # levels of 255
ALIKE = 6  # of the 64 bits of a hash: resized and recompressed copies differ by less, other pictures by 20 and more
CORNER = {2: 0.25, 3: 1 / 3, 4: 0.375}  # where the LR pixels of the corner phase lie, in LR pixels


@dataclass(frozen=True)
class Look:
    """What one image showed.

    Attributes:
        name: of the file.
        fingerprint: perceptual hash.
        shift: of LR against HR, (dx, dy) in LR pixels; None without LR.
        tint: mean of LR minus mean of the downscaled HR, by channel, in levels of 255.
        problem: why it couldn't be read; then the rest means nothing.
    """

    name: str
    fingerprint: int = 0
    shift: tuple[float, float] | None = None
    tint: tuple[float, ...] = ()
    problem: str = ""


def look_at(
    train_set: TrainingCrops, limit: int, workers: int, progress: Callable[[Iterable[Any], int], Iterable[Any]]
) -> list[Look]:
    """Decode training images, evenly chosen where there are more than `limit`.

    Args:
        train_set: with `paths` and `load`.
        limit: the most images.
        workers: threads.
        progress: shows how far an iterable of so many items is.
    """
    count = len(train_set.paths)
    chosen = np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(int))

    def look(index: int) -> Look:
        name = str(train_set.paths[index])
        try:
            images = train_set.load(index)
        except UnreadableImage as error:
            return Look(name, problem=str(error))
        if "lr" not in images:
            return Look(name, fingerprint(images["hr"]))
        return Look(name, fingerprint(images["hr"]), *compare(images["hr"], images["lr"]))

    with ThreadPoolExecutor(workers) as pool:
        return list(progress(pool.map(look, chosen.tolist()), len(chosen)))


def compare(hr: np.ndarray, lr: np.ndarray) -> tuple[tuple[float, float], tuple[float, ...]]:
    """How LR lies and looks against HR downscaled: shift (dx, dy) in LR pixels, and difference of the channel means.

    Args:
        hr: uint8 (scale * H, scale * W, C).
        lr: uint8 (H, W, C).
    """
    image = torch.from_numpy(hr).permute(2, 0, 1)[None].float() / 255
    scale = hr.shape[0] // lr.shape[0]
    small = (imresize(image, Fraction(1, scale))[0].permute(1, 2, 0).numpy() * 255).astype(np.float64)
    (dy, dx), _, _ = phase_cross_correlation(_faded(lr), _faded(small), upsample_factor=50, normalization=None)
    tint = (lr.astype(np.float64) - small).mean((0, 1))
    return (float(dx), float(dy)), tuple(tint.tolist())


def _faded(image: np.ndarray) -> np.ndarray:
    """(H, W) of the grey image, without its mean and fading to nothing at the border."""
    grey = image.astype(np.float64).mean(2)
    return (grey - grey.mean()) * np.hanning(grey.shape[0])[:, None] * np.hanning(grey.shape[1])


def fingerprint(image: np.ndarray) -> int:
    """Perceptual hash of 64 bits: signs of the low frequencies of the image's cosine transform.

    Args:
        image: uint8 (H, W, C).
    """
    small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).reshape(32, 32, -1).mean(2)
    low = cv2.dct(small.astype(np.float32))[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int("".join("1" if bit else "0" for bit in bits), 2)


def readable(looks: Sequence[Look], total: int) -> Finding:
    """Whether all images that were looked at can be read."""
    problems = [look.problem for look in looks if look.problem]
    of = f"{len(looks)} images" if len(looks) == total else f"{len(looks)} of {total} images, evenly chosen"
    if not problems:
        return Finding("images", "pass", f"{of} can be read")
    return Finding(
        "images",
        "fail",
        f"{len(problems)} of {len(looks)} can't be read: {first_few(problems, 3)}",
        "replace or remove them, or train with data.train.on_error=skip",
    )


def aligned(looks: Sequence[Look], scale: int) -> Finding | None:
    """Whether LR lies on HR; None where there is no LR."""
    pairs = [(look, look.shift) for look in looks if look.shift is not None]
    if not pairs:
        return None
    shifts = np.array([shift for _, shift in pairs])
    dx, dy = np.median(shifts, 0)
    if max(abs(dx), abs(dy)) > SHIFTED:
        corner = CORNER.get(scale, 0.0)
        todo = "make LR anew, or shift it back: a network learns the shift and PSNR drops by decibels"
        if abs(dx - corner) < 0.1 and abs(dy - corner) < 0.1:
            todo = "this is every scale-th pixel of HR (corner phase): a bicubic baseline and image networks are off"
        return Finding("alignment", "fail", f"LR is shifted by ({dx:+.2f}, {dy:+.2f}) LR pixels against HR", todo)
    odd = [f"{look.name} by ({x:+.1f}, {y:+.1f})" for look, (x, y) in pairs if max(abs(x - dx), abs(y - dy)) > 0.5]
    if odd:
        todo = "look at these pairs: another crop, or another picture?"
        return Finding("alignment", "warn", f"{len(odd)} pairs are shifted: {first_few(odd, 3)}", todo)
    return Finding("alignment", "pass", f"LR lies on HR to {np.abs(shifts).max():.2f} LR pixels")


def tinted(looks: Sequence[Look]) -> Finding | None:
    """Whether LR has HR's colours; None where there is no LR."""
    pairs = [look for look in looks if look.shift is not None]
    if not pairs:
        return None
    tints = np.array([look.tint for look in pairs])
    usual = np.median(tints, 0)
    shown = ", ".join(f"{value:+.1f}" for value in usual)
    if np.abs(usual).max() > TINTED:
        todo = "make LR anew from these HR images: the network would learn to tint (RGB/BGR, gamma or range mixed up?)"
        return Finding("colours", "fail", f"LR differs from HR by ({shown}) levels of 255 on average", todo)
    odd = [look.name for look, tint in zip(pairs, tints, strict=True) if np.abs(tint - usual).max() > 2 * TINTED]
    if odd:
        return Finding("colours", "warn", f"{len(odd)} pairs differ in colour: {first_few(odd, 3)}", "look at them")
    return Finding("colours", "pass", f"LR has HR's colours to ({shown}) levels of 255")


def apart(looks: Sequence[Look], validation: dict[str, Sequence[dict[str, Any]]]) -> Finding:
    """Whether no training image is in a validation set too.

    Args:
        looks: at the training images.
        validation: sets of items with `hr` and `name`, by name.
    """
    known = [look for look in looks if not look.problem]
    prints = np.array([look.fingerprint for look in known], np.uint64)
    twice, compared = [], 0
    for name, images in validation.items():
        for i in range(len(images)):
            item = images[i]
            own = np.uint64(fingerprint(np.ascontiguousarray(item["hr"].permute(1, 2, 0).numpy())))
            distance = _bits(prints ^ own)
            compared += 1
            if len(distance) and distance.min() <= ALIKE:
                twice.append(f"{item['name']} of {name} is {known[int(distance.argmin())].name}")
    if twice:
        todo = "remove them from training: their metrics would mean nothing"
        return Finding("duplicates", "fail", f"{len(twice)} validation images in training: {first_few(twice, 3)}", todo)
    return Finding("duplicates", "pass", f"none of {compared} validation images among {len(known)} training images")


def repeated(looks: Sequence[Look]) -> Finding | None:
    """Training images that are there more than once."""
    counts = Counter(look.fingerprint for look in looks if not look.problem)
    extra = sum(count - 1 for count in counts.values())
    if not extra:
        return None
    print_, _ = counts.most_common(1)[0]
    names = [look.name for look in looks if look.fingerprint == print_ and not look.problem]
    return Finding("copies", "warn", f"{extra} training images are copies: {first_few(names, 3)}", "keep one of each")


def _bits(values: np.ndarray) -> np.ndarray:
    """Number of set bits of each uint64."""
    return np.unpackbits(values.view(np.uint8).reshape(len(values), 8), axis=1).sum(1)
