"""Does the judge see it when a leader posts by an old proof, or into a sick store? Each is shown what breaks it, and what does not."""

from __future__ import annotations

import pytest

from hanode.core.decisions import Decisions, Timers, Trace
from hanode.core.lifecycle import HostState
from hanode.core.model import Action, ActionKind
from hanode.core.policy import Policy
from hanode.core.records import HostRecovery, Proof, ProofKind
from hanode.sim.evidence import Evidence, Tick
from hanode.sim.knowledge import posted_by_fresh_proof, spared_sick_storage
from hanode.sim.world import Condition, Domain, World

POLICY = Policy(health_checked=frozenset({"ceph-a"}))
NOW_S = 500.0


def world() -> World:
    made = World(seed=3)
    made.add_host("c1", Domain("ceph-a", "rbd"))
    return made


def evacuates(read: Trace | None, by: ProofKind = ProofKind.DEVICE) -> Tick:
    """A tick that posts an evacuation from c1, and what its power device had said."""
    record = HostRecovery("c1", "i-1", HostState.EVACUATING, "", "", proof=Proof(by, "", ""))
    action = Action("c1", ActionKind.EVACUATE, "i-1", name="web1", until_s=NOW_S + POLICY.proof_s)
    timers = Timers(0.0, power={"1@c1": read} if read else {})
    return Tick(NOW_S, "n1", Decisions(timers, writes=(record,), actions=(action,)))


def found(tick: Tick) -> list[str]:
    return [violation.invariant for violation in posted_by_fresh_proof(Evidence(world(), POLICY, ticks=(tick,)))]


def test_a_post_by_a_fresh_reading_of_off_is_right() -> None:
    """S2 as it is meant."""
    assert found(evacuates(Trace("off", 100.0, NOW_S - POLICY.proof_s))) == []


@pytest.mark.parametrize("read", [
    None, Trace("on", 490.0, NOW_S), Trace("unknown", 490.0, NOW_S), Trace("off", 100.0, NOW_S - POLICY.proof_s - 0.1),
])
def test_a_post_by_anything_else_breaks_s2(read: Trace | None) -> None:
    """Unread, on, unreadable, or too long ago: in each case somebody may have switched the host on."""
    assert found(evacuates(read)) == ["S2"]


def test_a_persons_word_needs_no_device() -> None:
    """That is what it is for."""
    assert found(evacuates(None, ProofKind.PERSON)) == []


@pytest.mark.parametrize(("sick_for_s", "named", "broken"), [(400.0, False, ["S4"]), (400.0, True, []), (1.0, False, [])])
def test_who_hangs_with_a_sick_store_is_not_shot_on_silence(sick_for_s: float, named: bool, broken: list[str]) -> None:
    """Unless a person has named it; and nobody can know of what began a second ago."""
    made = world()
    made.at(NOW_S - sick_for_s, lambda: made.storage.become("ceph-a", Condition.FAILS), "storage fails")
    made.advance(NOW_S)
    timers = Timers(0.0, waits={"named/c1": NOW_S} if named else {})
    tick = Tick(NOW_S, "n1", Decisions(timers, actions=(Action("c1", ActionKind.POWER_OFF, "i-1"),)))
    assert [v.invariant for v in spared_sick_storage(Evidence(made, POLICY, ticks=(tick,)))] == broken
