"""Are there ever two in office, in any interleaving of pauses, lost answers and late deliveries?"""

from __future__ import annotations

import itertools
import random

import pytest

from hanode.engine.ledger import Ledger
from hanode.engine.office import Office
from hanode.errors import Ambiguous, HanodeError, Unreachable
from hanode.ports import Transaction
from hanode.sim.journal import MemoryJournal
from tests.core.offices import CLOUD, MARGIN_S, TTL_S, Node, World


class Chaos:
    """Runs nodes in an order drawn from a seed, with pauses, lost answers and late deliveries at every port call.

    A pause in the middle of one node's tick is time in which the others run: they are ticked from within the call.
    The locks lie: each node may be told at any time that it holds the lock.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World()
        self.late: list[Transaction] = []
        self.nodes = [LiedTo(self, name) for name in ("a", "bb", "ccc")]
        self.busy: set[str] = set()
        self.terms = 0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        idle = [node for node in self.nodes if node.name not in self.busy]
        self.world.s += self.random.choice((0.0, 0.1, 1.0, 3.0, 3.0, 6.0))
        self.deliver()
        if not idle:
            return
        node = self.random.choice(idle)
        self.busy.add(node.name)
        try:
            node.act()
        finally:
            self.busy.discard(node.name)
        self.check()

    def trouble(self, moment: str, operation: str) -> None:
        drawn = self.random.random()
        if drawn < 0.03:
            raise Unreachable("no way") if moment == "before" else Ambiguous("the answer was lost")
        if drawn < 0.06 and moment == "before" and operation == "commit":
            raise Ambiguous("never arrived")
        if drawn < 0.12 and len(self.busy) < len(self.nodes):
            for _ in range(self.random.randrange(12)):
                self.step()
        elif drawn < 0.15:
            self.world.s += self.random.uniform(0, 3 * TTL_S)
        self.check()

    def deliver(self) -> None:
        """Requests that were given up by their sender arrive after all."""
        while self.late and self.random.random() < 0.3:
            MemoryJournal(self.world.space).commit(self.late.pop(self.random.randrange(len(self.late))))

    def check(self) -> None:
        leaders = [node.name for node in self.nodes if node.leads]
        assert len(leaders) <= 1, f"two in office at {self.world.s}: {leaders}"


class LateJournal(MemoryJournal):
    """Sometimes a commit times out and is delivered much later."""

    def __init__(self, chaos: Chaos) -> None:
        super().__init__(chaos.world.space, chaos.trouble)
        self._chaos = chaos

    def commit(self, transaction: Transaction) -> bool:
        if self._chaos.random.random() < 0.03:
            self._chaos.late.append(transaction)
            raise Ambiguous("timed out on the way")
        return super().commit(transaction)


class LiedTo(Node):
    def __init__(self, chaos: Chaos, name: str) -> None:
        super().__init__(chaos.world, name)
        self._chaos = chaos
        owners = (f"{name}-{number}" for number in itertools.count(1))
        self.ledger = Ledger(LateJournal(chaos), CLOUD)
        self.office = Office(
            self.ledger, self, self.clock, node=name, ttl_s=TTL_S, margin_s=MARGIN_S, owner_factory=lambda: next(owners)
        )

    def hold(self) -> bool:
        return self._chaos.random.random() < 0.7

    def resign(self) -> None:
        """There is no lock to give up."""

    def act(self) -> None:
        if self._chaos.random.random() < 0.02:
            self.office.resign()
            return
        self.tick()
        if not self.leads:
            return
        guard = self.office.guard
        self._chaos.terms = max(self._chaos.terms, guard.term)
        try:
            self.write(guard)
            self.office.prove(guard=guard)
        except HanodeError:
            return
        newest = self.world.space.entries["epoch"].revision
        assert guard.revision == newest, "an act was proven under an epoch that is not the newest"


@pytest.mark.parametrize("seed", range(40))
def test_never_two_in_office(seed: int) -> None:
    """Pauses longer than the TTL anywhere, lying locks, lost answers, requests that arrive minutes late."""
    chaos = Chaos(seed)
    chaos.run(300)
    assert chaos.terms > 3, "the chaos must let somebody lead, or it shows nothing"


def test_when_faults_stop_somebody_leads() -> None:
    """However the chaos left the journal."""
    for seed in range(20):
        chaos = Chaos(seed)
        chaos.run(200)
        space = chaos.world.space
        survivors = [Node(chaos.world, "x"), Node(chaos.world, "y")]
        assert survivors[0].world.space is space
        for _ in range(20):
            chaos.world.s += 3
            for node in survivors:
                node.tick()
        assert sum(node.leads for node in survivors) == 1
