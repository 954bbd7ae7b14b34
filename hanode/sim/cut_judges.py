"""Was a host that was only cut off from its disks treated as one? Judged from what its stores really did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hanode.core.model import ActionKind
from hanode.core.policy import Policy
from hanode.sim.evidence import Tick, Violation
from hanode.sim.knowledge import latest_record
from hanode.sim.posts import BLOCKING, Ledger
from hanode.sim.world import AS_TOLD, VOLUMES, Event, World


def is_cut_off(world: World, policy: Policy, event: Event, ledger: Ledger) -> bool:
    """S2: at this accepted POST the source can write no disk that this one instance has, by stores that the operator allows.

    Which store forgets within `proof_s` before cannot be seen.
    """
    source = event.facts["source"]
    domains = world.hosts.domains_of(source, world.servers.by_id[event.subject])
    return bool(domains) and all(_reached(domain, source, event.time_s, ledger, policy) for domain in domains)


def _reached(where: str, host: str, time_s: float, ledger: Ledger, policy: Policy) -> bool:
    for domain, plan in policy.stores.items():
        began_s, ended_s = ledger.cut_s.get((domain, host), (float("inf"), 0.0))
        serves = where == domain or (where == VOLUMES and plan.volumes)
        if plan.proof and serves and began_s <= time_s < ended_s + policy.proof_s:
            return True
    return False


def given_back_rightly(log: Iterable[Event]) -> Iterator[Violation]:
    """S7: no host is let write in a store again by us while an evacuation record says that a guest of it may still run there."""
    ledger = Ledger()
    for event in log:
        ledger.read(event)
        if event.kind != "storage-open" or not event.text.endswith(AS_TOLD):
            continue
        for number, row in ledger.rows.items():
            if row["status"] in BLOCKING and row["source"] == event.subject:
                yield Violation("S7", event.time_s, f"{event.text} while evacuation record {number} to {row['target'] or 'any host'} is"
                                                    f" {row['status']}")


def was_cut(host: str, time_s: float, ticks: Sequence[Tick]) -> bool:
    """Has it been cut off as one that was judged and braked, in the incident that is open now?"""
    record = latest_record(host, time_s, ticks)
    return any(action.kind is ActionKind.CUT and action.host == host and record is not None and action.incident == record.incident
               for tick in ticks if tick.time_s <= time_s for action in tick.decisions.actions)
