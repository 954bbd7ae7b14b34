"""Does a witness see what this leader cannot see? Then it hands its office over, for nobody is protected by who sees nothing."""

from __future__ import annotations

from collections.abc import Mapping

from hanode.core.draft import Draft
from hanode.core.judge import Evidence
from hanode.core.model import WantKind
from hanode.core.signals import NOVA, listed

SEVERAL = 2
"""A witness that hears a single host may stand on its side of a cut; of several our own view is the odd one."""


def hand_over(draft: Draft, evidence: Mapping[str, Evidence]) -> str:
    """Why this leader should leave its office to another; empty while it should not.

    Only for what lasted, on our own clock; only to who says that it would take office; and only for what that one has seen
    twice since.
    """
    return _nova(draft) or _hosts(draft, evidence)


def _nova(draft: Draft) -> str:
    if draft.fleet is not None:
        return ""
    blind = "blind/nova"
    if draft.waited(blind, draft.policy.poll_s):  # the first answer may be on its way
        draft.want(WantKind.WITNESS, NOVA, 3 * draft.policy.poll_s)
    see = [node for node in _willing(draft) if _sees(draft, node, NOVA, draft.since(blind))]
    if not see or not draft.waited(blind, draft.timers.hand_over_after_s):
        return ""
    return f"Nova could not be read from here for {draft.now.s - draft.since(blind):.0f} s, and {listed(see)} can read it"


def _hosts(draft: Draft, evidence: Mapping[str, Evidence]) -> str:
    """No host answers us at all, and some answer a witness."""
    asked = [e for e in evidence.values() if e.probes]
    if not asked or any(e.answering or e.unasked for e in asked):
        return ""
    blind = "blind/hosts"
    since_s = draft.since(blind)
    for node in _willing(draft):
        heard = [e for e in asked if any(by == node and trace.last_s >= since_s for (by, _), trace in e.heard_by.items())]
        ours = all(trace.value == "unknown" for e in heard for trace in e.probes.values())  # our own way is at fault
        if len(heard) >= (1 if ours else SEVERAL) and draft.waited(blind, draft.timers.hand_over_after_s):
            names = listed(e.host.name for e in heard)
            return f"no host answered from here for {draft.now.s - since_s:.0f} s, and {node} hears {names}"
    return ""


def _willing(draft: Draft) -> list[str]:
    return sorted(draft.snapshot.willing)


def _sees(draft: Draft, node: str, key: str, since_s: float) -> bool:
    trace = draft.timers.witnessed.get((node, key))
    return trace is not None and trace.value == "answers" and trace.count >= 2 and trace.since_s >= since_s
