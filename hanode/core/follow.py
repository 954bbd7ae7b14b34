"""What does Nova show of an evacuation, and which step of its state is that? Reads only; nothing is posted here.

One function per state. Each answers with the entry as it is now; S3 lives in `_requested` and `_underway`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from hanode.core.accounts import classify
from hanode.core.decisions import Level
from hanode.core.draft import Draft
from hanode.core.lifecycle import ENDED, TO_DO, HostState, InstanceState, step_instance
from hanode.core.model import (
    Action,
    ActionKind,
    HostRecovery,
    Instance,
    InstanceRecovery,
    Migration,
    Result,
    WantKind,
)
from hanode.core.policy import MARKER

PROVEN_OFF = frozenset({HostState.FENCED, HostState.EVACUATING})
BUSY_TASKS = ("migrating", "resize", "rebuild", "spawning", "scheduling", "block_device_mapping", "networking", "shelving", "unshelving")
SLOW_S = 30.0
UNLOCK_WITHIN_S = 30.0
LEVELS = {InstanceState.STUCK: Level.ALARM, InstanceState.FAILED: Level.ALARM, InstanceState.WAITING: Level.WARNING}


@dataclass(frozen=True)
class View:
    """What this tick knows of the instances of one recovery."""

    draft: Draft
    record: HostRecovery
    servers: Mapping[str, Instance]
    servers_started_s: float
    migrations: tuple[Migration, ...]
    migrations_started_s: float
    skip_images: frozenset[str]

    def evacuations(self, instance_id: str) -> tuple[Migration, ...]:
        """The evacuation records of one instance away from this host, oldest first."""
        found = [m for m in self.migrations if m.instance_id == instance_id and m.kind == "evacuation" and m.source == self.record.host]
        return tuple(sorted(found, key=lambda m: (m.created_at, len(m.migration_id), m.migration_id)))


def view(draft: Draft, record: HostRecovery) -> View | None:
    """The facts about a recovery's instances; None while they are not known. Read often only while something is open."""
    busy = any(i.state not in ENDED and i.state is not InstanceState.WAITING for i in record.instances.values())
    every_s = draft.policy.follow_s if busy else 10.0
    servers = draft.reading(WantKind.SERVERS, record.host, every_s)
    migrations = draft.reading(WantKind.MIGRATIONS, record.host, every_s)
    skip_images = draft.skip_images(300.0)
    if servers is None or migrations is None or skip_images is None:
        return None
    by_id = {s.instance_id: s for s in cast("tuple[Instance, ...]", servers.value)}
    found = cast("tuple[Migration, ...]", migrations.value)
    return View(draft, record, by_id, servers.started_s, found, migrations.started_s, skip_images)


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


@dataclass(frozen=True)
class Gone:
    """Nova does not know the instance any more."""


def current(v: View, entry: InstanceRecovery, every_s: float) -> Instance | Gone | None:
    """The instance as Nova shows it now, wherever it is; None while that is not known."""
    here = v.servers.get(entry.instance_id)
    if here is not None:
        return here
    reading = v.draft.reading(WantKind.INSTANCE, entry.instance_id, every_s)
    if reading is None or reading.started_s < v.servers_started_s - every_s:
        return None  # older than the list in which it is missing
    return Gone() if reading.value is None else cast(Instance, reading.value)


def follow(v: View, entry: InstanceRecovery) -> InstanceRecovery:
    """The entry after what Nova shows now."""
    if entry.state in {InstanceState.VERIFIED, InstanceState.RETURNED, InstanceState.GONE}:
        return entry if entry.unlocked or not entry.ours else tidy(v, entry, current(v, entry, SLOW_S))
    slow = entry.state in ENDED or entry.state is InstanceState.WAITING
    now = current(v, entry, SLOW_S if slow else v.draft.policy.follow_s)
    if isinstance(now, Gone):
        return become(v, entry, InstanceState.GONE, "its owner deleted it", unlocked=True)
    if now is None:
        v.draft.keep_waits(entry.instance_id)
        return entry
    return RULES[entry.state](v, tidy(v, entry, now), now)


def _to_do(v: View, entry: InstanceRecovery, now: Instance) -> InstanceRecovery:
    """PENDING, WAITING and FAILED: is it still ours to restart?"""
    if now.host != v.record.host:
        return become(v, entry, InstanceState.MOVED, f"is on {now.host}", target=now.host)
    theirs = [m for m in _open(v, entry) if m.kind == "evacuation"]
    if theirs:
        # Not ours, or one that we lost sight of: followed, never repeated.
        return become(
            v, entry, InstanceState.UNDERWAY, f"evacuation {theirs[-1].migration_id} is running", target=theirs[-1].target or entry.target
        )
    if entry.state is InstanceState.FAILED:
        return entry
    found = classify(now, v.draft.policy, v.skip_images)
    if found is None or found[0] in {InstanceState.SKIPPED, InstanceState.GONE}:
        state, reason = found or (InstanceState.SKIPPED, f"is in vm_state {now.vm_state} now")
        return become(v, entry, state, reason)
    if _is_busy(v, entry, now):
        return _busy(v, entry, f"Nova is at it (task {now.task_state}): waits for its end")
    return entry


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
        call=entry.call,
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
    if newest and newest.status in {"failed", "error"} and not still_open and not now.task_state:
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
    record = v.draft.records.get(host)
    return record is not None and record.state in PROVEN_OFF


