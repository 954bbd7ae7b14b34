"""How do slow calls run in virtual time, several at once and in the same order in every run?

Each call has a stack of its own (a greenlet), and never do two run: a call runs to its next port call, stands there for as
long as the answer takes in virtual time, and is resumed by `run_due`.
"""

from __future__ import annotations

import contextlib
import heapq
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from greenlet import getcurrent, greenlet

from hanode.sim.world import World


class Crash(BaseException):
    """The process dies here and now; no `except Exception` survives it."""


class _Running:
    """One call on a stack of its own. Whoever is inside `resume` waits while it runs, and the other way round."""

    def __init__(self, pool: str, call: Callable[[], None]) -> None:
        self.pool = pool
        self.ended = False
        self._call = call
        self._dropped = False
        self._error: BaseException | None = None
        self._stack = greenlet(self._run)

    def resume(self) -> None:
        """Run it to its next wait or to its end; what it raises is raised here."""
        self._stack.parent = getcurrent()
        self._stack.switch()
        if self._error is not None:
            raise self._error

    def stand(self) -> None:
        """Called inside the call: let the others go on until resumed."""
        assert self._stack.parent is not None
        self._stack.parent.switch()
        if self._dropped:
            raise Crash("its process died while it waited")

    def drop(self) -> None:
        """Its process died: unwind its stack; its next port call would crash as well."""
        if self._stack and not self.ended:
            self._dropped = True
            with contextlib.suppress(Crash):
                self.resume()

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001 - carried to the runner, where it is raised again
            self._error = error
        self.ended = True


@dataclass
class SimExecutor:
    """Runs nothing at `submit`: `run_due` starts and resumes calls, so that a tick is never interrupted by one."""

    world: World
    widths: Mapping[str, int] = field(default_factory=lambda: {"read": 8, "ask": 8, "fence": 8, "act": 8})
    start_s: Mapping[str, float] = field(default_factory=dict)  # pool -> how long a free worker takes to begin
    _due: list[tuple[float, int, _Running]] = field(default_factory=list)
    _queues: dict[str, deque[_Running]] = field(default_factory=dict)
    _busy: dict[str, int] = field(default_factory=dict)
    _asked: int = 0
    _current: _Running | None = None

    def submit(self, pool: str, call: Callable[[], None]) -> None:
        width = "read" if pool == "look" else pool  # here both share the readers
        self._queues.setdefault(width, deque()).append(_Running(width, call))
        self._admit(width)

    def next_due_s(self) -> float | None:
        return self._due[0][0] if self._due else None

    def run_due(self, now_s: float) -> int:
        """Everything due by now, in the order of (time, when it was asked for); returns how many steps were run.

        Raises Crash when one of them crashes the node; the runner then calls `node.crash()`.
        """
        steps = 0
        while self._due and self._due[0][0] <= now_s:
            self._step(heapq.heappop(self._due)[2])
            steps += 1
        return steps

    @property
    def waits(self) -> bool:
        """Is it asked from within a worker's call? Nobody else can wait."""
        return self._current is not None

    def wait(self, delay_s: float) -> None:
        """Stand still in virtual time; outside a worker's call nothing waits."""
        current = self._current
        if current is not None and delay_s > 0:
            self._push(current, delay_s)
            current.stand()

    def drop(self) -> None:
        """The node crashed: what stands is unwound, what was queued never begins."""
        standing = [running for _, _, running in sorted(self._due, key=lambda due: due[:2])]
        self._due.clear()
        self._queues.clear()
        self._busy.clear()
        self._current = None
        for running in standing:
            running.drop()

    def _step(self, running: _Running) -> None:
        self._current = running
        try:
            running.resume()
        finally:
            self._current = None
        if running.ended:
            self._busy[running.pool] -= 1
            self._admit(running.pool)

    def _admit(self, pool: str) -> None:
        queue = self._queues.get(pool)
        while queue and self._busy.get(pool, 0) < self.widths.get(pool, 1):
            self._busy[pool] = self._busy.get(pool, 0) + 1
            self._push(queue.popleft(), self.start_s.get(pool, 0.0))

    def _push(self, running: _Running, delay_s: float) -> None:
        self._asked += 1
        heapq.heappush(self._due, (self.world.now_s + delay_s, self._asked, running))
