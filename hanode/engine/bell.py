"""How is a sleeping tick loop woken, from threads and from signal handlers?"""

from __future__ import annotations

import contextlib
import queue


class Bell:
    """Wakes the tick loop. May be rung from any thread and from a signal handler, unlike an Event: `put` is reentrant."""

    def __init__(self) -> None:
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ring(self) -> None:
        self._rings.put(None)

    def wait(self, timeout_s: float) -> None:
        with contextlib.suppress(queue.Empty):
            self._rings.get(timeout=max(0.0, timeout_s))
            while True:  # many rings are one
                self._rings.get_nowait()
