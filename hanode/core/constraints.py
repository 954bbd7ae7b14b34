"""What speaks against a host? Small rules with names, each with what would help; what Nova would refuse is refused here first.

A refused evacuation turns a tenant's instance to ERROR (nova conductor/manager.py `rebuild_instance`, NoValidHost), so what
Nova's scheduler and the target check is predicted. Each rule answers None (it may go there) or a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hanode.core.facts import Host
from hanode.core.model import Call
from hanode.core.room import Ask, Room
from hanode.core.storage import Lost, survival

Rule = Callable[[Ask, Host, Room], str | None]


@dataclass(frozen=True)
class Constraint:
    rule: Rule
    remedy: str  # what an operator can do about it


def _same_kind(ask: Ask, host: Host, room: Room) -> str | None:
    kinds = {h.hypervisor.kind if h.hypervisor else "" for h in (ask.source, host)}
    return None if len(kinds) == 1 else "another hypervisor type"


def _disk_survives(ask: Ask, host: Host, room: Room) -> str | None:
    found = survival(ask.instance, ask.domain, ask.policy.domain_of(host))
    return found.reason if isinstance(found, Lost) else None


def _in_its_zone(ask: Ask, host: Host, room: Room) -> str | None:
    """An instance that was created for a zone stays in it (request filter `map_az_to_placement_aggregate`).

    A call below 2.29 with a host passes the scheduler by (compute/api.py `evacuate`), so there the zone of its host is kept as
    well; and where Nova does not tell whether it was asked for, leaving would be a guess.
    """
    pinned, home = ask.instance.pinned_zone, ask.source.service.zone
    if pinned:
        return None if host.service.zone == pinned else f"outside availability zone {pinned}, for which it was created"
    if pinned == "" and call_to(ask, host) is Call.SCHEDULED:
        return None
    return None if host.service.zone == home else f"outside availability zone {home}"


def call_to(ask: Ask, host: Host) -> Call:
    """How it is posted to a host that the rule `storage` has let pass."""
    found = survival(ask.instance, ask.domain, ask.policy.domain_of(host))
    return Call.SCHEDULED if isinstance(found, Lost) else found.call


def _not_avoided(ask: Ask, host: Host, room: Room) -> str | None:
    return "an earlier attempt there failed" if host.name in ask.record.avoid else None


def _has_room(ask: Ask, host: Host, room: Room) -> str | None:
    free = room.free.get(host.name)
    if free is None:
        return "its room in Placement is not known"
    short = [
        f"{name} {free.get(name, 0)} of {amount}" for name, amount in sorted(ask.record.resources.items()) if free.get(name, 0) < amount
    ]
    return f"no room: {', '.join(short)}" if short else None


STANDING: Mapping[str, Constraint] = {
    "hypervisor": Constraint(_same_kind, "only a host of the same hypervisor type can take it"),
    "storage": Constraint(_disk_survives, "declare the storage domain of its host, or add a host to that domain"),
    "zone": Constraint(_in_its_zone, "add or enable a host in that zone, or unpin the instance (compute API 2.104)"),
}
"""What holds for all instances of one kind, however much has been placed meanwhile."""

MOVING: Mapping[str, Constraint] = {
    "attempts": Constraint(_not_avoided, "find out why the attempt failed there"),
    "room": Constraint(_has_room, "add or enable a host, or make room"),
}
"""What depends on the one instance, or on what has been placed before it."""

CONSTRAINTS: Mapping[str, Constraint] = {**STANDING, **MOVING}


def against(ask: Ask, host: Host, room: Room, rules: Mapping[str, Constraint] = CONSTRAINTS) -> tuple[str, str] | None:
    """The first rule that speaks against this host, and what it says; None: it may go there."""
    for name, constraint in rules.items():
        said = constraint.rule(ask, host, room)
        if said is not None:
            return name, said
    return None
