"""What holds of every placement, whatever the cloud looks like? Random clouds and instances; each rule checked by itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from hanode.core import place as planner
from hanode.core.accounts import account
from hanode.core.constraints import against
from hanode.core.facts import Aggregate, Host, Instance
from hanode.core.order import restart_order
from hanode.core.place import Placed, Refused, place_all
from hanode.core.policy import Policy, StorageDomain
from hanode.core.room import Ask, Ground, GroupNow, Limits, Room
from tests.core.facts import POLICY, host, instance

TRAIT = "CUSTOM_FAST"
DOMAINS = {"A": StorageDomain("A", "rbd"), "B": StorageDomain("B", "file")}
SOURCE = "source"
UNTIMED = settings(max_examples=150, deadline=None)


@st.composite
def hosts_with_room(draw: st.DrawFn) -> tuple[tuple[Host, ...], dict[str, dict[str, int]], frozenset[str]]:
    names = [f"c{number}" for number in range(draw(st.integers(1, 7)))]
    found, free, fast = [], {}, set()
    for name in names:
        domain = draw(st.sampled_from(sorted(DOMAINS)))
        made = host(name, domain, DOMAINS[domain].kind, zone=draw(st.sampled_from(["az1", "az2"])))
        rack = Aggregate("rack", frozenset({name}), {"rack": draw(st.sampled_from(["r1", "r2"]))})
        found.append(replace(made, aggregates=(*made.aggregates, rack)))
        free[name] = {"VCPU": draw(st.integers(0, 6)), "MEMORY_MB": draw(st.integers(0, 8)) * 512, "DISK_GB": draw(st.integers(0, 60))}
        if draw(st.booleans()):
            fast.add(f"rp-{name}")
    return tuple(found), free, frozenset(fast)


@st.composite
def instances(draw: st.DrawFn) -> list[Instance]:
    return [
        instance(
            f"vm{number}",
            SOURCE,
            vcpus=draw(st.integers(1, 3)),
            ram_mb=512 * draw(st.integers(1, 3)),
            image_id=draw(st.sampled_from(["image", ""])),
            pinned_zone=draw(st.sampled_from(["", "az1", None])),
            extra_specs=draw(st.sampled_from([{}, {f"trait:{TRAIT}": "required"}, {f"trait:{TRAIT}": "forbidden"}])),
            metadata={"hanode:priority": draw(st.sampled_from(["highest", "medium", "lowest"]))},
        )
        for number in range(draw(st.integers(1, 14)))
    ]


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[Ask], tuple[Host, ...], Room]:
    targets, free, fast = draw(hosts_with_room())
    wanted = draw(instances())
    domain = draw(st.sampled_from([*DOMAINS.values(), None]))
    source = host(SOURCE, domain.name if domain else "", zone="az1")
    members = [one.instance_id for one in wanted if draw(st.booleans())]
    group = GroupNow("apart", draw(st.sampled_from(["anti-affinity", "soft-anti-affinity"])), {"other": targets[0].name})
    limits = draw(st.sampled_from([Limits(), Limits(at_once=5, per_target=2, per_domain=4)]))
    racks = {name: made.metadata("rack") or "" for name, made in ((t.name, t) for t in targets)}
    ground = Ground({"g": group}, dict.fromkeys(members, "g"), {TRAIT: fast}, racks=racks)
    asks = []
    for one in wanted:
        entry = account(one, domain.name if domain else "", {}, POLICY, frozenset())
        assert entry is not None
        avoid = (draw(st.sampled_from(targets)).name,) if draw(st.integers(0, 4)) == 0 else ()
        asks.append(Ask(one, replace(entry, avoid=avoid), source, domain, POLICY))
    return asks, targets, Room(free, limits, ground)


def copy_of(room: Room) -> Room:
    return Room({name: dict(left) for name, left in room.free.items()}, room.limits, room.ground)


@UNTIMED
@given(scenes())
def test_no_constraint_speaks_against_any_placement(scene: tuple[list[Ask], tuple[Host, ...], Room]) -> None:
    """Each is checked anew, at the moment of its turn."""
    asks, targets, room = scene
    replayed, by_name = copy_of(room), {target.name: target for target in targets}
    found = place_all(asks, targets, room)
    for ask in asks:
        answer = found[ask.instance.instance_id]
        if isinstance(answer, Placed):
            assert against(ask, by_name[answer.target], replayed) is None
            replayed.take(ask, answer.target)
        elif not answer.busy:
            assert all(against(ask, target, replayed) for target in targets), "refused beside a host that would fit"


@UNTIMED
@given(scenes())
def test_no_host_is_filled_over_its_capacity(scene: tuple[list[Ask], tuple[Host, ...], Room]) -> None:
    """And no limit on concurrency is broken."""
    asks, targets, room = scene
    before, domain = copy_of(room), asks[0].domain
    found = {key: answer.target for key, answer in place_all(asks, targets, room).items() if isinstance(answer, Placed)}
    for name, free in before.free.items():
        here = [ask for ask in asks if found.get(ask.instance.instance_id) == name]
        for resource, left in free.items():
            assert sum(ask.record.resources.get(resource, 0) for ask in here) <= left
    assert all(count <= room.limits.per_target for count in Counter(found.values()).values())
    assert len(found) <= room.limits.at_once and room.in_domain[domain.name if domain else ""] <= room.limits.per_domain


@UNTIMED
@given(scenes())
def test_two_of_an_anti_affinity_group_never_share_a_host(scene: tuple[list[Ask], tuple[Host, ...], Room]) -> None:
    """Nova would find it out late, and leave one of them in ERROR."""
    asks, targets, room = scene
    if not room.ground.groups["g"].is_hard:
        return
    found = place_all(asks, targets, room)
    seats = [targets[0].name]
    for ask in asks:
        answer = found[ask.instance.instance_id]
        if isinstance(answer, Placed) and ask.instance.instance_id in room.ground.group_of:
            seats.append(answer.target)
    assert len(seats) == len(set(seats))


@UNTIMED
@given(scenes())
def test_the_same_question_gets_the_same_answer(scene: tuple[list[Ask], tuple[Host, ...], Room]) -> None:
    """For every leader, in whatever order it learned of the hosts' room."""
    asks, targets, room = scene
    again = Room(dict(reversed(list(copy_of(room).free.items()))), room.limits, room.ground)
    assert place_all(asks, targets, room) == place_all(asks, targets, again)


