"""Where one shot ends and the next begins: found by looking, or listed in a file.

Two frames are compared as thumbnails of 32x18. Each tile of 4x3 thumbnail pixels of the one may lie elsewhere in
the other, up to 5x3 thumbnail pixels away (a sixth of the picture), and is compared where it fits best: so
neither a fast pan or zoom nor a shaking camera counts as different, and a small flash or a passing object
changes a few tiles only. There is a cut where the tiles differ by more than 20 of 255 on average, unless what
changed is the light alone: thumbnails that correlate by more than 0.75, at the best common shift, show the same
scene brighter or darker. Cuts between shots that look alike in the small (two dark scenes) can be missed, and a
dissolve, whose frames all resemble their neighbours, is no cut.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from sr_experiments.errors import SRError

DIFFERENT = 20.0
ALIKE = 0.75

_WIDTH, _HEIGHT = 32, 18
_TILE_WIDTH, _TILE_HEIGHT = 4, 3
_REACH_X, _REACH_Y = 5, 3


def difference(before: np.ndarray, after: np.ndarray) -> float:
    """How much two frames differ once their parts may have moved.

    Args:
        before: uint8 (H, W, C).
        after: the next frame, alike.

    Returns:
        Mean absolute difference of their thumbnails, tile by tile where it is least: 0 to 255.
    """
    return _difference(_thumbnail(before), _thumbnail(after))


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether a new shot begins with the second of two consecutive frames, uint8 (H, W, C)."""
    return _is_cut(_thumbnail(before), _thumbnail(after))


def find_cuts(frames: Sequence[np.ndarray]) -> list[int]:
    """The numbers of the frames, uint8 (H, W, C), with which a new shot begins; never 0."""
    thumbnails = [_thumbnail(frame) for frame in frames]
    return [i for i in range(1, len(thumbnails)) if _is_cut(thumbnails[i - 1], thumbnails[i])]


def read_cuts(path: str | Path, lengths: Mapping[str, int]) -> dict[str, list[int]]:
    """Read a list of cuts: lines of `<clip name> <first frame of a new shot> ...`, frames counted from 0.

    Args:
        path: the text file; empty lines and lines that begin with # are passed over.
        lengths: the number of frames of each clip, by name.

    Returns:
        The cuts of the clips that have some, in order.

    Raises:
        SRError: no such file, an unknown clip, or what is no frame of it; names the line.
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
        # Names can have spaces, and end in numbers.
        words = line.split()
        ends = [k for k in range(len(words), 0, -1) if " ".join(words[:k]) in lengths]
        if not ends:
            some = ", ".join(list(lengths)[:5])
            raise SRError(f"{where}: {line.strip()!r} begins with no clip's name; there are {some}")
        name, numbers = " ".join(words[: ends[0]]), words[ends[0] :]
        for word in numbers:
            if not word.isdecimal() or int(word) >= lengths[name]:
                last = lengths[name] - 1
                raise SRError(f"{where}: {word} is no frame of {name}, which has frames 0 to {last}")
        cuts[name] = sorted({*cuts.get(name, []), *map(int, numbers)})
    return cuts


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    """Float (18, 32, C), of upright pictures turned."""
    height, width, channels = frame.shape
    size = (_WIDTH, _HEIGHT) if width >= height else (_HEIGHT, _WIDTH)
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], channels)
    return (small if width >= height else small.transpose(1, 0, 2)).astype(np.float32)


def _is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    # The search can only lower the difference, so most pairs are done here.
    if np.abs(before - after).mean() <= DIFFERENT:
        return False
    return _difference(before, after) > DIFFERENT and _correlation(before, after) < ALIKE


def _difference(before: np.ndarray, after: np.ndarray) -> float:
    return (_found_in(before, after) + _found_in(after, before)) / 2


def _found_in(tiled: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of the tiles of a thumbnail to where they fit best in another."""
    outside = ((_REACH_Y, _REACH_Y), (_REACH_X, _REACH_X), (0, 0))
    padded = np.pad(other, outside, constant_values=1e4)  # nothing fits there
    windows = np.lib.stride_tricks.sliding_window_view(padded, (_HEIGHT, _WIDTH), (0, 1))  # (7, 11, C, 18, 32)
    errors = np.abs(windows - tiled.transpose(2, 0, 1)).mean(2)  # (7, 11, 18, 32)
    tiles = errors.reshape(-1, _HEIGHT // _TILE_HEIGHT, _TILE_HEIGHT, _WIDTH // _TILE_WIDTH, _TILE_WIDTH)
    return float(tiles.mean((2, 4)).min(0).mean())


def _correlation(before: np.ndarray, after: np.ndarray) -> float:
    """The best correlation, from -1 to 1, of the middle of one thumbnail with the other, anywhere within reach."""
    middle = after.mean(2)[_REACH_Y:-_REACH_Y, _REACH_X:-_REACH_X]
    return float(cv2.matchTemplate(before.mean(2), middle, cv2.TM_CCOEFF_NORMED).max())
