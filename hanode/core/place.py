"""Which host takes this instance? Of those against which no constraint speaks, the least busy, best spread, roomiest one.

A fold over the instances: every placement is charged before the next. The same asks over the same room give the same places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from typing import cast

from hanode.core.constraints import ALONE, CONSTRAINTS, STANDING, TENANT_KEY, against, call_to, why_lost
from hanode.core.facts import Host
from hanode.core.model import Call
from hanode.core.policy import StorageDomain
from hanode.core.room import Ask, Room

MOST_REASONS = 4


@dataclass(frozen=True)
class Placed:
    target: str
    call: Call


@dataclass(frozen=True)
class Refused:
    reason: str
    busy: bool = False  # it fits, only the limits on concurrency say "later"
    target: str = ""  # busy: where it would go now; reserved there, so that what is less important does not take its room
    rule: str = ""  # the constraint that speaks against most hosts; "" when there is no host at all
    remedy: str = ""  # what an operator can do about that


Score = tuple[int, int, int, str]


@dataclass
class _Shelf:
    """The hosts that an ask of one kind may have, best first. Charging makes a score only worse, so a stale one is seen in time."""

    targets: Sequence[Host]  # kept: it is known by its identity
    heap: list[tuple[Score, int]] = field(default_factory=list)
    refused: Refused | None = None  # the answer to every further ask of this kind: room only shrinks within a fold


def place(ask: Ask, targets: Sequence[Host], room: Room) -> Placed | Refused:
    """A host for it, or why none; charges nothing: the caller takes what it accepts (`Room.take`)."""
    best = _best(ask, targets, room)
    if best is None:
        return _refusal(ask, targets, room) if not is_plain(ask, room) else _refusal_of_kind(ask, targets, room)
    group = room.is_moving(ask)
    if group:
        return Refused(f"in line: another member of its server group {group} is on its way", busy=True, target=best.name)
    if room.is_full(ask.domain.name if ask.domain else "", best.name):
        return Refused("in line: as many evacuations are under way as are allowed", busy=True, target=best.name)
    if room.in_flight[best.name] >= room.limits.per_target:  # fewest in flight counts first: so it is with every other
        return Refused("in line: every fitting host is taking as many as are allowed", busy=True, target=best.name)
    return Placed(best.name, call_to(ask, best))


def place_all(asks: Iterable[Ask], targets: Sequence[Host], room: Room) -> Mapping[str, Placed | Refused]:
    """Each of them in this order, charged before the next; by instance id."""
    found: dict[str, Placed | Refused] = {}
    for ask in asks:
        answer = place(ask, targets, room)
        if isinstance(answer, Placed):
            room.take(ask, answer.target)
        found[ask.instance.instance_id] = answer
    return found


def _best(ask: Ask, targets: Sequence[Host], room: Room) -> Host | None:
    if is_plain(ask, room):
        return _from_shelf(ask, targets, room)
    fitting = [host for host in targets if against(ask, host, room) is None]
    return min(fitting, key=lambda host: wish(ask, host, room), default=None)


def wish(ask: Ask, host: Host, room: Room) -> tuple[bool, int, Score]:
    """The score, after what a soft group wishes; but a wish is not worth waiting for: whoever may take no more now comes last."""
    return room.in_flight[host.name] >= room.limits.per_target, _distaste(ask, host, room), score(ask, host, room)


def _distaste(ask: Ask, host: Host, room: Room) -> int:
    """What a soft server group wishes, as Nova's weighers do (scheduler/weights/affinity.py): few other members there, or many."""
    found = room.others_of(ask)
    if found is None or found[0].is_hard:
        return 0
    here = sum(1 for where in found[1].values() if where == host.name)
    return here if found[0].policy == "soft-anti-affinity" else -here


def is_plain(ask: Ask, room: Room) -> bool:
    """Is it like every other of its kind, so that one shelf serves all of them?"""
    return not (ask.record.avoid or ask.record.is_doubted or ask.instance.instance_id in room.ground.group_of)


