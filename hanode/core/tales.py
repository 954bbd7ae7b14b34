"""In which incident does an instance's own story go on? It stands in the tables of two hosts when the second failed as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hanode.core.lifecycle import ENDED
from hanode.core.records import HostRecovery, InstanceRecovery


@dataclass(frozen=True)
class Tale:
    host: str  # whose recovery tells it
    entry: InstanceRecovery


def tales(records: Mapping[str, HostRecovery]) -> Mapping[str, Tale]:
    """By instance id, the one story that counts of each: what is still open, or else the incident that began last."""
    found: dict[str, tuple[tuple[bool, str, str], Tale]] = {}
    for host, record in records.items():
        for key, entry in record.instances.items():
            rank = (entry.state not in ENDED, record.opened_at, host)
            if key not in found or found[key][0] < rank:
                found[key] = rank, Tale(host, entry)
    return {key: tale for key, (_, tale) in found.items()}
