"""Does every judge condemn what it must condemn, and let pass what is right? Each is violated by hand once."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from hanode.core.decisions import Closed, Decisions, Hold, HoldKind, Timers
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.model import Action, ActionKind, Call
from hanode.core.policy import Policy
from hanode.core.records import Before, HostRecovery, InstanceRecovery, Proof, ProofKind
from hanode.ports import Transaction
from hanode.sim.evidence import Evidence, Tick, Violation
from hanode.sim.invariants import (
    accounted,
    all_recovered,
    digest,
    fenced_rightly,
    in_office,
    judge,
    no_data_lost,
    one_evacuation,
    one_writer,
    released_rightly,
    remember,
    source_off,
)
from hanode.sim.node import PortCall
from hanode.sim.ports import Commit
from hanode.sim.posts import by_strangers
from hanode.sim.world import Domain, Part, Server, World


def cloud() -> World:
    world = World(seed=3)
    for name in ("c1", "c2", "c3"):
        world.add_host(name)
    return world


def after(world: World, seconds: float) -> None:
    world.advance(world.now_s + seconds)


def recover_rightly(world: World, server: Server) -> None:
    """The way of one host failure, as it should be."""
    world.hosts.power_off("c1", "test")
    world.nova.set_forced_down(world.hosts["c1"].service_id, True)
    world.nova.evacuate(server.instance_id, "c2", Call.SCHEDULED)
    after(world, 60)


def names(violations: Iterable[Violation]) -> list[str]:
    return [violation.invariant for violation in violations]


# --------------------------------------------------------------------------- S1, S2, S3, S6, S7


def test_a_right_recovery_violates_nothing() -> None:
    """The judges must not cry wolf."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.advance(100)
    recover_rightly(world, server)
    assert judge(Evidence(world)) == ()


def test_an_evacuation_from_a_living_host_breaks_s1_and_s2() -> None:
    """Nova accepts it as soon as the host is forced down; then the guest runs twice."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.nova.set_forced_down(world.hosts["c1"].service_id, True)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 60)
    (off,) = source_off(world.log)
    assert off.invariant == "S2"
    assert "a from c1 to c2" in off.text
    (writer,) = one_writer(world)
    assert "a starts on c2 while it runs on c1" in writer.text
    assert names(judge(Evidence(world))) == ["S2", "S1"]


def test_a_persons_word_answers_for_s2_alone() -> None:
    """Who confirms a living host dead is to blame, but the double run is still a double run."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.nova.set_forced_down(world.hosts["c1"].service_id, True)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 60)
    assert names(judge(Evidence(world, confirmed={"c1"}))) == ["S1"]


def test_s2_does_not_judge_what_others_post() -> None:
    """An operator's evacuation is the operator's."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.nova.set_forced_down(world.hosts["c1"].service_id, True, user="operator")
    world.nova.evacuate(server.instance_id, "c2", user="operator")
    assert list(source_off(world.log)) == []


@pytest.mark.parametrize(("waited_s", "broken"), [(9.0, []), (11.0, ["S2"])])
def test_s2_allows_for_the_age_of_the_last_reading(waited_s: float, broken: list[str]) -> None:
    """Who is switched on a moment before the POST cannot be seen; who is on for longer than proof_s must have been."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.hosts.power_off("c1", "test")
    world.nova.set_forced_down(world.hosts["c1"].service_id, True)
    world.hosts.power_on("c1", "somebody")
    after(world, waited_s)
    world.nova.evacuate(server.instance_id, "c2")
    assert names(source_off(world.log, proof_s=10.0)) == broken


def test_a_double_run_may_be_laid_at_a_persons_door() -> None:
    """Where people may err, what they break is told apart from what hanode breaks."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.nova.set_forced_down(world.hosts["c1"].service_id, True)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 60)
    assert names(judge(Evidence(world, confirmed={"c1"}, answered_for={"c1"}))) == []


def test_s2_sees_a_host_that_was_powered_on_again() -> None:
    """Off once is not off for ever."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.hosts.power_off("c1", "test")
    world.nova.set_forced_down(world.hosts["c1"].service_id, True)
    world.hosts.power_on("c1", "somebody")
    world.nova.evacuate(server.instance_id, "c2")
    assert names(source_off(world.log)) == ["S2"]


def test_a_second_post_while_the_first_is_open_breaks_s3() -> None:
    """Even when the world happens to survive it."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.hosts.power_off("c1", "test")
    world.nova.set_forced_down(world.hosts["c1"].service_id, True)
    world.nova.evacuate(server.instance_id, "c2")
    world.nova.evacuate(server.instance_id, "c2")
    (violation,) = one_evacuation(world.log)
    assert "record 1 to c2 is accepted" in violation.text


def test_a_second_post_after_the_conductor_gave_up_is_right() -> None:
    """Nothing was ever cast, by the event of Nova's own action."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.control.fail(Part.SCHEDULER)
    recover_rightly(world, server)
    after(world, 60)
    world.control.restore(Part.SCHEDULER)
    world.nova.evacuate(server.instance_id, "c3")
    assert list(one_evacuation(world.log)) == []


