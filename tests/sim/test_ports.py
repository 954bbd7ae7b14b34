"""Does a simulated daemon meet the world as a real one would: answers late, errors in our words, crashes anywhere?"""

from __future__ import annotations

from functools import partial

import pytest

from hanode import ports
from hanode.core.facts import Power
from hanode.core.model import Call
from hanode.errors import Ambiguous, HanodeError, Refused, Unreachable
from hanode.ports import Transaction
from hanode.sim.asking import SimProbe
from hanode.sim.journal import MemoryJournal
from hanode.sim.ports import (
    Commit,
    Crash,
    Injection,
    OfficeLock,
    SimClock,
    SimCloud,
    SimExecutor,
    SimFencer,
    SimJournal,
    SimLeadership,
    SimNode,
)
from hanode.sim.world import Answer, ApiFault, BmcMode, Effect, Part, World


def never() -> bool:
    return False


@pytest.fixture
def world() -> World:
    world = World(seed=5)
    for name in ("c1", "c2"):
        world.add_host(name)
    return world


@pytest.fixture
def node(world: World) -> SimNode:
    return SimNode(world, "n1")


def run_until(node: SimNode, to_s: float) -> None:
    """As a runner does it: whatever comes first, the world's events or the node's calls."""
    while (due_s := node.executor.next_due_s()) is not None and due_s <= to_s:
        node.world.advance(due_s)
        node.executor.run_due(due_s)
    node.world.advance(to_s)


def test_every_port_is_implemented(node: SimNode) -> None:
    """Checked by mypy; here so that nobody removes it unseen."""
    cloud: ports.Cloud = SimCloud(node)
    fencer: ports.Fencer = SimFencer(node)
    probe: ports.Probe = SimProbe(node)
    clock: ports.Clock = SimClock(node)
    lock: ports.Leadership = SimLeadership(node, OfficeLock())
    journal: ports.Journal = SimJournal(node, MemoryJournal(), [])
    executor: ports.Executor = node.executor
    assert all((cloud, fencer, probe, clock, lock, journal, executor))


def test_the_fleet_joins_services_hypervisors_and_aggregates(world: World, node: SimNode) -> None:
    """What the engine reads each tick."""
    world.add_aggregate("rack-a", ["c1"], {"hanode:storage": "ceph-a"})
    fleet = SimCloud(node).read_fleet()
    assert sorted(fleet.hosts) == ["c1", "c2"]
    assert fleet.hosts["c1"].metadata("hanode:storage") == "ceph-a"
    assert fleet.hosts["c2"].aggregates == ()
    assert {service.binary for service in fleet.control} == {"nova-conductor", "nova-scheduler"}


def test_errors_come_in_our_own_words(world: World, node: SimNode) -> None:
    """Refused and Unreachable promise that nothing happened; Ambiguous promises nothing."""
    cloud = SimCloud(node)
    server = world.add_server("a", "c1")
    with pytest.raises(Refused):
        cloud.evacuate(server.instance_id, "c2", Call.SCHEDULED)
    assert cloud.read_instance("unknown") is None
    world.control.fail(Part.API)
    with pytest.raises(Unreachable):
        cloud.read_fleet()
    world.control.restore(Part.API)
    world.control.fail(Part.CELL)
    with pytest.raises(Ambiguous):
        cloud.read_servers("c1")


def test_an_answer_later_than_the_timeout_is_ambiguous(world: World, node: SimNode) -> None:
    """The disable has happened; the caller just does not know."""
    world.hosts.power_off("c1", "test")
    with pytest.raises(Ambiguous):
        SimCloud(node).disable(world.hosts["c1"].service_id, "hanode: x")
    assert world.hosts["c1"].status == "disabled"


def test_a_fencer_reads_what_the_device_says(world: World, node: SimNode) -> None:
    """Accepted is not off."""
    fencer = SimFencer(node, without=frozenset({"c2"}))
    assert fencer.hosts() == frozenset({"c1"})
    fencer.power_off("c1", never)
    assert fencer.read_power("c1") is Power.ON
    world.advance(10)
    assert fencer.read_power("c1") is Power.OFF
    with pytest.raises(Refused):
        fencer.power_off("c2", never)
    world.bmcs["c1"].misbehave(BmcMode.SILENT)
    with pytest.raises(Unreachable):
        fencer.read_power("c1")


