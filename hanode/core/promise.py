"""Does the cloud still keep what it promises ([capacity])? Looked at now and then by the leader, while nothing is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from hanode.core.brake import RECOVERING, has_work
from hanode.core.capacity import promises_something
from hanode.core.decisions import Level, Verdict
from hanode.core.draft import Draft
from hanode.core.facts import Unknown
from hanode.core.findings import Finding
from hanode.core.model import WantKind


def watch_capacity(draft: Draft) -> None:
    """Never while a host is silent or being recovered: Nova and the readers are for it, and the answer would be of yesterday."""
    if not promises_something(draft.policy):
        if draft.timers.capacity is not None:
            draft.timers = replace(draft.timers, capacity=None)
        return
    if not _is_quiet(draft):
        return
    reading = draft.reading(WantKind.CAPACITY, "", draft.policy.capacity_every_s)
    if reading is None:
        found = draft.snapshot.readings.get((WantKind.CAPACITY, ""))
        if found is not None and isinstance(found.value, Unknown):
            draft.note_once(Level.WARNING, "capacity-unknown", "", f"what the cloud can lose is not known: {found.value.reason}")
        return
    findings = cast("tuple[Finding, ...]", reading.value)
    draft.timers = replace(draft.timers, capacity=findings)
    unmet = [one for one in findings if not one.holds]
    text = "; ".join(sentence(one) for one in unmet) or "everything of [capacity] holds again"
    draft.note_change(Level.ALARM if unmet else Level.INFO, "capacity", "", "; ".join(one.question for one in unmet), text, bool(unmet))


UNSETTLED = frozenset({Verdict.SUSPECT, Verdict.FAILED, Verdict.UNKNOWN})


def _is_quiet(draft: Draft) -> bool:
    """A host that has been dealt with and waits to be repaired is no reason not to look: that is when it matters."""
    settled = draft.now.s - draft.timers.office_since_s >= draft.policy.office_hold_s
    known = {host for host, record in draft.records.items() if record.state in RECOVERING}
    silent = any(found.verdict in UNSETTLED for host, found in draft.verdicts.items() if host not in known)
    busy = any(record.state in RECOVERING and has_work(record) for record in draft.records.values())
    return settled and bool(draft.verdicts) and not silent and not busy


def sentence(found: Finding) -> str:
    """One that a person can act on."""
    left = f", e.g. {found.left[0]}" if found.left else ""
    worst = f" ({', '.join(found.worst[:3])})" if found.worst else ""
    fix = f". What would help: {found.fix}" if found.fix else ""
    return f"what [capacity] promises does not hold, {found.question}{worst}: {found.how}{left}{fix}"