def _shelf(ask: Ask, targets: Sequence[Host], room: Room) -> _Shelf:
    key = (id(targets), ask.kind, ask.instance.project_id if _some_are_kept(targets, room) else "")
    found = cast("_Shelf | None", room.shelves.get(key))
    if found is None:
        survive = _where_its_disk_survives(ask, targets, room)
        standing = [(score(ask, targets[at], room), at) for at in survive if against(ask, targets[at], room, STANDING) is None]
        heapify(standing)
        found = room.shelves[key] = _Shelf(targets, standing)
    return found


def _where_its_disk_survives(ask: Ask, targets: Sequence[Host], room: Room) -> Iterator[int]:
    """Where in `targets`; asked once of each storage domain, not of each of ten thousand hosts for each kind of instance."""
    key = ("domains", id(targets))
    if key not in room.shelves:
        by_domain: dict[StorageDomain | None, list[int]] = {}
        for at, host in enumerate(targets):
            by_domain.setdefault(ask.policy.domain_of(host), []).append(at)
        room.shelves[key] = (by_domain, targets)  # with what is known by its identity
    for domain, members in cast("tuple[dict[StorageDomain | None, list[int]], object]", room.shelves[key])[0].items():
        if why_lost(ask, domain) is None:
            yield from members


def _some_are_kept(targets: Sequence[Host], room: Room) -> bool:
    """Is any of them kept for certain projects? Else nobody need ask whose an instance is."""
    key = ("kept", id(targets))
    if key not in room.shelves:
        kept = any(name.startswith(TENANT_KEY) for host in targets for a in host.aggregates for name in a.metadata)
        room.shelves[key] = (kept, targets)  # with what is known by its identity
    return cast("tuple[bool, object]", room.shelves[key])[0]


def _from_shelf(ask: Ask, targets: Sequence[Host], room: Room) -> Host | None:
    heap = _shelf(ask, targets, room).heap
    while heap:
        kept, at = heap[0]
        now = score(ask, targets[at], room)
        if now != kept:
            heapreplace(heap, (now, at))
        elif against(ask, targets[at], room) is None:
            return targets[at]
        else:
            heappop(heap)  # what is too small for this kind stays so
    return None


def score(ask: Ask, host: Host, room: Room) -> Score:
    """Smaller is better: fewest under way to it, fewest in its rack, most such instances that would still fit, then by name."""
    return room.in_flight[host.name], room.in_rack[room.ground.racks.get(host.name, "")], -_slack(ask, room, host.name), host.name


def _slack(ask: Ask, room: Room, host: str) -> int:
    """How many such instances would fit: the tightest resource decides."""
    free = room.free.get(host, {})
    return min((free.get(name, 0) // amount for name, amount in ask.record.resources.items() if amount), default=0)


def _refusal_of_kind(ask: Ask, targets: Sequence[Host], room: Room) -> Refused:
    shelf = _shelf(ask, targets, room)
    shelf.refused = shelf.refused or _refusal(ask, targets, room)
    return shelf.refused


def _refusal(ask: Ask, targets: Sequence[Host], room: Room) -> Refused:
    if not targets:
        return Refused("no host is up, enabled and sound")
    reasons, rules = Counter[str](), Counter[str]()
    for host in targets:
        found = against(ask, host, room)
        if found is not None:
            reasons[": ".join(found)] += 1
            rules[found[0]] += 1
            if found[0] == ALONE:  # the last rule of all: nothing else speaks against it
                return Refused(f"in line: {host.name} would take it, and {found[1]}", busy=True, target=host.name)
    ranked = sorted(reasons.items(), key=lambda r: (-r[1], r[0]))[:MOST_REASONS]
    rule = min(rules, key=lambda name: (-rules[name], name))
    remedy = CONSTRAINTS[rule].remedy
    said = "; ".join(f"{reason} ({count})" for reason, count in ranked)
    return Refused(f"no host can take it: {said}", rule=rule, remedy=remedy)
