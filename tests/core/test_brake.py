"""All hosts at once: when nobody is shot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanode.core.brake import Scene, brake
from hanode.core.decisions import HoldKind, Judgement, Verdict
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.model import Before, Fleet, HostRecovery, InstanceRecovery, Records, Roster, Service
from tests.core.facts import POLICY, host

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
