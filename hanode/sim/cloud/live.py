"""How does a world of virtual time run in real time, with many threads asking? One world, one lock, one clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from hanode.sim.cloud.http import CutConnection, HttpError, NeverAnswer, Response
from hanode.sim.world import ApiError, Down, Hang, World

T = TypeVar("T")
ErrorBody = Callable[[int, str], object]

TICK_S = 0.02


class LiveWorld:
    """Every look at the world and every change of it happens in `run`, at the world's time that real time stands for."""

    def __init__(self, world: World, speed: float = 1.0) -> None:
        self._world = world
        self._speed = speed
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._began_s = time.monotonic() - world.now_s / speed
        self._watchers: list[Callable[[], None]] = []
        self._ticker = threading.Thread(target=self._tick, name="world", daemon=True)

    def start(self) -> None:
        self._began_s = time.monotonic() - self._world.now_s / self._speed
        self._ticker.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._ticker.is_alive():
            self._ticker.join()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Called after each tick, outside of the lock. Before `start` only."""
        self._watchers.append(watcher)

    def run(self, call: Callable[[World], T]) -> T:
        with self._lock:
            self._advance()
            return call(self._world)

    def ask(self, call: Callable[[World], T], error_body: ErrorBody, delay_s: Callable[[World], float] = lambda _: 0.0) -> T:
        """One request as its caller meets it: late, refused, cut, or never answered."""
        try:
            answer, late_s = self.run(lambda world: (call(world), delay_s(world)))
        except ApiError as error:
            raise HttpError(Response(error.status, error_body(error.status, error.text))) from error
        except Down as error:
            raise CutConnection from error
        except Hang as error:
            raise NeverAnswer from error
        # Without the lock: the others' world goes on.
        self._stopped.wait(late_s / self._speed)
        return answer

    def _advance(self) -> None:
        self._world.advance(max(self._world.now_s, (time.monotonic() - self._began_s) * self._speed))

    def _tick(self) -> None:
        while not self._stopped.wait(TICK_S):
            self.run(lambda _: None)
            for watcher in self._watchers:
                watcher()
