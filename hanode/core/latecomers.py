"""Does an attempt that comes too late undo what was verified? Nova lets it mark a guest ERROR that runs well elsewhere.

A message that lay in a sick target's queue is consumed whenever that moves again (casts have no time to live). It loses the
race, and `compute/manager.py _error_out_instance_on_exception` writes ERROR over the row of the winner.
"""

from __future__ import annotations

from hanode.core.facts import Instance
from hanode.core.follow import SLOW_S, become
from hanode.core.lifecycle import InstanceState
from hanode.core.records import InstanceRecovery
from hanode.core.view import View, current


def look_back(v: View, entry: InstanceRecovery) -> InstanceRecovery:
    """A VERIFIED instance that has another attempt without success is looked at again, until the hard deadline."""
    if entry.state is not InstanceState.VERIFIED:
        return entry
    rivals = [m for m in v.evacuations(entry.instance_id) if m.status not in {"done", "completed"}]
    watch = f"latecomer/{v.record.incident}/{entry.instance_id}"
    if not rivals or v.draft.waited(watch, v.draft.policy.hard_deadline_s):
        return entry
    now = current(v, entry, SLOW_S)
    if not isinstance(now, Instance) or now.vm_state != "error" or now.host == v.record.host:
        return entry
    # The loser's task stays for ever as well (ERROR, rebuilding); whoever is really at it has ended by the next look.
    if now.task_state and not v.draft.waited(f"marked/{v.record.incident}/{entry.instance_id}", SLOW_S):
        return entry
    # Without a target it becomes MOVED again as soon as Nova calls it anything but ERROR.
    return become(v, entry, InstanceState.STUCK, _advice(now), target="")


def _advice(now: Instance) -> str:
    marked = f"runs on {now.host}, but an attempt that came too late has marked it ERROR"
    if now.power_state == "running":
        return f"{marked}: `openstack server set --state active {now.instance_id}` puts that right, its guest is not touched"
    return f"is in ERROR on {now.host} (power state {now.power_state}), and an attempt that came too late may be why: see its fault"