@UNTIMED
@given(scenes())
def test_the_shelf_finds_what_looking_at_every_host_finds(scene: tuple[list[Ask], tuple[Host, ...], Room]) -> None:
    """The heap of a kind is only a faster way of asking all of them."""
    asks, targets, room = scene
    slow, quick = copy_of(room), room
    for ask in asks:
        fitting = [target for target in targets if against(ask, target, slow) is None]
        best = min(fitting, key=lambda target: planner.wish(ask, target, slow), default=None)
        assert planner._best(ask, targets, quick) == best
        if best is not None:
            slow.take(ask, best.name)
            quick.take(ask, best.name)


@UNTIMED
@given(scenes(), st.randoms(use_true_random=False))
def test_the_important_are_placed_first_in_whatever_order_they_come(
    scene: tuple[list[Ask], tuple[Host, ...], Room], random: object
) -> None:
    """The order of a table in the journal, or of Nova's list, decides nothing."""
    asks, _, __ = scene
    entries = [ask.record for ask in asks]
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis's Random has no type of its own
    ordered = restart_order(shuffled)
    assert ordered == restart_order(entries)
    levels = ["highest", "high", "medium", "low", "lowest"]
    assert [levels.index(entry.priority) for entry in ordered] == sorted(levels.index(entry.priority) for entry in ordered)


@UNTIMED
@given(scenes())
def test_a_refusal_says_which_rule_and_what_helps(scene: tuple[list[Ask], tuple[Host, ...], Room]) -> None:
    """Somebody has to read it at night."""
    asks, targets, room = scene
    for answer in place_all(asks, targets, room).values():
        if isinstance(answer, Refused) and not answer.busy:
            assert answer.rule in answer.reason and answer.remedy


def test_the_policy_of_these_clouds_is_an_ordinary_one() -> None:
    """Nothing above rests on a special setting."""
    assert replace(POLICY, fenceable=frozenset()) == Policy(mode="act")
