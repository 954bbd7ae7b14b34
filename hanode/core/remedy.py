"""What is the cheapest thing that would make it fit? Tried in order of cost, each on paper with the real planner before it is said.

Enabling a host costs nothing, moving an instance costs a live migration, a declaration costs thought, a host costs money.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from hanode.core.capacity import SMALL, standing
from hanode.core.constraints import STANDING, against
from hanode.core.facts import Host
from hanode.core.findings import Finding
from hanode.core.place import Refused
from hanode.core.policy import Policy
from hanode.core.room import Ask, Room
from hanode.core.stock import Stock, all_asks, fail, moved

TRIED = 40
"""So many moves of one instance are tried."""

MOST_HOSTS = 5


def remedy(stock: Stock, finding: Finding, policy: Policy) -> str:
    """For the failure that was found to leave most behind; "" when nothing simple helps, or nothing is known to be left behind."""
    dead = frozenset(finding.worst)
    if finding.holds or not dead:
        return ""
    left = fail(stock, dead, all_asks(stock, policy)).unplaced
    tried = (*_enable(stock, dead), *_move(stock, dead, left, policy))
    for text, changed in tried:
        if not fail(changed, dead, all_asks(changed, policy)).unplaced:
            return text
    by_rule = {refused.rule: refused.remedy for _, refused in left}
    if "storage" in by_rule:
        return by_rule["storage"]
    return _add(stock, dead, left, policy) or next((text for text in by_rule.values() if text), "")


def _enable(stock: Stock, dead: frozenset[str]) -> Iterator[tuple[str, Stock]]:
    for name in sorted(stock.unfit.keys() - dead - stock.spares):  # spares are counted on already
        host = stock.hosts.get(name)
        if host is None or host.service.state != "up" or host.service.forced_down:
            continue
        unfit = {other: why for other, why in stock.unfit.items() if other != name}
        yield f"enable {name} ({stock.unfit[name]})", replace(stock, unfit=unfit)


def _move(stock: Stock, dead: frozenset[str], left: tuple[tuple[Ask, Refused], ...], policy: Policy) -> Iterator[tuple[str, Stock]]:
    """Room that lies in pieces: one instance moves from where the homeless one would fit to where it fits itself."""
    asks = all_asks(stock, policy)
    targets = stock.targets(dead)
    for _ in range(1 if left else 0):
        homeless = left[0][0]
        room = Room({name: dict(free) for name, free in stock.room.items()}, ground=stock.ground)
        count = 0
        for host in targets:
            if against(homeless, host, room, STANDING):
                continue
            for small in asks.get(host.name, ()):
                if not _would_fit(stock.room.get(host.name, {}), homeless, small):
                    continue
                other = next((t for t in targets if t.name != host.name and against(small, t, room) is None), None)
                if other is not None and count < TRIED:
                    count += 1
                    text = f"move {small.instance.name} from {host.name} to {other.name}"
                    yield text, moved(stock, {small.instance.instance_id: (small, other.name)})


def _would_fit(free: Mapping[str, int], homeless: Ask, small: Ask) -> bool:
    needs, back = homeless.record.resources, small.record.resources
    return all(free.get(name, 0) + back.get(name, 0) >= amount for name, amount in needs.items())


def _add(stock: Stock, dead: frozenset[str], left: tuple[tuple[Ask, Refused], ...], policy: Policy) -> str:
    """Hosts like the one that failed: they can take what that had."""
    if not left:
        return ""
    like = left[0][0].source
    for count in range(1, MOST_HOSTS + 1):
        changed = stock
        for number in range(1, count + 1):
            changed = _with(changed, like, f"{like.name}+{number}")
        if not fail(changed, dead, all_asks(changed, policy)).unplaced:
            return f"add {count} host{'s' if count > 1 else ''} like {like.name}"
    return f"more than {MOST_HOSTS} hosts like {like.name} are missing"


def _with(stock: Stock, like: Host, name: str) -> Stock:
    """An empty twin, in the same aggregates."""
    free = dict(stock.room.get(like.name, {}))
    for resources in stock.held.get(like.name, {}).values():
        for resource, amount in resources.items():
            free[resource] = free.get(resource, 0) + amount
    aggregates = tuple(replace(a, hosts=a.hosts | {name}) for a in like.aggregates)
    service = replace(like.service, host=name, state="up", status="enabled", forced_down=False, disabled_reason="")
    twin = replace(like, name=name, service=service, aggregates=aggregates)
    return replace(stock, hosts={**stock.hosts, name: twin}, room={**stock.room, name: free})


def assessed(stock: Stock, policy: Policy, small: int = SMALL) -> tuple[Finding, ...]:
    """Every question of the operator's policy, answered, and what would help where the answer is no."""
    return tuple(replace(found, fix=remedy(stock, found, policy)) for found in standing(stock, policy, small))
