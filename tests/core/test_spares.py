"""Hosts in reserve: who is one, how few are enough, and what the cloud on paper makes of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import pytest

from hanode.core import spares
from hanode.core.capacity import standing
from hanode.core.facts import Aggregate, Host
from hanode.core.lifecycle import SPARE_STEPS, IllegalStep, SpareState, step_spare
from hanode.core.policy import Policy
from hanode.core.preview import Lasted, preview
from hanode.core.records import Records, Roster, Spare
from hanode.core.room import Room
from hanode.core.spares import fewest
from hanode.core.stock import Stock, all_asks, fail, is_spare, unfit_reason
from tests.core.cli_stage import Leader, Terminal, now, told
from tests.core.facts import host, instance
from tests.core.test_capacity import cloud
from tests.core.test_place import ask

POLICY = Policy(mode="act", fenceable=frozenset({"a"}))


def spare(name: str, domain: str = "A", reason: str = "for failures", state: str = "up") -> Host:
    found = host(name, domain, status="disabled", disabled_reason=reason, state=state)
    return replace(found, aggregates=(*found.aggregates, Aggregate("reserve", frozenset({name}), {"hanode:spare": "True"})))


def with_spares(stock: Stock, *kept: Host, mb: int = 4096) -> Stock:
    hosts = {**stock.hosts, **{one.name: one for one in kept}}
    rooms = {**stock.room, **{one.name: {"MEMORY_MB": mb} for one in kept}}
    servers = {**stock.servers, **{one.name: () for one in kept}}
    unfit = {name: why for name, one in hosts.items() if (why := unfit_reason(one))}
    return replace(stock, hosts=hosts, room=rooms, servers=servers, unfit=unfit,
                   spares=frozenset(one.name for one in kept if is_spare(one, POLICY)))


@pytest.mark.parametrize(("changes", "kept"), [
    ({}, True),
    ({"status": "enabled", "disabled_reason": ""}, False),
    ({"disabled_reason": "hanode: failed s-1"}, False),
    ({"disabled_reason": "AUTO: Connection to libvirt lost"}, False),
], ids=["disabled", "enabled", "by us", "by libvirt"])
def test_a_host_is_kept_in_reserve_while_a_person_has_it_disabled(changes: dict[str, object], kept: bool) -> None:
    """What libvirt or hanode itself has disabled is not well."""
    found = spare("s")
    assert POLICY.in_reserve(replace(found, service=replace(found.service, **changes))) is kept  # type: ignore[arg-type]


def test_a_word_in_the_reason_can_say_so_as_well_and_by_default_none_does() -> None:
    """Whoever comes from instanceha has hosts disabled as reserved; but the word may stand in anybody's reason."""
    found = host("s", status="disabled", disabled_reason="reserved for failures")
    assert not POLICY.in_reserve(found)
    assert replace(POLICY, spare_reason="reserved").in_reserve(found)


def test_as_few_as_possible_are_enabled_and_all_that_spares_can_take_is_taken() -> None:
    """Compared with every choice there is, over many small clouds."""
    for seed in range(150):
        dice = random.Random(seed)
        asks = [ask(instance(f"vm{number}", ram_mb=512 * dice.randint(1, 6))) for number in range(dice.randint(1, 6))]
        kept = [spare(f"s{number}", dice.choice("AAB")) for number in range(dice.randint(1, 5))]
        room = Room({one.name: {"VCPU": 9, "MEMORY_MB": 512 * dice.randint(1, 10), "DISK_GB": 90} for one in kept})
        found = fewest(asks, kept, room)
        most = len(spares._filled(asks, kept, room))
        enough = [c for n in range(len(kept) + 1) for c in combinations(kept, n) if len(spares._filled(asks, c, room)) == most]
        assert len(found) == most, f"seed {seed}"
        # The planner is greedy, so that a choice which takes as many may take others; with the same ones none is smaller.
        taken = [one for one in asks if one.instance.instance_id in spares._filled(asks, kept, room)]
        same = [c for c in enough if len(spares._filled(taken, c, room)) == len(taken)]
        assert len(set(found.values())) <= min(map(len, same)), f"seed {seed}"


