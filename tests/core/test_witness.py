"""Standbys as witnesses: what they are asked, what they may write, how old their word is, and when a leader leaves office for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from hanode.core.decide import decide
from hanode.core.decisions import Beat, Timers, Trace, Verdict
from hanode.core.facts import Fleet, Reading, Unknown
from hanode.core.judge import judge
from hanode.core.model import Moment, Snapshot, Want, WantKind
from hanode.core.records import Records, Roster
from hanode.core.signals import MANAGEMENT, NOVA
from hanode.engine.codec import to_text
from hanode.engine.inquiry import AT_MOST, ROUND_S, Inquiry
from hanode.engine.ledger import Ledger
from hanode.engine.observe import Observer
from hanode.engine.testimony import ASKED, WITNESS, Asked, Sight, Stand, Statement
from hanode.engine.witness import PAUSE_S, Witness
from hanode.errors import Unreachable
from hanode.ports import Transaction
from hanode.sim.journal import MemoryJournal, Space
from tests.core.facts import POLICY, evidence, host
from tests.core.offices import CLOUD, TTL_S, Node, World

KEY = f"{MANAGEMENT}@c1"


# --------------------------------------------------------------------------- what a witness's word is worth


def heard(value: str, at_s: float = 999.0) -> Mapping[tuple[str, str], Trace]:
    return {("n2", MANAGEMENT): Trace(value, at_s, at_s, 3)}


@pytest.mark.parametrize(
    ("why", "probe", "power", "witnessed", "verdict"),
    [
        ("one that hears it is enough", "silent", "on", heard("answers"), Verdict.PARTITIONED),
        ("also against a device that says off", "silent", "off", heard("answers"), Verdict.PARTITIONED),
        ("also where we could not look ourselves", "unknown", "on", heard("answers"), Verdict.AGENT_DOWN),
        ("what it heard long ago is nothing", "silent", "on", heard("answers", 900.0), Verdict.FAILED),
        ("its silence adds nothing to ours", "silent", "on", heard("silent"), Verdict.FAILED),
        ("its silence is no proof", "unknown", "on", heard("silent"), Verdict.SUSPECT),
        ("its silence takes nothing from what we hear", "answers", "on", heard("silent"), Verdict.AGENT_DOWN),
        ("it could not look", "unknown", "on", heard("unknown"), Verdict.SUSPECT),
    ],
)
def test_verdict_with_a_witness(why: str, probe: str, power: str, witnessed: Mapping[tuple[str, str], Trace], verdict: Verdict) -> None:
    """A host that any witness reaches is not dead; that one hears nothing proves nothing."""
    found = judge(evidence(70, power=power, probe=probe, witnessed=witnessed))
    assert found.verdict is verdict, f"{why}: {found.reason}"


def test_who_hears_it_is_named() -> None:
    """An operator has to know from where it can be reached."""
    assert "on management (heard by n2) and from here not on management" in judge(
        evidence(70, power="on", probe="silent", witnessed=heard("answers"))).reason


# --------------------------------------------------------------------------- the leader asks


FLEET = Fleet({"c1": host("c1")}, ())


def wants(*hosts: str, every_s: float = 2.0) -> list[Want]:
    return [Want(WantKind.WITNESS, name, every_s) for name in hosts]


def told(owner: str = "me", willing: bool = True, **rounds: int) -> Mapping[str, Statement]:
    return {node: Statement(owner, "T", willing, {KEY: Sight("answers", number)}) for node, number in rounds.items()}


def test_nobody_is_asked_while_nobody_is_suspected() -> None:
    """The journal of a quiet cloud is left alone."""
    inquiry = Inquiry("me", "n1")
    assert inquiry.next([Want(WantKind.PROBE, KEY, 2.0)], FLEET, 0.0) is None
    assert not inquiry.is_open


def test_rounds_come_at_most_every_few_seconds_and_at_once_when_another_host_is_suspected() -> None:
    """Each is a write; and a fresh suspicion must not wait for one."""
    inquiry = Inquiry("me", "n1")
    first = inquiry.next(wants("c1"), FLEET, 100.0)
    assert first == Asked("me", 1, {"c1": "10.0.0.1"})
    assert inquiry.next(wants("c1"), FLEET, 100.0 + ROUND_S - 0.1) is None
    assert inquiry.next(wants("c1", "c2"), FLEET, 101.0) == Asked("me", 2, {"c1": "10.0.0.1", "c2": ""})
    assert inquiry.next(wants("c1", "c2"), FLEET, 101.0 + ROUND_S) is not None
    assert inquiry.next(wants("c1", "c2", every_s=60.0), FLEET, 115.0) is None
    assert inquiry.next([], FLEET, 116.0) == Asked("me", 4)
    assert inquiry.next([], FLEET, 300.0) is None and not inquiry.is_open


def test_never_too_many_are_asked_about() -> None:
    """When the bus fails every host is suspected; the journal must not be flooded with it."""
    inquiry = Inquiry("me", "n1")
    often = [Want(WantKind.WITNESS, f"d{number}", 2.0) for number in range(3)]
    asked = inquiry.next([*wants(*(f"c{number}" for number in range(500)), every_s=15.0), *often], FLEET, 0.0)
    assert asked is not None and len(asked.hosts) == AT_MOST
    assert {"d0", "d1", "d2"} <= asked.hosts.keys()


def test_a_sight_is_as_old_as_the_round_that_it_answers() -> None:
    """On the leader's own clock, whatever the clocks of others say, and however late the word arrives."""
    inquiry = Inquiry("me", "n1")
    inquiry.next(wants("c1"), FLEET, 100.0)
    inquiry.next(wants("c1"), FLEET, 110.0)
    found = inquiry.heard(told(n2=1, n3=2))
    assert {witness: reading.started_s for (witness, _), reading in found.items()} == {"n2": 100.0, "n3": 110.0}
    assert all(reading.value is True for reading in found.values())


