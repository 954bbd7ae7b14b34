"""Can the cloud lose any k hosts, or this rack, and restart everything that hanode protects?

Where there are few enough failures each is planned with the real planner. Where there are too many, a bound answers that is never
too optimistic: *yes* is proven for every set of k hosts and every order of restarts; what is not proven is not promised.

The bound. Suppose an instance with the needs r finds no place when k hosts have failed. Then each surviving host h that its
standing rules allow lacks some resource: what was placed on h before has taken more than free(h) - r of it. All that is placed is
at most D, the sum over the k hosts that give most to restart, resource by resource. So h has used up at least the share
w(h) = min over resources of (free(h) - r + 1) / D of one resource, and all shares of one resource together are at most 1: the
sum of w over these hosts is at most the number of resources. Whenever that sum, without the k best hosts (which may be the dead
ones), is greater, the supposition was wrong. Each member of its anti-affinity group can take one more host away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import combinations
from math import comb

from hanode.core.constraints import STANDING, against
from hanode.core.domains import shared
from hanode.core.facts import Host
from hanode.core.findings import Finding, How
from hanode.core.policy import Policy
from hanode.core.room import Ask, Room
from hanode.core.stock import Outcome, Stock, all_asks, capacity_of, fail

SMALL = 2_000_000
"""So many comparisons of an instance, or of a kind of instances, with a host are made before the bound answers instead."""

NAMED = 5


@dataclass(frozen=True)
class Question:
    text: str
    failures: tuple[frozenset[str], ...] = ()  # each of these, alone
    any_of: int = 0  # or any so many hosts


def questions(stock: Stock, failures: int, racks: bool, policy: Policy) -> Iterator[Question]:
    for count in range(1, failures + 1):
        yield Question(f"any {count} host{'s' if count > 1 else ''} fail{'' if count > 1 else 's'}", any_of=count)
    if racks:
        for label, members in racks_of(stock.hosts, policy).items():
            yield Question(f"{label} fails", failures=(members,))


def racks_of(hosts: Mapping[str, Host], policy: Policy) -> Mapping[str, frozenset[str]]:
    """What operators say that hosts share -> the hosts, however few."""
    found: dict[str, set[str]] = {}
    for name, host in sorted(hosts.items()):
        for label in shared(host, policy):
            found.setdefault(label, set()).add(name)
    return {label: frozenset(members) for label, members in sorted(found.items())}


def answer(stock: Stock, question: Question, policy: Policy, small: int = SMALL) -> Finding:
    """Without a fix: that is sought by `hanode.core.remedy`."""
    asks = all_asks(stock, policy)
    if question.failures:
        return _planned(stock, question, question.failures, asks)
    loaded = [name for name in sorted(stock.hosts) if asks.get(name)]
    able = [host.name for host in stock.targets(frozenset())]
    names = sorted({*loaded, *able, *stock.spares})  # a spare may be among those that fail
    count = min(question.any_of, len(names))
    most = sum(nlargest(count, (len(asks.get(name, ())) for name in names)))
    if comb(len(names), count) * (most + len(able)) <= small:
        return _planned(stock, question, (frozenset(dead) for dead in combinations(names, count)), asks)
    unproven = next(_unproven(stock, asks, count), None)
    if unproven is None:
        return Finding(question.text, True, How.PROVEN)
    return _worst_of_the_likely(stock, question, names, count, asks, unproven)


def _planned(stock: Stock, question: Question, failures: Iterable[frozenset[str]], asks: Mapping[str, tuple[Ask, ...]]) -> Finding:
    worst: Outcome | None = None
    for dead in failures:
        found = fail(stock, dead, asks)
        if found.unplaced and (worst is None or len(found.unplaced) > len(worst.unplaced)):
            worst = found
    if worst is None:
        return Finding(question.text, True, How.PLANNED)
    return _told(question, How.PLANNED, worst)


def _told(question: Question, how: How, worst: Outcome) -> Finding:
    left = tuple(f"{ask.instance.name} on {ask.source.name}: {refused.reason}" for ask, refused in worst.unplaced)
    return Finding(question.text, False, how, tuple(sorted(worst.dead)), left[:NAMED], len(left))


def _worst_of_the_likely(
    stock: Stock, question: Question, names: Sequence[str], count: int, asks: Mapping[str, tuple[Ask, ...]], unproven: Ask
) -> Finding:
    """The bound is no proof of the contrary: the failures that give most to restart are planned, to have an example if there is one."""
    classes = sorted({name for asked in asks.values() for ask in asked for name in ask.record.resources})
    candidates = {frozenset(nlargest(count, names, key=lambda name: _demand(asks.get(name, ()), wanted))) for wanted in classes}
    around = [name for name in names if unproven.source.name != name]
    fullest = nlargest(count - 1, around, key=lambda name: sum(_demand(asks.get(name, ()), wanted) for wanted in classes))
    for dead in sorted({*candidates, frozenset({unproven.source.name, *fullest})}, key=sorted):
        found = fail(stock, dead, asks)
        if found.unplaced:
            return _told(question, How.FOUND, found)
    said = f"{unproven.instance.name} on {unproven.source.name}: not proven to find a place"
    return Finding(question.text, False, How.NOT_PROVEN, left=(said,), left_count=1)


# --------------------------------------------------------------------------- the bound


def _demand(asks: Iterable[Ask], name: str) -> int:
    return sum(ask.record.resources.get(name, 0) for ask in asks)


def _unproven(stock: Stock, asks: Mapping[str, tuple[Ask, ...]], count: int) -> Iterator[Ask]:
    """Instances of which the bound does not prove that they find a place, whichever `count` hosts fail."""
    everyone = [ask for asked in asks.values() for ask in asked]
    classes = sorted({name for ask in everyone for name in ask.record.resources})
    most = {name: sum(nlargest(count, (_demand(asked, name) for asked in asks.values()))) for name in classes}
    targets, room = stock.targets(frozenset()), Room({host: dict(free) for host, free in stock.room.items()}, ground=stock.ground)
    proven: set[object] = set()
    for ask in everyone:
        spoiled = _spoiled(stock, ask)
        key = (ask.kind, spoiled)
        if key in proven:
            continue
        if spoiled is None or ask.record.avoid:
            yield ask
            continue
        shares = [_share(ask, stock.room[h.name], most) for h in targets if h.name in stock.room and _allowed(ask, h, room)]
        safe = sum(shares) - sum(nlargest(count + spoiled, shares))
        if safe > len(classes):
            proven.add(key)
        else:
            yield ask


def _allowed(ask: Ask, host: Host, room: Room) -> bool:
    return host.name != ask.source.name and against(ask, host, room, STANDING) is None


def _share(ask: Ask, free: Mapping[str, int], most: Mapping[str, int]) -> float:
    """What must have been used up of the host before it is too small: 0 when it is already."""
    needs = ask.record.resources
    shares = [(free.get(name, 0) - needs.get(name, 0) + 1) / total for name, total in most.items() if total and name in needs]
    return max(0.0, min(shares, default=float("inf"))) if all(free.get(name, 0) >= amount for name, amount in needs.items()) else 0.0


def _spoiled(stock: Stock, ask: Ask) -> int | None:
    """How many hosts the rules that depend on other instances can take away besides; None: that cannot be said."""
    group = stock.ground.groups.get(stock.ground.group_of.get(ask.instance.instance_id, ""))
    if group is None or not group.is_hard:
        return 0
    if group.policy != "anti-affinity" or group.unread:
        return None
    return max(0, sum(1 for held in stock.ground.group_of.values() if held == stock.ground.group_of[ask.instance.instance_id]) - 1)


# --------------------------------------------------------------------------- other policies


def free_percent(stock: Stock, percent: float) -> Finding:
    """So much of every resource is free on the hosts that take instances, as in vSphere's percentage policy."""
    totals, free = Counter[str](), Counter[str]()
    for host in stock.targets(frozenset()):
        totals.update(capacity_of(stock, host.name))
        free.update(dict(stock.room.get(host.name, {})))
    shares = {name: 100 * free[name] / total for name, total in sorted(totals.items()) if total > 0}
    short = tuple(f"{name}: {share:.0f} % free" for name, share in shares.items() if share < percent)
    return Finding(f"{percent:g} % of every resource is free", not short, How.COUNTED, left=short, left_count=len(short))


