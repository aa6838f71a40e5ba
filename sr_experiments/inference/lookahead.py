"""Frames of a clip together with those after them, for networks with a lookahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def with_later(
    frames: Iterable[T], lookahead: int, begins_shot: Callable[[T], bool] = lambda frame: False
) -> Iterator[tuple[T, list[T]]]:
    """Yield every frame with up to `lookahead` frames after it: fewer at the end of a shot.

    At most `lookahead` frames are read before the one that they are needed for. `begins_shot` tells a first frame.
    """
    waiting: deque[T] = deque()
    for frame in frames:
        while waiting and begins_shot(frame):
            yield waiting.popleft(), list(waiting)
        waiting.append(frame)
        if len(waiting) > lookahead:
            yield waiting.popleft(), list(waiting)
    while waiting:
        yield waiting.popleft(), list(waiting)
