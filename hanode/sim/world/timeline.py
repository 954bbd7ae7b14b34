"""What happens when, and what has happened? The queue of coming events and the log of past ones."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    """One line of what really happened. `facts` are for checkers, `text` is for people."""

    time_s: float
    kind: str
    subject: str
    text: str
    facts: Mapping[str, str] = field(default_factory=dict)

    def line(self) -> str:
        facts = "".join(f" {key}={value}" for key, value in sorted(self.facts.items()))
        return f"{self.time_s:.3f} {self.kind} {self.subject}: {self.text}{facts}"


@lru_cache(maxsize=256)  # every reading of every clock asks for it, mostly of the same moment
def stamp(time_s: float) -> str:
    """A moment of the world as Nova writes it: UTC, fixed width, so that texts sort as times do."""
    return (EPOCH + timedelta(seconds=time_s)).isoformat(timespec="microseconds").partition("+")[0]


class Timeline:
    """Events run in the order of (time, when they were asked for); the order never depends on anything else."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.log: list[Event] = []
        self._coming: list[tuple[float, int, Callable[[], None], str]] = []
        self._asked = 0
        self._running = False

    def at(self, time_s: float, call: Callable[[], None], label: str) -> None:
        """Run `call` at that time, or next if it is past; the label is for debugging."""
        self._asked += 1
        heapq.heappush(self._coming, (max(time_s, self.now_s), self._asked, call, label))

    def after(self, delay_s: float, call: Callable[[], None], label: str) -> None:
        self.at(self.now_s + delay_s, call, label)

    def next_event_s(self) -> float | None:
        return self._coming[0][0] if self._coming else None

    def advance(self, to_s: float) -> None:
        """Execute everything up to and including `to_s`; afterwards it is `to_s`."""
        if self._running:
            raise RuntimeError("the world is already advancing: an event must not advance it")
        if to_s < self.now_s:
            raise ValueError(f"it is {self.now_s} already, time does not go back to {to_s}")
        self._running = True
        try:
            while self._coming and self._coming[0][0] <= to_s:
                self.now_s, _, call, _ = heapq.heappop(self._coming)
                call()
            self.now_s = to_s
        finally:
            self._running = False

    def record(self, kind: str, subject: str, text: str, **facts: str) -> None:
        self.log.append(Event(self.now_s, kind, subject, text, facts))
