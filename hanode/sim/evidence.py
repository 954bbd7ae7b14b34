"""By what are the rules judged? What happened, what was written and called, and what each tick knew when it decided."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from hanode.core.decisions import Decisions
from hanode.core.policy import Policy
from hanode.sim.node import PortCall
from hanode.sim.ports import Commit
from hanode.sim.world import World


@dataclass(frozen=True)
class Violation:
    invariant: str
    time_s: float
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} at {self.time_s:.3f} s: {self.text}"


@dataclass(frozen=True)
class Tick:
    """What one tick of one node decided; only ticks whose records were committed."""

    time_s: float
    node: str
    decisions: Decisions


@dataclass(frozen=True)
class Evidence:
    """Everything the safety invariants are judged by."""

    world: World
    policy: Policy = field(default_factory=Policy)
    policies: Sequence[Policy] = ()  # every one that was in force, where it was changed on the way
    calls: Sequence[PortCall] = ()
    commits: Sequence[Commit] = ()
    ticks: Sequence[Tick] = ()
    answered_for: Collection[str] = ()  # hosts whose double runs are a person's fault, where a scenario wants that told apart
    unseen_s: float = 0.0  # so young an evacuation of somebody else's cannot have been seen
    confirmed: Collection[str] = ()  # hosts that a person declared dead: S2 then rests on that person
    may_be_fenced_alive: Collection[str] = ()  # hosts in an aggregate with fence_living_hosts
    may_lose_data: Collection[str] = ()  # instance ids whose owners allow a rebuild
