"""What does Nova show of an evacuation, and which step of its state is that? Reads only; nothing is posted here.

One function per state. Each answers with the entry as it is now; S3 lives in `_requested` and `_underway`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

from hanode.core import locks
from hanode.core.accounts import classify
from hanode.core.decisions import Level
from hanode.core.facts import Instance, Migration
from hanode.core.lifecycle import ENDED, HostState, InstanceState, step_instance
from hanode.core.model import Action, ActionKind, Call, Result, WantKind
from hanode.core.policy import MARKER
from hanode.core.records import HostRecovery, InstanceRecovery
from hanode.core.restore import is_overdue, tidy, wrong_power
from hanode.core.starts import start_waits_for
from hanode.core.stores import by_storage
from hanode.core.view import SELDOM, Gone, View, current

FAILED = frozenset({"failed", "error"})
PROVEN_OFF = frozenset({HostState.FENCED, HostState.EVACUATING})
BUSY_TASKS = ("migrating", "resize", "rebuild", "spawning", "scheduling", "block_device_mapping", "networking", "shelving", "unshelving")
SLOW_S = 30.0
LEVELS = {InstanceState.STUCK: Level.ALARM, InstanceState.FAILED: Level.ALARM, InstanceState.WAITING: Level.WARNING}


def become(v: View, entry: InstanceRecovery, state: InstanceState, reason: str, **changes: object) -> InstanceRecovery:
    """A step of the table, said once."""
    step_instance(entry.state, state)
    if state is not entry.state or (state is InstanceState.WAITING and _plain(reason) != _plain(entry.reason)):
        text = f"{entry.name or entry.instance_id} {state}: {reason}"
        v.draft.note(LEVELS.get(state, Level.INFO), f"instance-{state.lower()}", v.record.host, text, v.record.incident, entry.instance_id)
    if state is not entry.state:
        v.draft.wake(v.draft.now.s)
    ended_at = v.draft.now.at if state in ENDED else ""
    return replace(entry, state=state, reason=reason, **({"ended_at": ended_at, **changes}))  # type: ignore[arg-type]


def _plain(reason: str) -> str:
    """A reason without its numbers, whose every change is not worth a line."""
    return re.sub(r"[0-9]+", "", reason)


def _every_s(v: View, entry: InstanceRecovery) -> float:
    follow_s = v.draft.policy.follow_s
    if entry.state in ENDED or entry.state is InstanceState.WAITING:
        return SLOW_S
    if entry.is_to_start and start_waits_for(v, entry):
        return SELDOM * follow_s
    seen = v.draft.snapshot.readings.get((WantKind.INSTANCE, entry.instance_id))
    if entry.state is InstanceState.MOVED and seen and isinstance(seen.value, Instance) and wrong_power(v, entry, seen.value) is False:
        return SELDOM * follow_s  # it is as before; only our own lock is left, and whoever takes that off is told
    return follow_s


def _ended_as(v: View, entry: InstanceRecovery) -> Instance | Gone | None:
    """An instance under way: nothing of it is news while its record is open; how that ended, it is asked itself, afterwards."""
    records = _fresh_records(v, entry) or v.evacuations(entry.instance_id)
    if any(m.is_open for m in records):
        return current(v, entry, SELDOM * v.draft.policy.follow_s)
    ended_s = v.draft.since(f"ended/{v.record.incident}/{entry.instance_id}/{entry.attempt}")
    reading = v.draft.reading(WantKind.INSTANCE, entry.instance_id, v.draft.policy.follow_s, ended_s)
    if reading is None:
        return None
    return Gone() if reading.value is None else cast(Instance, reading.value)


def follow(v: View, entry: InstanceRecovery) -> InstanceRecovery:
    """The entry after what Nova shows now."""
    if entry.state in {InstanceState.VERIFIED, InstanceState.RETURNED, InstanceState.GONE}:
        return entry if entry.unlocked or not entry.ours else tidy(v, entry, current(v, entry, SLOW_S))
    now = _ended_as(v, entry) if entry.state is InstanceState.UNDERWAY else current(v, entry, _every_s(v, entry))
    if isinstance(now, Gone):
        return become(v, entry, InstanceState.GONE, "its owner deleted it", unlocked=True)
    if now is None:
        v.draft.keep_waits(entry.instance_id)
        return entry
    return RULES[entry.state](v, tidy(v, entry, now), now)


def _to_do(v: View, entry: InstanceRecovery, now: Instance) -> InstanceRecovery:
    """PENDING, WAITING and FAILED: is it still ours to restart?"""
    ours = entry.ours or (now.locked and now.locked_reason.startswith(MARKER) and not entry.before.locked)
    if now.host != v.record.host:
        return become(v, entry, InstanceState.MOVED, f"is on {now.host}", target=now.host, ours=ours)
    theirs = [m for m in _open(v, entry) if m.kind == "evacuation"]
    if theirs:
        # Not ours, or one that we lost sight of: followed, never repeated.
        return become(
            v,
            entry,
            InstanceState.UNDERWAY,
            f"evacuation {theirs[-1].migration_id} is running",
            target=theirs[-1].target or entry.target,
            ours=ours,
        )
    if entry.state is InstanceState.FAILED:
        return entry
    lost = _lost_intent(v, entry, now)
    if lost is not None:
        return lost
    found = classify(now, v.draft.policy, v.skip_images)
    if found is None or found[0] in {InstanceState.SKIPPED, InstanceState.GONE}:
        state, reason = found or (InstanceState.SKIPPED, f"is in vm_state {now.vm_state} now")
        return become(v, entry, state, reason)
    if _is_busy(v, entry, now):
        return _busy(v, entry, f"Nova is at it (task {now.task_state}): waits for its end")
    return entry


def _lost_intent(v: View, entry: InstanceRecovery, now: Instance) -> InstanceRecovery | None:
    """S3 after the journal was put back: Nova shows the lock of an attempt that the record knows nothing of, so it may be on its way."""
    said = locks.read(now.locked_reason) if now.locked else None
    if said is None or said.incident != v.record.incident or said.attempt <= entry.attempt:
        return None
    # What has failed, perhaps in an incident of last year, is not the record of this request.
    over = {m.migration_id for m in v.evacuations(entry.instance_id) if m.status in FAILED}
    return become(
        v,
        entry,
        InstanceState.REQUESTED,
        f"to {said.target}, as its lock tells: the journal has lost this request",
        baseline=tuple(sorted({*entry.baseline, *over})),
        attempt=said.attempt,
        target=said.target,
        ours=True,
        unlocked=False,
        pinned=False,
        requested_at=v.draft.now.at,
    )


def _open(v: View, entry: InstanceRecovery) -> list[Migration]:
    """Records of it that something may still work on; not those whose target is proven off (2.2 c)."""
    return [m for m in v.migrations if m.instance_id == entry.instance_id and m.is_open and not proven_off(v, m.target)]


def _is_busy(v: View, entry: InstanceRecovery, now: Instance) -> bool:
    """Is a task under way that may still move or change it? Tasks of its dead host (a reboot, a stop) never end: not busy."""
    task = now.task_state or ""
    if task.startswith("rebuild") and v.evacuations(entry.instance_id) and not _open(v, entry):
        return False  # the rebuild died with its target
    return task.startswith(BUSY_TASKS)


def _busy(v: View, entry: InstanceRecovery, reason: str) -> InstanceRecovery:
    if v.draft.waited(f"busy/{v.record.incident}/{entry.instance_id}", v.draft.policy.hard_deadline_s):
        return become(v, entry, InstanceState.STUCK, f"{reason}, but it never ends")
    return replace(entry, reason=reason)


def is_ready(v: View, entry: InstanceRecovery) -> bool:
    """May an evacuation be asked for: nothing is at it, by a complete read?"""
    now = v.servers.get(entry.instance_id)
    if now is None or _is_busy(v, entry, now):
        return False
    retry = f"retry/{v.record.incident}/{entry.instance_id}/{entry.attempt}"
    return not _open(v, entry) and (entry.attempt == 0 or entry.pinned or v.draft.waited(retry, v.draft.policy.retry_s))


def evacuate_action(record: HostRecovery, entry: InstanceRecovery) -> Action:
    return Action(
        record.host,
        ActionKind.EVACUATE,
        record.incident,
        entry.attempt,
        entry.instance_id,
        name=entry.name,
        target=entry.target,
        call=Call.STOPPED if entry.arrives_stopped else entry.call,
        reason=f"{MARKER} {record.incident}",
        lock=not entry.before.locked,
    )


def _fresh_records(v: View, entry: InstanceRecovery) -> tuple[Migration, ...]:
    return tuple(m for m in v.evacuations(entry.instance_id) if m.migration_id not in entry.baseline)


def _requested(v: View, entry: InstanceRecovery, now: Instance) -> InstanceRecovery:
    """Posted, or not: only Nova's own records tell."""
    records, action = _fresh_records(v, entry), evacuate_action(v.record, entry)
    if records:
        return become(v, entry, InstanceState.UNDERWAY, f"evacuation {records[-1].migration_id} to {entry.target} is {records[-1].status}")
    if now.host != v.record.host:
        return become(v, entry, InstanceState.MOVED, f"is on {now.host}", target=now.host)
    if action.action_id in v.draft.snapshot.in_flight:
        return entry
    refused = v.draft.certainly_not_done(action.action_id)
    if refused:
        return _not_posted(v, entry, refused.result, refused.detail)
    # S3: nobody knows whether it was posted. Only a complete read *begun* after every late arrival is excluded proves that
    # it was not; and even then the same target is asked, so that a later surprise meets the second one there.
    due_s = v.draft.since(f"settle/{action.action_id}") + v.draft.policy.repost_settle_s
    v.draft.wake(due_s)
    if v.draft.waited(f"requested/{action.action_id}", v.draft.policy.hard_deadline_s):
        text = f"nobody knows whether its request arrived (task {now.task_state}): look at it, then reset its state"
        return become(v, entry, InstanceState.STUCK, text)
    if min(v.servers_started_s, v.migrations_started_s) < due_s or now.task_state:
        return entry
    reason = f"no trace of the request after {v.draft.policy.repost_settle_s:.0f} s: asked again, of the same host"
    return become(v, entry, InstanceState.PENDING, reason, pinned=True)


