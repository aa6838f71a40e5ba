"""Scene cuts: where one shot ends and the next begins, detected in frames or listed in a file.

Two frames are compared as thumbnails of 32x18 pixels. Each tile of 4x3 pixels of one is matched to the other within
5x3 pixels (a sixth of the image), and the tiles' differences at the best matches are averaged. A fast pan, a zoom or a
shaking camera therefore makes little difference, and a small flash or a passing object changes only a few tiles. There
is a cut if the mean difference exceeds 20 of 255, unless only the light changed: thumbnails that correlate by more
than 0.75, at the best common shift, show the same scene brighter or darker. Cuts between shots with similar
thumbnails (two dark scenes) can be missed; a dissolve, whose frames all resemble their neighbours, is not a cut.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from sr_experiments.errors import SRError
from sr_experiments.files.walk import composed

DIFFERENT = 20.0  # a cut has a larger mean difference, of 255
ALIKE = 0.75  # and a smaller correlation

# Of the thumbnails, in their pixels.
_WIDTH, _HEIGHT = 32, 18
_TILE_WIDTH, _TILE_HEIGHT = 4, 3
_REACH_X, _REACH_Y = 5, 3


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Return whether a new shot begins with the second of two consecutive frames, uint8 (H, W, C)."""
    return bool(find_cuts([before, after]))


def find_cuts(frames: Sequence[np.ndarray]) -> list[int]:
    """Return the numbers of the frames, uint8 (H, W, C), that begin a new shot; never 0."""
    return [i for i, (before, after) in enumerate(pairwise(map(thumbnail, frames)), 1) if _is_cut(before, after)]


def read_cuts(path: str | Path, lengths: Mapping[str, int]) -> dict[str, list[int]]:
    """Read a list of cuts: lines of `<clip name> <first frame of a new shot> ...`, frames counted from 0.

    Empty lines and lines that begin with # are skipped. The result is the sorted cuts of the clips that have any, by
    name; `lengths` is the number of frames of each clip.

    Raises:
        SRError: no such file, an unknown clip, or an invalid frame number; names the line.
    """
    path = Path(path).expanduser()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SRError(f"can't read the list of cuts {path}: {error}; scene_cuts is detect, none or a file") from error
    cuts: dict[str, list[int]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{path} line {number}"
        # Names can contain spaces and end in numbers: take the longest one that is known.
        words = composed(line).split()
        ends = [k for k in range(len(words), 0, -1) if " ".join(words[:k]) in lengths]
        if not ends:
            some = ", ".join(list(lengths)[:5])
            raise SRError(f"{where}: {line.strip()!r} does not begin with the name of a clip; there are {some}")
        name, numbers = " ".join(words[: ends[0]]), words[ends[0] :]
        for word in numbers:
            if not word.isdecimal() or int(word) >= lengths[name]:
                last = lengths[name] - 1
                raise SRError(f"{where}: {word} is not a frame of {name}, which has frames 0 to {last}")
        cuts[name] = sorted({*cuts.get(name, []), *map(int, numbers)})
    return cuts


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """Return a thumbnail of a frame, float32 (18, 32, C); upright frames are transposed."""
    height, width, channels = frame.shape
    size = (_WIDTH, _HEIGHT) if width >= height else (_HEIGHT, _WIDTH)
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], channels)
    return (small if width >= height else small.transpose(1, 0, 2)).astype(np.float32)


def _is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    # Matching can only lower the difference, so most pairs are decided by this cheap bound.
    if np.abs(before - after).mean() <= DIFFERENT:
        return False
    return difference(before, after) > DIFFERENT and _correlation(before, after) < ALIKE


def difference(before: np.ndarray, after: np.ndarray) -> float:
    """Return the mean absolute difference of two thumbnails at the best match of each tile, 0 to 255."""
    return (_match_tiles(before, after) + _match_tiles(after, before)) / 2


def _match_tiles(tiled: np.ndarray, other: np.ndarray) -> float:
    """Return the mean absolute difference of the tiles of one thumbnail to their best matches in another."""
    margins = ((_REACH_Y, _REACH_Y), (_REACH_X, _REACH_X), (0, 0))
    padded = np.pad(other, margins, constant_values=1e4)  # far from any pixel, so that nothing matches there
    windows = np.lib.stride_tricks.sliding_window_view(padded, (_HEIGHT, _WIDTH), (0, 1))  # (7, 11, C, 18, 32)
    errors = np.abs(windows - tiled.transpose(2, 0, 1)).mean(2)  # (7, 11, 18, 32)
    tiles = errors.reshape(-1, _HEIGHT // _TILE_HEIGHT, _TILE_HEIGHT, _WIDTH // _TILE_WIDTH, _TILE_WIDTH)
    return float(tiles.mean((2, 4)).min(0).mean())


def _correlation(before: np.ndarray, after: np.ndarray) -> float:
    """Return the best correlation, -1 to 1, of the middle of the second thumbnail with the first, within reach."""
    middle = after.mean(2)[_REACH_Y:-_REACH_Y, _REACH_X:-_REACH_X]
    return float(cv2.matchTemplate(before.mean(2), middle, cv2.TM_CCOEFF_NORMED).max())
