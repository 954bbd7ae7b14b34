"""Nodes that want to lead, in one world with one time, for the tests of office."""

from __future__ import annotations

import itertools

from hanode.core.lifecycle import HostState
from hanode.core.model import Moment
from hanode.core.records import HostRecovery
from hanode.engine.ledger import Guard, Ledger
from hanode.engine.office import Office
from hanode.errors import HanodeError
from hanode.sim.journal import Faults, MemoryJournal, Space, no_faults

TTL_S = 15.0
MARGIN_S = 3.0
CLOUD = "https://keystone.example/v3 RegionOne"


class World:
    """One time for all; each node has its own zero, as boot clocks do."""

    def __init__(self) -> None:
        self.s = 0.0
        self.space = Space()
        self.lock: str | None = None


class NodeClock:
    """`stood_s`: how long it stood still together with its machine."""

    def __init__(self, world: World, zero_s: float) -> None:
        self._world, self._zero_s = world, zero_s
        self.stood_s = 0.0

    def now(self) -> Moment:
        return Moment(self._world.s + self._zero_s - self.stood_s, f"T{self._world.s}")


class FairLock:
    """Works as it should; `error` makes it fail."""

    def __init__(self, world: World, node: str) -> None:
        self._world, self._node = world, node
        self.error: HanodeError | None = None

    def hold(self) -> bool:
        if self.error is not None:
            raise self.error
        self._world.lock = self._world.lock or self._node
        return self._world.lock == self._node

    def resign(self) -> None:
        if self._world.lock == self._node:
            self._world.lock = None


class Node:
    def __init__(self, world: World, name: str, *, ttl_s: float = TTL_S, faults: Faults = no_faults) -> None:
        self.world, self.name = world, name
        self.clock = NodeClock(world, zero_s=1000.0 * len(name) + sum(map(ord, name)))
        self.lock = FairLock(world, name)
        self.fault: Faults = faults
        self.journal = MemoryJournal(world.space, lambda moment, operation: self.fault(moment, operation))
        self.ledger = Ledger(self.journal, CLOUD)
        owners = (f"{name}-{number}" for number in itertools.count(1))
        self.office = Office(
            self.ledger, self.lock, self.clock, node=name, ttl_s=ttl_s, margin_s=MARGIN_S, owner_factory=lambda: next(owners)
        )

    def tick(self) -> bool:
        return self.office.tick(self.clock.now())

    @property
    def leads(self) -> bool:
        return self.office.in_office(self.clock.now())

    def write(self, guard: Guard | None = None) -> None:
        self.ledger.load()
        record = HostRecovery("c1", "c1@1", HostState.SUSPECT, f"by {self.name}", "T")
        self.ledger.commit(guard or self.office.guard, [record])
