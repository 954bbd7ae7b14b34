"""One host's evidence -> its verdict: the rules that shoot, and everything that forbids it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hanode.core.decisions import Beat, Timers, Trace, Verdict
from hanode.core.facts import Aggregate, Fleet, Reading
from hanode.core.judge import Evidence, idle_s, judge, recent_s
from hanode.core.model import Snapshot, WantKind
from hanode.core.policy import Policy
from hanode.core.records import Roster
from hanode.core.remember import remember
from hanode.core.suspicion import suspect_after_s
from tests.core.facts import POLICY, evidence, host

HELD = Roster(seen=frozenset({"c1"}), held={"c1": "storm:COLD_START"})
HELD_IN_DOUBT = Roster(seen=frozenset({"c1"}), held={"c1": "doubt:TOO_MANY"})
HELD_BY_PAUSE = Roster(seen=frozenset({"c1"}), held={"c1": "operator:OPERATOR_PAUSE"})
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
        ("held in doubt, no proof", evidence(500, power="on", probe="silent", roster=HELD_IN_DOUBT), Verdict.HELD),
        ("held in doubt, but proven dead", evidence(500, power="off", probe="silent", roster=HELD_IN_DOUBT), Verdict.FAILED),
        ("held in doubt, off and answering", evidence(500, power="off", probe="answers", roster=HELD_IN_DOUBT), Verdict.HELD),
        ("held by a pause, even with proof", evidence(500, power="off", probe="silent", roster=HELD_BY_PAUSE), Verdict.HELD),
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


# --------------------------------------------------------------------------- a kernel that says that it crashes

PATIENT = replace(POLICY, kdump=True)
IMPATIENT = replace(PATIENT, kdump_fence_after_s=30.0)


def crashing(silent_s: float, policy: Policy = IMPATIENT, **changes: Any) -> Evidence:
    """Somebody has said for ten seconds that its kernel crashes."""
    given = evidence(silent_s, **changes)
    return replace(given, policy=policy, crash={"": Trace("answers", 990.0, 999.0, 3)}, crash_since_s=990.0)


@pytest.mark.parametrize(
    ("why", "given", "verdict"),
    [
        ("silent for long enough", crashing(30, power="on", probe="silent"), Verdict.FAILED),
        ("not yet", crashing(29, power="on", probe="silent"), Verdict.SUSPECT),
        ("nobody has said so", evidence(30, power="on", probe="silent", policy=IMPATIENT), Verdict.SUSPECT),
        ("by default it shortens nothing", crashing(59, PATIENT, power="on", probe="silent"), Verdict.SUSPECT),
        ("it beats: somebody lies", crashing(5, probe="silent"), Verdict.HEALTHY),
        ("it answers: somebody may lie", crashing(500, probe="answers"), Verdict.AGENT_DOWN),
        ("one packet of ours may have been lost", crashing(50, probe="silent", readings=1), Verdict.SUSPECT),
        ("without an independent signal there is no fencing", crashing(500, power="on"), Verdict.SUSPECT),
    ],
)
def test_a_message_of_a_crashing_kernel_is_never_more_than_impatience(why: str, given: Evidence, verdict: Verdict) -> None:
    """Anybody can send it in anybody's name: nobody is shot by it who shows any life, nor sooner than the operator allowed."""
    found = judge(given)
    assert found.verdict is verdict, f"{why}: {found.reason}"


def test_what_a_kernel_said_long_ago_is_not_what_it_says() -> None:
    """A dump is over when the messages have stopped."""
    given = evidence(70, policy=IMPATIENT, crash={"": Trace("silent", 998.0, 999.0, 2), "n2": Trace("answers", 900.0, 900.0, 1)})
    assert given.crash_heard_by == frozenset()


# --------------------------------------------------------------------------- several networks

TWO = replace(POLICY, networks=("management", "storage"))


def on_networks(silent_s: float = 70.0, readings: int = 3, power: str = "on", **values: str) -> Evidence:
    traces = {network: Trace(value, 990.0, 999.0, readings) for network, value in values.items()}
    return evidence(silent_s, power=power, policy=TWO, probes=traces)


@pytest.mark.parametrize(
    ("why", "given", "verdict"),
    [
        ("one answers and one does not: cut off", on_networks(management="silent", storage="answers"), Verdict.PARTITIONED),
        ("the other way round as well", on_networks(management="answers", storage="silent"), Verdict.PARTITIONED),
        ("cut off and read off: it lives", on_networks(power="off", management="silent", storage="answers"), Verdict.PARTITIONED),
        ("one lost packet is no partition", on_networks(readings=1, management="silent", storage="answers"), Verdict.AGENT_DOWN),
        ("it answers where we could look", on_networks(management="answers", storage="unknown"), Verdict.AGENT_DOWN),
        ("it answers everywhere", on_networks(management="answers", storage="answers"), Verdict.AGENT_DOWN),
        ("silent everywhere for long enough", on_networks(management="silent", storage="silent"), Verdict.FAILED),
        ("silent everywhere, not for long", on_networks(30.0, management="silent", storage="silent"), Verdict.SUSPECT),
        ("behind the one that we cannot see it may live", on_networks(management="silent", storage="unknown"), Verdict.SUSPECT),
        ("behind the one that we have not asked it may live", on_networks(management="silent"), Verdict.SUSPECT),
        ("proof of death needs no network", on_networks(power="off", management="silent", storage="unknown"), Verdict.FAILED),
    ],
)
def test_verdict_by_several_networks(why: str, given: Evidence, verdict: Verdict) -> None:
    """Any network that answers is life; only silence on all of them is silence."""
    found = judge(given)
    assert found.verdict is verdict, f"{why}: {found.reason}"


