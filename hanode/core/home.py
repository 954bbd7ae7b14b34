"""The host is back: what runs at home again, and when is it taken back into service (S7)?"""

from __future__ import annotations

from dataclasses import replace

from hanode.core.accounts import RUNNABLE, account
from hanode.core.cutting import lift
from hanode.core.decisions import Level, Verdict
from hanode.core.draft import Draft, verdict_of
from hanode.core.evacuate import watch_instances
from hanode.core.facts import Instance, Power
from hanode.core.failback import offer
from hanode.core.fence import new_round
from hanode.core.flapping import why_not_by_itself
from hanode.core.follow import become
from hanode.core.judge import Evidence
from hanode.core.latecomers import is_settled, undone
from hanode.core.lifecycle import TO_DO, HostState, InstanceState
from hanode.core.model import Action, ActionKind
from hanode.core.offs import power_on_action
from hanode.core.once import once_with
from hanode.core.policy import MARKER, Policy
from hanode.core.records import HostRecovery, InstanceRecovery
from hanode.core.restore import ran
from hanode.core.signals import listed
from hanode.core.view import View, view

AT_HOME = frozenset({InstanceState.PENDING, InstanceState.WAITING, InstanceState.SKIPPED, InstanceState.FAILED, InstanceState.STUCK})

AT_STAKE = TO_DO | {InstanceState.RETURNED}
"""Also who runs at home again: should the host die together with its leader, the next one never hears it beat."""


def back_from_suspicion(draft: Draft, record: HostRecovery) -> None:
    """SUSPECT and healthy again: a blip, or a reboot by itself after which Nova leaves its guests off.

    Right after a reboot Nova still shows the guests as before; so the host is watched for a while before it is believed.
    """
    seen = _seen_since(draft, record, f"back/{record.incident}", 3.0)
    if seen is None:
        return
    instances = {key: _renewed(seen, _bring_home(seen, entry)) for key, entry in record.instances.items()}
    record = draft.save(replace(record, instances=instances))
    watched = draft.waited(f"back/{record.incident}", draft.policy.home_watch_s)
    off = {key for key, i in instances.items() if _wants_home(seen, i)}
    if not watched or (off and not draft.waited(f"back/{record.incident}", draft.policy.home_watch_s + draft.policy.restore_deadline_s)):
        return
    if off:
        instances = {key: _left_over(seen, i) if key in off else i for key, i in instances.items()}
        record = draft.save(replace(record, instances=instances))
    if record.cause:
        draft.close(record, record.reason)  # it was more than a suspicion: history keeps it
    elif record.agent_restarted:
        draft.close(record, "its nova-compute was silent, was started again, and reports")
    elif any(i.ours for i in instances.values()):
        draft.close(record, "was away and is back; its guests were started again")
    else:
        draft.forget(record)


def _renewed(seen: View, entry: InstanceRecovery) -> InstanceRecovery:
    """The host speaks, so its owner may have changed an instance meanwhile: were it to fail now, that is what is to be put back."""
    now = seen.servers.get(entry.instance_id)
    if now is None or now.task_state or now.vm_state == "error" or entry.ours:
        return entry
    is_off = ran(entry) and now.vm_state in {"active", "stopped"} and now.power_state != "running"
    if is_off and seen.draft.stopped_by_owner(entry.instance_id, seen.record.last_beat_at, 10.0) is not True:
        return entry  # off after its host's own reboot, and to be started
    return _as_it_is(entry, now, seen.draft.policy, seen.skip_images)


@once_with
def _as_it_is(entry: InstanceRecovery, now: Instance, policy: Policy, skip_images: frozenset[str]) -> InstanceRecovery:
    return account(now, entry.domain, {entry.instance_id: entry.resources}, policy, skip_images) or entry


def _seen_since(draft: Draft, record: HostRecovery, wait: str, every_s: float) -> View | None:
    """The instances by a list begun after the host was back."""
    begun_s = draft.since(wait)
    draft.servers(record.host, every_s)
    seen = view(draft, record)
    return seen if seen is not None and seen.servers_started_s >= begun_s else None


def _off_at_home(entry: InstanceRecovery, now: Instance) -> bool:
    return ran(entry) and now.vm_state == "stopped"  # a start that is under way may fail


def _wants_home(seen: View, entry: InstanceRecovery) -> bool:
    """Would it have to be started here, as far as is known?"""
    now = seen.servers.get(entry.instance_id)
    if now is None or entry.state not in AT_HOME or not _off_at_home(entry, now):
        return False
    return seen.draft.stopped_by_owner(entry.instance_id, seen.record.last_beat_at, 10.0) is not True


