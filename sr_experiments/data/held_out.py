"""Hold out some of a user's files for validation: always the same ones, and whole files only."""

import hashlib
from collections.abc import Collection, Sequence
from typing import Literal

from sr_experiments.files.walk import composed

ValShare = Literal["auto"] | float
AUTO = 0.1  # share of the files
MOST = {"images": 20, "clips": 10}  # that "auto" holds out, so that validation stays short
FOR_RANKS = 4  # files that "auto" holds out where a quarter of all is as many: several processes share them


def held_out(names: Sequence[str], share: ValShare, kind: str, never: Collection[int] = ()) -> list[int]:
    """Choose files by a hash of their names, so that a file stays where it is when others are added.

    Args:
        names: relative to the folder.
        share: of the files, rounded, at least one; "auto" for a tenth, but at most MOST.
        kind: "images" or "clips".
        never: indices that are not chosen.

    Returns:
        Indices in order; none where nothing would be left to train on, or for a share of 0.
    """
    count = round((AUTO if share == "auto" else share) * len(names))
    if share == "auto":
        count = min(max(count, min(FOR_RANKS, len(names) // 4)), MOST[kind])
    candidates = [index for index in range(len(names)) if index not in set(never)]
    if share == 0 or len(names) < 2 or not candidates:
        return []
    candidates.sort(
        key=lambda index: hashlib.sha256(composed(names[index]).encode("utf-8", "surrogateescape")).digest()
    )
    return sorted(candidates[: min(max(count, 1), len(names) - 1)])
