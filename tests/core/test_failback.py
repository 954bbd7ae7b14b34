"""`hanode host failback`: what an operator types and sees, and what is offered when a host is taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hanode.cli.capacity import Paper
from hanode.cli.failback import what_would_move
from hanode.core.decisions import Timers
from hanode.core.draft import Draft
from hanode.core.failback import offer
from hanode.core.lifecycle import FAILBACK_STEPS, DrillState, FailbackState, HostState, IllegalStep, InstanceState, step_failback
from hanode.core.model import Moment, Snapshot
from hanode.core.policy import Policy
from hanode.core.records import Before, Drill, Failback, Guest, HostRecovery, InstanceRecovery, Records, Roster
from hanode.engine import codec
from hanode.errors import Refused
from tests.core.cli_stage import Leader, Terminal, told
from tests.core.facts import POLICY
from tests.core.test_capacity import cloud

AT = "2030-01-01T00:00:00Z"
OFFER = replace(POLICY, failback="offer")
DRILL = Drill("c1", "c1-drill", "op", "why", AT, ("web1",), DrillState.RECOVERING)


def entry(name: str, state: InstanceState = InstanceState.VERIFIED, target: str = "c2", ours: bool = True) -> InstanceRecovery:
    return InstanceRecovery(name, name, state, "", Before("active", "running", False), target=target, ours=ours)


def offered(policy: Policy, *entries: InstanceRecovery, roster: Roster = Roster()) -> tuple[str, ...]:
    record = HostRecovery("c1", "c1-1", HostState.RELEASING, "", AT, instances={e.instance_id: e for e in entries})
    draft = Draft(Snapshot(), Records({"c1": record}, roster), Timers(0.0), policy, Moment(0.0, AT))
    offer(draft, record)
    back = draft.roster.failbacks.get("c1")
    return tuple(guest.name for guest in back.guests.values()) if back else ()


@pytest.mark.parametrize("state", FailbackState)
def test_only_the_steps_of_the_table_are_legal(state: FailbackState) -> None:
    """An illegal step raises and changes nothing."""
    for to in FailbackState:
        if to is state or to in FAILBACK_STEPS[state]:
            assert step_failback(state, to) is to
        else:
            with pytest.raises(IllegalStep):
                step_failback(state, to)


def test_only_what_we_have_moved_and_verified_is_offered() -> None:
    """What somebody else moved, what is stuck, and what came home by itself, is theirs."""
    entries = (entry("web1"), entry("theirs1", ours=False), entry("stuck1", InstanceState.STUCK), entry("home1", InstanceState.RETURNED))
    assert offered(OFFER, *entries) == ("web1",)


def test_nothing_is_offered_by_default_or_after_a_drill() -> None:
    """Each migration is a risk that nobody needs; and canaries are taken away by whoever made them."""
    assert offered(POLICY, entry("web1")) == ()
    assert offered(OFFER, entry("web1"), roster=Roster(drills={"c1": DRILL})) == ()


def test_a_dry_run_says_of_each_instance_what_would_become_of_it() -> None:
    """By the rules of placing, each charged before the next, and nothing is told to anybody."""
    stock = cloud({"c1": 3000, "c2": 9000, "c3": 9000}, {"c2": {"a": 2000, "b": 2000}, "c3": {"moved": 100}, "c1": {"home": 100}})
    guests = {f"id-{name}": Guest(name, "c2") for name in ("a", "b", "gone", "home", "moved")}
    back = Failback("c1", "c1-1-back", "c1-1", FailbackState.OFFERED, 60.0, guests)
    paper = Paper(stock, POLICY, Records({}, Roster(failbacks={"c1": back})), ())
    assert list(what_would_move(paper, "c1")) == [
        "a: from c2 to c1",
        "b: stays on c2: no host can take it: room: no room for 2000 MEMORY_MB (1)",
        "gone: is not shown by Nova on any host that was read",
        "home: is at home already",
        "moved: is on c3: it was moved since, and stays there",
    ]
    with pytest.raises(Refused, match="nothing that was moved away from c2 is remembered"):
        list(what_would_move(paper, "c2"))


@pytest.mark.parametrize(("option", "verb"), [("", "failback"), ("--end", "end-failback")])
def test_an_operator_wants_it_or_ends_it(
    hanode: Terminal, leader: Leader, answering: Callable[[bool, str], None], option: str, verb: str
) -> None:
    """Audited like every other word."""
    leader.leads(told())
    answering(True, "it is done")
    assert hanode(f"host failback compute1 {option} --yes --reason x")[0] == 0
    assert [(c.verb, c.host) for c in leader.heard] == [(verb, "compute1")]


def test_status_and_explain_say_how_far_it_is(hanode: Terminal, leader: Leader) -> None:
    """And how it is begun."""
    guests = {"i1": Guest("web1", "c2"), "i2": Guest("web2", "c2", end="is at home again", is_home=True)}
    back = Failback("compute1", "c1-1-back", "c1-1", FailbackState.OFFERED, 60.0, guests)
    leader.leads(told())
    assert leader.guard is not None
    leader.ledger.load()
    leader.ledger.commit(leader.guard, roster=Roster(failbacks={"compute1": back}))
    said = ("compute1, failback OFFERED: what was moved away from it when it failed can be moved back, 1 of 2 instances to go:"
            " `hanode host failback compute1`.")
    assert said in hanode("status")[1]
    assert "failback OFFERED" in hanode("explain compute1 -f json")[1]


def test_the_journal_keeps_it() -> None:
    """The next leader goes on where the one before it was."""
    back = Failback("c1", "c1-1-back", "c1-1", FailbackState.MOVING, 60.0, {"i1": Guest("web1", "c2", 2, True, 1, True)}, "op", "why")
    roster = Roster(failbacks={"c1": back})
    assert codec.from_text(Roster, "roster", codec.to_text(roster)) == roster
