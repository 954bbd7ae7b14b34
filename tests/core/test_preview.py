"""`hanode plan`: what would happen if these hosts failed now, step by step."""

from __future__ import annotations

from dataclasses import replace

from hanode.core.decisions import Closed
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.policy import Policy
from hanode.core.preview import Lasted, Line, preview
from hanode.core.records import Before, HostRecovery, InstanceRecovery, Records, Roster
from hanode.core.stock import Stock
from hanode.engine.lasted import lasted_of
from tests.core.facts import instance
from tests.core.test_capacity import cloud

POLICY = Policy(mode="act", fenceable=frozenset({"a", "b"}), max_evacuations=2)
KNOWN = Records(roster=Roster(seen=frozenset({"a", "b", "c"})))
MEASURED = Lasted(20.0, 10.0, 3)


def plan(stock: Stock, *dead: str, policy: Policy = POLICY, records: Records = KNOWN, lasted: Lasted = MEASURED) -> tuple[Line, ...]:
    return preview(stock, frozenset(dead), records, policy, lasted)


def of(step: str, lines: tuple[Line, ...]) -> list[tuple[str, str]]:
    return [(line.subject, line.what) for line in lines if line.step == step]


ROOMY = cloud({"a": 0, "b": 8192, "c": 8192}, {"a": {"vm1": 1024, "vm2": 1024, "vm3": 1024}})


def test_each_instance_has_a_place_and_a_time_by_the_limits_on_concurrency() -> None:
    """Two at once: the third begins when the first has ended."""
    lines = plan(ROOMY, "a")
    assert [(line.subject, line.at_s) for line in lines if line.step == "restart"] == [("vm1", 30.0), ("vm2", 30.0), ("vm3", 40.0)]
    assert of("duration", lines)[0][1].startswith("3 instances run again within about 40 s of the first suspicion (by 3 incidents")


def test_without_measured_incidents_no_time_is_promised() -> None:
    """A guess would be believed."""
    lines = plan(ROOMY, "a", lasted=Lasted())
    assert [line.at_s for line in lines if line.step == "restart"] == [None, None, None]
    assert of("duration", lines)[0][1].startswith("not predicted")


def test_who_would_wait_is_told_with_what_would_help() -> None:
    """That is what the plan is for."""
    left = of("left", plan(cloud({"a": 0, "b": 512}, {"a": {"web": 1024}}), "a"))
    assert left[0][0] == "web"
    assert "on a would wait: no host can take it: room" in left[0][1] and "add or enable a host" in left[0][1]


def test_the_gates_of_each_host_are_told_and_nothing_is_planned_behind_a_closed_one() -> None:
    """An exempt host's instances stay where they are, however much room there is."""
    lines = plan(ROOMY, "a", policy=replace(POLICY, own_hosts=frozenset({"a"})))
    assert of("gate", lines)[0] == ("a", "hanode itself runs on it")
    assert of("fence", lines) == [] and of("restart", lines) == []
    assert {what for _, what in of("left", lines)} == {"stays on a: hanode itself runs on it"}
    assert "HELD" in of("gate", plan(ROOMY, "a", records=Records()))[0][1]
    assert any("mode approve" in what for _, what in of("gate", plan(ROOMY, "a", policy=replace(POLICY, mode="approve"))))


def test_more_hosts_than_the_brake_lets_pass_are_told() -> None:
    """Who plans the loss of a rack must know that a person will be asked."""
    gates = of("gate", plan(ROOMY, "a", "b", policy=replace(POLICY, brake_hosts=1)))
    assert any("more than the brake lets pass (1)" in what for _, what in gates)


def test_a_host_without_a_device_needs_a_person() -> None:
    """The plan says what must be typed."""
    assert "hanode host confirm-fenced c" in of("fence", plan(ROOMY, "c"))[0][1]


def test_what_nova_does_not_evacuate_is_told_with_its_reason() -> None:
    """It is down until its host is back."""
    stock = replace(ROOMY, servers={**ROOMY.servers, "a": (instance("db", "a", vm_state="suspended"),)})
    assert of("skipped", plan(stock, "a"))[0][1].startswith("on a is SUSPENDED")


def test_durations_are_medians_of_what_was_really_done() -> None:
    """Neither observed incidents nor unreadable stamps count."""
    def closed(opened: str, fenced: str, requested: str, ended: str, observe_only: bool = False) -> Closed:
        was = Before("active", "running", False)
        entry = InstanceRecovery("i", "vm", InstanceState.VERIFIED, "", was, requested_at=requested, ended_at=ended)
        record = HostRecovery("a", "a-1", HostState.RELEASING, "", opened, observe_only=observe_only, fenced_at=fenced)
        return Closed(replace(record, instances={"i": entry}), "released")

    at = "2026-01-01T00:{}Z".format
    history = [closed(at("00:00"), at("00:20"), at("00:21"), at("00:31")), closed(at("01:00"), at("01:40"), at("01:41"), at("02:01")),
               closed(at("00:00"), at("09:00"), at("00:00"), at("09:00"), observe_only=True), closed(at("00:00"), "yesterday", "", "")]
    assert lasted_of(history) == Lasted(30.0, 15.0, 2)
    assert lasted_of([]) == Lasted()
