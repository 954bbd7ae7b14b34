"""One host's evidence -> its verdict: the rules that shoot, and everything that forbids it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanode.core.decisions import Verdict
from hanode.core.judge import Evidence, judge
from hanode.core.model import Aggregate, Roster
from tests.core.facts import POLICY, evidence, host

HELD = Roster(seen=frozenset({"c1"}), held={"c1": "storm:TOO_MANY"})
HELD_BY_BUS = Roster(seen=frozenset({"c1"}), held={"c1": "control-plane:STALE_TOGETHER"})


@pytest.mark.parametrize(
    ("why", "given", "verdict"),
    [
        ("it beats", evidence(5), Verdict.HEALTHY),
        ("it beats, whatever its device says", evidence(5, power="off", probe="silent"), Verdict.HEALTHY),
        ("silent, nothing else known yet", evidence(20), Verdict.SUSPECT),
        ("silent and off twice is proof, at once", evidence(20, power="off", probe="silent"), Verdict.FAILED),
        ("off twice is proof without any probe", evidence(20, power="off"), Verdict.FAILED),
        ("one reading of off is none", evidence(20, power="off", probe="silent", readings=1), Verdict.SUSPECT),
        ("PoweringOff is not off", evidence(20, power="other", probe="silent"), Verdict.SUSPECT),
        ("on and silent is doubt: it is given time", evidence(30, power="on", probe="silent"), Verdict.SUSPECT),
        ("on and silent for long enough: no sign of life", evidence(70, power="on", probe="silent"), Verdict.FAILED),
        ("an unreadable device is no sign of life either", evidence(70, power="unknown", probe="silent"), Verdict.FAILED),
        ("one lost packet is no silence", evidence(70, power="on", probe="silent", readings=1), Verdict.SUSPECT),
        ("without an independent signal there is no fencing", evidence(500, power="on"), Verdict.SUSPECT),
        ("a probe that could not look is no signal", evidence(500, power="on", probe="unknown"), Verdict.SUSPECT),
        ("it answers: only its agent is down", evidence(500, power="on", probe="answers"), Verdict.AGENT_DOWN),
        ("it answers although its device says off: it lives", evidence(500, power="off", probe="answers"), Verdict.AGENT_DOWN),
        ("no leader ever saw it up", evidence(500, power="off", probe="silent", seen=False), Verdict.HELD),
        ("held under a storm, even with proof", evidence(500, power="off", probe="silent", roster=HELD), Verdict.HELD),
        ("held under a bus failure, no proof", evidence(500, power="on", probe="silent", roster=HELD_BY_BUS), Verdict.HELD),
        ("held under a bus failure, but proven dead", evidence(500, power="off", probe="silent", roster=HELD_BY_BUS), Verdict.FAILED),
        ("held, but an operator named it", evidence(500, power="off", probe="silent", roster=HELD, named=True), Verdict.FAILED),
        ("its cell does not answer", evidence(500, power="off", host=host(state=None)), Verdict.UNKNOWN),
        ("nothing on it that we would recover", evidence(500, power="off", empty=True), Verdict.EXEMPT),
        ("a vCenter proxy", evidence(500, power="off", host=host(hypervisor="VMware vCenter Server")), Verdict.EXEMPT),
        ("an operator forced it down", evidence(500, power="off", host=host(state="down", forced_down=True)), Verdict.EXEMPT),
        ("an operator disabled it", evidence(500, power="off", host=host(status="disabled", disabled_reason="disk swap")), Verdict.EXEMPT),
        (
            "libvirt disabled it by itself",
            evidence(500, power="off", host=host(status="disabled", disabled_reason="AUTO: lost libvirt")),
            Verdict.FAILED,
        ),
        (
            "our own marker does not exempt a host that we watch",
            evidence(500, power="off", host=host(status="disabled", disabled_reason="hanode: agent-down")),
            Verdict.FAILED,
        ),
    ],
)
def test_verdict(why: str, given: Evidence, verdict: Verdict) -> None:
    """Every row is a sentence of the design; a wrong one destroys data or leaves customers down."""
    found = judge(given)
    assert found.verdict is verdict, f"{why}: {found.reason}"
    assert found.reason


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"own_hosts": frozenset({"c1"})}, Verdict.EXEMPT),
        ({"protected_aggregates": frozenset({"gold"})}, Verdict.EXEMPT),
        ({"protected_aggregates": frozenset({"domain-A"})}, Verdict.FAILED),
        ({"recovery": "none"}, Verdict.EXEMPT),
        ({"recovery_by_aggregate": {"domain-A": "none"}}, Verdict.EXEMPT),
    ],
)
def test_policy_exempts(changes: dict[str, object], verdict: Verdict) -> None:
    """What the operator left out is never shot."""
    given = evidence(500, power="off", probe="silent")
    assert judge(replace(given, policy=replace(POLICY, **changes))).verdict is verdict  # type: ignore[arg-type]


def test_a_living_host_is_fenced_only_where_its_aggregate_says_so() -> None:
    """fence_living_hosts is for clouds that would rather lose guests than wait for an agent."""
    living = evidence(70, power="on", probe="answers")
    allowed = replace(POLICY, fence_living_aggregates=frozenset({"domain-A"}))
    assert judge(replace(living, policy=allowed)).verdict is Verdict.FAILED
    other = replace(living.host, aggregates=(Aggregate("domain-B", frozenset({"c1"})),))
    assert judge(replace(living, policy=allowed, host=other)).verdict is Verdict.AGENT_DOWN


def test_silence_is_not_counted_while_we_could_not_look() -> None:
    """An API that was down for ten minutes says nothing about its hosts."""
    blind = evidence(600, power="on", probe="silent", looked_s=405.0)
    assert judge(blind).verdict is Verdict.HEALTHY


def test_old_readings_prove_nothing() -> None:
    """Off read a minute ago is not off now."""
    old = evidence(200, power="off", probe="silent")
    assert judge(replace(old, now_s=old.now_s + 60, looked_s=old.looked_s + 60)).verdict is Verdict.SUSPECT