def _bring_home(seen: View, entry: InstanceRecovery) -> InstanceRecovery:
    """Start what ran before, is still here, is off now, and was not stopped by its owner since."""
    now, draft = seen.servers.get(entry.instance_id), seen.draft
    if now is None or entry.state not in AT_HOME:
        return entry
    if _off_at_home(entry, now):
        by_owner = draft.stopped_by_owner(entry.instance_id, seen.record.last_beat_at, 10.0)
        if by_owner and seen.record.state is HostState.RELEASING:
            return become(seen, entry, InstanceState.RETURNED, "is at home; its owner has stopped it since")
        if by_owner is False:
            action = Action(seen.record.host, ActionKind.START, seen.record.incident, instance_id=entry.instance_id, name=entry.name)
            if not now.task_state:
                draft.act(action, draft.policy.retry_s)
            text = f"{entry.name} ran before its host failed: started again"
            draft.note_once(Level.INFO, "start", seen.record.host, text, seen.record.incident, entry.instance_id)
            return replace(entry, ours=True)
        return entry
    at_home = not now.task_state and now.vm_state in RUNNABLE and now.vm_state != "error"
    known = entry.ours if seen.record.state is HostState.SUSPECT else not _is_watched(seen, entry)
    if at_home and known and (now.power_state == "running" or not ran(entry)):
        return become(seen, entry, InstanceState.RETURNED, "is at home again as before")
    return entry


def _is_watched(seen: View, entry: InstanceRecovery) -> bool:
    """Right after a boot Nova shows the guests as they were before it: what ran here is believed only after a while."""
    here = entry.state in AT_HOME and ran(entry) and entry.instance_id in seen.servers
    return here and not seen.draft.waited(f"home/{seen.record.incident}", seen.draft.policy.home_watch_s)


def releasing(draft: Draft, record: HostRecovery, e: Evidence) -> None:
    if _failed_again(draft, record, e):
        draft.note(Level.ALARM, "failed", record.host, f"failed again before it was released: {e.silent_s:.0f} s silent", record.incident)
        draft.save(
            replace(
                record,
                state=HostState.FENCING,
                reason="failed again before it was released",
                proof=None,
                release_asked=False,
                approved=False,
                **new_round(record),
            )
        )
        return
    record = watch_instances(draft, record, e)
    if not e.beats:
        trace = draft.power(record.host, 10.0)
        draft.waits_for[record.host] = "its service does not report"
        draft.note_once(Level.INFO, "release-waits", record.host, "not taken back yet: its service does not report", record.incident)
        if record.powered_on and (trace is None or trace.value != Power.ON):
            draft.act(power_on_action(record), 60.0)
        return
    waits_for = _blocked(draft, record)
    if waits_for:
        draft.note_once(Level.INFO, "release-waits", record.host, f"not taken back yet: {waits_for}", record.incident)
    draft.waits_for[record.host] = waits_for or _take_back(draft, record, e)


def _failed_again(draft: Draft, record: HostRecovery, e: Evidence) -> bool:
    """A host that was just switched on is given time to boot: it is silent, but not failed again."""
    begun_s = draft.since(f"releasing/{record.incident}")
    booted = draft.beats_since(record.host, begun_s) > 0
    at_stake = any(i.state in AT_STAKE for i in record.instances.values())
    overdue = at_stake and draft.waited(f"releasing/{record.incident}", draft.policy.boot_s)
    # A host that we have just asked to switch on reads off until it does; and readings older than its return tell of what was before.
    off_since = e.reads_off and e.power is not None and e.power.last_s >= begun_s
    believable = booted or overdue or (at_stake and off_since and not record.powered_on)
    return verdict_of(draft, record.host) is Verdict.FAILED and believable and not draft.held(record.host, e.named)


def _blocked(draft: Draft, record: HostRecovery) -> str | None:
    """Why it may not be released yet; None when every condition of S7 is seen to hold."""
    # Its nova-compute ends the records before it reports: an older list shows what is true no more.
    migrations = draft.migrations(record.host, 3.0, draft.since(f"reports/{record.incident}"))
    if record.is_open:
        return "evacuations from it are in flight"
    if migrations is None:
        return "its evacuation records are being read"
    blocking = sorted(m.migration_id for m in migrations if m.blocks_release)
    if blocking:
        # Only a restart of nova-compute ends them; until then its next start would destroy guests that came home.
        return f"evacuation records {', '.join(blocking[:5])} are unfinished: nova-compute on it must be restarted"
    return None if record.release_asked else _not_by_itself(draft, record)