def test_who_is_cut_off_is_told_with_its_networks() -> None:
    """The operator must know which cable to look at."""
    reason = judge(on_networks(management="silent", storage="answers")).reason
    assert "answers on storage and from here not on management" in reason


def test_a_network_that_cannot_be_asked_is_named() -> None:
    """It keeps every host from being fenced on silence: somebody has to mend it, or take it out of the configuration."""
    assert "while storage cannot be asked" in judge(on_networks(management="silent", storage="unknown")).reason


def test_an_answer_of_a_minute_ago_is_no_sign_of_life() -> None:
    """It may have died since."""
    given = on_networks(management="silent", storage="answers")
    old = {**given.probes, "storage": Trace("answers", 900.0, 930.0, 9)}
    assert judge(replace(given, probes=old)).verdict is Verdict.SUSPECT


def test_silence_is_not_counted_while_we_could_not_look() -> None:
    """An API that was down for ten minutes says nothing about its hosts."""
    blind = evidence(600, power="on", probe="silent", looked_s=405.0)
    assert judge(blind).verdict is Verdict.HEALTHY


def test_old_readings_prove_nothing() -> None:
    """Off read a minute ago is not off now."""
    old = evidence(200, power="off", probe="silent")
    assert judge(replace(old, now_s=old.now_s + 60, looked_s=old.looked_s + 60)).verdict is Verdict.SUSPECT


# --------------------------------------------------------------------------- suspicion by a host's own rhythm


def heard(*intervals_s: float, silent_s: float) -> Evidence:
    return evidence(silent_s, beat=Beat("t0", 1000.0 - silent_s, moved=True, intervals_s=intervals_s))


@pytest.mark.parametrize(
    ("why", "intervals_s", "policy", "expected_s"),
    [
        ("too few intervals are no rhythm", (10.0,) * 7, {"suspect_after_s": 30.0}, 30.0),
        ("a clock is suspected as soon as anybody", (10.0,) * 8, {"suspect_after_s": 30.0}, 15.0),
        ("never sooner than one and a half intervals", (5.0,) * 8, {}, 15.0),
        ("a jittery host is given time", (4.0, 16.0) * 4, {}, 25.0),
        ("and a little jitter a little", (8.0, 12.0) * 4, {}, 16.18),
        ("an outage is not its rhythm", (10.0,) * 8 + (200.0,), {}, 15.0),
        ("the ceiling never passes the moment of fencing", (4.0, 16.0) * 4, {"fence_after_s": 20.0}, 20.0),
    ],
)
def test_a_host_is_suspected_by_its_own_rhythm(
    why: str, intervals_s: tuple[float, ...], policy: dict[str, float], expected_s: float
) -> None:
    """One threshold for all is too long for most hosts and too short for some."""
    beat = Beat("t0", 0.0, moved=True, intervals_s=intervals_s)
    assert suspect_after_s(beat, replace(POLICY, **policy)) == pytest.approx(expected_s, abs=0.01), why  # type: ignore[arg-type]


def test_a_jittery_host_is_healthy_for_longer_and_fenced_no_later() -> None:
    """Its rhythm buys patience, and no more than that."""
    jittery = (4.0, 16.0) * 4
    assert judge(heard(*jittery, silent_s=20)).verdict is Verdict.HEALTHY
    assert judge(heard(*jittery, silent_s=26)).verdict is Verdict.SUSPECT
    silent = replace(evidence(70, power="on", probe="silent"), beat=Beat("t0", 930.0, moved=True, intervals_s=jittery))
    assert judge(silent).verdict is Verdict.FAILED


def test_a_jittery_host_that_is_proven_dead_is_given_no_time() -> None:
    """Two readings of off after one and a half intervals: its rhythm has ended."""
    dead = replace(evidence(16, power="off"), beat=Beat("t0", 984.0, moved=True, intervals_s=(4.0, 16.0) * 4))
    assert judge(dead).verdict is Verdict.FAILED


def test_a_regular_host_is_never_fenced_sooner_without_proof() -> None:
    """Being suspected sooner only means being looked at sooner."""
    steady = Beat("t0", 945.0, moved=True, intervals_s=(10.0,) * 32)
    assert judge(replace(evidence(55, power="on", probe="silent"), beat=steady)).verdict is Verdict.SUSPECT


def test_a_rhythm_is_learned_from_one_heartbeat_to_the_next_and_from_nothing_else() -> None:
    """A write of ours moves Nova's stamp as a heartbeat does; and time in which nobody looked is no interval of the host."""
    timers = Timers(0.0)
    looks = [(0.0, "t0", "enabled"), (10.0, "t1", "enabled"), (20.0, "t2", "enabled"), (25.0, "t3", "disabled"), (30.0, "t4", "disabled")]
    for at_s, stamp, status in (*looks, (90.0, "t5", "disabled"), (101.0, "t6", "disabled")):
        fleet = Fleet({"c1": host(updated_at=stamp, status=status)}, ())
        timers = remember(timers, Snapshot({(WantKind.FLEET, ""): Reading(fleet, at_s, at_s)}), {}, POLICY, at_s)
    assert timers.beats["c1"].intervals_s == (10.0, 11.0)


@pytest.mark.parametrize(("report_interval_s", "proof_s"), [(10.0, 10.0), (2.0, 10.0), (1.0, 3.0), (60.0, 60.0)])
def test_what_a_held_host_last_said_counts_until_it_is_asked_again(report_interval_s: float, proof_s: float) -> None:
    """Else a proof of death comes and goes: a host would be FAILED and HELD in turns, and the brake would alarm each time."""
    policy = replace(POLICY, report_interval_s=report_interval_s, proof_s=proof_s)
    assert idle_s(policy) < recent_s(policy)
