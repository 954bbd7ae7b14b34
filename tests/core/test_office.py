"""May this process act as the leader right now? Never two at once, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hanode.engine.codec import NewerSchema
from hanode.engine.ledger import ForeignJournal, Ledger
from hanode.engine.office import Office
from hanode.errors import Ambiguous, Deposed, HanodeError, Unreachable
from hanode.ports import Transaction
from hanode.sim.journal import Faults, MemoryJournal, no_faults
from tests.core.offices import MARGIN_S, TTL_S, Node, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def nodes(world: World) -> tuple[Node, Node]:
    return Node(world, "a"), Node(world, "b")


def once(moment: str, operation: str, act: Callable[[], None]) -> Faults:
    """Do something at the first such moment."""
    done = False

    def fault(at_moment: str, at_operation: str) -> None:
        nonlocal done
        if not done and (at_moment, at_operation) == (moment, operation):
            done = True
            act()

    return fault


def fail(error: HanodeError) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def no_journal(moment: str, operation: str) -> None:
    raise Unreachable("no journal")


# --------------------------------------------------------------------------- taking, keeping, losing


def test_the_first_one_takes_office_at_once(nodes: tuple[Node, Node]) -> None:
    """A journal without an epoch has no leader to wait for."""
    first, second = nodes
    assert first.tick()
    assert not second.tick()
    assert (first.office.state, second.office.state) == ("in office", "standby")
    assert second.office.why_not == "another node holds the lock"
    assert first.office.guard.term == 1


def test_an_office_lasts_until_its_deadline_and_each_tick_moves_it(world: World, nodes: tuple[Node, Node]) -> None:
    first, _ = nodes
    for _ in range(20):
        assert first.tick()
        assert first.office.deadline_s == first.clock.now().s + TTL_S - MARGIN_S
        world.s += 3
    world.s += TTL_S - MARGIN_S - 3
    assert not first.leads


def test_the_lock_alone_does_not_make_a_leader(world: World, nodes: tuple[Node, Node]) -> None:
    """The lock was lost to another while the leader still renews: there is one leader, and it is the old one."""
    first, second = nodes
    assert first.tick()
    for _ in range(20):
        world.lock = "b"
        assert not second.tick()
        assert second.office.state == "candidate"
        assert "a holds office" in second.office.why_not
        assert first.tick()
        assert first.office.why_not == "another node holds the lock"
        world.s += 3


def test_a_dead_leader_is_followed_after_one_ttl(world: World, nodes: tuple[Node, Node]) -> None:
    """The standby watches all along, so it need not wait a second TTL after the lock came free."""
    first, second = nodes
    assert first.tick()
    died_s = world.s
    while world.s < died_s + TTL_S:
        assert not second.tick()
        world.s += 1
    world.lock = None
    assert second.tick()
    assert second.office.guard.term == 2


def test_a_candidate_waits_a_whole_ttl_from_its_own_first_look(world: World, nodes: tuple[Node, Node]) -> None:
    """It cannot know how old the renewal is that it sees."""
    first, second = nodes
    assert first.tick()
    world.s += 11
    world.lock = None
    assert not second.tick()
    world.s += TTL_S - 0.1
    assert not second.tick()
    world.s += 0.2
    assert second.tick()


def test_a_renewal_between_look_and_take_wins(world: World, nodes: tuple[Node, Node]) -> None:
    """A machine whose clock stood still believes to be in time. Its renewal makes the candidate's take-over fail."""
    first, second = nodes
    assert first.tick()
    second.tick()
    world.s += TTL_S + 1
    first.clock.stood_s = TTL_S + 1
    world.lock = None

    def wake() -> None:
        assert first.tick()

    second.fault = once("before", "commit", wake)
    assert not second.tick()
    assert second.office.why_not == "another was faster to take office"
    assert first.leads


