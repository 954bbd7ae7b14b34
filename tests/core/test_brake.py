"""All hosts at once: when nobody is shot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanode.core.brake import Scene, brake
from hanode.core.decisions import HoldKind, Judgement, Verdict
from hanode.core.facts import Aggregate, Fleet, Host, Service
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.records import Before, HostRecovery, InstanceRecovery, Proof, ProofKind, Records, Roster
from tests.core.facts import POLICY, host, service

UP = (Service("1", "nova-conductor", "ctl1", "up"), Service("2", "nova-scheduler", "ctl1", "up"))


def scene(
    verdicts: dict[str, Verdict], control: tuple[Service, ...] = UP, records: dict[str, HostRecovery] | None = None, **changes: object
) -> Scene:
    fleet = Fleet({name: host(name) for name in verdicts}, control)
    judged = {name: Judgement(verdict, "as given") for name, verdict in verdicts.items()}
    base = Scene(fleet, "", judged, Records(records or {}, Roster(seen=frozenset(verdicts))), POLICY, in_office_s=1000.0)
    return replace(base, **changes)  # type: ignore[arg-type]


def hosts(total: int, **troubled: Verdict) -> dict[str, Verdict]:
    return {**{f"c{i}": Verdict.HEALTHY for i in range(1, total + 1)}, **troubled}


def names(found: Scene) -> list[str]:
    return [hold.name for hold in brake(found)]


def test_one_dead_host_is_not_held() -> None:
    """The ordinary case must be fast."""
    assert names(scene(hosts(5, c1=Verdict.FAILED))) == []


def test_a_new_leader_waits_until_every_host_could_beat_twice() -> None:
    """Its silence clock begins at taking office; a take-over delays, and does not hold for ever."""
    found = brake(scene(hosts(5, c1=Verdict.FAILED), in_office_s=5.0))
    assert [(h.name, h.kind) for h in found] == [("OFFICE", HoldKind.DELAY)]


def test_unreadable_nova_holds() -> None:
    """No list of services is not a list of dead hosts."""
    assert "NOVA_UNREADABLE" in names(scene(hosts(5), fleet=None, why_no_fleet="503"))


def test_a_silent_cell_holds() -> None:
    """Microversion 2.69: a down cell's services come without a state."""
    dumb = scene(hosts(5))
    assert dumb.fleet is not None
    fleet = Fleet({**dumb.fleet.hosts, "c9": host("c9", state=None)}, UP)
    assert names(replace(dumb, fleet=fleet)) == ["CELL_UNKNOWN"]


@pytest.mark.parametrize("binary", ["nova-conductor", "nova-scheduler"])
def test_a_silent_control_service_holds_only_when_every_one_of_it_is_down(binary: str) -> None:
    """One of three conductors may die without anybody noticing."""
    rows = tuple(Service(f"x{i}", binary, f"ctl{i}", "down") for i in range(3))
    assert names(scene(hosts(5), control=(*UP, *rows[:2]))) == []
    others = tuple(s for s in UP if s.binary != binary)
    assert names(scene(hosts(5), control=(*others, *rows))) == ["CONTROL_SILENT"]


def test_all_computes_stale_together_is_the_message_bus() -> None:
    """Measured: with RabbitMQ frozen every nova-compute is down while conductor and scheduler are up."""
    found = brake(scene({f"c{i}": Verdict.SUSPECT for i in range(1, 4)}))
    assert found[0].name == "STALE_TOGETHER" and found[0].kind is HoldKind.CONTROL_PLANE


def test_hosts_that_were_never_seen_up_are_not_part_of_together() -> None:
    """A decommissioned rack in Nova's list must not switch the brake on, nor off."""
    verdicts = hosts(2, c3=Verdict.HELD, c4=Verdict.HELD, c5=Verdict.HELD)
    given = scene(verdicts, records=None)
    assert names(replace(given, records=Records({}, Roster(seen=frozenset({"c1", "c2"}))))) == []


