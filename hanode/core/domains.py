"""Which hosts can fall silent by one cause? Racks, zones and storage as they are declared, and whoever fell silent at once."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping

from hanode.core.facts import Host
from hanode.core.policy import Policy

FEWEST = 3
"""Two hosts may die in one minute by chance; three are one cause before they are three."""

Domains = Mapping[str, frozenset[str]]
"""What they share, in words -> the hosts."""


def declared(hosts: Mapping[str, Host], policy: Policy) -> Domains:
    """By aggregate metadata, by availability zone where there are several, and by storage domain."""
    zones = {host.service.zone for host in hosts.values()} - {""}
    found: dict[str, set[str]] = {}
    for name, host in sorted(hosts.items()):
        for label in _labels(host, policy, len(zones) > 1):
            found.setdefault(label, set()).add(name)
    return {label: frozenset(members) for label, members in sorted(found.items()) if len(members) >= FEWEST}


def shared(host: Host, policy: Policy) -> tuple[str, ...]:
    """What operators say that it shares with others, in words: ("rack r1",)."""
    found = ((key, host.metadata(key)) for key in sorted(policy.failure_domain_keys))
    return tuple(f"{key} {value}" for key, value in found if value)


def _labels(host: Host, policy: Policy, zoned: bool) -> Iterator[str]:
    yield from shared(host, policy)
    if zoned and host.service.zone:
        yield f"zone {host.service.zone}"
    storage = policy.domain_of(host)
    if storage:
        yield f"storage {storage.name}"


def at_once(silent_since_s: Mapping[str, float], within_s: float) -> tuple[frozenset[str], ...]:
    """Groups of hosts that fell silent within `within_s` of each other, declared as one domain or not; chains are one group."""
    ordered = sorted((since_s, name) for name, since_s in silent_since_s.items())
    times_s = [since_s for since_s, _ in ordered]
    groups: list[tuple[int, int]] = []  # as slices of `ordered`: thousands may be silent
    for first_s in times_s:
        begin, end = bisect_left(times_s, first_s), bisect_right(times_s, first_s + within_s)
        if end - begin < FEWEST:
            continue
        if groups and begin < groups[-1][1]:
            groups[-1] = (groups[-1][0], end)
        else:
            groups.append((begin, end))
    return tuple(frozenset(name for _, name in ordered[begin:end]) for begin, end in groups)