def test_the_longer_ttl_counts_while_two_configurations_are_in_use(world: World) -> None:
    """A leader with a long TTL is in office longer than a candidate with a short one would wait."""
    slow, hasty = Node(world, "slow", ttl_s=60.0), Node(world, "hasty", ttl_s=10.0)
    assert slow.tick()
    world.lock = None
    while slow.leads:
        assert not hasty.tick()
        world.s += 1
    while not hasty.tick():
        world.s += 1
    assert world.s >= 60


def test_resigning_hands_over_at_once(world: World, nodes: tuple[Node, Node]) -> None:
    """A planned restart costs no TTL; and who resigned cannot write any more."""
    first, second = nodes
    assert first.tick()
    guard = first.office.guard
    first.office.resign()
    assert not first.leads
    assert second.tick()
    with pytest.raises(Deposed):
        first.write(guard)


def test_resigning_without_a_journal_is_silent(nodes: tuple[Node, Node]) -> None:
    """The way out must not hang on what is broken."""
    first, _ = nodes
    assert first.tick()
    first.fault = no_journal
    first.office.resign()
    assert not first.leads


def test_a_paused_leader_that_wakes_sees_itself_out(world: World, nodes: tuple[Node, Node]) -> None:
    """Before any write, and before any proof; and its first tick does not bring it back."""
    first, second = nodes
    assert first.tick()
    guard = first.office.guard
    second.tick()
    world.s += TTL_S + 1
    world.lock = None
    assert second.tick()
    before = dict(world.space.entries)
    assert not first.leads
    with pytest.raises(Deposed):
        first.office.prove()
    with pytest.raises(Deposed):
        first.write(guard)
    assert not first.tick()
    assert world.space.entries == before
    assert second.leads


def test_an_office_that_ran_out_with_nobody_after_it_is_taken_anew_at_once(world: World, nodes: tuple[Node, Node]) -> None:
    """After an outage of the journal: nobody else can be in an epoch of our own, so no TTL is waited."""
    first, _ = nodes
    assert first.tick()
    world.s += 100
    assert not first.tick()
    assert first.office.why_not == "the office ran out before it could be renewed"
    assert first.tick()
    assert first.office.guard.term == 2


def test_a_journal_out_of_reach_ends_the_office_only_at_its_deadline(world: World, nodes: tuple[Node, Node]) -> None:
    """Short outages of etcd must not cost a change of leader."""
    first, _ = nodes
    assert first.tick()
    first.fault = no_journal
    while world.s + 3 < TTL_S - MARGIN_S:
        world.s += 3
        assert first.tick()
        assert first.office.why_not == "the journal does not answer: no journal"
    world.s += 3
    assert not first.tick()
    first.fault = no_faults
    assert not first.tick() or first.office.guard.term == 2


def test_a_renewal_whose_answer_was_lost_counts_when_it_is_read_back(world: World, nodes: tuple[Node, Node]) -> None:
    first, _ = nodes
    assert first.tick()
    world.s += 5
    first.fault = once("after", "commit", fail(Ambiguous("timeout")))
    assert first.tick()
    assert first.office.deadline_s == first.clock.now().s + TTL_S - MARGIN_S


def test_a_renewal_that_did_not_arrive_moves_no_deadline(world: World, nodes: tuple[Node, Node]) -> None:
    first, _ = nodes
    assert first.tick()
    deadline_s = first.office.deadline_s
    world.s += 5
    first.fault = once("before", "commit", fail(Ambiguous("timeout")))
    assert first.tick()
    assert first.office.deadline_s == deadline_s
    assert first.tick()
    assert first.office.deadline_s > deadline_s


def test_taking_office_with_the_answer_lost_is_learned_by_reading_back(nodes: tuple[Node, Node]) -> None:
    first, _ = nodes
    first.fault = once("after", "commit", fail(Ambiguous("timeout")))
    assert first.tick()


