"""Can the cloud lose hosts? What is answered with yes is so, whichever hosts fail; what is not known is not promised."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import pytest

from hanode.cli.capacity import asked, reasons_to_stay
from hanode.core.capacity import Question, answer, dedicated, free_percent, standing
from hanode.core.facts import Aggregate, Host
from hanode.core.findings import How
from hanode.core.policy import Policy
from hanode.core.remedy import remedy
from hanode.core.room import Ground, GroupNow
from hanode.core.stock import Stock, all_asks, fail, unfit_reason
from tests.core.facts import host, instance

POLICY = Policy(mode="act")


def cloud(rooms: dict[str, int], servers: dict[str, dict[str, int]], domain: str = "A", racks: dict[str, str] | None = None) -> Stock:
    """`rooms`: free MB by host. `servers`: host -> name -> MB."""
    hosts = {name: _racked(host(name, domain), (racks or {}).get(name, "")) for name in rooms}
    placed = {name: tuple(instance(vm, name, ram_mb=mb) for vm, mb in sorted(servers.get(name, {}).items())) for name in rooms}
    held = {name: {f"id-{vm}": {"MEMORY_MB": mb} for vm, mb in servers.get(name, {}).items()} for name in rooms}
    unfit = {name: why for name, found in hosts.items() if (why := unfit_reason(found))}
    return Stock(hosts, placed, {name: {"MEMORY_MB": mb} for name, mb in rooms.items()}, held, unfit=unfit)


def _racked(found: Host, rack: str) -> Host:
    aggregate = Aggregate(f"rack-{rack}", frozenset({found.name}), {"rack": rack})
    return replace(found, aggregates=(*found.aggregates, aggregate)) if rack else found


def any_of(stock: Stock, count: int, small: int) -> bool:
    return answer(stock, Question("any", any_of=count), POLICY, small).holds


def random_cloud(seed: int) -> Stock:
    """Three to seven hosts in one or two domains, some full, some empty, some with an anti-affinity group."""
    dice = random.Random(seed)
    names = [f"h{number}" for number in range(dice.randint(3, 7))]
    sizes = [512, 1024, 2048, 4096]
    rooms = {name: dice.choice([0, 1024, 4096, 16384, 65536]) for name in names}
    servers = {name: {f"{name}-vm{number}": dice.choice(sizes) for number in range(dice.randint(0, 4))} for name in names}
    stock = cloud(rooms, servers)
    if dice.random() < 0.3:
        other = {name: replace(host(name, "B"), aggregates=host(name, "B").aggregates) for name in names[::2]}
        stock = replace(stock, hosts={**stock.hosts, **other})
    members = {f"id-{next(iter(found))}": name for name, found in servers.items() if found}
    if dice.random() < 0.5 and len(members) > 1:
        chosen = dict(list(members.items())[: dice.randint(2, len(members))])
        group = GroupNow("g", "anti-affinity", chosen)
        stock = replace(stock, ground=Ground(groups={"g": group}, group_of=dict.fromkeys(chosen, "g")))
    return stock


def losses(stock: Stock, count: int) -> Iterator[tuple[str, ...]]:
    """Every set of so many hosts that would leave somebody without a place, by the planner itself."""
    asks = all_asks(stock, POLICY)
    for dead in combinations(sorted(stock.hosts), count):
        if fail(stock, dead, asks).unplaced:
            yield dead


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("seeds", range(0, 400, 50))
def test_a_proven_yes_is_never_contradicted_by_any_failure(seeds: int, count: int) -> None:
    """The bound answers where nobody can try every failure; here every failure is tried."""
    for seed in range(seeds, seeds + 50):
        stock = random_cloud(seed)
        if any_of(stock, count, small=0):
            assert list(losses(stock, count)) == [], f"seed {seed}"


@pytest.mark.parametrize("seeds", range(0, 200, 50))
def test_where_every_failure_is_planned_yes_and_no_are_exact(seeds: int) -> None:
    """Neither too careful nor too bold."""
    for seed in range(seeds, seeds + 50):
        stock = random_cloud(seed)
        assert any_of(stock, 1, small=10**9) is (not list(losses(stock, 1))), f"seed {seed}"


def test_the_bound_says_yes_where_there_is_plenty_of_room() -> None:
    """A bound that never says yes would never be wrong either."""
    plenty = cloud(dict.fromkeys("abcdefgh", 65536), {name: {f"{name}1": 1024, f"{name}2": 2048} for name in "abcdefgh"})
    found = answer(plenty, Question("any", any_of=2), POLICY, small=0)
    assert (found.holds, found.how) == (True, How.PROVEN)
    proven = [seed for seed in range(400) if all_asks(random_cloud(seed), POLICY) and any_of(random_cloud(seed), 1, small=0)]
    assert len(proven) > 20


def test_what_is_not_proven_is_not_promised_and_an_example_is_sought() -> None:
    """Six hosts that are all nearly full: the bound fails, and the failure of the fullest shows why."""
    full = cloud(dict.fromkeys("abcdef", 512), {name: {f"{name}1": 4096} for name in "abcdef"})
    found = answer(full, Question("any", any_of=1), POLICY, small=0)
    assert (found.holds, found.how, found.left_count) == (False, How.FOUND, 1)
    tight = cloud(dict.fromkeys("abc", 4096), {name: {f"{name}1": 4096} for name in "abc"})
    found = answer(tight, Question("any", any_of=1), POLICY, small=0)
    assert (found.holds, found.how) == (False, How.NOT_PROVEN)
    assert any_of(tight, 1, small=10**9), "planned one by one it holds: the bound is only too careful"


def test_the_worst_failure_is_named_with_those_that_would_wait() -> None:
    """An answer without a name helps nobody to buy anything."""
    stock = cloud({"a": 1024, "b": 1024, "c": 0}, {"a": {"web": 1024}, "b": {"db": 2048, "app": 1024}})
    found = answer(stock, Question("any", any_of=1), POLICY)
    assert found.worst == ("b",)
    assert found.left_count == 1 and found.left[0].startswith("db on b: no host can take it: room: no room for 2048 MEMORY_MB")


def test_each_rack_is_asked_by_itself() -> None:
    """They fail together, so together they must fit elsewhere."""
    racks = {"a": "r1", "b": "r1", "c": "r2", "d": "r2"}
    stock = cloud({"a": 4096, "b": 4096, "c": 1024, "d": 1024}, {"a": {"web": 2048}, "c": {"db": 2048}}, racks=racks)
    found = {one.question: one.holds for one in standing(stock, replace(POLICY, capacity_racks=True))}
    assert found == {"rack r1 fails": False, "rack r2 fails": True}


# --------------------------------------------------------------------------- the cheapest remedy


def fix(stock: Stock) -> str:
    return remedy(stock, answer(stock, Question("any", any_of=1), POLICY), POLICY)


def test_a_disabled_host_is_enabled_before_anything_is_bought() -> None:
    """It costs nothing."""
    stock = cloud({"a": 0, "b": 0, "c": 4096}, {"a": {"web": 2048}})
    off = replace(stock.hosts["c"], service=replace(stock.hosts["c"].service, status="disabled", disabled_reason="spare"))
    stock = replace(stock, hosts={**stock.hosts, "c": off}, unfit={"c": unfit_reason(off)})
    assert fix(stock) == "enable c (it is disabled (spare))"


def test_room_in_pieces_is_joined_by_moving_one_instance() -> None:
    """Two hosts with 2 GB each cannot take 4 GB, until one small instance goes from one to the other."""
    stock = cloud({"a": 0, "b": 2048, "c": 3072}, {"a": {"big": 4096}, "c": {"small": 1024}})
    assert fix(stock) == "move small from c to b"


def test_else_so_many_hosts_are_to_be_added() -> None:
    """Like the one that failed, because those can take what it had."""
    assert fix(cloud({"a": 0, "b": 0}, {"a": {"web": 2048}})) == "add 1 host like a"


def test_disks_that_nobody_else_sees_need_a_declaration_not_a_host() -> None:
    """A host more outside the domain would not help."""
    stock = cloud({"a": 0, "b": 9999}, {"a": {"web": 2048}})
    stock = replace(stock, hosts={**stock.hosts, "b": host("b", "B")})
    assert "storage domain" in fix(stock)


# --------------------------------------------------------------------------- other promises


def test_a_share_of_every_resource_is_kept_free() -> None:
    """As vSphere counts."""
    stock = cloud({"a": 1024, "b": 1024}, {"a": {"web": 2048}, "b": {"db": 4096}})
    assert free_percent(stock, 25).holds
    assert free_percent(stock, 26).left == ("MEMORY_MB: 25 % free",)


def test_dedicated_hosts_are_up_and_empty() -> None:
    """One that carries something is no spare any more."""
    stock = cloud({"a": 1024, "b": 1024}, {"a": {"web": 2048}})
    assert dedicated(stock, {"b"}).holds
    assert dedicated(stock, {"a", "b", "gone"}).left == ("a runs 1 instances", "gone is not up")


def test_what_nothing_promises_is_asked_as_usual() -> None:
    """Any one host, and each rack."""
    assert (asked(POLICY, None, False).capacity_failures, asked(POLICY, None, False).capacity_racks) == (1, True)
    assert asked(replace(POLICY, capacity_free_percent=20.0), None, False).capacity_failures == 0
    assert asked(POLICY, 2, False).capacity_failures == 2


def test_a_host_may_be_stopped_when_all_of_it_fits_elsewhere_and_the_promise_still_holds() -> None:
    """Three hosts, any of which may fail: one of them stopped, the second failure would leave somebody without a place."""
    stock = cloud({"a": 4096, "b": 4096, "c": 4096}, {"a": {"web": 4096}, "b": {"db": 4096}})
    assert reasons_to_stay(stock, frozenset({"a"}), POLICY) == []
    promise = replace(POLICY, capacity_failures=1)
    assert all(one.holds for one in standing(stock, promise))
    broken = reasons_to_stay(stock, frozenset({"a"}), promise)
    assert broken and "without a this does not hold any more: any 1 host fails" in broken[0]
    full = cloud({"a": 0, "b": 0}, {"a": {"web": 1024}})
    assert reasons_to_stay(full, frozenset({"a"}), POLICY)[0].startswith("no: web on a has no other place")
    by_hand = replace(stock.hosts["a"], service=replace(stock.hosts["a"].service, status="disabled", disabled_reason="memory"))
    assert reasons_to_stay(replace(stock, hosts={**stock.hosts, "a": by_hand}), frozenset({"a"}), POLICY) == []


def test_what_hanode_would_not_evacuate_promises_nothing() -> None:
    """A host that somebody has disabled is left alone when it fails, so its instances need no place."""
    stock = cloud({"a": 0, "b": 0}, {"a": {"web": 1024}})
    off = replace(stock.hosts["a"], service=replace(stock.hosts["a"].service, status="disabled", disabled_reason="memory"))
    assert any_of(replace(stock, hosts={**stock.hosts, "a": off}), 1, small=10**9)
    draining = replace(off, service=replace(off.service, disabled_reason="hanode: maintenance by anna: memory"))
    assert not any_of(replace(stock, hosts={**stock.hosts, "a": draining}), 1, small=10**9)