def is_spent(v: View, entry: InstanceRecovery) -> bool:
    return entry.attempt - entry.tries_before >= v.draft.policy.evacuate_attempts


def _not_posted(v: View, entry: InstanceRecovery, result: Result, detail: str) -> InstanceRecovery:
    if result is Result.REFUSED and is_spent(v, entry):
        return become(v, entry, InstanceState.FAILED, f"Nova refuses it: {detail}")
    refused = result is Result.REFUSED
    avoid = (*entry.avoid, entry.target) if refused else entry.avoid
    forgiven = entry.tries_before + (0 if refused else 1)  # Nova never saw it
    text = f"not posted ({result}: {detail})"
    return become(v, entry, InstanceState.PENDING, text, pinned=False, target="", avoid=avoid, tries_before=forgiven)


def _underway(v: View, entry: InstanceRecovery, now: Instance) -> InstanceRecovery:
    records = _fresh_records(v, entry) or v.evacuations(entry.instance_id)
    newest = records[-1] if records else None
    still_open = any(m.is_open for m in records)
    # Nova's conductor takes the oldest accepted record: an older one may be the one that was done, and ours stay for ever.
    done_there = any(m.status in {"done", "completed"} and m.target == now.host for m in v.evacuations(entry.instance_id))
    if now.host != v.record.host and not now.task_state and (done_there or not still_open):
        return become(v, entry, InstanceState.MOVED, f"is on {now.host}", target=now.host)
    if newest and newest.status in FAILED and not still_open and not now.task_state:
        return _failed(v, entry, newest)
    target = (newest.target if newest else "") or entry.target
    if still_open and proven_off(v, target):
        # 2.2 (c): whatever was to run there cannot any more, so a second request cannot meet a first guest.
        return _elsewhere(v, entry, target)
    if newest and newest.status == "completed" and now.host == v.record.host and not now.task_state:
        return become(v, entry, InstanceState.STUCK, "its evacuation was ended by the return of its host: look at it, then start it there")
    if v.draft.waited(f"underway/{v.record.incident}/{entry.instance_id}/{entry.attempt}", v.draft.policy.hard_deadline_s):
        return become(
            v,
            entry,
            InstanceState.STUCK,
            f"Nova works on it since {v.draft.policy.hard_deadline_s:.0f} s; repeating is unsafe while {target or 'its target'} may run it",
        )
    return entry


