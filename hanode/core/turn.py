"""Whose turn is it, and does what others wait for serve already? Asked only while somebody waits, and each for a limited time."""

from __future__ import annotations

from dataclasses import replace

from hanode.core.decisions import Level
from hanode.core.draft import Draft
from hanode.core.lifecycle import TO_DO
from hanode.core.model import WantKind
from hanode.core.order import Line, line_of, rank, restart_order
from hanode.core.records import HostRecovery, InstanceRecovery
from hanode.core.serving import ANSWERS, LATE, TCP, is_silent, missing, serves_key
from hanode.core.tales import tales

ASKED_EVERY_S = 2.0
ASKED_AT_ONCE = 16
"""The first in restart order; of the others the time runs all the same, so that a crowd that never answers delays nobody for longer."""


def line_now(draft: Draft) -> Line:
    return line_of(tale.entry for tale in tales(draft.records).values())


def ask_the_awaited(draft: Draft, line: Line) -> bool:
    """Does it serve, or has its time run out? Either is settled once, and written down; True when something was."""
    told = tales(draft.records)
    awaited = restart_order(_kept_waiting_by(draft, line), line.depth)
    settled = False
    for number, entry in enumerate(awaited):
        record = draft.records[told[entry.instance_id].host]
        served = _served(draft, record, entry, number < ASKED_AT_ONCE)
        if served:
            done = replace(entry, served=served)
            draft.save(replace(record, instances={**record.instances, entry.instance_id: done}))
            settled = True
    return settled


def _kept_waiting_by(draft: Draft, line: Line) -> tuple[InstanceRecovery, ...]:
    """Who is active, and holds up somebody that was never asked for, or never started."""
    waiting = [entry for entry in line.entries.values() if (entry.state in TO_DO and not entry.attempt) or entry.is_to_start]
    found = {other.instance_id: other for entry in waiting for other in line.awaited(entry) if is_silent(other)}
    if draft.policy.tier_wait_s and waiting:
        lowest = max(rank(entry) for entry in waiting)
        found |= {key: other for key, other in line.entries.items() if is_silent(other) and rank(other) < lowest}
    return tuple(found.values())


def _served(draft: Draft, record: HostRecovery, entry: InstanceRecovery, ask: bool) -> str:
    wait = f"ready/{record.incident}/{entry.instance_id}"
    since_s = draft.since(wait)
    reading = draft.reading(WantKind.SERVES, serves_key(entry), ASKED_EVERY_S, since_s) if ask else None
    if reading is not None and reading.value is True:
        said = f"answers on port {entry.check.removeprefix(TCP)}" if entry.check.startswith(TCP) else "is ready by its program"
        draft.note(Level.INFO, "serves", record.host, f"{entry.name} {said}", record.incident, entry.instance_id)
        return ANSWERS
    if not draft.waited(wait, draft.policy.ready_wait_s):
        return ""
    late = f"{entry.name} has been active for {draft.policy.ready_wait_s:g} s and {missing(entry)}: those that wait for it go on without it"
    draft.note(Level.WARNING, "serves-late", record.host, late, record.incident, entry.instance_id)
    return LATE