def test_a_wiped_journal_deposes_the_old_leader(world: World, nodes: tuple[Node, Node]) -> None:
    """Whoever is first afterwards leads; the old one does not write into the new journal under its old epoch."""
    first, second = nodes
    assert first.tick()
    guard = first.office.guard
    world.space.entries.clear()
    with pytest.raises(Deposed):
        first.office.prove()
    with pytest.raises(Deposed):
        first.write(guard)
    assert not first.tick()
    assert "wiped" in first.office.why_not
    world.lock = None
    assert second.tick()
    assert second.ledger.load().records.hosts == {}


def test_a_journal_that_went_back_ends_the_office(world: World, nodes: tuple[Node, Node]) -> None:
    """A snapshot of our own term was restored: records and intents are gone, and what we remember would post them again."""
    first, _ = nodes
    assert first.tick()
    older = dict(world.space.entries)
    for _ in range(3):
        world.s += 1
        assert first.tick()
    world.space.entries = older
    world.s += 1
    assert not first.tick()
    assert "went back" in first.office.why_not
    world.s += 1
    assert first.tick(), "and is taken anew, with nothing remembered"


# --------------------------------------------------------------------------- the lock is liveness only


def test_a_broken_lock_is_a_reason_and_never_an_end(world: World, nodes: tuple[Node, Node]) -> None:
    """In office it changes nothing; out of office one does not try."""
    first, second = nodes
    assert first.tick()
    first.lock.error = second.lock.error = Unreachable("no etcd")
    world.s += 3
    assert first.tick()
    assert first.office.why_not == "the lock does not answer: no etcd"
    assert not second.tick()
    assert second.office.why_not == "the lock does not answer: no etcd"


# --------------------------------------------------------------------------- proof


def test_a_proof_needs_a_read_and_time_left_after_it(world: World, nodes: tuple[Node, Node]) -> None:
    """Paused in the middle of the read, it proves nothing."""
    first, _ = nodes
    assert first.tick()
    first.office.prove(first.clock.now)

    def sleep() -> None:
        world.s += TTL_S

    first.fault = once("after", "read", sleep)
    with pytest.raises(Deposed, match="ran out"):
        first.office.prove(first.clock.now)


def test_a_journal_out_of_reach_proves_nothing(nodes: tuple[Node, Node]) -> None:
    first, _ = nodes
    assert first.tick()
    first.fault = once("before", "read", fail(Unreachable("no journal")))
    with pytest.raises(Unreachable):
        first.office.prove()


def test_an_act_of_an_earlier_office_is_not_proven_by_a_later_one(world: World, nodes: tuple[Node, Node]) -> None:
    """A worker slept through a change of leader and back: what it was told to do was decided by nobody in office."""
    first, _ = nodes
    assert first.tick()
    old = first.office.guard
    world.s += 100
    first.tick()
    assert first.tick()
    first.office.prove()
    with pytest.raises(Deposed):
        first.office.prove(guard=old)


def test_nobody_out_of_office_has_a_guard(nodes: tuple[Node, Node]) -> None:
    first, _ = nodes
    with pytest.raises(Deposed, match="not in office"):
        _ = first.office.guard
    with pytest.raises(Deposed):
        first.office.prove()


# --------------------------------------------------------------------------- what waiting does not cure


def test_the_journal_of_another_cloud_stops_the_daemon(world: World, nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    assert first.tick()
    first.office.resign()
    second.office = Office(
        Ledger(second.journal, "another cloud"), second.lock, second.clock, node="b", ttl_s=TTL_S, margin_s=MARGIN_S
    )
    with pytest.raises(ForeignJournal):
        second.tick()


def test_a_newer_version_in_office_stands_us_down(world: World, nodes: tuple[Node, Node]) -> None:
    first, _ = nodes
    assert first.tick()
    newer = world.space.entries["epoch"].value.replace('"schema":1', '"schema":3')
    assert MemoryJournal(world.space).commit(Transaction({}, {"epoch": newer}))
    with pytest.raises(NewerSchema):
        first.tick()
    assert not first.leads