@pytest.mark.parametrize("fenced", [True, False])
def test_a_second_post_needs_the_first_target_off(fenced: bool) -> None:
    """A target whose nova-compute died may run the guest; only off is proof that it does not."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.hosts.power_off("c1", "test")
    world.nova.set_forced_down(world.hosts["c1"].service_id, True)
    world.nova.evacuate(server.instance_id, "c2")
    after(world, 4)
    world.hosts.kill_compute("c2")
    if fenced:
        world.hosts.power_off("c2", "test")
    after(world, 100)
    world.nova.evacuate(server.instance_id, "c3")
    assert names(one_evacuation(world.log)) == ([] if fenced else ["S3"])


def test_an_evacuation_of_somebody_elses_that_could_not_be_seen_yet_is_excused() -> None:
    """Between the last look at Nova and our own request somebody else may post; one that was there to be seen is no excuse."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.hosts.power_off("c1", "test")
    world.nova.set_forced_down(world.hosts["c1"].service_id, True)
    world.nova.evacuate(server.instance_id, "c2", user="admin")
    after(world, 1)
    world.nova.evacuate(server.instance_id, "c3")
    assert names(one_evacuation(world.log, unseen_s=10.0)) == []
    assert names(one_evacuation(world.log, unseen_s=0.5)) == ["S3"]


@pytest.mark.parametrize("first", ["admin", "hanode"])
def test_what_somebody_else_asks_for_twice_is_not_ours_to_answer_for(first: str) -> None:
    """Nova lets them; a second request of ours beside a first one of theirs is S3's business and excuses nothing."""
    world = cloud()
    server = world.add_server("a", "c1")
    world.hosts.power_off("c1", "test")
    world.nova.set_forced_down(world.hosts["c1"].service_id, True)
    second = {"admin": "hanode", "hanode": "admin"}[first]
    world.nova.evacuate(server.instance_id, "c2", user=first)
    world.nova.evacuate(server.instance_id, "c3", user=second)
    assert by_strangers(world.log) == ({server.instance_id} if second == "admin" else frozenset())


def test_a_rebuilt_disk_breaks_s6_unless_its_owner_allows_it() -> None:
    """Silently is the word that matters."""
    world = World(seed=3)
    world.add_host("c1", Domain("ceph-a", "rbd"))
    world.add_host("c2", Domain("ceph-b", "rbd"))
    server = world.add_server("a", "c1")
    recover_rightly(world, server)
    assert names(no_data_lost(world, ())) == ["S6"]
    assert list(no_data_lost(world, {server.instance_id})) == []


def test_a_release_before_the_records_are_completed_breaks_s7() -> None:
    """Its next restart would destroy what came back; enabling is not refused by Nova."""
    world = cloud()
    server = world.add_server("a", "c1")
    recover_rightly(world, server)
    world.nova.enable(world.hosts["c1"].service_id)
    (violation,) = released_rightly(world.log)
    assert "record 1 from c1 to c2 is done" in violation.text


def test_a_release_after_the_records_are_completed_is_right() -> None:
    """The order of the design: power on, nova-compute starts, records completed, forced_down cleared, enabled."""
    world = cloud()
    server = world.add_server("a", "c1")
    recover_rightly(world, server)
    world.hosts.power_on("c1", "test")
    after(world, 200)
    world.nova.set_forced_down(world.hosts["c1"].service_id, False)
    world.nova.enable(world.hosts["c1"].service_id)
    assert list(released_rightly(world.log)) == []


# --------------------------------------------------------------------------- S4


def off_ordered(
    host: str, time_s: float, office_since_s: float = 0.0, holds: tuple[Hold, ...] = (), state: HostState = HostState.FENCING,
    orders: bool = True, closes: tuple[Closed, ...] = (), offs: tuple[str, ...] = ("",),
) -> Tick:
    """A tick that orders this off, and what it knew."""
    record = HostRecovery(host, f"i-{host}", state, "test", "then", offs=offs)
    orders_off = (Action(host, ActionKind.POWER_OFF, record.incident),) if orders else ()
    return Tick(time_s, "n1", Decisions(Timers(office_since_s), writes=() if closes else (record,), actions=orders_off,
                                        holds=holds, closes=closes))


def off_sent(host: str, time_s: float) -> PortCall:
    return PortCall(1, time_s, time_s, "n1", "fencer.power_off", host, "ok")


