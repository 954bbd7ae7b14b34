"""What if a host were taken for dead too early, or shot too easily? Mutants of S2 and S4."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from hanode.core import fence, judge, remember
from hanode.core.decisions import Judgement, Trace, Verdict
from hanode.core.draft import Draft
from hanode.core.facts import Power
from hanode.core.judge import Evidence
from hanode.core.policy import Policy
from hanode.core.records import HostRecovery, Proof, ProofKind
from hanode.engine.tick import Engine
from tests.sim.mutants_base import always, caught, changed

# --------------------------------------------------------------------------- S2: proven off


@caught("S2", "host-panics")
def evacuates_before_it_fences() -> Iterator[None]:
    """Takes the verdict FAILED for a proof of death."""
    with _believes_the_verdict():
        yield


@contextmanager
def _believes_the_verdict() -> Iterator[None]:
    def fencing(draft: Draft, record: HostRecovery, e: Evidence) -> None:
        fence.fenced(draft, record, Proof(ProofKind.DEVICE, "it is silent", draft.now.at))
    with changed("core.decide.fencing", fencing), _looks_no_more():
        yield


@caught("S1", "fence-described-anew")
def believes_what_a_former_device_said() -> Iterator[None]:
    """Keeps the readings of a power device that the operator has described anew since."""
    def reload(engine: Engine, policy: Policy) -> None:
        engine._policy = policy
    with patch.object(Engine, "reload", reload):
        yield


@caught("S2", "fence-powering-off")
def takes_powering_off_for_off() -> Iterator[None]:
    """Believes a device that says that it is about to power off."""
    said = remember._said
    with changed("core.remember._said", lambda value: Power.OFF.value if value is Power.OTHER else said(value)):
        yield


@caught("S2", "fence-flapping")
def believes_one_reading_of_off() -> Iterator[None]:
    """Does not read the power a second time."""
    with patch.object(Trace, "twice", always(True)):
        yield


@caught("S2", "fence-locked-out")
def takes_silence_of_a_device_for_off() -> Iterator[None]:
    """Believes that a host is off because its power device cannot be read."""
    said = remember._said
    with changed("core.remember._said", lambda value: Power.OFF.value if said(value) == "unknown" else said(value)):
        yield


@caught("S2", "fence-lies")
def takes_an_accepted_off_for_off() -> Iterator[None]:
    """Believes that a host is off because its power device has accepted the command."""
    follow_off = fence._follow_off

    def believing(draft: Draft, record: HostRecovery, *rest: Any) -> None:
        follow_off(draft, record, *rest)
        now = draft.records[record.host]
        if "done" in now.offs:
            fence.fenced(draft, now, Proof(ProofKind.DEVICE, "it has accepted", draft.now.at))
    with changed("core.fence._follow_off", believing), _looks_no_more():
        yield


@caught("S2", "fence-old-copy")
def believes_an_old_copy() -> Iterator[None]:
    """Takes what Ironic remembers of a machine for two readings of it."""
    with changed("core.draft.believed", lambda _plan, _record, _level, trace: trace):
        yield


@caught("S2", "fence-check-replaced-unseen")
def forgets_whom_it_met() -> Iterator[None]:
    """Believes a power device that belongs to another machine than at first contact."""
    with changed("core.quarantine._strangers", always(None)):
        yield


@caught("S2", "wrong-device-quarantined")
def believes_a_device_that_has_lied() -> Iterator[None]:
    """Sets no device in quarantine that reads off beside a living heartbeat."""
    with changed("core.quarantine._quarantine", always(None)):
        yield


@caught("S2", "switched-on-between-batches")
def looks_at_the_source_no_more() -> Iterator[None]:
    """Posts by a proof from the beginning of the incident, whatever has become of the host since."""
    with _looks_no_more():
        yield


@caught("S2", "confirmed-while-it-lives")
def believes_a_person_against_signs_of_life() -> Iterator[None]:
    """Accepts `confirm-fenced` for a host that answers."""
    with patch.object(Evidence, "lives", False):
        yield


def _looks_no_more() -> AbstractContextManager[Any]:
    """No reading of its power and no sign of life counts any more, once it is called proven dead."""
    stack = ExitStack()
    stack.enter_context(changed("core.posting._proof_is_fresh", always(True)))
    for room in ("fence", "evacuate"):
        stack.enter_context(changed(f"core.{room}.signs_of_life", always(None)))
    return stack


@caught("S1", "lives-after-the-off")
def evacuates_what_it_cannot_see() -> Iterator[None]:
    """Takes a host that is cut off for dead; its guests go on running there."""
    with _believes_the_verdict():
        yield


# --------------------------------------------------------------------------- S4: not shot too easily


@caught("S4", "storm")
def has_no_brake() -> Iterator[None]:
    """Never asks whether all hosts together look as if something else were wrong than these hosts."""
    with changed("core.decide.brake", always(())):
        yield


@caught("S4", "switched-on-after-take-over")
def does_not_ask_the_brake_before_an_off() -> Iterator[None]:
    """Asks the brake when an incident begins, and not again before the off itself."""
    with changed("core.fence.Draft.held", always(None)):
        yield


@caught("S4", "switched-on-after-take-over")
def shoots_as_soon_as_it_is_in_office() -> Iterator[None]:
    """Counts a silence of which it has not seen the beginning."""
    with changed("core.brake._office", always(())):
        yield


@caught("S4", "agent-down")
def shoots_a_host_that_answers() -> Iterator[None]:
    """Takes a dead nova-compute for a dead host."""
    rules = tuple(rule for rule in judge.RULES if rule is not judge._answering)

    def silent(e: Evidence) -> Any:
        deaf = {network: replace(trace, value="silent", count=2) for network, trace in e.probes.items()}
        return judge._no_sign_of_life(replace(e, probes=deaf))
    with changed("core.judge.RULES", (*rules, silent)), changed("core.fence._shows_life", always(False)):
        yield


@caught("S4", "partitioned")
def believes_the_network_that_is_silent() -> Iterator[None]:
    """Takes a host that lost one of its networks for dead, although it answers on another."""
    def deaf_to_life(e: Evidence) -> Any:
        return judge._no_sign_of_life(replace(e, probes={name: trace for name, trace in e.probes.items() if name in e.deaf},
                                              policy=replace(e.policy, networks=tuple(e.deaf))))
    rules = tuple(rule for rule in judge.RULES if rule not in {judge._partitioned, judge._answering})
    with changed("core.judge.RULES", (*rules, deaf_to_life)), changed("core.fence._shows_life", always(False)):
        yield


@caught("S4", "witness-hears-it")
def believes_no_witness() -> Iterator[None]:
    """What the leader does not hear itself is dead."""
    with patch.object(Evidence, "heard_by", property(always({}))):
        yield


@caught("S4", "witness-is-deaf")
def believes_a_witness_that_hears_nothing() -> Iterator[None]:
    """Takes what a standby does not hear for dead, although the leader itself hears it."""
    def silenced(e: Evidence) -> frozenset[str]:
        return frozenset(e.policy.networks) if any(trace.value == "silent" for trace in e.witnessed.values()) else frozenset()
    by_witness = patch.multiple(Evidence, deaf=property(silenced), answers=property(lambda e: bool(e.answering) and not silenced(e)))
    with by_witness, changed("core.fence._shows_life", always(False)):
        yield


@caught("S4", "kdump-forged")
def believes_whoever_says_that_a_kernel_crashes() -> Iterator[None]:
    """Takes the message of fence_kdump, which anybody can send, for a proof of death."""
    def crashed(e: Evidence) -> Any:
        said = "its kernel says that it crashes"
        return Judgement(Verdict.FAILED, said) if e.crash_since_s is not None and not e.beats else None
    with changed("core.judge.RULES", (crashed, *judge.RULES)), changed("core.fence._shows_life", always(False)), \
            changed("core.fence.is_dumping", always(False)):
        yield


@caught("L1", "kdump-never-ends")
def waits_for_a_dump_for_ever() -> Iterator[None]:
    """Does not power a host off for as long as somebody says in its name that its kernel crashes."""
    with changed("core.fence.is_dumping", lambda _, __, e: bool(e.crash_heard_by)):
        yield


@caught("S4", "approve-came-back")
def does_not_judge_anew_before_an_off() -> Iterator[None]:
    """Shoots by the verdict that opened the incident, although the host has come back since."""
    shoot = fence._shoot
    by_first = changed("core.fence._shoot", lambda draft, record, e, _: shoot(draft, record, e, Verdict.FAILED))
    with by_first, changed("core.fence._shows_life", always(False)):
        yield


@caught("S4", "fencing-queue")
def fences_as_many_as_there_are() -> Iterator[None]:
    """Does not count how many hosts are being fenced already."""
    shoot = fence._shoot

    def at_once(draft: Draft, record: HostRecovery, e: Evidence, verdict: Verdict) -> None:
        policy = draft.policy
        draft.policy = replace(policy, max_fencing=1000)
        try:
            shoot(draft, record, e, verdict)
        finally:
            draft.policy = policy
    with changed("core.fence._shoot", at_once):
        yield


@caught("S4", "lives-and-holds-up-nobody")
def shoots_out_of_turn_who_has_lived() -> Iterator[None]:
    """Tells a host off again, which has given way to others while it lived, beside the host that is being fenced now."""
    with changed("core.fence._has_slot", always(True)):
        yield


@caught("S4", "storage-sick")
def forgets_the_health_of_a_store() -> Iterator[None]:
    """Shoots hosts that stand still with their store, and evacuates into it."""
    with changed("core.brake._storage_sick", always(())):
        yield


@caught("S2", "wrong-device-quarantined")
def takes_for_calm_whatever_nova_shows_so() -> Iterator[None]:
    """Looks at no host that reports well, whatever else is known of it: a device that reads off beside it lies, and is still believed."""
    with changed("core.gather._remarkable", always(set())):
        yield
