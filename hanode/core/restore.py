"""What is still to be put back of an instance that has moved: its power state, and the lock that we took?"""

from __future__ import annotations

from dataclasses import replace

from hanode.core.facts import Instance
from hanode.core.lifecycle import ENDED, TO_DO, InstanceState
from hanode.core.model import Action, ActionKind, Result
from hanode.core.policy import MARKER
from hanode.core.records import InstanceRecovery
from hanode.core.starts import start_waits_for
from hanode.core.view import Gone, View

UNLOCK_WITHIN_S = 10.0


def ran(entry: InstanceRecovery) -> bool:
    """Did it run before its host failed?"""
    # libvirt pauses a guest whose disk fails; Nova then shows an active server with another power state.
    was = entry.before
    return was.power_state == "running" or (was.vm_state == "active" and was.power_state != "shutdown")


def wrong_power(v: View, entry: InstanceRecovery, now: Instance) -> ActionKind | bool:
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
        # Nova powers an ERROR instance on when it evacuates it, whatever it was before. Once our lock is off its owner may have,
        # unless we have seen it run before that.
        ran_locked = f"switched-on/{v.record.incident}/{entry.instance_id}"
        if now.locked or v.draft.peek(ran_locked) is not None:
            v.draft.since(ran_locked)
            return ActionKind.STOP
    return False


def is_overdue(v: View, entry: InstanceRecovery) -> bool:
    if entry.is_to_start and start_waits_for(v, entry):
        return False  # its time runs from when its turn has come
    return v.draft.waited(f"restore/{v.record.incident}/{entry.instance_id}", v.draft.policy.restore_deadline_s)


def tidy(v: View, entry: InstanceRecovery, now: Instance | Gone | None) -> InstanceRecovery:
    """Take our lock off an instance on which nothing of ours is open; a user's own lock stays."""
    settled = entry.state in ENDED or entry.state is InstanceState.MOVED
    if not settled or entry.unlocked or not isinstance(now, Instance):
        return replace(entry, unlocked=True) if isinstance(now, Gone) else entry
    if entry.state is not InstanceState.MOVED and v.servers_started_s < v.draft.since(f"tidy/{v.record.incident}/{entry.instance_id}"):
        return entry  # this list may be older than our lock
    if not (now.locked and now.locked_reason.startswith(MARKER)) or entry.before.locked:
        return replace(entry, unlocked=True)
    if entry.state is InstanceState.MOVED and wrong_power(v, entry, now) is not False and not is_overdue(v, entry):
        return entry  # until then the lock tells that nobody but we and Nova can have switched it
    # By attempt: an unlock after an earlier attempt says nothing of the lock of this one.
    action = Action(v.record.host, ActionKind.UNLOCK, v.record.incident, entry.attempt, entry.instance_id, entry.name)
    outcome = v.draft.outcome(action.action_id)
    if outcome is not None and outcome.result is Result.DONE:
        return replace(entry, unlocked=True)  # Nova has written it before it answered
    if not _others_first(v, entry):
        v.draft.act(action, v.draft.policy.retry_s)
    return entry


def _others_first(v: View, entry: InstanceRecovery) -> bool:
    """While instances are still to come back, an unlock only delays them; for a short while it can wait."""
    coming = {*TO_DO, InstanceState.REQUESTED, InstanceState.UNDERWAY}
    some_come = any(i.state in coming for i in v.record.instances.values())
    return some_come and not v.draft.waited(f"unlock/{v.record.incident}/{entry.instance_id}", UNLOCK_WITHIN_S)