def s4(world: World, calls: list[PortCall], ticks: list[Tick], policy: Policy | None = None) -> list[str]:
    return [v.text for v in fenced_rightly(Evidence(world, policy or Policy(), calls=calls, ticks=ticks))]


def test_an_off_for_a_living_host_breaks_s4() -> None:
    """It beats and it answers: nobody may shoot it."""
    world = cloud()
    world.advance(100)
    world.bmcs["c1"].power_off()
    assert names(judge(Evidence(world))) == ["S4"]
    assert judge(Evidence(world, may_be_fenced_alive={"c1"})) == ()


@pytest.mark.parametrize("fault", ["kill_compute", "freeze_kernel", "cut_network", "panic"])
def test_an_off_for_a_silent_host_is_right(fault: str) -> None:
    """Whatever it is that silenced it."""
    world = cloud()
    world.advance(100)
    getattr(world.hosts, fault)("c1")
    after(world, 60)
    world.bmcs["c1"].power_off()
    assert judge(Evidence(world)) == ()


def test_a_fenced_host_that_shows_life_may_be_fenced_again() -> None:
    """Past the point of no return its guests may run elsewhere."""
    world = cloud()
    world.advance(100)
    world.bmcs["c1"].power_off()
    ticks = [off_ordered("c1", 50.0, state=HostState.FENCED, orders=False), off_ordered("c1", 100.0)]
    assert s4(world, [off_sent("c1", 100.0)], ticks) == []


def test_an_off_that_no_tick_ordered_breaks_s4() -> None:
    """A worker must not act on its own."""
    assert "no tick of it has decided that" in s4(cloud(), [off_sent("c1", 100.0)], [off_ordered("c2", 99.0)])[0]


def test_an_off_under_a_hold_breaks_s4() -> None:
    """Whichever hold it is."""
    hold = Hold("storm", HoldKind.STORM, "3 of 10 hosts fell silent at once", "an operator")
    (text,) = s4(cloud(), [off_sent("c1", 100.0)], [off_ordered("c1", 99.0, holds=(hold,))])
    assert "while storm holds: 3 of 10 hosts" in text


def test_an_off_right_after_taking_office_breaks_s4() -> None:
    """A new leader has not seen anybody beat yet."""
    (text,) = s4(cloud(), [off_sent("c1", 100.0)], [off_ordered("c1", 99.0, office_since_s=95.0)])
    assert "after only 5.000 s in office" in text


def test_more_fencing_at_once_than_allowed_breaks_s4() -> None:
    """A host counts until its record says that it is off, or gone."""
    calls = [off_sent("c1", 100.0), off_sent("c2", 101.0)]
    both = [off_ordered("c1", 99.0), off_ordered("c2", 100.5)]
    assert "c1, c2 are being fenced at once" in s4(cloud(), calls, both, Policy(max_fencing=1))[0]
    first_is_off = [both[0], off_ordered("c1", 100.2, state=HostState.FENCED, orders=False), both[1]]
    assert s4(cloud(), calls, first_is_off, Policy(max_fencing=1)) == []


def test_a_host_that_waits_for_another_round_of_offs_is_not_being_fenced() -> None:
    """Its device did not answer, and now answers again: it queues behind the others before it is told off anew."""
    calls = [off_sent("c1", 100.0), off_sent("c2", 111.0)]
    again = [off_ordered("c1", 99.0), off_ordered("c1", 110.0, orders=False, offs=()), off_ordered("c2", 110.5)]
    assert s4(cloud(), calls, again, Policy(max_fencing=1)) == []


# --------------------------------------------------------------------------- S5


def office(time_s: float, node: str, resigned: bool = False) -> Commit:
    epoch = json.dumps({"term": 1, "owner": node, "resigned": resigned})
    return Commit(time_s, node, Transaction({"epoch": 0}, {"epoch": epoch}), True)


def write(time_s: float, node: str, happened: bool = True) -> Commit:
    return Commit(time_s, node, Transaction({"epoch": 1}, {"recovery/c1": "{}"}), happened)


def test_a_write_by_a_deposed_leader_breaks_s5() -> None:
    """And one that the journal refused is just what should happen."""
    taken = [office(1, "n1"), write(2, "n1"), office(3, "n2")]
    assert list(in_office([*taken, write(4, "n2"), write(5, "n1", happened=False)], ())) == []
    (violation,) = in_office([*taken, write(5, "n1")], ())
    assert violation.text == "n1 writes recovery/c1 although n2 holds office"


