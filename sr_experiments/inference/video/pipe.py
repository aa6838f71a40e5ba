"""Three overlapping stages of work: a producing thread, the calling thread and a consuming thread."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from threading import Condition, Thread
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Stopped(Exception):
    """The other end of a pipe has stopped, so that there is nothing more to do."""


class Pipe(Generic[A]):
    """A queue of at most `size` items between two threads, which either side can end."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[A] = deque()
        self._changed = Condition()
        self._ended = False
        self._error: BaseException | None = None
        self._stopped = False

    def put(self, item: A) -> None:
        """Append an item as soon as there is room; raise Stopped if the reader has stopped."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._size or self._stopped)
            if self._stopped:
                raise Stopped
            self._items.append(item)
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """End the queue; the reader gets the error after the last item. Only the first call counts."""
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """Stop reading; the writer gets Stopped."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[A]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ended)
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
            del item  # or a frame would stay in memory while the next one is awaited


def run_overlapped(
    produce: Iterable[A],
    transform: Callable[[Iterator[A]], Iterator[B]],
    consume: Callable[[Iterator[B]], None],
    size: int,
) -> None:
    """Run `consume(transform(produce))`, with the first and the last stage in threads of their own.

    An error in any stage, or an interruption by the user, ends all stages and is raised here. At most `size` items wait
    between two stages.
    """
    inputs: Pipe[A] = Pipe(size)
    outputs: Pipe[B] = Pipe(size)
    failure: list[BaseException] = []

    def run_producer() -> None:
        try:
            for item in produce:
                inputs.put(item)
            inputs.end()
        except Stopped:
            pass
        except BaseException as error:
            inputs.end(error)

    def run_consumer() -> None:
        try:
            consume(iter(outputs))
        except Stopped:
            pass
        except BaseException as error:
            failure.append(error)
            outputs.stop()

    # Daemons, so that a second Ctrl-C during the joins below can end the process.
    producer = Thread(target=run_producer, name="decode", daemon=True)
    consumer = Thread(target=run_consumer, name="encode", daemon=True)
    producer.start()
    consumer.start()
    try:
        for item in transform(iter(inputs)):
            outputs.put(item)
        outputs.end()
        consumer.join()
    except Stopped:
        pass
    finally:
        inputs.stop()
        outputs.end(Stopped())  # has an effect only after an error; outputs so far are still consumed
        producer.join()
        consumer.join()
    if failure:
        raise failure[0]
