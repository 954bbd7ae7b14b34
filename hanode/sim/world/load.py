"""How much slower is everything when much is asked at once?

Gunther's universal scalability law, without its share of contention: of n that share something, each takes
1 + n (n - 1) / knee^2 times as long as alone. Up to the knee more at once brings more in all, beyond it less.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanode.sim.world.world import World

SLICES = 8
"""A long step looks around so often, because what it shares changes meanwhile."""


def slowdown(at_once: float, knee: float) -> float:
    """How many times as long; a knee of 0: nothing ever slows it down."""
    return 1.0 + max(0.0, at_once * (at_once - 1.0)) / knee**2 if knee else 1.0


@dataclass
class Load:
    """Who rebuilds where now, and which requests are being answered."""

    world: World
    rebuilds: dict[str, int] = field(default_factory=dict)  # host -> rebuilds that it works on
    most: int = 0  # rebuilds at work at once, at the worst moment
    _answers_s: list[float] = field(default_factory=list)  # when those requests will have been answered

    def begin(self, host: str) -> None:
        self.rebuilds[host] = self.rebuilds.get(host, 0) + 1
        self.most = max(self.most, self.in_all)

    def end(self, host: str) -> None:
        self.rebuilds[host] = max(0, self.rebuilds.get(host, 0) - 1)

    def forget(self, host: str) -> None:
        self.rebuilds.pop(host, None)

    @property
    def in_all(self) -> int:
        return sum(self.rebuilds.values())

    def of_rebuild(self, host: str) -> float:
        """How many times as long as alone a step of a rebuild on this host takes now."""
        timings, hosts = self.world.timings, self.world.hosts
        if not (timings.target_knee or timings.storage_knee):
            return 1.0
        domain = hosts[host].domain
        sharing = sum(count for name, count in self.rebuilds.items() if hosts[name].domain == domain)
        return slowdown(self.rebuilds.get(host, 0), timings.target_knee) * slowdown(sharing, timings.storage_knee)

    def of_control(self) -> float:
        """The same of the API and the conductors: rebuilds talk to them as well."""
        knee = self.world.timings.api_knee
        return slowdown(self._being_answered() + self.in_all, knee) if knee else 1.0

    def answer_s(self) -> float:
        """So much longer than alone a request takes that comes in now."""
        timings = self.world.timings
        if not timings.api_knee:
            return 0.0
        late_s = timings.api_s * (self.of_control() - 1.0)
        self._answers_s.append(self.world.now_s + timings.api_s + late_s)
        return late_s

    def _being_answered(self) -> int:
        self._answers_s = [end_s for end_s in self._answers_s if end_s > self.world.now_s]
        return len(self._answers_s)
