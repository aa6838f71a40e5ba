"""Work in three stages that overlap: a thread before, this one, and a thread behind."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from threading import Condition, Thread
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Stopped(Exception):
    """The other end of a pipe is gone: there is nothing more to do."""


class Pipe(Generic[A]):
    """A queue between two threads, which holds at most `size` items and ends cleanly from either side."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[A] = deque()
        self._changed = Condition()
        self._ended = False
        self._error: BaseException | None = None
        self._stopped = False

    def put(self, item: A) -> None:
        """Append an item, once there is room.

        Raises:
            Stopped: nobody will read it.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._size or self._stopped)
            if self._stopped:
                raise Stopped
            self._items.append(item)
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Say, the first time, that no more comes; the reader meets the error after the last item."""
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """Say that nobody reads on."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[A]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ended or self._stopped)
                if self._stopped:
                    raise Stopped
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
            del item


def overlapped(
    produce: Iterable[A],
    transform: Callable[[Iterator[A]], Iterator[B]],
    consume: Callable[[Iterator[B]], None],
    size: int,
) -> None:
    """Run `consume(transform(produce))`, the first and the last in threads of their own.

    Whatever goes wrong, in any stage, ends all of them and is raised here; also an interruption by the user.

    Args:
        produce: what goes in.
        transform: a generator of what comes out; runs in this thread.
        consume: takes it.
        size: items that wait between two stages, at most.
    """
    before: Pipe[A] = Pipe(size)
    behind: Pipe[B] = Pipe(size)
    failure: list[BaseException] = []

    def produced() -> None:
        try:
            for item in produce:
                before.put(item)
            before.end()
        except Stopped:
            pass
        except BaseException as error:
            before.end(error)

    def consumed() -> None:
        try:
            consume(iter(behind))
        except Stopped:
            pass
        except BaseException as error:
            failure.append(error)
            behind.stop()

    producer = Thread(target=produced, name="decode", daemon=True)
    consumer = Thread(target=consumed, name="encode", daemon=True)
    producer.start()
    consumer.start()
    try:
        for item in transform(iter(before)):
            behind.put(item)
        behind.end()
        consumer.join()
    except Stopped:
        pass
    finally:
        before.stop()
        behind.end(Stopped())  # after an error: what is done is still to be written
        producer.join()
        consumer.join()
    if failure:
        raise failure[0]