def _failed(v: View, entry: InstanceRecovery, migration: Migration) -> InstanceRecovery:
    where = migration.target or entry.target
    reason = f"evacuation {migration.migration_id} to {where or 'no host'} ended as {migration.status}"
    if is_spent(v, entry):
        return become(
            v, entry, InstanceState.FAILED, f"{reason}; {entry.attempt} attempts are spent: `hanode incident retry {v.record.host}`"
        )
    avoid = tuple(dict.fromkeys((*entry.avoid, *([where] if where else []))))
    return become(v, entry, InstanceState.PENDING, reason, target="", pinned=False, avoid=avoid)


def _stuck(v: View, entry: InstanceRecovery, now: Instance) -> InstanceRecovery:
    records = v.evacuations(entry.instance_id)
    dead = [m.target for m in records if m.is_open and proven_off(v, m.target)]
    if dead and not _open(v, entry) and now.host == v.record.host:
        return _elsewhere(v, entry, dead[-1])
    if any(m.is_open for m in records) or now.task_state or (now.vm_state == "error" and now.host != v.record.host):
        return entry
    if now.host != v.record.host and not (entry.target == now.host and entry.unlocked):
        return become(v, entry, InstanceState.MOVED, f"is on {now.host} after all", target=now.host)
    fresh = _fresh_records(v, entry)
    if now.host == v.record.host and fresh and fresh[-1].status in {"failed", "error"}:
        return _failed(v, entry, fresh[-1]) if not is_spent(v, entry) else entry
    return entry


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
    wrong = _wrong_power(v, entry, now)
    if isinstance(wrong, ActionKind):
        v.draft.act(Action(v.record.host, wrong, v.record.incident, instance_id=entry.instance_id, name=entry.name), v.draft.policy.retry_s)
    elif not wrong and (entry.unlocked or not entry.ours):
        return become(v, entry, InstanceState.VERIFIED, f"is on {now.host} as before", unlocked=True)
    if v.draft.waited(f"restore/{v.record.incident}/{entry.instance_id}", v.draft.policy.restore_deadline_s):
        return become(v, entry, InstanceState.STUCK, f"is on {now.host}, but its state before the failure cannot be put back")
    return entry


def ran(entry: InstanceRecovery) -> bool:
    """Did it run before its host failed?"""
    # libvirt pauses a guest whose disk fails; Nova then shows an active server with another power state.
    was = entry.before
    return was.power_state == "running" or (was.vm_state == "active" and was.power_state != "shutdown")


def _wrong_power(v: View, entry: InstanceRecovery, now: Instance) -> ActionKind | bool:
    """What puts its power state right; True: not known yet; False: it is as before."""
    if now.task_state:
        return True
    if ran(entry) and now.vm_state == "stopped":
        by_owner = v.draft.stopped_by_owner(entry.instance_id, v.record.last_beat_at, 5.0)
        if by_owner is None:
            return True
        return False if by_owner else ActionKind.START
    was_off = entry.before.power_state == "shutdown" or entry.before.vm_state == "stopped"
    if was_off and now.vm_state == "active" and now.power_state == "running":
        # Nova powers an ERROR instance on when it evacuates it, whatever it was before.
        return ActionKind.STOP
    return False


def tidy(v: View, entry: InstanceRecovery, now: Instance | Gone | None) -> InstanceRecovery:
    """Take our lock off an instance on which nothing of ours is open; a user's own lock stays."""
    settled = entry.state in ENDED or entry.state is InstanceState.MOVED
    if not settled or entry.unlocked or not isinstance(now, Instance):
        return replace(entry, unlocked=True) if isinstance(now, Gone) else entry
    if entry.state is not InstanceState.MOVED and v.servers_started_s < v.draft.since(f"tidy/{v.record.incident}/{entry.instance_id}"):
        return entry  # this list may be older than our lock
    if not (now.locked and now.locked_reason.startswith(MARKER)) or entry.before.locked:
        return replace(entry, unlocked=True)
    # By attempt: an unlock after an earlier attempt says nothing of the lock of this one.
    action = Action(v.record.host, ActionKind.UNLOCK, v.record.incident, entry.attempt, entry.instance_id, entry.name)
    outcome = v.draft.outcome(action.action_id)
    if outcome is not None and outcome.result is Result.DONE:
        return replace(entry, unlocked=True)  # Nova has written it before it answered
    if not _others_first(v, entry):
        v.draft.act(action, v.draft.policy.retry_s)
    return entry


def _others_first(v: View, entry: InstanceRecovery) -> bool:
    """While instances wait to be posted, an unlock only delays them; for a short while it can wait."""
    to_post = any(i.state in TO_DO or i.state is InstanceState.REQUESTED for i in v.record.instances.values())
    return to_post and not v.draft.waited(f"unlock/{v.record.incident}/{entry.instance_id}", UNLOCK_WITHIN_S)


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