@pytest.mark.parametrize(("total", "silent", "held"), [(8, 2, False), (8, 3, True), (30, 6, False), (30, 7, True)])
def test_too_many_at_once_hold(total: int, silent: int, held: bool) -> None:
    """More than max(2, 20 %) is a rack, a switch or us; SUSPECT counts as well."""
    troubled = {f"c{i}": Verdict.SUSPECT for i in range(1, silent + 1)}
    assert ("TOO_MANY" in names(scene(hosts(total, **troubled)))) is held


def test_hosts_in_recovery_count_until_their_work_is_done() -> None:
    """Two being recovered and a third falling silent is too many; two long recovered ones that wait to be taken back are not."""

    def recovery(name: str, state: InstanceState) -> HostRecovery:
        entry = InstanceRecovery("i", "vm", state, "", Before("active", "running", False))
        return HostRecovery(name, f"{name}-1", HostState.EVACUATING, "", "", instances={"i": entry})

    for state, held in ((InstanceState.UNDERWAY, True), (InstanceState.VERIFIED, False)):
        records = {name: recovery(name, state) for name in ("c1", "c2")}
        dead = hosts(8, c1=Verdict.FAILED, c2=Verdict.FAILED, c3=Verdict.SUSPECT)
        assert ("TOO_MANY" in names(scene(dead, records=records))) is held, "off and finished, it is still judged FAILED"
        assert ("TOO_MANY" in names(scene(hosts(8, c3=Verdict.SUSPECT), records=records))) is held


# --------------------------------------------------------------------------- what hosts share


def racked(name: str, rack: str, **changes: object) -> Host:
    return Host(name, service(name, **changes), None, (Aggregate(f"rack-{rack}", frozenset({name}), {"rack": rack}),))


def rack_scene(verdicts: dict[str, Verdict], rack: tuple[str, ...] = ("c1", "c2", "c3"), **changes: object) -> Scene:
    """Twenty hosts, so that the brake as a whole allows four; the named ones share a rack."""
    given = scene(hosts(20, **verdicts))
    fleet = Fleet({name: racked(name, "r1" if name in rack else f"of {name}") for name in given.verdicts}, UP)
    return replace(given, fleet=fleet, **changes)  # type: ignore[arg-type]


SILENT_RACK = {"c1": Verdict.SUSPECT, "c2": Verdict.FAILED, "c3": Verdict.HELD}


def test_a_rack_that_is_silent_as_a_whole_is_not_shot() -> None:
    """Three dead machines of one rack are far less likely than one dead switch."""
    (hold,) = brake(rack_scene(SILENT_RACK))
    assert (hold.name, hold.kind, hold.hosts) == ("FAILURE_DOMAIN", HoldKind.DOUBT, frozenset({"c1", "c2", "c3"}))
    assert "rack r1" in hold.reason and "hanode brake release" in hold.ends


def test_a_rack_with_one_host_that_reports_is_judged_host_by_host() -> None:
    """What they share works, so the silence of the others is their own."""
    assert names(rack_scene({"c1": Verdict.FAILED, "c2": Verdict.FAILED})) == []


def test_each_host_of_a_silent_rack_must_be_proven_dead() -> None:
    """One reading of on, or none, among many of off: whatever reads them may be what has failed."""
    assert names(rack_scene(SILENT_RACK, proven=frozenset({"c1", "c2"}))) == ["FAILURE_DOMAIN"]
    assert names(rack_scene(SILENT_RACK, proven=frozenset({"c1", "c2", "c3"}))) == []


def test_hosts_of_a_silent_rack_that_answer_the_probe_need_no_proof_of_death() -> None:
    """They live and are not shot; but the silence of their nova-compute still tells of the rack."""
    half = {"c1": Verdict.AGENT_DOWN, "c2": Verdict.AGENT_DOWN, "c3": Verdict.FAILED}
    (hold,) = brake(rack_scene(half))
    assert hold.hosts == frozenset({"c3"})
    assert names(rack_scene(half, proven=frozenset({"c3"}))) == []


