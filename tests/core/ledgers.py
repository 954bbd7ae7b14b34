"""A journal that remembers and loses, and records to write into it, for the tests of the ledger."""

from __future__ import annotations

from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.model import Command
from hanode.core.records import Before, HostRecovery, InstanceRecovery
from hanode.engine.codec import Epoch, Renewal
from hanode.engine.ledger import Guard, Ledger
from hanode.ports import Transaction
from hanode.sim.journal import MemoryJournal, Space

CLOUD = "https://keystone.example/v3 RegionOne"


class Counting(MemoryJournal):
    """Remembers the transactions, and loses the answers it is told to lose."""

    def __init__(self, space: Space) -> None:
        super().__init__(space, self._fault)
        self.committed: list[Transaction] = []
        self.raise_before: Exception | None = None
        self.raise_after: Exception | None = None

    def commit(self, transaction: Transaction) -> bool:
        self.committed.append(transaction)
        return super().commit(transaction)

    def _fault(self, moment: str, operation: str) -> None:
        if operation != "commit":
            return
        if moment == "before" and self.raise_before is not None:
            error, self.raise_before = self.raise_before, None
            raise error
        if moment == "after" and self.raise_after is not None:
            error, self.raise_after = self.raise_after, None
            raise error


def take_office(ledger: Ledger, owner: str = "owner-1") -> Guard:
    seen = ledger.read_standing()
    term = seen.epoch.term + 1 if seen.epoch else 1
    guard = ledger.take_office(seen, Epoch(term, owner, "n1", "T0"), Renewal(term, owner, 0, "T0", 15.0))
    assert guard is not None
    ledger.load()
    return guard


def recovery(host: str, instances: int = 2, reason: str = "fell silent", padding: str = "") -> HostRecovery:
    table = {f"{host}-{number:05}": instance(f"{host}-{number:05}", padding) for number in range(instances)}
    return HostRecovery(host, f"{host}@1", HostState.FENCING, reason, "T1", instances=table)


def instance(instance_id: str, padding: str = "") -> InstanceRecovery:
    before = Before("active", "running", False)
    return InstanceRecovery(
        instance_id, f"größe {padding}", InstanceState.REQUESTED, "", before, resources={"VCPU": 2}, baseline=("m1",), attempt=1
    )


def command(command_id: str) -> Command:
    return Command(command_id, "confirm-fenced", "c1", "ada", "I pulled the plug", "T2", 600.0, "c1@1", 1)