@pytest.mark.parametrize(
    ("why", "testimonies"),
    [
        ("it answers another leader, or another term of ours", told("former", n2=1)),
        ("a round that was never sent: from a backup, or a stranger", told(n2=7)),
        ("our own, of the time when we were a standby", told(n1=1)),
    ],
)
def test_a_word_that_answers_nothing_of_ours_is_not_heard(why: str, testimonies: Mapping[str, Statement]) -> None:
    """Left-overs in the journal must neither keep a corpse alive nor move an office."""
    inquiry = Inquiry("me", "n1")
    inquiry.next(wants("c1"), FLEET, 100.0)
    assert not inquiry.heard(testimonies), why


# --------------------------------------------------------------------------- the standby looks and speaks


class Hosts:
    """A probe that says what it is told, and counts."""

    def __init__(self) -> None:
        self.alive: set[str] = set()
        self.asked: list[tuple[str, str]] = []

    def answers(self, host: str, host_ip: str, network: str) -> bool:
        self.asked.append((host, host_ip))
        if not host_ip:
            raise Unreachable("no address")
        return host in self.alive

    def serves(self, address: str, port: int) -> bool:
        raise Unreachable(f"nobody asks {address}:{port}")


class NoWay:
    """Whoever is asked for anything else."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        def refuse(*_: object) -> object:
            raise Unreachable(f"nobody asks a witness for {name}")
        return refuse


class Later:
    """An executor whose work is done when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def submit(self, pool: str, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def work(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class Standing:
    """A standby on a clock of its own, in a journal that a leader shares."""

    def __init__(self) -> None:
        self.s = 5000.0
        self.space = Space()
        self.journal = MemoryJournal(self.space)
        self.stand = Stand(self.journal)
        self.probe, self.executor = Hosts(), Later()
        others: Any = NoWay()
        def observer() -> Observer:
            return Observer(others, others, self.probe, others, self, self.executor, wake=lambda: None, capacity=lambda: None)

        self.witness = Witness("n2", self.stand, observer, (MANAGEMENT,))

    def now(self) -> Moment:
        return Moment(self.s, "T")

    def ask(self, number: int, *hosts: str, owner: str = "me") -> None:
        entry = next(iter(self.journal.read(ASKED)), None)
        text = {ASKED: to_text(Asked(owner, number, dict.fromkeys(hosts, "10.0.0.1")))}
        assert self.journal.commit(Transaction({ASKED: entry.revision if entry else 0}, text))

    def tick(self, owner: str = "me") -> None:
        self.s += 1.0
        self.witness.tick(owner, True, self.now())

    @property
    def said(self) -> Mapping[str, Sight] | None:
        found = self.stand.testimonies()
        return found["n2"].sights if "n2" in found else None


def test_a_standby_looks_once_in_each_round_and_says_what_it_saw() -> None:
    """At the address that the leader names: it need not be able to read Nova."""
    n2 = Standing()
    n2.probe.alive = {"c1"}
    n2.ask(1, "c1", "c2")
    for _ in range(3):
        n2.tick()
        n2.executor.work()
    assert n2.said == {f"{MANAGEMENT}@c1": Sight("answers", 1), f"{MANAGEMENT}@c2": Sight("silent", 1)}
    assert n2.probe.asked == [("c1", "10.0.0.1"), ("c2", "10.0.0.1")]
    revision = n2.space.revision
    n2.tick()
    assert n2.space.revision == revision
    n2.ask(2, "c1")
    n2.tick()
    n2.executor.work()
    n2.tick()
    assert n2.said == {f"{MANAGEMENT}@c1": Sight("answers", 2)}


def test_a_look_that_began_before_a_round_does_not_answer_it() -> None:
    """The host may have died between the two."""
    n2 = Standing()
    n2.probe.alive = {"c1"}
    n2.ask(1, "c1")
    n2.tick()
    n2.executor.work()
    n2.ask(2, "c1")
    n2.tick()
    assert n2.said is None or n2.said[KEY].round == 1
    n2.executor.work()
    n2.tick()
    assert n2.said == {KEY: Sight("answers", 2)}


def test_what_some_hosts_said_does_not_wait_for_others_for_ever() -> None:
    """One probe that hangs must not silence the witness."""
    n2 = Standing()
    n2.probe.alive = {"c1", "c2"}
    n2.ask(1, "c1", "c2")
    n2.tick()
    hanging = n2.executor.calls.pop()
    n2.executor.work()
    n2.s += PAUSE_S
    n2.tick()
    assert n2.said is not None and len(n2.said) == 1
    hanging()
    n2.tick()
    assert n2.said is not None and len(n2.said) == 2


def test_when_nobody_asks_the_standby_takes_back_what_it_said() -> None:
    """Also what it said in an earlier life; and then it leaves the journal alone."""
    n2 = Standing()
    assert n2.stand.testify("n2", Statement("former", "T", True, {KEY: Sight("answers", 3)}))
    n2.ask(4)
    n2.tick()
    assert n2.said is None
    revision = n2.space.revision
    n2.tick()
    assert n2.space.revision == revision


@pytest.mark.parametrize("asked_by", ["former", ""])
def test_a_question_of_somebody_who_does_not_lead_is_not_answered(asked_by: str) -> None:
    """A dead leader's question stays in the journal until the next one asks."""
    n2 = Standing()
    n2.ask(1, "c1", owner=asked_by)
    n2.tick(owner="me")
    assert not n2.executor.calls and n2.said is None


def test_a_standby_writes_its_own_key_and_nothing_else() -> None:
    """S5: it can neither overwrite what another of its name has just said, nor touch anything of a leader's."""
    n2 = Standing()
    n2.ask(1, "c1")
    before = {key for key in n2.space.entries if not key.startswith(WITNESS)}
    raced = MemoryJournal(n2.space)

    class Raced(MemoryJournal):
        def commit(self, transaction: Transaction) -> bool:
            raced.commit(Transaction({}, {f"{WITNESS}n2": to_text(Statement("me", "T", True, {KEY: Sight("silent", 1)}))}))
            return super().commit(transaction)

    assert not Stand(Raced(n2.space)).testify("n2", Statement("me", "T", True, {KEY: Sight("answers", 1)}))
    assert n2.said == {KEY: Sight("silent", 1)}
    assert {key for key in n2.space.entries if not key.startswith(WITNESS)} == before


def test_the_question_is_guarded_by_the_epoch() -> None:
    """A deposed leader asks nobody."""
    space = Space()
    ledger = Ledger(MemoryJournal(space), CLOUD)
    world = World()
    leader, other = Node(world, "a"), Node(world, "b")
    assert leader.tick()
    guard = leader.office.guard
    leader.ledger.load()
    leader.ledger.commit(guard, asked=Asked(guard.owner, 1, {"c1": "10.0.0.1"}))
    leader.office.resign()
    assert other.tick()
    with pytest.raises(Exception, match="not in office"):
        leader.ledger.commit(guard, asked=Asked(guard.owner, 2))
    found = other.ledger.stand.asked()
    assert found is not None and found.round == 1
    assert ledger.stand.asked() is None


# --------------------------------------------------------------------------- the hand-over


def blind(
    since_s: float = 0.0, sees: bool = False, value: str = "answers", count: int = 3, willing: bool = True, patience_s: float = 30.0,
) -> str:
    """What a leader decides at second 100 that has not been able to read Nova since then, while n2 reads it."""
    trace = Trace(value, max(since_s, 89.0), 99.0, count)
    timers = Timers(0.0, waits={"blind/nova": since_s}, witnessed={("n2", NOVA): trace}, hand_over_after_s=patience_s)
    fleet = Reading[object](FLEET if sees else Unknown("no route"), 99.0, 99.0)
    said: dict[tuple[str, str], Reading[object]] = {
        ("n2", NOVA): Reading(True if value == "answers" else Unknown("no route"), 99.0, 100.0)}
    snapshot = Snapshot({(WantKind.FLEET, ""): fleet}, witnessed=said, willing=frozenset({"n2"} if willing else ()))
    return decide(snapshot, Records(), timers, POLICY, Moment(100.0, "T")).hand_over


def test_a_leader_that_alone_cannot_read_nova_leaves_its_office() -> None:
    """Nobody is protected by one who sees nothing, while another could."""
    assert "could not be read from here for 100 s, and n2 can read it" in blind()


@pytest.mark.parametrize(
    ("why", "changes"),
    [
        ("it reads Nova itself", {"sees": True}),
        ("not for long enough", {"since_s": 80.0}),
        ("it has handed over lately, and is more patient", {"patience_s": 240.0}),
        ("the witness cannot read it either", {"value": "unknown"}),
        ("the witness would not take office", {"willing": False}),
        ("one lucky look is not enough", {"count": 1}),
    ],
)
def test_a_leader_keeps_its_office(why: str, changes: dict[str, object]) -> None:
    """Each change of office costs the time in which every host must be heard anew."""
    assert blind(**changes) == "", why  # type: ignore[arg-type]


def hears_nobody(*, own: str = "silent", heard_by_n2: tuple[str, ...] = ("c1", "c2"), answering: str = "") -> str:
    names = ("c1", "c2")
    fleet = Fleet({name: host(name, state="down") for name in names}, ())
    probes = {f"{MANAGEMENT}@{name}": Trace("answers" if name == answering else own, 40.0, 99.0, 9) for name in names}
    seen: dict[tuple[str, str], Reading[object]] = {("n2", f"{MANAGEMENT}@{name}"): Reading(True, 98.0, 100.0) for name in heard_by_n2}
    beats = {name: Beat("t0", 20.0, moved=True, looked_s=99.0) for name in names}
    timers = Timers(0.0, beats=beats, probe=probes, waits={"blind/hosts": 60.0}, hand_over_after_s=30.0)
    readings: dict[tuple[WantKind, str], Reading[object]] = {(WantKind.FLEET, ""): Reading(fleet, 99.0, 99.5)}
    snapshot = Snapshot(readings, witnessed=seen, willing=frozenset({"n2"}))
    return decide(snapshot, Records(roster=Roster(seen=frozenset(names))), timers, POLICY, Moment(100.0, "T")).hand_over


@pytest.mark.parametrize(
    ("why", "given", "leaves"),
    [
        ("it hears nobody, another hears several", {}, True),
        ("it hears one of them", {"answering": "c2"}, False),
        ("the other hears a single one: a cut at that host", {"heard_by_n2": ("c1",)}, False),
        ("the other hears a single one, and we could not look at all", {"heard_by_n2": ("c1",), "own": "unknown"}, True),
        ("nobody hears anybody", {"heard_by_n2": ()}, False),
    ],
)
def test_a_leader_that_hears_no_host_leaves_its_office_to_one_that_does(why: str, given: dict[str, object], leaves: bool) -> None:
    """What it cannot hear it cannot judge: with proof of death alone it would be half as good."""
    said = hears_nobody(**given)  # type: ignore[arg-type]
    assert bool(said) is leaves, f"{why}: {said}"


def test_who_stands_back_lets_others_win_and_does_not_stay_away_for_ever() -> None:
    """Otherwise it would win again at once; and if the other dies in that very moment, somebody must lead."""
    world = World()
    a, b = Node(world, "a"), Node(world, "b")
    assert a.tick()
    a.office.stand_back("another sees more")
    assert not a.tick() and world.lock is None
    assert b.tick() and b.office.guard.term == 2
    b.office.resign()
    assert not a.tick()  # b has died: two leases later it is over
    world.s += 2 * TTL_S + 1
    assert a.tick() and a.office.guard.term == 3