def test_a_hold_of_one_rack_does_not_speak_to_other_hosts() -> None:
    """One dead host elsewhere must not wait for somebody who walks to the rack."""
    (hold,) = brake(rack_scene({**SILENT_RACK, "c9": Verdict.FAILED}))
    assert hold.speaks_to("c1", named=False) and not hold.speaks_to("c9", named=False)
    assert not hold.speaks_to("c1", named=True), "an operator has looked at it"


def test_hosts_in_maintenance_neither_make_a_rack_silent_nor_keep_it_from_being_so() -> None:
    """A host that people have switched off says nothing of the switch."""
    given = rack_scene({**SILENT_RACK, "c4": Verdict.EXEMPT}, rack=("c1", "c2", "c3", "c4"))
    assert given.fleet is not None
    away = racked("c4", "r1", status="disabled", disabled_reason="new memory")
    assert names(replace(given, fleet=Fleet({**given.fleet.hosts, "c4": away}, UP))) == ["FAILURE_DOMAIN"]


@pytest.mark.parametrize(("apart_s", "held"), [(9.0, True), (11.0, False)])
def test_three_hosts_that_fall_silent_at_once_are_one_domain(apart_s: float, held: bool) -> None:
    """Not every switch is written down in an aggregate. Within 2 x report_interval of each other is at once."""
    silent = {"c7": 0.0, "c8": apart_s, "c9": 2 * apart_s}
    found = names(rack_scene(dict.fromkeys(silent, Verdict.FAILED), silent=silent))
    assert found == (["FAILURE_DOMAIN"] if held else [])


@pytest.mark.parametrize(("zones", "held"), [(("az1", "az2"), True), (("az1", "az1"), False)])
def test_a_zone_is_a_domain_only_where_there_are_several(zones: tuple[str, str], held: bool) -> None:
    """With one zone it says nothing beyond: all hosts."""
    given = scene(hosts(20, **SILENT_RACK))
    placed = {name: Host(name, service(name, zone=zones[0 if name in SILENT_RACK else 1])) for name in given.verdicts}
    assert names(replace(given, fleet=Fleet(placed, UP))) == (["FAILURE_DOMAIN"] if held else [])


def test_a_storage_domain_is_one_too() -> None:
    """A store that hangs takes nova-compute of each of its hosts with it, and none of their guests."""
    given = scene(hosts(20, **SILENT_RACK))
    placed = {name: host(name, domain="B" if name in SILENT_RACK else "A") for name in given.verdicts}
    (hold,) = brake(replace(given, fleet=Fleet(placed, UP)))
    assert hold.name == "FAILURE_DOMAIN" and "storage B" in hold.reason


# --------------------------------------------------------------------------- too many, counted over time


def test_hosts_of_the_last_minutes_count_although_they_are_dealt_with() -> None:
    """What kills hosts one after the other is a storm as well, only a slow one."""
    given = scene(hosts(8, c3=Verdict.SUSPECT), lately=frozenset({"c1", "c2"}))
    assert names(given) == ["TOO_MANY"]
    assert names(replace(given, lately=frozenset({"c1"}))) == []
    assert names(scene(hosts(8), lately=frozenset({"c1", "c2", "c4"}))) == [], "nobody is in doubt now"


def test_hosts_that_were_found_dead_are_no_storm() -> None:
    """A small cloud: three of four lost their power, and their own devices say so. Nothing is in doubt."""
    three = dict.fromkeys(("c1", "c2", "c3"), Verdict.FAILED)
    assert names(scene(hosts(4, **three))) == ["TOO_MANY"]
    assert names(scene(hosts(4, **three), proven=frozenset(three))) == []


