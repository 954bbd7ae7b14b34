"""What is counted and measured of a leader: phases on its own clock, few labels, and nothing that a tenant has written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import generate_latest

from hanode import metrics
from hanode.adapters.journal.measured import MeasuredJournal
from hanode.core.accounts import SKIPPED_STATES
from hanode.core.constraints import CONSTRAINTS
from hanode.core.decisions import Beat, Decisions, Judgement, Readiness, Timers, Verdict
from hanode.core.facts import Fleet
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.model import Moment
from hanode.core.policy import Policy
from hanode.core.records import HostRecovery, Mute, Roster
from hanode.engine.ledger import Guard
from hanode.engine.measure import numbers
from hanode.engine.phases import Lasted, Phases
from hanode.engine.reasons import OTHER, SKIPPED, WAITING, reason_class
from hanode.engine.status import published
from hanode.errors import Refused, Unreachable
from hanode.ports import Entry, Transaction
from tests.web.conftest import entry, recovery

BEATS = {"cn2": Beat("stamp", seen_s=90.0, moved=True)}
WEB = entry("web", InstanceState.PENDING)


def at(second: float) -> Moment:
    return Moment(second, f"2026-03-09T03:{int(second) // 60:02d}:{int(second) % 60:02d}Z")


def story(*steps: tuple[float, HostRecovery]) -> list[Lasted]:
    """What a leader measures who saw nothing wrong at first."""
    phases, found = Phases(), []
    phases.follow([], BEATS, at(0))
    for second, record in steps:
        found += phases.follow([record], BEATS, at(second))
    return found


def cn2(state: HostState, instance: InstanceState = InstanceState.PENDING) -> HostRecovery:
    record = recovery(replace(WEB, state=instance, ours=True), state=state, fenced_at="x")
    return replace(record, opened_at=at(100).at)


def test_each_phase_of_a_recovery_is_measured_once() -> None:
    """By them one sees where the seconds go."""
    assert story(
        (100, cn2(HostState.SUSPECT)),
        (110, cn2(HostState.FENCING)),
        (113, cn2(HostState.FENCED)),
        (114, cn2(HostState.EVACUATING)),
        (116, cn2(HostState.EVACUATING, InstanceState.REQUESTED)),
        (117, cn2(HostState.EVACUATING, InstanceState.UNDERWAY)),
        (121, cn2(HostState.EVACUATING, InstanceState.MOVED)),
        (123, cn2(HostState.EVACUATING, InstanceState.VERIFIED)),
        (140, cn2(HostState.EVACUATING, InstanceState.VERIFIED)),
    ) == [("detect", 20), ("fence", 3), ("place", 2), ("evacuate", 5), ("verify", 2), ("downtime", 33)]


def test_what_falls_back_has_not_ended() -> None:
    """An attempt that failed in two seconds must not make evacuations look fast."""
    assert story(
        (114, cn2(HostState.EVACUATING)),
        (116, cn2(HostState.EVACUATING, InstanceState.REQUESTED)),
        (118, cn2(HostState.EVACUATING, InstanceState.PENDING)),
    ) == [("place", 2)]


def test_a_proof_that_was_there_at_once_is_detection_too() -> None:
    """A power device that reads off takes a host through SUSPECT within one tick."""
    assert story((95, cn2(HostState.FENCING))) == [("detect", 5)]


def test_a_new_leader_measures_only_what_it_saw_begin_and_the_downtime() -> None:
    """It does not know how long the other one had been at it; the stamps know since when the instance was down."""
    phases = Phases()
    assert phases.follow([cn2(HostState.EVACUATING, InstanceState.UNDERWAY)], {}, at(120)) == []
    assert phases.follow([cn2(HostState.EVACUATING, InstanceState.MOVED)], {}, at(125)) == []
    assert phases.follow([cn2(HostState.EVACUATING, InstanceState.VERIFIED)], {}, at(126)) == [("verify", 1), ("downtime", 26)]


def test_a_host_that_beats_again_does_not_shorten_what_was_lost() -> None:
    """Its instances were down all the while."""
    phases, back = Phases(), {"cn2": Beat("newer", seen_s=125.0, moved=True)}
    phases.follow([cn2(HostState.EVACUATING, InstanceState.MOVED)], back, at(125))
    assert phases.follow([cn2(HostState.EVACUATING, InstanceState.VERIFIED)], back, at(126)) == [("downtime", 26)]


def test_a_host_that_was_only_slow_cost_no_downtime() -> None:
    """Otherwise each hiccup would spoil the statistics."""
    slow = replace(cn2(HostState.SUSPECT), fenced_at="", instances={WEB.instance_id: WEB})
    back = replace(slow, instances={WEB.instance_id: replace(WEB, state=InstanceState.RETURNED)})
    assert story((100, slow), (105, back)) == []


def test_a_stamp_that_nobody_can_read_gives_no_figure() -> None:
    """A statistic must not end a tick."""
    odd = replace(cn2(HostState.EVACUATING, InstanceState.MOVED), opened_at="yesterday")
    done = replace(odd, instances=cn2(HostState.EVACUATING, InstanceState.VERIFIED).instances)
    assert story((100, odd), (105, done)) == [("verify", 5)]


def leader_of(*records: HostRecovery) -> dict[str, metrics.Values]:
    table = {record.host: record for record in records}
    verdicts = {host: Judgement(Verdict.FAILED, "silent") for host in table} | {"cn9": Judgement(Verdict.EXEMPT, "drained")}
    readiness = Readiness({"cn3": "no answer", "cn4": "no answer"}, unchecked=7)
    decisions, policy = Decisions(Timers(0.0), verdicts=verdicts, readiness=readiness), Policy(fenceable=frozenset({"cn3"}))
    roster = Roster(quarantined={"cn2": "lied"}, muted={"cn4": Mute("by bob", 60.0)})
    return dict(numbers(published(decisions, table, roster, Fleet({}, ()), policy, Guard(1, "me", 1), "n1", at(130))))


def test_instances_are_down_from_the_failure_until_they_run() -> None:
    """The number on which somebody is woken."""
    states = {name: entry(name, state) for name, state in (
        ("a", InstanceState.VERIFIED), ("b", InstanceState.WAITING), ("c", InstanceState.STUCK), ("d", InstanceState.SKIPPED))}
    states["b"] = replace(states["b"], reason="no host can take it: room: no room for 4 VCPU (5)")
    off = entry("e", InstanceState.PENDING)
    states["e"] = replace(off, before=replace(off.before, power_state="shutdown", vm_state="stopped"))
    failed = replace(recovery(*states.values()), opened_at=at(90).at)
    suspect = recovery(entry("f", InstanceState.PENDING), host="cn3", state=HostState.SUSPECT)
    shown = leader_of(failed, suspect)
    assert shown["hanode_instances_down"] == {"": 2}
    assert shown["hanode_instances_down_oldest_seconds"] == {"": 40}
    assert shown["hanode_instances_waiting"]["room"] == 1 and sum(shown["hanode_instances_waiting"].values()) == 1
    assert sum(shown["hanode_instances_skipped"].values()) == 1
    assert shown["hanode_incidents"]["EVACUATING"] == shown["hanode_incidents"]["SUSPECT"] == 1
    assert shown["hanode_hosts_protected"] == {"": 2} and shown["hanode_hosts_without_device"] == {"": 1}
    assert shown["hanode_devices_quarantined"] == {"": 1}
    assert shown["hanode_hosts_unfenceable"] == {"": 1} and shown["hanode_hosts_unchecked"] == {"": 7}
    assert set(shown) == set(metrics.CLOUD) - {"hanode_findings", "hanode_credential_expires_seconds"}, "which are no part of the status"


def test_every_reason_of_ours_has_a_class() -> None:
    """What is only "other" cannot be told apart on a dashboard."""
    for name in CONSTRAINTS:
        assert reason_class(f"no host can take it: {name}: whatever (3)", WAITING) == name
    assert reason_class("no host is up, enabled and sound", WAITING) == "no-host"
    assert reason_class("ran on c1, c2, c3, which failed within 24 h: it may be what kills them", WAITING) == "doubted"
    for reason in SKIPPED_STATES.values():
        assert reason_class(reason, SKIPPED) != OTHER


def test_a_reason_that_somebody_else_wrote_is_only_other() -> None:
    """Labels are for ever: their number must not grow with what tenants type."""
    assert reason_class("my-secret-vm-name", WAITING) == reason_class("is my vm", SKIPPED) == OTHER


class OddJournal:
    def __init__(self) -> None:
        self.fails_with: Exception | None = None

    def read(self, prefix: str) -> tuple[Entry, ...]:
        if self.fails_with:
            raise self.fails_with
        return ()

    def revisions(self, prefix: str) -> dict[str, int]:
        return {entry.key: entry.revision for entry in self.read(prefix)}

    def commit(self, transaction: Transaction) -> bool:
        return False


def count(name: str) -> float:
    lines = [line for line in generate_latest(metrics.REGISTRY).decode().splitlines() if line.startswith(name)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_the_journals_answers_and_failures_are_counted_and_passed_on() -> None:
    """A commit that another was faster to do is an answer; only silence and refusals are failures."""
    odd = OddJournal()
    journal = MeasuredJournal(odd)
    done, lost = 'hanode_journal_calls_total{call="commit",outcome="done"}', 'hanode_journal_calls_total{call="read",outcome="unreachable"}'
    before = count(done), count(lost), count("hanode_journal_seconds_count")
    assert journal.commit(Transaction({}, {})) is False and journal.read("x") == ()
    odd.fails_with = Unreachable("no etcd")
    with pytest.raises(Unreachable):
        journal.read("x")
    assert (count(done), count(lost), count("hanode_journal_seconds_count")) == (before[0] + 1, before[1] + 1, before[2] + 3)


def test_calls_to_the_cloud_are_counted_by_how_they_ended() -> None:
    """A refusal and a silence need different people."""
    refused = 'hanode_api_calls_total{outcome="refused",service="compute",verb="POST"}'
    before = count(refused)
    with pytest.raises(Refused), metrics.api_call("compute", "POST"):
        raise Refused("no")
    assert count(refused) == before + 1


def test_an_instance_that_is_placed_at_once_was_placed_in_no_time() -> None:
    """Else the quickest of all would be missing among the figures."""
    assert ("place", 0.0) in story((100, cn2(HostState.FENCED)), (110, cn2(HostState.EVACUATING, InstanceState.REQUESTED)))
