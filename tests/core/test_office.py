"""May this process act as the leader right now? Never two at once, whatever happens in between."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from hanode.core.lifecycle import HostState
from hanode.core.model import HostRecovery, Moment
from hanode.engine.codec import NewerSchema
from hanode.engine.ledger import ForeignJournal, Guard, Ledger
from hanode.engine.office import Office
from hanode.errors import Ambiguous, Deposed, HanodeError, Unreachable
from hanode.ports import Transaction
from hanode.sim.journal import Faults, MemoryJournal, Space, no_faults

TTL_S = 15.0
MARGIN_S = 3.0
CLOUD = "https://keystone.example/v3 RegionOne"


class World:
    """One time for all; each node has its own zero, as boot clocks do."""

    def __init__(self) -> None:
        self.s = 0.0
        self.space = Space()
        self.lock: str | None = None


class NodeClock:
    """`stood_s`: how long it stood still together with its machine."""

    def __init__(self, world: World, zero_s: float) -> None:
        self._world, self._zero_s = world, zero_s
        self.stood_s = 0.0

    def now(self) -> Moment:
        return Moment(self._world.s + self._zero_s - self.stood_s, f"T{self._world.s}")


class FairLock:
    """Works as it should; `error` makes it fail."""

    def __init__(self, world: World, node: str) -> None:
        self._world, self._node = world, node
        self.error: HanodeError | None = None

    def hold(self) -> bool:
        if self.error is not None:
            raise self.error
        self._world.lock = self._world.lock or self._node
        return self._world.lock == self._node

    def resign(self) -> None:
        if self._world.lock == self._node:
            self._world.lock = None


class Node:
    def __init__(self, world: World, name: str, *, ttl_s: float = TTL_S, faults: Faults = no_faults) -> None:
        self.world, self.name = world, name
        self.clock = NodeClock(world, zero_s=1000.0 * len(name) + sum(map(ord, name)))
        self.lock = FairLock(world, name)
        self.fault: Faults = faults
        self.journal = MemoryJournal(world.space, lambda moment, operation: self.fault(moment, operation))
        self.ledger = Ledger(self.journal, CLOUD)
        owners = (f"{name}-{number}" for number in itertools.count(1))
        self.office = Office(
            self.ledger, self.lock, self.clock, node=name, ttl_s=ttl_s, margin_s=MARGIN_S, owner_factory=lambda: next(owners)
        )

    def tick(self) -> bool:
        return self.office.tick(self.clock.now())

    @property
    def leads(self) -> bool:
        return self.office.in_office(self.clock.now())

    def write(self, guard: Guard | None = None) -> None:
        self.ledger.load()
        record = HostRecovery("c1", "c1@1", HostState.SUSPECT, f"by {self.name}", "T")
        self.ledger.commit(guard or self.office.guard, [record])


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
    assert second.ledger.load().journal_is_new


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
    newer = world.space.entries["epoch"].value.replace('"schema":1', '"schema":2')
    assert MemoryJournal(world.space).commit(Transaction({}, {"epoch": newer}))
    with pytest.raises(NewerSchema):
        first.tick()
    assert not first.leads


# --------------------------------------------------------------------------- any interleaving


class Chaos:
    """Runs nodes in an order drawn from a seed, with pauses, lost answers and late deliveries at every port call.

    A pause in the middle of one node's tick is time in which the others run: they are ticked from within the call.
    The locks lie: each node may be told at any time that it holds the lock.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World()
        self.late: list[Transaction] = []
        self.nodes = [LiedTo(self, name) for name in ("a", "bb", "ccc")]
        self.busy: set[str] = set()
        self.terms = 0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        idle = [node for node in self.nodes if node.name not in self.busy]
        self.world.s += self.random.choice((0.0, 0.1, 1.0, 3.0, 3.0, 6.0))
        self.deliver()
        if not idle:
            return
        node = self.random.choice(idle)
        self.busy.add(node.name)
        try:
            node.act()
        finally:
            self.busy.discard(node.name)
        self.check()

    def trouble(self, moment: str, operation: str) -> None:
        drawn = self.random.random()
        if drawn < 0.03:
            raise Unreachable("no way") if moment == "before" else Ambiguous("the answer was lost")
        if drawn < 0.06 and moment == "before" and operation == "commit":
            raise Ambiguous("never arrived")
        if drawn < 0.12 and len(self.busy) < len(self.nodes):
            for _ in range(self.random.randrange(12)):
                self.step()
        elif drawn < 0.15:
            self.world.s += self.random.uniform(0, 3 * TTL_S)
        self.check()

    def deliver(self) -> None:
        """Requests that were given up by their sender arrive after all."""
        while self.late and self.random.random() < 0.3:
            MemoryJournal(self.world.space).commit(self.late.pop(self.random.randrange(len(self.late))))

    def check(self) -> None:
        leaders = [node.name for node in self.nodes if node.leads]
        assert len(leaders) <= 1, f"two in office at {self.world.s}: {leaders}"


class LateJournal(MemoryJournal):
    """Sometimes a commit times out and is delivered much later."""

    def __init__(self, chaos: Chaos) -> None:
        super().__init__(chaos.world.space, chaos.trouble)
        self._chaos = chaos

    def commit(self, transaction: Transaction) -> bool:
        if self._chaos.random.random() < 0.03:
            self._chaos.late.append(transaction)
            raise Ambiguous("timed out on the way")
        return super().commit(transaction)


class LiedTo(Node):
    def __init__(self, chaos: Chaos, name: str) -> None:
        super().__init__(chaos.world, name)
        self._chaos = chaos
        owners = (f"{name}-{number}" for number in itertools.count(1))
        self.ledger = Ledger(LateJournal(chaos), CLOUD)
        self.office = Office(
            self.ledger, self, self.clock, node=name, ttl_s=TTL_S, margin_s=MARGIN_S, owner_factory=lambda: next(owners)
        )

    def hold(self) -> bool:
        return self._chaos.random.random() < 0.7

    def resign(self) -> None:
        """There is no lock to give up."""

    def act(self) -> None:
        if self._chaos.random.random() < 0.02:
            self.office.resign()
            return
        self.tick()
        if not self.leads:
            return
        guard = self.office.guard
        self._chaos.terms = max(self._chaos.terms, guard.term)
        try:
            self.write(guard)
            self.office.prove(guard=guard)
        except HanodeError:
            return
        newest = self.world.space.entries["epoch"].revision
        assert guard.revision == newest, "an act was proven under an epoch that is not the newest"


@pytest.mark.parametrize("seed", range(40))
def test_never_two_in_office(seed: int) -> None:
    """Pauses longer than the TTL anywhere, lying locks, lost answers, requests that arrive minutes late."""
    chaos = Chaos(seed)
    chaos.run(300)
    assert chaos.terms > 3, "the chaos must let somebody lead, or it shows nothing"


def test_when_faults_stop_somebody_leads() -> None:
    """However the chaos left the journal."""
    for seed in range(20):
        chaos = Chaos(seed)
        chaos.run(200)
        space = chaos.world.space
        survivors = [Node(chaos.world, "x"), Node(chaos.world, "y")]
        assert survivors[0].world.space is space
        for _ in range(20):
            chaos.world.s += 3
            for node in survivors:
                node.tick()
        assert sum(node.leads for node in survivors) == 1