def test_an_act_by_a_deposed_leader_breaks_s5() -> None:
    """Power-off and POST need a proof of office just before."""
    taken = [office(1, "n1"), office(30, "n2")]
    assert list(in_office(taken, [off_sent("c1", 20.0)])) == []
    (violation,) = in_office(taken, [off_sent("c1", 31.0)])
    assert "although n2 holds office" in violation.text
    (violation,) = in_office([*taken[:1], office(30, "n1", resigned=True)], [off_sent("c1", 31.0)])
    assert "although nobody holds office" in violation.text


# --------------------------------------------------------------------------- S8, L1


def record_of(server: Server, state: InstanceState, reason: str = "because") -> HostRecovery:
    instance = InstanceRecovery(server.instance_id, server.name, state, reason, Before("active", "running", False))
    return HostRecovery(
        "c1", "i-1", HostState.EVACUATING, "test", "then", proof=Proof(ProofKind.DEVICE, "off twice", "then"),
        instances={server.instance_id: instance},
    )


def test_a_recovered_server_is_accounted_for() -> None:
    """VERIFIED, and it is true."""
    world = cloud()
    server = world.add_server("a", "c1")
    before = remember(world)
    recover_rightly(world, server)
    record = record_of(server, InstanceState.VERIFIED)
    assert list(accounted(world, before, [record])) == []
    assert list(all_recovered(world, before, before, [record])) == []


def test_a_server_that_no_record_knows_breaks_s8() -> None:
    """Nobody may be forgotten."""
    world = cloud()
    server, forgotten = world.add_server("a", "c1"), world.add_server("b", "c1")
    before = remember(world)
    recover_rightly(world, server)
    (violation,) = accounted(world, before, [record_of(server, InstanceState.VERIFIED)])
    assert violation.text == f"{forgotten.name}, on c1 when it failed, is in no record"


def test_a_claim_that_is_not_true_breaks_s8() -> None:
    """VERIFIED is compared with the world, not believed."""
    world = cloud()
    server = world.add_server("a", "c1")
    before = remember(world)
    world.hosts.power_off("c1", "test")
    (violation,) = accounted(world, before, [record_of(server, InstanceState.VERIFIED)])
    assert "ran before and runs on no host" in violation.text


@pytest.mark.parametrize(("state", "reason", "fine"), [
    (InstanceState.WAITING, "no room", True), (InstanceState.STUCK, "its target died", True),
    (InstanceState.SKIPPED, "", False), (InstanceState.UNDERWAY, "x", False), (InstanceState.GONE, "x", False),
])
def test_what_is_not_recovered_needs_an_end_and_a_reason(state: InstanceState, reason: str, fine: bool) -> None:
    """Left half-way is not an account; gone while it exists is a lie."""
    world = cloud()
    server = world.add_server("a", "c1")
    before = remember(world)
    world.hosts.power_off("c1", "test")
    assert names(accounted(world, before, [record_of(server, state, reason)])) == ([] if fine else ["S8"])


def test_a_lock_that_was_not_put_back_breaks_s8() -> None:
    """Both ways: ours left behind, or the owner's taken away."""
    world = cloud()
    server, locked = world.add_server("a", "c1"), world.add_server("b", "c1", locked=True)
    before = remember(world)
    recover_rightly(world, server)
    recover_rightly(world, locked)
    world.nova.lock(server.instance_id, "hanode: x")
    world.nova.unlock(locked.instance_id)
    records = [record_of(server, InstanceState.VERIFIED), record_of(locked, InstanceState.VERIFIED)]
    assert sorted(v.text.rpartition(", ")[2] for v in accounted(world, before, records)) == [
        "was locked before and is not", "was not locked before and is locked",
    ]


def test_what_its_owner_changed_since_is_no_violation() -> None:
    """A server stopped by its owner meanwhile is as it should be."""
    world = cloud()
    server = world.add_server("a", "c1")
    before = remember(world)
    recover_rightly(world, server)
    world.nova.stop(server.instance_id, user="owner")
    after(world, 30)
    assert list(accounted(world, before, [record_of(server, InstanceState.VERIFIED)])) == []


def test_a_dead_server_with_a_place_to_go_breaks_l1() -> None:
    """Also when nobody ever noticed that its host died."""
    world = cloud()
    server = world.add_server("a", "c1")
    before = remember(world)
    world.hosts.power_off("c1", "test")
    (violation,) = all_recovered(world, before, [server.instance_id], [])
    assert violation.invariant == "L1"
    assert "(no record)" in violation.text
    stuck = record_of(server, InstanceState.STUCK, "its target may run it")
    assert list(all_recovered(world, before, [server.instance_id], [stuck])) == []


def test_the_digest_tells_two_logs_apart() -> None:
    """D1."""
    one, other = cloud(), cloud()
    assert digest(one.log) == digest(other.log)
    other.hosts.panic("c1")
    assert digest(one.log) != digest(other.log)