def test_a_deposed_node_sends_no_off(world: World, node: SimNode) -> None:
    """`abort` is asked before anything is sent."""
    with pytest.raises(Ambiguous):
        SimFencer(node).power_off("c1", lambda: True)
    world.advance(10)
    assert world.hosts["c1"].powered


def test_a_node_that_is_cut_off_learns_nothing(world: World, node: SimNode) -> None:
    """Unreachable, never False: we ourselves could not look."""
    assert SimProbe(node).answers("c1", world.hosts["c1"].host_ip, "management")
    node.cut = {"probe"}
    with pytest.raises(Unreachable):
        SimProbe(node).answers("c1", world.hosts["c1"].host_ip, "management")


# --------------------------------------------------------------------------- the gate


def test_every_call_is_numbered_and_recorded(node: SimNode) -> None:
    """The numbers are what crash points are chosen by."""
    SimCloud(node).read_fleet()
    SimFencer(node).read_power("c1")
    assert [(call.number, call.name, call.subject, call.result) for call in node.trace] == [
        (1, "cloud.read_fleet", "", "ok"), (2, "fencer.read_power", "c1", "ok"),
    ]


@pytest.mark.parametrize(("moment", "locked"), [("before", False), ("after", True)])
def test_a_node_crashes_before_or_after_any_call(world: World, moment: str, locked: bool) -> None:
    """Crash-only: whatever stands in the world then is what the next life finds."""
    node = SimNode(world, "n1", crash_at=[(2, moment)])
    server = world.add_server("a", "c1")
    cloud = SimCloud(node)
    cloud.read_fleet()
    with pytest.raises(Crash):
        cloud.lock(server.instance_id, "hanode: x")
    assert server.locked is locked
    node.crash()
    with pytest.raises(Crash):
        cloud.read_fleet()
    node.restart()
    cloud.read_fleet()


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("error", [Unreachable, Ambiguous, Refused])
def test_a_call_fails_as_injected_whatever_it_does(world: World, node: SimNode, effect: Effect, error: type[HanodeError]) -> None:
    """Also the lie: refused, and it happened."""
    server = world.add_server("a", "c1")
    node.inject(Injection("cloud.lock", error, effect, delay_s=5))
    with pytest.raises(error):
        SimCloud(node).lock(server.instance_id, "x")
    assert server.locked is (effect is Effect.NOW)
    world.advance(10)
    assert server.locked is (effect is not Effect.NONE)


def test_the_journal_is_recorded_for_the_judge(node: SimNode) -> None:
    """Also commits that did not happen, and those whose answer was lost."""
    commits: list[Commit] = []
    journal = SimJournal(node, MemoryJournal(), commits)
    assert journal.commit(Transaction({"a": 0}, {"a": "1"}))
    assert not journal.commit(Transaction({"a": 0}, {"a": "2"}))
    node.inject(Injection("journal.commit", Ambiguous, Effect.NOW))
    with pytest.raises(Ambiguous):
        journal.commit(Transaction({"b": 0}, {"b": "3"}))
    assert [commit.happened for commit in commits] == [True, False, True]
    assert [entry.value for entry in journal.read("")] == ["1", "3"]


# --------------------------------------------------------------------------- clock, lock


def test_a_paused_node_has_its_own_time(world: World) -> None:
    """It may think that no time has passed, which is why the journal and not the clock is the proof of office."""
    node = SimNode(world, "n1", skew_s=1000)
    clock = SimClock(node)
    assert clock.now().s == 1000
    node.pause()
    world.advance(50)
    assert clock.now().s == 1000
    node.resume(clock_stood_still=True)
    world.advance(60)
    assert clock.now().s == 1010
    assert clock.now().at == world.stamp(60)


def test_the_lock_is_lost_when_it_is_not_refreshed(world: World, node: SimNode) -> None:
    """And a restarted process is another candidate."""
    lock = OfficeLock(ttl_s=15)
    first, second = SimLeadership(node, lock), SimLeadership(SimNode(world, "n2"), lock)
    assert first.hold()
    assert not second.hold()
    world.advance(10)
    assert first.hold()
    node.crash()
    node.restart()
    assert not SimLeadership(node, lock).hold()
    world.advance(26)
    assert second.hold()
    second.resign()
    assert SimLeadership(node, lock).hold()


