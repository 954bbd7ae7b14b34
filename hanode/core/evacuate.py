"""EVACUATING: which instance is asked for next, and where? At most so many at once; one POST each (S2, S3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from hanode.core.decisions import Level
from hanode.core.draft import EVACUATIONS_S, ROOM_S, Draft
from hanode.core.facts import Host, Migration, Power, Resources, Unknown
from hanode.core.fence import PERSONS_DOUBT, fence_again, mark, power_on_action, signs_of_life
from hanode.core.fence import read_table as reread
from hanode.core.flapping import why_not_by_itself
from hanode.core.follow import SLOW_S, become, evacuate_action, follow, is_ready, proven_off
from hanode.core.judge import Evidence
from hanode.core.latecomers import look_back
from hanode.core.lifecycle import ENDED, TO_DO, HostState, InstanceState
from hanode.core.model import Action, ActionKind, Call, WantKind
from hanode.core.order import restart_order
from hanode.core.pace import is_retry, room_for
from hanode.core.place import Placed, Refused, place
from hanode.core.policy import MARKER, StorageDomain
from hanode.core.records import Before, HostRecovery, InstanceRecovery, ProofKind
from hanode.core.room import Ask, Room
from hanode.core.suspicion import quiet_after_s
from hanode.core.view import View, look_again, view


def evacuating(draft: Draft, record: HostRecovery, e: Evidence, room: Room | None) -> None:
    sign = signs_of_life(draft, record, e)
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
    record = _tell_the_end(draft, record)
    if room is not None and not sign:
        post_some(draft, record, e, room)


def _tell_the_end(draft: Draft, record: HostRecovery) -> HostRecovery:
    """Once nothing is left to do elsewhere: how it ended, and what is to be done with the host."""
    states = Counter(entry.state for entry in record.instances.values())
    if not states or any(state not in ENDED for state in states):
        return record
    counted = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    then = "" if draft.policy.release == "auto" else f" and type `hanode host release {record.host}`"
    text = f"its instances are accounted for ({counted}); when it is repaired, switch it on{then}"
    draft.note_once(Level.WARNING, "accounted", record.host, text, record.incident)
    return draft.save(replace(record, reason=text))


MAY_COME_BACK = ENDED - {InstanceState.STUCK}
"""A STUCK instance may still have an open record: a restart of its source would act on that (S7)."""


def _is_switched_on(draft: Draft, record: HostRecovery) -> bool:
    """By policy, once nothing is left to do elsewhere: from here on nothing is posted from it any more."""
    ended = all(entry.state in MAY_COME_BACK for entry in record.instances.values())
    by_device = record.proof is not None and record.proof.kind is ProofKind.DEVICE
    if not (draft.policy.power_on and ended and by_device) or draft.no_posts(record.host) or why_not_by_itself(draft, record.host):
        return False
    draft.act(power_on_action(record), draft.policy.fence_timeout_s)
    draft.note(Level.WARNING, "power-on", record.host, "its instances are accounted for: it is switched on again", record.incident)
    draft.save(replace(record, state=HostState.RELEASING, reason="switched on again (power_on)", powered_on=True))
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
        before = Before(now.vm_state, now.power_state, False)
        found[instance_id] = InstanceRecovery(
            instance_id, now.name, InstanceState.UNDERWAY, text, before, now.project_id, attempt=1, target=now.host, ours=True
        )
    return found


def post_some(draft: Draft, record: HostRecovery, e: Evidence, room: Room) -> None:
    to_do = [i for i in record.instances.values() if i.state in TO_DO]
    seen = view(draft, record)
    if not to_do or seen is None:
        draft.power(record.host, 10.0)  # the source is watched until the last evacuation from it has ended, and after
        return
    if not _proof_is_fresh(draft, record):
        return
    hold = draft.no_posts(record.host, e.named)
    if hold:
        text = f"nothing more is evacuated from it: hold {hold.name}: {hold.reason}"
        draft.note_once(Level.WARNING, "posts-wait", record.host, text, record.incident)
        return
    targets = sound_targets(draft)
    if targets is None:
        return
    instances = dict(record.instances)
    for entry in restart_order(to_do):
        instances[entry.instance_id] = _post(seen, entry, e, targets, room)
    draft.save(replace(record, instances=instances))


def _proof_is_fresh(draft: Draft, record: HostRecovery) -> bool:
    """S2: the source is read off again within proof_s before each batch; unreadable means no new POST."""
    if record.proof is not None and record.proof.kind is ProofKind.PERSON:
        # Any sign of life that this leader saw has taken the recovery back; so it must have looked for one.
        probes = draft.probes(record.host, draft.policy.proof_s / 2)
        beaten = draft.now.s - draft.timers.office_since_s >= draft.policy.office_hold_s
        asked = {network for network, trace in probes.items() if draft.now.s - trace.last_s <= draft.policy.proof_s}
        return beaten and asked >= set(draft.policy.networks)
    trace = draft.power(record.host, draft.policy.proof_s / 2)
    fresh = trace is not None and trace.value == Power.OFF and draft.now.s - trace.last_s <= draft.policy.proof_s
    if not fresh:
        said = f"power device reads {trace.value if trace else 'nothing'}: no evacuation is posted before it reads off again"
        not_read_yet = trace is None and draft.policy.plan_of(record.host).levels and record.host not in draft.roster.quarantined
        if not not_read_yet and (trace is None or trace.value != Power.OFF):
            draft.note_once(Level.ALARM, "proof", record.host, said, record.incident)
    return fresh


def sound_targets(draft: Draft) -> tuple[Host, ...] | None:
    """Hosts that may take an instance: up, enabled, beating, in no recovery, source of no unfinished evacuation (S7)."""
    fleet, unfinished = draft.fleet, draft.evacuations(EVACUATIONS_S)
    if fleet is None or unfinished is None:
        return None
    returning = {m.source for m in unfinished if m.blocks_release}
    return tuple(h for name, h in sorted(fleet.hosts.items()) if name not in returning and is_sound(draft, h))


def is_sound(draft: Draft, host: Host) -> bool:
    service, beat = host.service, draft.beat(host.name)
    up = service.state == "up" and service.status == "enabled" and not service.forced_down and host.name not in draft.roster.maintenance
    reading = draft.snapshot.readings.get((WantKind.FLEET, ""))
    looked_s = reading.started_s if reading else draft.now.s
    beating = beat is not None and looked_s - beat.seen_s < quiet_after_s(draft.policy)
    record = draft.records.get(host.name)
    return up and beating and (record is None or record.state is HostState.SUSPECT)


def _post(seen: View, entry: InstanceRecovery, e: Evidence, targets: tuple[Host, ...], room: Room) -> InstanceRecovery:
    draft = seen.draft
    if not is_ready(seen, entry):
        return entry
    if is_retry(entry) and room.retries < 1:
        return replace(entry, reason="in line: too many have failed; second tries wait until others end well")
    domain = _journaled_domain(draft, e.host, entry)
    choice = targets
    if entry.pinned and proven_off(seen, entry.target):
        # 2.2 (c): a late first post cannot start anything there any more.
        entry = replace(entry, pinned=False, avoid=(*entry.avoid, entry.target), target="")
    if entry.pinned:
        choice = tuple(h for h in targets if h.name == entry.target)
    found = place(Ask(seen.servers[entry.instance_id], entry, e.host, domain, draft.policy), choice, room)
    if isinstance(found, Refused) and not found.busy and entry.avoid and not entry.pinned:
        # Only hosts where an attempt failed are left: one of them again rather than none for ever. The attempts are counted.
        found = place(Ask(seen.servers[entry.instance_id], replace(entry, avoid=()), e.host, domain, draft.policy), choice, room)
    if isinstance(found, Refused):
        if found.busy:
            return replace(entry, reason=found.reason)
        reason = f"only {entry.target} may be asked again, and it cannot take it" if entry.pinned else found.reason
        return become(seen, entry, InstanceState.WAITING, reason)
    if not seen.is_fresh:
        # S3: who waited long was watched seldom; somebody else may have evacuated it since.
        look_again(seen)
        return entry
    return _request(seen, entry, found, domain, room)


def _request(seen: View, entry: InstanceRecovery, found: Placed, domain: StorageDomain | None, room: Room) -> InstanceRecovery:
    """The intent, with everything known before it; it is committed before the POST leaves."""
    draft = seen.draft
    known = tuple(m.migration_id for m in seen.evacuations(entry.instance_id))
    asked = become(
        seen,
        entry,
        InstanceState.REQUESTED,
        f"to {found.target}",
        attempt=entry.attempt + 1,
        target=found.target,
        call=found.call,
        baseline=known,
        pinned=False,
        ours=True,
        requested_at=draft.now.at,
        unlocked=entry.before.locked,
    )
    # S2: the proof must still be fresh when the POST leaves, however long the lock took.
    action = evacuate_action(seen.record, asked)
    locked = seen.servers[entry.instance_id].locked  # by an attempt that came too late: it need not be slow again
    action = replace(action, lock=action.lock and not locked, until_s=draft.now.s + draft.policy.proof_s)
    evacuated_before = any(m.instance_id == entry.instance_id and m.kind == "evacuation" for m in seen.migrations)
    if found.call is Call.ON_SHARED_STORAGE and evacuated_before:
        # Whatever it holds elsewhere belongs to a host that is dead or to an attempt that has ended: nothing of it is open.
        source = draft.host(seen.record.host)
        action = replace(action, provider_id=source.hypervisor.provider_id if source and source.hypervisor else "")
    if not draft.act(action, 0.0):
        return entry
    room.start(found.target, domain.name if domain else "", entry.resources)
    room.retries -= is_retry(entry)
    return asked


def _journaled_domain(draft: Draft, host: Host, entry: InstanceRecovery) -> StorageDomain | None:
    """The domain written down when the host fell silent: a change since is not believed."""
    now = draft.policy.domain_of(host)
    if now is not None and now.name != entry.domain:
        draft.note_once(
            Level.ALARM,
            "domain",
            host.name,
            f"its storage domain was {entry.domain or 'none'} and is declared as {now.name} now: the former counts",
        )
    if not entry.domain:
        return None
    return StorageDomain(entry.domain, now.kind if now is not None and now.name == entry.domain else "file")


def room_now(draft: Draft) -> Room | None:
    """What Placement says is free, less what this leader has asked for and Placement cannot show yet."""
    busy = [r for r in draft.records.values() if r.state is HostState.EVACUATING]
    if not any(i.state in TO_DO for r in busy for i in r.instances.values()):
        return None
    reading = draft.room(ROOM_S)
    if reading is None:
        found = draft.snapshot.readings.get((WantKind.ROOM, ""))
        if found is not None and isinstance(found.value, Unknown):
            draft.note_once(Level.ALARM, "room", "", f"nothing is posted: Placement cannot be read ({found.value.reason})")
        return None
    free = cast("Mapping[str, Resources]", reading.value)
    domains = {entry.domain for record in draft.records.values() for entry in record.instances.values()}
    left = {host: dict(resources) for host, resources in sorted(free.items())}
    room = room_for(draft.timers.pace, draft.policy, left, domains, draft.now.s)
    for record in draft.records.values():
        for entry in record.instances.values():
            _charge(draft, room, record, entry, reading.started_s)
    return room


def _charge(draft: Draft, room: Room, record: HostRecovery, entry: InstanceRecovery, read_s: float) -> None:
    if entry.state not in {InstanceState.REQUESTED, InstanceState.UNDERWAY}:
        return
    shown = draft.snapshot.readings.get((WantKind.MIGRATIONS, record.host))
    claimed = False
    if shown is not None and isinstance(shown.value, tuple):
        mine = [
            m
            for m in cast("tuple[Migration, ...]", shown.value)
            if m.instance_id == entry.instance_id and m.migration_id not in entry.baseline
        ]
        if mine and all(m.status == "done" for m in mine):
            # It runs there: its place in the line is free, even before it is seen on its host.
            room.charge(entry.target, {} if shown.finished_s <= read_s else entry.resources)
            return
        claimed = any(m.status != "accepted" for m in mine) and shown.finished_s <= read_s
    room.start(entry.target, entry.domain, {} if claimed else entry.resources)
