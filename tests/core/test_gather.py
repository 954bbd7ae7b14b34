"""Which hosts are judged without a closer look? Only those of which the closer look would say the very same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from hanode.core.decisions import Beat, HostCheck, Timers, Trace, Verdict
from hanode.core.draft import Draft
from hanode.core.facts import DeviceCheck, Fleet, Host, Power, Reading
from hanode.core.gather import gather
from hanode.core.judge import Evidence, judge
from hanode.core.lifecycle import HostState, WorkState
from hanode.core.model import Moment, Snapshot, WantKind
from hanode.core.policy import Policy
from hanode.core.records import HostRecovery, Maintenance, Records, Roster
from tests.core.facts import POLICY, host

NOW_S = 1000.0
ROSTER = Roster(seen=frozenset({"c1", "c2", "c3"}))
WORKED_ON = Maintenance("c2", "c2-m1", "op", "a new disk", "then", 3600.0, WorkState.DRAINING)
BEATS = {name: Beat("t1", NOW_S - 4.0, moved=True) for name in ("c1", "c2", "c3")}


def drafted(hosts: dict[str, Host], timers: Timers, policy: Policy = POLICY, records: Records | None = None) -> Draft:
    reading = Reading[object](Fleet(hosts, ()), NOW_S, NOW_S)
    snapshot = Snapshot({(WantKind.FLEET, ""): reading})
    return Draft(snapshot, records or Records({}, ROSTER), timers, policy, Moment(NOW_S, "now"))


def marked() -> Iterator[Host]:
    """A host in every state in which Nova can show it."""
    for state, status, forced_down in product(("up", "down", None), ("enabled", "disabled"), (False, True)):
        for reason in ("", "disk swap", "AUTO: lost libvirt", "hanode c1-1", "hanode agent-down"):
            yield host(state=state, status=status, forced_down=forced_down, disabled_reason=reason)
    yield host(hypervisor="ironic")
    yield host(domain="")
    yield replace(host(), hypervisor=None)


POLICIES = (
    POLICY,
    replace(POLICY, own_hosts=frozenset({"c1"})),
    replace(POLICY, protected_aggregates=frozenset({"domain-A"})),
    replace(POLICY, protected_aggregates=frozenset({"others"})),
    replace(POLICY, recovery="none"),
    replace(POLICY, recovery_by_aggregate={"domain-A": "none"}),
    replace(POLICY, protect_disabled=True),
)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("silent_s", [0.0, 9.6, 14.99, 15.0, 15.01, 24.0, 500.0])
def test_what_is_judged_by_sight_is_judged_as_it_is_by_its_evidence(policy: Policy, silent_s: float) -> None:
    """It is only quicker: a host that is silent, marked or none of our business is never taken for calm, and no healthy one for another."""
    calm = 0
    for shown, moved, seen in product(marked(), (False, True), (False, True)):
        beat, roster = Beat("t1", NOW_S - silent_s, moved=moved), Roster(seen=frozenset({"c1"} if seen else ()))
        found = gather(drafted({"c1": shown}, Timers(0.0, beats={"c1": beat}), policy, Records({}, roster)))
        assert found.verdicts["c1"] == judge(Evidence(shown, beat, NOW_S, NOW_S, policy, roster))
        if "c1" not in found.close:
            calm += 1
            assert found.verdicts["c1"].verdict is Verdict.HEALTHY
            assert found["c1"].judgement == found.verdicts["c1"]
    assert bool(calm) == (silent_s < 15.0 and policy not in (POLICIES[1], POLICIES[3], POLICIES[4])), "or nothing was compared"


@pytest.mark.parametrize(
    ("why", "timers", "records"),
    [
        ("it has a record", {}, Records({"c2": HostRecovery("c2", "c2-1", HostState.RELEASING, "back", "then")}, ROSTER)),
        ("people work on it", {}, Records({}, replace(ROSTER, maintenance={"c2": WORKED_ON}))),
        ("it is held", {}, Records({}, replace(ROSTER, held={"c2": "storm:COLD_START"}))),
        ("an operator named it", {"waits": {"named/c2": NOW_S - 1}}, Records({}, ROSTER)),
        ("its device read off", {"power": {"1@c2": Trace(Power.OFF, NOW_S - 9, NOW_S - 1, 3)}}, Records({}, ROSTER)),
        ("a check found it off", {"checks": {"c2": HostCheck((DeviceCheck(1, "bmc", Power.OFF),), NOW_S - 50)}}, Records({}, ROSTER)),
    ],
)  # fmt: skip
def test_of_whom_anything_is_remembered_is_looked_at_however_well_it_beats(why: str, timers: dict[str, object], records: Records) -> None:
    """What Nova shows is not all that is known: a device that reads off beside a heartbeat lies, and is asked again."""
    hosts = {name: host(name) for name in BEATS}
    found = gather(drafted(hosts, replace(Timers(0.0, beats=BEATS), **timers), records=records))  # type: ignore[arg-type]
    assert list(found.close) == ["c2"], why
    assert list(found.verdicts) == list(found) == ["c1", "c2", "c3"]


def test_the_evidence_of_a_calm_host_is_there_for_whoever_asks() -> None:
    """A command names any host; who is not in the cloud has none."""
    found = gather(drafted({name: host(name) for name in BEATS}, Timers(0.0, beats=BEATS)))
    assert not found.close
    assert found["c3"].silent_s == 4.0
    assert found.get("c9") is None
    assert "c3" in found and "c9" not in found
