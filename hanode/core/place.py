"""Which host can take this instance? Constraints with names, then the roomiest of those that are left.

Each constraint answers None (fits) or a reason. A fold over the hosts: every placement is charged before the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hanode.core.facts import Host, Instance, Resources
from hanode.core.model import Call
from hanode.core.policy import Policy, StorageDomain
from hanode.core.records import InstanceRecovery
from hanode.core.storage import Lost, survival


@dataclass
class Room:
    """What is still free, by host, less what this leader has already promised; the fold's accumulator."""

    free: dict[str, dict[str, int]] = field(default_factory=dict)
    in_flight: Counter[str] = field(default_factory=Counter)  # evacuations under way, by target
    in_domain: Counter[str] = field(default_factory=Counter)
    total: int = 0

    def charge(self, host: str, resources: Resources) -> None:
        left = self.free.setdefault(host, {})
        for name, amount in resources.items():
            left[name] = left.get(name, 0) - amount

    def start(self, host: str, domain: str, resources: Resources) -> None:
        """One more evacuation is under way to this host."""
        self.charge(host, resources)
        self.in_flight[host] += 1
        self.in_domain[domain] += 1
        self.total += 1


@dataclass(frozen=True)
class Ask:
    """One instance that wants a host."""

    instance: Instance
    record: InstanceRecovery
    source: Host
    domain: StorageDomain | None  # as journaled when the host fell silent
    policy: Policy


@dataclass(frozen=True)
class Placed:
    target: str
    call: Call


@dataclass(frozen=True)
class Refused:
    reason: str
    busy: bool = False  # it fits, only the limits on concurrency say "later"


Constraint = Callable[[Ask, Host, Room], str | None]


def _not_avoided(ask: Ask, host: Host, room: Room) -> str | None:
    return "an earlier attempt there failed" if host.name in ask.record.avoid else None


def _disk_survives(ask: Ask, host: Host, room: Room) -> str | None:
    found = survival(ask.instance, ask.domain, ask.policy.domain_of(host))
    return found.reason if isinstance(found, Lost) else None


def _same_kind(ask: Ask, host: Host, room: Room) -> str | None:
    kinds = {h.hypervisor.kind if h.hypervisor else "" for h in (ask.source, host)}
    return None if len(kinds) == 1 else "another hypervisor type"


def _same_zone_when_forced(ask: Ask, host: Host, room: Room) -> str | None:
    """A call below 2.29 with a host passes the scheduler by (compute/api.py `evacuate`), so its zone rule is ours to keep."""
    found = survival(ask.instance, ask.domain, ask.policy.domain_of(host))
    if isinstance(found, Lost) or found.call is Call.SCHEDULED or host.service.zone == ask.source.service.zone:
        return None
    return f"outside availability zone {ask.source.service.zone}"


def _has_room(ask: Ask, host: Host, room: Room) -> str | None:
    free = room.free.get(host.name)
    if free is None:
        return "its room in Placement is not known"
    short = [
        f"{name} {free.get(name, 0)} of {amount}" for name, amount in sorted(ask.record.resources.items()) if free.get(name, 0) < amount
    ]
    return f"no room: {', '.join(short)}" if short else None


CONSTRAINTS: Mapping[str, Constraint] = {
    "attempts": _not_avoided,
    "hypervisor": _same_kind,
    "storage": _disk_survives,
    "zone": _same_zone_when_forced,
    "room": _has_room,
}


def place(ask: Ask, targets: Sequence[Host], room: Room) -> Placed | Refused:
    """A host for it, or why none; charges nothing: the caller starts what it accepts."""
    fitting, reasons = [], Counter[str]()
    for host in targets:
        reason = next((f"{name}: {said}" for name, rule in CONSTRAINTS.items() if (said := rule(ask, host, room))), None)
        if reason is None:
            fitting.append(host)
        else:
            reasons[reason] += 1
    if not fitting:
        said = "; ".join(f"{reason} ({count})" for reason, count in sorted(reasons.items(), key=lambda r: (-r[1], r[0]))[:4])
        return Refused(f"no host can take it: {said}" if said else "no host is up, enabled and sound")
    return _roomiest(ask, fitting, room)


def _roomiest(ask: Ask, fitting: Sequence[Host], room: Room) -> Placed | Refused:
    policy = ask.policy
    domain = ask.domain.name if ask.domain else ""
    if room.total >= policy.max_evacuations or room.in_domain[domain] >= policy.max_per_domain:
        return Refused("in line: as many evacuations are under way as are allowed", busy=True)
    free = [h for h in fitting if room.in_flight[h.name] < policy.max_per_target]
    if not free:
        return Refused("in line: every fitting host is taking as many as are allowed", busy=True)
    best = max(free, key=lambda h: (-room.in_flight[h.name], _slack(ask, room.free[h.name]), _reverse(h.name)))
    found = survival(ask.instance, ask.domain, policy.domain_of(best))
    assert not isinstance(found, Lost)
    return Placed(best.name, found.call)


def _slack(ask: Ask, free: Mapping[str, int]) -> int:
    """How many more such instances would fit: the tightest resource decides."""
    return min((free.get(name, 0) // amount for name, amount in ask.record.resources.items() if amount), default=0)


def _reverse(name: str) -> tuple[int, ...]:
    """`max` takes the first name in alphabetical order among equals."""
    return tuple(-ord(c) for c in name)
