"""How is read what nobody waits for? One after the other, a few side by side, and nothing of it any more once it is not wanted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from hanode.ports import Executor

T = TypeVar("T")


class Lanes(Generic[T]):
    """`read` is called with each key, in the named pool, by at most `at_once` at a time; it never raises."""

    def __init__(self, executor: Executor, pool: str, at_once: int, read: Callable[[T], None]) -> None:
        self._executor, self._pool, self._at_once, self._read = executor, pool, at_once, read
        self._line: deque[T] = deque()
        self._open = 0
        self._lock = threading.Lock()  # never held while anything is read

    def queue(self, keys: Iterable[T]) -> None:
        with self._lock:
            self._line.extend(keys)
            more = min(self._at_once - self._open, len(self._line))
            self._open += max(0, more)
        for _ in range(more):
            self._executor.submit(self._pool, self._work)

    def _work(self) -> None:
        while (key := self._next()) is not None:
            self._read(key)

    def _next(self) -> T | None:
        with self._lock:
            if self._line:
                return self._line.popleft()
            self._open -= 1
            return None
