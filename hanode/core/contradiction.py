"""What speaks against the proof that a host is dead, and for how long may an off still be on its way to one that lives?"""

from __future__ import annotations

from hanode.core import levels
from hanode.core.draft import Draft
from hanode.core.judge import Evidence
from hanode.core.records import HostRecovery, ProofKind
from hanode.core.stores import by_storage


def signs_of_life(draft: Draft, record: HostRecovery, e: Evidence | None) -> str | None:
    """What speaks against the proof that this leader has watched since; None while the host is as dead as proven."""
    proven_s = draft.since(f"proof/{record.incident}")
    if by_storage(record):
        return None  # it was never said to be off: whether it is cut off is asked of the store, before each restart elsewhere
    plan = draft.policy.plan_of(record.host)
    on = levels.signs_of_life(plan, draft.power_traces(record.host), levels.proven_by(plan, record))
    if any(trace.last_s >= proven_s for trace in on) and _may_contradict(draft, record):
        return "its power device reads on"
    if e and e.answered_since(proven_s):
        return "it answers the probe"
    if draft.beats_since(record.host, proven_s) >= 2:
        return "its service reported twice"
    return None


def _may_contradict(draft: Draft, record: HostRecovery) -> bool:
    """A device against the proof: always against its like; against a person's word unless that was given in the face of it."""
    if record.proof is None or record.proof.kind is ProofKind.DEVICE:
        return record.proof is not None
    return not record.proof.overrules and record.host not in draft.roster.quarantined


def settling(record: HostRecovery) -> str:
    """The wait that begins when a host shows life to which an off may have been sent."""
    return f"settle/{record.incident}/{record.fence_attempt}"


def has_settled(draft: Draft, record: HostRecovery) -> bool:
    """Has it lived for so long that no off on its way can reach it any more?"""
    begun_s = draft.peek(settling(record))
    return begun_s is not None and draft.now.s - begun_s >= draft.policy.fence_settle_s