def _elsewhere(v: View, entry: InstanceRecovery, target: str) -> InstanceRecovery:
    reason = f"its target {target} is dead: asked again elsewhere"
    return become(v, entry, InstanceState.PENDING, reason, target="", pinned=False, avoid=(*entry.avoid, target))


def proven_off(v: View, host: str) -> bool:
    """Not by a cut: a nova-compute that lives may still finish what it has begun, and tell Nova so."""
    record = v.draft.records.get(host)
    return record is not None and record.state in PROVEN_OFF and not by_storage(record)


def _failed(v: View, entry: InstanceRecovery, migration: Migration) -> InstanceRecovery:
    if collided(v, entry):
        where = " or ".join(sorted({m.target for m in _fresh_records(v, entry) if m.target}))
        text = f"a second request met the first and both failed: its guest may run on {where}; look there before anything is done with it"
        return become(v, entry, InstanceState.STUCK, text)
    where = migration.target or entry.target
    reason = f"evacuation {migration.migration_id} to {where or 'no host'} ended as {migration.status}"
    if is_spent(v, entry):
        return become(
            v, entry, InstanceState.FAILED, f"{reason}; {entry.attempt} attempts are spent: `hanode incident retry {v.record.host}`"
        )
    avoid = tuple(dict.fromkeys((*entry.avoid, *([where] if where else []))))
    return become(v, entry, InstanceState.PENDING, reason, target="", pinned=False, avoid=avoid)


