"""Does an attempt that comes too late undo what was verified? Nova lets it mark a guest ERROR that runs well elsewhere.

A message that lay in a sick target's queue is consumed whenever that moves again (casts have no time to live). It loses the
race, and `compute/manager.py _error_out_instance_on_exception` writes ERROR over the row of the winner.
"""

from __future__ import annotations

from hanode.core.facts import Instance
from hanode.core.follow import SLOW_S, become
from hanode.core.lifecycle import InstanceState
from hanode.core.model import WantKind
from hanode.core.records import InstanceRecovery
from hanode.core.view import View, current


def look_back(v: View, entry: InstanceRecovery) -> InstanceRecovery:
    """A VERIFIED instance that was asked for more than once is looked at again, until the hard deadline."""
    watch = f"latecomer/{v.record.incident}/{entry.instance_id}"
    if not _is_contested(v, entry) or v.draft.waited(watch, v.draft.policy.hard_deadline_s):
        return entry
    return undone(v, entry)


def undone(v: View, entry: InstanceRecovery) -> InstanceRecovery:
    """STUCK, if a contested instance is seen to be marked ERROR at its new home."""
    if not _is_contested(v, entry):
        return entry
    now = current(v, entry, SLOW_S)
    if not isinstance(now, Instance) or not _is_marked(v, now):
        return entry
    # The loser's task stays for ever as well (ERROR, rebuilding); whoever is really at it has ended by the next look.
    if now.task_state and not v.draft.waited(f"marked/{v.record.incident}/{entry.instance_id}", SLOW_S):
        return entry
    # Without a target it becomes MOVED again as soon as Nova calls it anything but ERROR.
    return become(v, entry, InstanceState.STUCK, _advice(now), target="")


def is_settled(v: View, entry: InstanceRecovery) -> bool:
    """Was it looked at after all its attempts had ended? A record ends a moment before the instance is marked."""
    if not _is_contested(v, entry):
        return True
    if any(m.is_open for m in v.evacuations(entry.instance_id)):
        return False
    due_s = v.draft.since(f"ended/{v.record.incident}/{entry.instance_id}") + SLOW_S
    now = current(v, entry, SLOW_S)
    reading = v.draft.reading(WantKind.INSTANCE, entry.instance_id, SLOW_S)
    marked = isinstance(now, Instance) and _is_marked(v, now)  # `undone` waits a little before it says so
    return reading is not None and reading.started_s >= due_s and now is not None and not marked


def _is_marked(v: View, now: Instance) -> bool:
    return now.vm_state == "error" and now.host != v.record.host


def _is_contested(v: View, entry: InstanceRecovery) -> bool:
    """May another attempt be on its way? What the records say of each is no proof: a second request takes over the record of the
    first (nova conductor/manager.py `rebuild_instance` takes the oldest that is accepted), and the first may still be consumed."""
    if entry.state is not InstanceState.VERIFIED:
        return False
    return entry.attempt > 1 or any(m.status not in {"done", "completed"} for m in v.evacuations(entry.instance_id))


def _advice(now: Instance) -> str:
    marked = f"runs on {now.host}, but an attempt that came too late has marked it ERROR"
    if now.power_state == "running":
        return f"{marked}: `openstack server set --state active {now.instance_id}` puts that right, its guest is not touched"
    return f"is in ERROR on {now.host} (power state {now.power_state}), and an attempt that came too late may be why: see its fault"