def test_where_there_are_too_many_choices_whoever_can_be_spared_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tick must not wait for the best of a million choices."""
    monkeypatch.setattr(spares, "TRIED", 0)
    kept = [spare(f"s{number}") for number in range(4)]
    room = Room({one.name: {"VCPU": 9, "MEMORY_MB": 2048, "DISK_GB": 90} for one in kept})
    found = fewest([ask(instance(f"vm{number}", ram_mb=512)) for number in range(4)], kept, room)
    assert len(found) == 4
    assert len(set(found.values())) == 1


def test_the_same_question_has_the_same_answer_for_every_leader() -> None:
    """Of equal numbers the first by name."""
    kept = [spare(name) for name in ("s1", "s2", "s3")]
    room = Room({one.name: {"VCPU": 9, "MEMORY_MB": 4096, "DISK_GB": 90} for one in kept})
    assert set(fewest([ask(instance("vm"))], kept, room).values()) == {"s1"}


FULL = cloud({"a": 0, "b": 0}, {"a": {"web": 2048}})


def test_what_fits_only_into_the_reserve_counts_as_fitting() -> None:
    """That is what it is kept for; but a spare that fails as well takes nothing."""
    stock = with_spares(FULL, spare("s"))
    assert fail(FULL, {"a"}, all_asks(FULL, POLICY)).unplaced
    outcome = fail(stock, {"a"}, all_asks(stock, POLICY))
    assert not outcome.unplaced and outcome.called == {"id-web": "s"}
    assert fail(stock, {"a", "s"}, all_asks(stock, POLICY)).unplaced


def test_capacity_counts_on_spares_and_says_when_one_is_of_no_use() -> None:
    """Dedicated failover hosts, as in vSphere: they are up, and nothing runs on them."""
    one = replace(POLICY, capacity_failures=1)
    assert [(found.question, found.holds) for found in standing(with_spares(FULL, spare("s")), one)] == [
        ("any 1 host fails", True), ("the dedicated hosts are up and empty", True)]
    down = standing(with_spares(FULL, spare("s", state="down")), one)
    assert [found.holds for found in down] == [False, False] and down[1].left == ("s is not up",)
    assert not standing(with_spares(FULL, spare("s")), replace(POLICY, capacity_failures=2))[1].holds, "a and s together"


def test_the_plan_names_the_spares_that_would_be_enabled() -> None:
    """Whoever reads it must know that his reserve is used."""
    known = Records(roster=Roster(seen=frozenset("abs")))
    lines = preview(with_spares(FULL, spare("s")), frozenset("a"), known, POLICY, Lasted())
    assert [(line.subject, line.what) for line in lines if line.step == "spare"] == [
        ("s", "kept in reserve (for failures), is enabled: 1 of the instances fit nowhere else")]
    assert ("web", "from a to s") in [(line.subject, line.what) for line in lines if line.step == "restart"]


@pytest.mark.parametrize("state", SpareState)
def test_a_spare_takes_no_other_step_than_those_of_the_table(state: SpareState) -> None:
    """An illegal step raises and changes nothing."""
    for to in SpareState:
        if to is state or to in SPARE_STEPS[state]:
            assert step_spare(state, to) is to
        else:
            with pytest.raises(IllegalStep):
                step_spare(state, to)


@pytest.mark.parametrize(("option", "verb"), [("--give-back", "return-spare"), ("--keep", "keep-spare")])
def test_an_operator_gives_a_spare_back_or_keeps_it(
    hanode: Terminal, leader: Leader, answering: Callable[[bool, str], None], option: str, verb: str
) -> None:
    """One of the two must be said."""
    leader.leads(told())
    answering(True, "it is done")
    assert hanode("host spare compute1 --yes --reason x")[0] == 2
    assert hanode(f"host spare compute1 {option} --yes --reason x")[0] == 0
    assert [(c.verb, c.host) for c in leader.heard] == [(verb, "compute1")]


def test_status_says_which_spare_is_in_use_for_whom(hanode: Terminal, leader: Leader) -> None:
    """Somebody has to put it back into reserve, or know that it will happen by itself."""
    used = Spare("compute1", "compute1-loan-1", "for failures", SpareState.SERVING, ("compute7-1",), now())
    leader.leads(told())
    assert leader.guard is not None
    leader.ledger.load()
    leader.ledger.commit(leader.guard, roster=Roster(spares={"compute1": used}))
    _, shown, _ = hanode("status")
    assert "compute1, kept in reserve (for failures), is SERVING since" in shown
    assert "for compute7-1: takes instances like any other host" in shown