def test_hosts_that_read_off_because_we_told_them_to_count() -> None:
    """Our own power-off proves nothing about why the host was silent."""
    proof = Proof(ProofKind.DEVICE, "off twice", "t")

    def fenced(name: str, *offs: str) -> HostRecovery:
        return HostRecovery(name, f"{name}-1", HostState.FENCED, "", "", proof=proof, offs=offs)

    dead = hosts(8, c1=Verdict.FAILED, c2=Verdict.FAILED, c3=Verdict.SUSPECT)
    assert names(scene(dead, records={name: fenced(name, "done") for name in ("c1", "c2")})) == ["TOO_MANY"]
    assert names(scene(dead, records={name: fenced(name) for name in ("c1", "c2")})) == []


# --------------------------------------------------------------------------- cold start, pause, gone


def test_after_a_cold_start_not_even_proof_frees_a_host() -> None:
    """They read off because they are about to be switched on."""
    three = dict.fromkeys(("c1", "c2", "c3"), Verdict.FAILED)
    hold = brake(scene(hosts(8, **three), cold=frozenset(three), proven=frozenset(three)))[0]
    assert (hold.name, hold.kind, hold.posts) == ("COLD_START", HoldKind.STORM, True)
    assert not hold.covers("c4"), "who was seen up since is judged like any other"


def test_hosts_that_an_operator_named_are_not_cold_any_more() -> None:
    """Each one named brings the others nearer to being judged."""
    three = dict.fromkeys(("c1", "c2", "c3"), Verdict.FAILED)
    given = scene(hosts(8, **three), cold=frozenset(three), proven=frozenset(three))
    assert names(replace(given, named=frozenset({"c1"}))) == []


def test_a_pause_comes_first_and_does_not_yield_to_a_name() -> None:
    """Who pauses means everything; also while Nova cannot be read."""
    paused = Records({}, Roster(seen=frozenset({"c1"}), paused="paused by ann: firmware", paused_s=600.0))
    for given in (scene(hosts(5)), scene(hosts(5), fleet=None, why_no_fleet="503"), scene(hosts(5), fleet=None)):
        hold = brake(replace(given, records=paused))[0]
        assert (hold.name, hold.kind, hold.fences, hold.posts) == ("OPERATOR_PAUSE", HoldKind.OPERATOR, True, True)
        assert hold.speaks_to("c1", named=True) and "resume" in hold.ends and "10 min" in hold.ends


@pytest.mark.parametrize(("listed", "known_as", "said"), [
    (False, "id-c1", "does not list c1"), (True, "an older id", "registered anew"), (True, "id-c1", ""), (True, "", ""),
])  # fmt: skip
def test_an_incident_whose_host_is_another_one_now_asks_the_operator(listed: bool, known_as: str, said: str) -> None:
    """The name is all that fencing and evacuation go by."""
    record = HostRecovery("c1", "c1-1", HostState.EVACUATING, "", "", service_id=known_as)
    given = scene(hosts(5), records={"c1": record})
    assert given.fleet is not None
    fleet = given.fleet if listed else Fleet({k: v for k, v in given.fleet.hosts.items() if k != "c1"}, UP)
    found = [hold for hold in brake(replace(given, fleet=fleet)) if hold.name == "GONE"]
    assert [hold.hosts for hold in found] == ([frozenset({"c1"})] if said else [])
    assert all(said in hold.reason and hold.posts and hold.fences for hold in found)


def test_a_source_with_open_evacuations_is_shot_again_whatever_it_is_called() -> None:
    """S2: two guests would write one disk."""
    entry = InstanceRecovery("i", "vm", InstanceState.UNDERWAY, "", Before("active", "running", False))
    record = HostRecovery("c1", "c1-1", HostState.EVACUATING, "", "", service_id="an older id", instances={"i": entry})
    (hold,) = brake(scene(hosts(5), records={"c1": record}))
    assert (hold.name, hold.fences, hold.posts) == ("GONE", False, True)