def dedicated(stock: Stock, spares: Iterable[str]) -> Finding:
    """Dedicated failover hosts: they are up, and nothing runs on them."""
    wrong = []
    for name in sorted(spares):
        host = stock.hosts.get(name)
        if host is None or host.service.state != "up":
            wrong.append(f"{name} is not up")
        elif stock.servers.get(name):
            wrong.append(f"{name} runs {len(stock.servers[name])} instances")
    return Finding("the dedicated hosts are up and empty", not wrong, How.COUNTED, left=tuple(wrong), left_count=len(wrong))


def standing(stock: Stock, policy: Policy, small: int = SMALL) -> tuple[Finding, ...]:
    """Every question of the operator's own policy ([capacity])."""
    asked = questions(stock, policy.capacity_failures, policy.capacity_racks, policy)
    found = [answer(stock, question, policy, small) for question in asked]
    if policy.capacity_free_percent:
        found.append(free_percent(stock, policy.capacity_free_percent))
    kept = policy.capacity_dedicated.union(name for name, host in stock.hosts.items() if policy.in_reserve(host))
    if kept:
        found.append(dedicated(stock, kept))
    return tuple(found)


def promises_something(policy: Policy) -> bool:
    """Is there any question that the operator wants asked without asking?"""
    return bool(policy.capacity_failures or policy.capacity_racks or policy.capacity_free_percent or policy.capacity_dedicated)
