"""How does one simulated daemon meet the world: through one gate that counts, records, delays, fails and crashes?

A `SimNode` is the machine that a daemon runs on; the runner builds a new engine on it after each crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from hanode.core.model import Moment
from hanode.errors import HanodeError, Unreachable
from hanode.sim.executor import Crash, SimExecutor
from hanode.sim.world import Effect, World

__all__ = ["Crash", "Injection", "Latencies", "PortCall", "SimClock", "SimExecutor", "SimNode"]

T = TypeVar("T")


@dataclass(frozen=True)
class Injection:
    """The next `times` calls of this name ("cloud.evacuate", or a port: "cloud") raise `error`, whatever they do."""

    call: str
    error: type[HanodeError]
    effect: Effect = Effect.NONE
    times: int = 1
    delay_s: float = 0.0  # until a LATER effect


class PortCall(NamedTuple):
    """One line of a node's trace; there are tens of thousands of them, so they are tuples."""

    number: int
    time_s: float  # in the world
    clock_s: float  # on the node's own clock
    node: str
    name: str
    subject: str
    result: str  # "ok", or the error's class


@dataclass(frozen=True)
class Latencies:
    """How long answers take, by port; only calls in the executor wait for them."""

    cloud_s: float = 0.2
    fencer_s: float = 0.5
    probe_s: float = 0.1
    http_timeout_s: float = 30.0
    fence_timeout_s: float = 10.0


class SimNode:
    """`crash_at`: pairs of (number of the call, "before" | "after"); each crashes once, as numbers are never used again."""

    def __init__(
        self, world: World, name: str, skew_s: float = 0.0, latencies: Latencies | None = None,
        crash_at: Iterable[tuple[int, str]] = (),
    ) -> None:
        self.world = world
        self.name = name
        self.latencies = latencies or Latencies()
        self.crash_at = set(crash_at)
        self.cut: set[str] = set()  # ports that this node does not reach: "cloud", "fencer", "probe", "journal", "lock"
        self.deaf_to: set[str] = set()  # hosts of which this node alone hears nothing
        self.pause_before = ""  # the next call of this name finds the process stopped just before it
        self.trace: list[PortCall] = []
        self.boots = 1
        self.running = True
        self.executor = SimExecutor(world)
        self.wall_s = 0.0  # how far its wall clock is ahead of the truth; nothing may depend on it
        self._skew_s = skew_s
        self._injections: list[Injection] = []
        self._calls = 0
        self._paused_at_s: float | None = None

    # ---------------------------------------------------------------- what happens to it

    def crash(self) -> None:
        """Everything it remembers and had queued is gone; what it sent is sent."""
        if self.running:
            self.running = False
            self.world.record("node", self.name, f"{self.name} crashes")
            self.executor.drop()

    def restart(self) -> None:
        self.running = True
        self.boots += 1
        self._paused_at_s = None
        self.world.record("node", self.name, f"{self.name} starts")

    def pause(self) -> None:
        """As a stopped process, on a machine whose clock stops with it; the runner must not tick it meanwhile."""
        self._paused_at_s = self.world.now_s
        self.world.record("node", self.name, f"{self.name} is paused")

    def resume(self, clock_stood_still: bool = False) -> None:
        if self._paused_at_s is not None and clock_stood_still:
            self._skew_s -= self.world.now_s - self._paused_at_s
        self._paused_at_s = None
        self.world.record("node", self.name, f"{self.name} moves again")

    @property
    def paused(self) -> bool:
        return self._paused_at_s is not None

    @property
    def works(self) -> bool:
        return self.running and not self.paused

    @property
    def clock_s(self) -> float:
        return (self.world.now_s if self._paused_at_s is None else self._paused_at_s) + self._skew_s

    def inject(self, injection: Injection) -> None:
        self._injections.append(injection)

    # ---------------------------------------------------------------- the gate

    def call(self, name: str, subject: str, thunk: Callable[[], T], answer_s: Callable[[], float] | float = 0.0) -> T:
        """Every port call of this node. `thunk` acts on the world at once; its answer arrives `answer_s` later."""
        self._calls += 1
        number = self._calls
        self._crash_here(number, "before")
        if name == self.pause_before:
            self.pause_before = ""
            self.pause()
            self.executor.wait(1e-6)  # not resumed before the process is
        try:
            result = self._through(name, thunk)
        except HanodeError as error:
            self._note(number, name, subject, type(error).__name__)
            self._wait(answer_s)
            self._crash_here(number, "after")
            raise
        self._note(number, name, subject, "ok")
        self._wait(answer_s)
        self._crash_here(number, "after")
        return result

    def _through(self, name: str, thunk: Callable[[], T]) -> T:
        port = name.partition(".")[0]
        if port in self.cut:
            raise Unreachable(f"{self.name} has no way to the {port}")
        injection = self._take(name, port) if self._injections else None
        if injection is None:
            return thunk()
        if injection.effect is Effect.NOW:
            _unheard(thunk)
        elif injection.effect is Effect.LATER:
            self.world.after(injection.delay_s, lambda: _unheard(thunk), f"late {name} of {self.name}")
        raise injection.error(f"{name} of {self.name}: {injection.error.__name__}, {injection.effect}")

    def _take(self, name: str, port: str) -> Injection | None:
        for index, injection in enumerate(self._injections):
            if injection.call in (name, port):
                left = replace(injection, times=injection.times - 1)
                self._injections[index:index + 1] = [left] if left.times else []
                return injection
        return None

    def _crash_here(self, number: int, moment: str) -> None:
        if not self.running:
            raise Crash(f"{self.name} is dead")
        if (number, moment) in self.crash_at:
            self.crash_at.discard((number, moment))
            raise Crash(f"{self.name} crashes {moment} call {number}")

    def _note(self, number: int, name: str, subject: str, result: str) -> None:
        self.trace.append(PortCall(number, self.world.now_s, self.clock_s, self.name, name, subject, result))

    def _wait(self, answer_s: Callable[[], float] | float) -> None:
        if self.executor.waits:
            self.executor.wait(answer_s() if callable(answer_s) else answer_s)


def _unheard(thunk: Callable[[], object]) -> None:
    try:
        thunk()
    except HanodeError:
        return  # the caller was told something else already; the world has logged what it did


class SimClock:
    def __init__(self, node: SimNode) -> None:
        self._node = node
        self._last = float("nan"), Moment(0.0, "")  # asked several times in one moment of the world

    def now(self) -> Moment:
        node = self._node
        clock_s, wall_s = node.clock_s, node.world.now_s + node.wall_s
        at_s, moment = self._last
        if at_s != wall_s or moment.s != clock_s:
            moment = Moment(clock_s, node.world.stamp(wall_s))
            self._last = wall_s, moment
        return moment
