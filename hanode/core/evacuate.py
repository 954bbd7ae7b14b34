"""EVACUATING: does its source stay dead, what became of each instance, and what is told at the end? Posting is `posting.py`'s."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hanode.core import locks
from hanode.core.contradiction import signs_of_life
from hanode.core.decisions import Level
from hanode.core.draft import Draft
from hanode.core.facts import Host
from hanode.core.fence import PERSONS_DOUBT, fence_again, mark, power_takes_over
from hanode.core.fence import read_table as reread
from hanode.core.flapping import why_not_by_itself
from hanode.core.follow import SLOW_S, follow
from hanode.core.judge import Evidence
from hanode.core.latecomers import look_back
from hanode.core.lifecycle import ENDED, TO_DO, DrillState, HostState, InstanceState
from hanode.core.model import Action, ActionKind, WantKind
from hanode.core.offs import power_on_action
from hanode.core.policy import MARKER
from hanode.core.records import Before, HostRecovery, InstanceRecovery, ProofKind
from hanode.core.stores import by_storage
from hanode.core.view import View, view


def evacuating(draft: Draft, record: HostRecovery, e: Evidence) -> None:
    record = power_takes_over(draft, record, e)
    sign = signs_of_life(draft, record, e) or _reports_while_cut(draft, record)
    if sign and record.is_open:
        fence_again(draft, record, sign)
        return
    if sign:
        by_person = record.proof is not None and record.proof.kind is ProofKind.PERSON
        level, more = (Level.ALARM, PERSONS_DOUBT) if by_person else (Level.WARNING, "")
        draft.note(level, "back", record.host, f"is back ({sign}) and nothing from it is in flight{more}", record.incident)
        draft.save(replace(record, state=HostState.RELEASING, reason=f"is back: {sign}"))
        return
    if e.host.service.state is not None:  # a cell that does not answer shows nothing of what we have told it
        tell_again(draft, record, e.host)
    record = watch_instances(draft, record, e)
    if _is_switched_on(draft, record):
        return
    _look_at_the_source(draft, _tell_the_end(draft, record))


def _reports_while_cut(draft: Draft, record: HostRecovery) -> str | None:
    """A host that was cut off alive is back as soon as nobody is left who could be restarted elsewhere for its sake."""
    pending = any(entry.state is InstanceState.PENDING for entry in record.instances.values()) and not record.release_asked
    if not by_storage(record) or record.is_open or pending:
        return None
    beats = draft.beats_since(record.host, draft.since(f"proof/{record.incident}"))
    return "its service reports, cut off from its disks" if beats >= 2 else None


def _tell_the_end(draft: Draft, record: HostRecovery) -> HostRecovery:
    """Once nothing is left to do elsewhere: how it ended, and what is to be done with the host."""
    states = Counter(entry.state for entry in record.instances.values())
    if not states or any(state not in ENDED for state in states):
        return record
    counted = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    then = "" if draft.policy.release == "auto" else f" and type `hanode host release {record.host}`"
    again = "start it anew (or its nova-compute, which ends the guests that may still run there without their disks)"
    on = again if by_storage(record) else "switch it on"
    text = f"its instances are accounted for ({counted}); when it is repaired, {on}{then}"
    draft.note_once(Level.WARNING, "accounted", record.host, text, record.incident)
    return draft.save(replace(record, reason=text))


MAY_COME_BACK = ENDED - {InstanceState.STUCK}
"""A STUCK instance may still have an open record: a restart of its source would act on that (S7)."""


def _is_switched_on(draft: Draft, record: HostRecovery) -> bool:
    """By policy, once nothing is left to do elsewhere: from here on nothing is posted from it any more."""
    drill = draft.roster.drills.get(record.host)
    # Who ends a drill waits for nobody to find room elsewhere: its canaries are started at home.
    may_come_back = MAY_COME_BACK | TO_DO if drill and drill.state is DrillState.ENDING else MAY_COME_BACK
    ended = all(entry.state in may_come_back for entry in record.instances.values())
    by_device = record.proof is not None and record.proof.kind is ProofKind.DEVICE
    if not ((draft.policy.power_on or drill) and ended and by_device) or draft.no_posts(record.host):
        return False
    if drill is None and why_not_by_itself(draft, record.host):
        return False
    draft.act(power_on_action(record), draft.policy.fence_timeout_s)
    draft.note(Level.WARNING, "power-on", record.host, "its instances are accounted for: it is switched on again", record.incident)
    why = "drill" if drill else "power_on"
    draft.save(replace(record, state=HostState.RELEASING, reason=f"switched on again ({why})", powered_on=True))
    return True


def tell_again(draft: Draft, record: HostRecovery, host: Host) -> None:
    """Somebody has taken back what Nova must know of a dead host: tell it once more."""
    service_id = host.service.service_id
    if not host.service.forced_down:
        draft.act(Action(record.host, ActionKind.FORCE_DOWN, record.incident, service_id=service_id), draft.policy.retry_s)
    mark(draft, record, host)


def watch_instances(draft: Draft, record: HostRecovery, e: Evidence | None) -> HostRecovery:
    """Every entry after what Nova shows now, and an entry for whoever turned up on the host meanwhile (S8)."""
    forced_s = draft.since(f"forced/{record.incident}")
    instances = reread(draft, record, e.host, forced_s, 10.0) if e else None  # without it Nova lists the host no more
    if instances is not None:
        # Whoever is at home again stays so in this incident; only the host's next failure begins another story.
        home = {key: entry for key, entry in record.instances.items() if entry.state is InstanceState.RETURNED}
        moved = {key: entry for key, entry in record.instances.items() if _left(draft, record, entry)}
        record = replace(record, instances={**instances, **home, **moved})
    seen = view(draft, record)
    if seen is None:
        draft.keep_waits(record.incident)
        return draft.save(record)
    known = {**_evacuated_before(seen), **record.instances}
    return draft.save(replace(record, instances={key: look_back(seen, follow(seen, entry)) for key, entry in sorted(known.items())}))


def _left(draft: Draft, record: HostRecovery, entry: InstanceRecovery) -> bool:
    """Has it moved away since the list was begun that still shows it here?"""
    if entry.state not in {InstanceState.MOVED, InstanceState.VERIFIED}:
        return False
    listed = draft.snapshot.readings.get((WantKind.SERVERS, record.host))
    return listed is not None and listed.started_s < draft.since(f"left/{record.incident}/{entry.instance_id}")


def _evacuated_before(seen: View) -> dict[str, InstanceRecovery]:
    """Instances that we sent away from this host, by their lock, while the journal knows nothing of it: it was lost or put back."""
    found = {}
    records = [m for m in seen.migrations if m.kind == "evacuation" and m.source == seen.record.host and m.blocks_release]
    for instance_id in sorted({m.instance_id for m in records} - set(seen.record.instances) - set(seen.servers)):
        now = seen.draft.instance(instance_id, SLOW_S)
        if now is None or not (now.locked and now.locked_reason.startswith(MARKER)):
            continue
        text = f"{now.name} UNDERWAY: was sent away from here, and the journal has lost it"
        seen.draft.note(Level.WARNING, "instance-found", seen.record.host, text, seen.record.incident, instance_id)
        said = locks.read(now.locked_reason)
        # It ran, as its lock tells, and whoever was to start it here has lost that.
        before = Before("active", "running", False) if said and said.stopped else Before(now.vm_state, now.power_state, False)
        found[instance_id] = InstanceRecovery(
            instance_id, now.name, InstanceState.UNDERWAY, text, before, now.project_id, attempt=1, target=now.host, ours=True
        )
    return found


def _look_at_the_source(draft: Draft, record: HostRecovery) -> None:
    """It is watched until the last evacuation from it has ended, and after."""
    if not any(entry.state in TO_DO for entry in record.instances.values()):
        draft.power(record.host, 10.0)
