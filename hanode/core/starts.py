"""All disks first, then every start in its turn (`stopped_first`): who is asked for like that, and whose turn is it?

From 2.95 on Nova leaves what it has evacuated stopped, unless it was in ERROR. What is started is what ran before, as after any
failure (`restore.py`); here is only what it waits for. Each wait has an end: whoever never serves, or hangs on its way, keeps nobody down.
"""

from __future__ import annotations

from hanode.core.model import Call
from hanode.core.order import rank
from hanode.core.records import InstanceRecovery
from hanode.core.room import Ask
from hanode.core.storage import Survives, survival
from hanode.core.view import View


def arrives_stopped(ask: Ask) -> bool:
    """Is it to be evacuated to be started later? Only at its first try: should Nova refuse this call, the next one is as ever.

    On a share the one call by which Nova refuses instead of rebuilding (S6) is older than this, and starts it at once.
    """
    entry, now = ask.record, ask.instance
    ran_well = now.vm_state == "active" and entry.before.power_state == "running"
    if not ask.policy.stopped_first or entry.attempt or entry.is_doubted or not ran_well:
        return False
    found = survival(now, ask.domain, ask.domain)
    return isinstance(found, Survives) and found.call is Call.SCHEDULED


def start_waits_for(v: View, entry: InstanceRecovery) -> str:
    """Why one that has arrived stopped is not started yet; "" when it is its turn."""
    if not entry.is_to_start:
        return ""
    draft, policy, name = v.draft, v.draft.policy, f"{v.record.incident}/{entry.instance_id}"
    if v.disks_move and not draft.waited(f"disks/{name}", policy.after_wait_s):
        return "the disks of others are moved first"
    awaited = v.line.awaited(entry)
    if awaited and not draft.waited(f"after/{name}", policy.after_wait_s):
        return f"starts after {awaited[0].name}"
    if rank(entry) > v.line.starting and not draft.waited(f"turn/{name}", policy.after_wait_s):
        return "those of a higher priority are started first"
    if v.line.is_early(entry) and policy.tier_wait_s and not draft.waited(f"tier/{name}", policy.tier_wait_s):
        return "those of a higher priority come first"
    return ""
