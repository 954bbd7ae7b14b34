"""Where do slow calls run? In pools of threads, so that slow reads never delay a power-off, and silent guests no read."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping

LOG = logging.getLogger(__name__)

POOLS: Mapping[str, int] = {"read": 16, "look": 64, "ask": 8, "fence": 100, "act": 6}
"""Threads begin when they are needed. As many fence as [fencing] max_at_once may be: a host waits for no other's slow device."""


class ThreadExecutor:
    """The Executor port over threads.

    The threads are daemons: a call that hangs for ever in a device's library must not keep the process from ending.
    """

    def __init__(self, pools: Mapping[str, int] = POOLS) -> None:
        self._pools = {name: _Pool(name, size) for name, size in sorted(pools.items())}

    def submit(self, pool: str, call: Callable[[], None]) -> None:
        self._pools[pool].submit(call)

    def close(self, timeout_s: float) -> bool:
        """Forget what has not begun, wait for what runs; True when everything ended in time."""
        give_up_s = time.monotonic() + timeout_s
        for pool in self._pools.values():
            pool.close()
        return all(pool.wait(give_up_s - time.monotonic()) for pool in self._pools.values())


class _Pool:
    def __init__(self, name: str, size: int) -> None:
        self._name, self._size = name, size
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._threads = 0
        self._open_calls = 0  # queued or running
        self._closed = False

    def submit(self, call: Callable[[], None]) -> None:
        with self._changed:
            if self._closed:
                return
            self._open_calls += 1
            self._calls.put(call)
            if self._threads < min(self._size, self._open_calls):
                self._threads += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()

    def close(self) -> None:
        with self._changed:
            self._closed = True

    def wait(self, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._open_calls == 0, max(0.0, timeout_s))

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            if not self._closed:
                self._run(call)
            with self._changed:
                self._open_calls -= 1
                self._changed.notify_all()

    @staticmethod
    def _run(call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:  # calls promise not to raise; a defect must not cost the pool a thread
            LOG.exception("a worker failed in a way it should not; this is a defect of hanode")