def collided(v: View, entry: InstanceRecovery) -> bool:
    """Did more than one request of the same attempt arrive? The loser of two does not destroy the guest that it has started (2.2 XA),
    so that both have failed tells nothing, unless the hosts of all of them are proven off."""
    sent = [m for m in _fresh_records(v, entry) if m.target] if entry.attempt else []
    return len(sent) > 1 and not all(proven_off(v, m.target) for m in sent)


def _stuck(v: View, entry: InstanceRecovery, now: Instance) -> InstanceRecovery:
    records = v.evacuations(entry.instance_id)
    # Without a target it had arrived already, and only its state was wrong: no record says more than that.
    arrived = not entry.target or any(m.status in {"done", "completed"} and m.target == now.host for m in records)
    if arrived and now.host != v.record.host and not now.task_state:
        return _out_of_it(v, entry, now)  # by an older record, while the newer one stays accepted for ever (2.2 XB)
    dead = [m.target for m in records if m.is_open and proven_off(v, m.target)]
    if dead and not _open(v, entry) and now.host == v.record.host:
        return _elsewhere(v, entry, dead[-1])
    if any(m.is_open for m in records) or now.task_state or (now.vm_state == "error" and now.host != v.record.host):
        return entry
    if now.host != v.record.host:
        return _out_of_it(v, entry, now)
    fresh = _fresh_records(v, entry)
    if not fresh:
        return _reset(v, entry)
    if fresh[-1].status in FAILED and not collided(v, entry):
        return _failed(v, entry, fresh[-1]) if not is_spent(v, entry) else entry
    return entry


def _out_of_it(v: View, entry: InstanceRecovery, now: Instance) -> InstanceRecovery:
    if now.vm_state == "error" or (entry.target == now.host and entry.unlocked):
        return entry
    return become(v, entry, InstanceState.MOVED, f"is on {now.host} after all", target=now.host)


def _reset(v: View, entry: InstanceRecovery) -> InstanceRecovery:
    """At home, without a task or a record of ours: once that has settled, nothing of the lost request can come any more (S3 b)."""
    settle = f"reset/{v.record.incident}/{entry.instance_id}/{entry.attempt}"
    due_s = v.draft.since(settle) + v.draft.policy.repost_settle_s
    v.draft.wake(due_s)
    if min(v.servers_started_s, v.migrations_started_s) < due_s:
        return entry
    reason = "it was reset, and nothing of the lost request is left: asked again"
    return become(v, entry, InstanceState.PENDING, reason, pinned=bool(entry.target))


def _skipped(v: View, entry: InstanceRecovery, now: Instance) -> InstanceRecovery:
    if now.host != v.record.host:
        return become(v, entry, InstanceState.MOVED, f"somebody moved it to {now.host}", target=now.host)
    found = classify(now, v.draft.policy, v.skip_images)
    if found is not None and found[0] is InstanceState.PENDING:
        return become(v, entry, InstanceState.PENDING, f"is in vm_state {now.vm_state} now")
    return entry


def _moved(v: View, entry: InstanceRecovery, now: Instance) -> InstanceRecovery:
    """Put back what it was before the failure, step by step, each seen done before the next."""
    if now.vm_state == "error" and not now.task_state:
        return become(v, entry, InstanceState.STUCK, f"is on {now.host}, but in ERROR: see its fault, then reset its state", target="")
    wrong, deadline_s = wrong_power(v, entry, now), v.draft.policy.restore_deadline_s
    waits = start_waits_for(v, entry) if wrong is ActionKind.START else ""
    if waits:
        return replace(entry, reason=f"is on {now.host}, stopped: {waits}")
    if isinstance(wrong, ActionKind):
        v.draft.act(Action(v.record.host, wrong, v.record.incident, instance_id=entry.instance_id, name=entry.name), v.draft.policy.retry_s)
    elif not wrong and (entry.unlocked or not entry.ours):
        return become(v, entry, InstanceState.VERIFIED, f"is on {now.host} as before", unlocked=True)
    given_back = entry.unlocked or not entry.ours or v.draft.waited(f"locked/{v.record.incident}/{entry.instance_id}", 2 * deadline_s)
    if is_overdue(v, entry) and given_back:
        return become(v, entry, InstanceState.STUCK, f"is on {now.host}, but its state before the failure cannot be put back")
    return entry


RULES: Mapping[InstanceState, Callable[[View, InstanceRecovery, Instance], InstanceRecovery]] = {
    InstanceState.PENDING: _to_do,
    InstanceState.WAITING: _to_do,
    InstanceState.FAILED: _to_do,
    InstanceState.REQUESTED: _requested,
    InstanceState.UNDERWAY: _underway,
    InstanceState.MOVED: _moved,
    InstanceState.STUCK: _stuck,
    InstanceState.SKIPPED: _skipped,
}