def test_resigning_never_raises(node: SimNode) -> None:
    """By the contract of the port; the lease ends by itself."""
    lock = OfficeLock()
    leadership = SimLeadership(node, lock)
    leadership.hold()
    node.cut = {"lock"}
    leadership.resign()
    assert lock.holder


# --------------------------------------------------------------------------- slow calls


def test_nothing_runs_at_submit(node: SimNode) -> None:
    """A tick is never interrupted by a call that it asked for."""
    done: list[str] = []
    node.executor.submit("read", lambda: done.append("ran"))
    assert done == []
    node.executor.run_due(0.0)
    assert done == ["ran"]


def test_calls_wait_side_by_side_in_virtual_time(world: World, node: SimNode) -> None:
    """A slow answer holds up nobody else, and the reader sees how long it took."""
    seen: list[tuple[str, float]] = []
    cloud, clock = SimCloud(node), SimClock(node)
    world.control.inject(ApiFault("servers", Answer.SLOW, delay_s=20))

    def read(host: str) -> None:
        cloud.read_servers(host)
        seen.append((host, clock.now().s))

    node.executor.submit("read", lambda: read("c1"))
    node.executor.submit("read", lambda: read("c2"))
    run_until(node, 60)
    assert seen == [("c2", 0.2), ("c1", 20.2)]


def test_a_full_pool_makes_the_rest_wait(world: World, node: SimNode) -> None:
    """Hung calls use up their pool, and no other."""
    node.executor.widths = {"read": 1, "act": 1}
    server = world.add_server("a", "c1")
    done: list[tuple[str, float]] = []
    cloud = SimCloud(node)
    world.control.inject(ApiFault("servers", Answer.HANG))

    def hung() -> None:
        with pytest.raises(Ambiguous):
            cloud.read_servers("c1")
        done.append(("hung", world.now_s))

    def lock() -> None:
        cloud.lock(server.instance_id, "x")
        done.append(("lock", world.now_s))

    node.executor.submit("read", hung)
    node.executor.submit("read", lambda: done.append(("read", world.now_s)))
    node.executor.submit("act", lock)
    run_until(node, 60)
    assert done == [("lock", 0.2), ("hung", 30.0), ("read", 30.0)]


def test_what_was_sent_stays_sent_when_the_node_crashes(world: World, node: SimNode) -> None:
    """The off goes on, its outcome is never learned, and what was only queued never happens."""
    outcomes: list[str] = []
    fencer = SimFencer(node)
    node.executor.widths = {"fence": 1}

    def off(host: str) -> None:
        fencer.power_off(host, never)
        outcomes.append(host)

    for host in ("c1", "c2"):
        node.executor.submit("fence", partial(off, host))
    node.executor.run_due(0.0)
    node.crash()
    node.restart()
    run_until(node, 30)
    assert (world.hosts["c1"].powered, world.hosts["c2"].powered) == (False, True)
    assert outcomes == []


def test_a_crash_in_a_worker_reaches_the_runner(world: World) -> None:
    """A process dies as a whole."""
    node = SimNode(world, "n1", crash_at=[(1, "after")])
    node.executor.submit("read", lambda: SimCloud(node).lock("unknown", "x"))
    node.executor.run_due(0.0)
    world.advance(1.0)
    with pytest.raises(Crash):
        node.executor.run_due(1.0)


def test_the_executor_gives_the_same_order_every_time(world: World) -> None:
    """D1 with threads: only one of them ever runs."""
    def story() -> list[tuple[str, float]]:
        order: list[tuple[str, float]] = []
        world = World(seed=5)
        world.add_host("c1")
        node = SimNode(world, "n1")
        cloud, fencer = SimCloud(node), SimFencer(node)

        def work(label: str) -> None:
            cloud.read_servers("c1")
            order.append((label, world.now_s))
            fencer.read_power("c1")
            order.append((label, world.now_s))

        for number in range(20):
            node.executor.submit("read", partial(work, str(number)))
        run_until(node, 60)
        return order
    assert story() == story()
    assert isinstance(SimNode(world, "n2").executor, SimExecutor)