def _not_by_itself(draft: Draft, record: HostRecovery) -> str | None:
    """Why it is not taken back without an operator's word. Asked only while its service reports, so the wait is of fresh heartbeats."""
    if draft.policy.release != "auto":
        return f"waits for your word, type `hanode host release {record.host}`"
    flaps = why_not_by_itself(draft, record.host)
    if flaps:
        draft.note_once(Level.ALARM, "flapping", record.host, f"is not taken back by itself: {flaps}", record.incident)
        return flaps
    # Who found no room elsewhere is not kept waiting: it is started here; only the host's return to service waits.
    waited_for = any(i.state in TO_DO for i in record.instances.values())
    return None if _is_healthy(draft, record) or waited_for else f"it must report for {draft.policy.healthy_s:.0f} s first (healthy_s)"


def _is_healthy(draft: Draft, record: HostRecovery) -> bool:
    return draft.waited(f"healthy/{record.incident}", draft.policy.healthy_s) or record.release_asked


def _take_back(draft: Draft, record: HostRecovery, e: Evidence) -> str:
    """One step on; for what the next one waits, "" when it is back in service."""
    service = e.host.service
    # S7 holds, so its nova-compute was started anew and has destroyed whom Nova restarted elsewhere; never earlier.
    waits = lift(draft, record, "its evacuation records are finished")
    if waits:
        return waits
    record = draft.records[record.host]
    if service.forced_down:
        draft.act(Action(record.host, ActionKind.CLEAR_FORCE_DOWN, record.incident, service_id=service.service_id), draft.policy.retry_s)
        return "Nova is told that it is not down any more"
    seen = _seen_since(draft, record, f"home/{record.incident}", 3.0)
    if service.state != "up" or seen is None:
        return "Nova does not call it up yet, or its servers are being read"
    instances = {key: undone(seen, _bring_home(seen, entry)) for key, entry in record.instances.items()}
    record = draft.save(replace(record, instances=instances))
    if any(_wants_home(seen, i) for i in instances.values()) and not draft.waited(
        f"home/{record.incident}", draft.policy.restore_deadline_s
    ):
        return "instances that ran on it are being started"
    unsettled = [i.name for i in instances.values() if i.state is InstanceState.MOVED or _is_watched(seen, i) or not is_settled(seen, i)]
    if unsettled:
        names = listed(sorted(unsettled)[:3])
        return f"{names}: not settled yet, or watched for a while, because right after a boot Nova shows guests as before it"
    if not _is_healthy(draft, record):
        return f"it must report for {draft.policy.healthy_s:.0f} s first (healthy_s)"
    if service.status == "disabled" and service.disabled_reason.startswith(MARKER):
        draft.act(Action(record.host, ActionKind.ENABLE, record.incident, service_id=service.service_id), draft.policy.retry_s)
        return "it is being enabled"
    left = {key: _left_over(seen, entry) for key, entry in instances.items()}
    record = draft.save(replace(record, instances=left))
    locked = any(i.ours and not i.unlocked and not i.before.locked for i in left.values())
    if locked and not draft.waited(f"locked/{record.incident}", draft.policy.restore_deadline_s):
        return "our lock is being taken off its instances"
    if locked:
        names = ", ".join(sorted(i.name for i in left.values() if i.ours and not i.unlocked and not i.before.locked))
        text = f"our lock could not be taken off {names}: `openstack server unlock` does it"
        draft.note(Level.ALARM, "still-locked", record.host, text, record.incident)
    draft.note(Level.WARNING, "released", record.host, "is back in service", record.incident)
    offer(draft, record)
    draft.close(record, "released")
    return ""


def _left_over(seen: View, entry: InstanceRecovery) -> InstanceRecovery:
    """S8: nobody is forgotten when the record ends, and what is advised then can still be followed."""
    now = seen.servers.get(entry.instance_id)
    broken = now is not None and (now.vm_state == "error" or _half_rebuilt(now)) and entry.state in AT_HOME
    reason = f"is at home {_what_helps(now)}" if now else "is not shown by Nova: an operator must look"
    if entry.state in TO_DO:
        return become(seen, entry, InstanceState.STUCK, reason)
    if broken and entry.reason != reason:
        text = f"{entry.name} {entry.state}: {reason}"
        seen.draft.note(Level.ALARM, "instance-left", seen.record.host, text, seen.record.incident, entry.instance_id)
        return replace(entry, reason=reason)
    return entry


def _half_rebuilt(now: Instance) -> bool:
    """Nova never ends the task of a rebuild whose target died in the middle of it, and refuses to start the instance meanwhile."""
    return (now.task_state or "").startswith("rebuild")


def _what_helps(now: Instance) -> str:
    """In words, with the commands to type."""
    start = f"`openstack server reboot --hard {now.instance_id}` starts it"
    if _half_rebuilt(now):
        reset = f"`openstack server set --state active {now.instance_id}`"
        return f"with the task {now.task_state}, which nobody ends: see that it runs nowhere else, then {reset}, and {start}"
    return f"in vm_state {now.vm_state}: {start if now.vm_state == 'error' else 'an operator must look'}"
