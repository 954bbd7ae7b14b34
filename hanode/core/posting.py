"""Which instance is asked for next, and where? Of all failed hosts together; at most so many at once; one POST each (S2, S3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

from hanode.core import cutting, locks, repeats, spares
from hanode.core.decisions import Level
from hanode.core.devices import add_devices, without
from hanode.core.draft import EVACUATIONS_S, ROOM_S, Draft
from hanode.core.facts import Host, Instance, Migration, Power, Resources, Unknown
from hanode.core.follow import become, evacuate_action, is_ready, proven_off
from hanode.core.ground import ground_now, look_ahead
from hanode.core.judge import Evidence
from hanode.core.lifecycle import TO_DO, HostState, InstanceState
from hanode.core.model import Call, WantKind
from hanode.core.order import Line, restart_order
from hanode.core.pace import cells_of, is_retry, room_for
from hanode.core.place import Placed, Refused, place
from hanode.core.policy import MARKER, StorageDomain
from hanode.core.records import HostRecovery, InstanceRecovery, ProofKind
from hanode.core.room import Ask, Room
from hanode.core.serving import is_silent, missing
from hanode.core.spares import Reserve, call_up, reserve_now
from hanode.core.starts import arrives_stopped
from hanode.core.stores import by_storage, why_not_whole
from hanode.core.suspicion import quiet_after_s
from hanode.core.turn import ask_the_awaited, line_now
from hanode.core.view import View, look_again, view

EARLY = frozenset({HostState.FENCING, HostState.NEEDS_OPERATOR, HostState.FENCED})


@dataclass(frozen=True)
class Source:
    """A host from which may be posted now."""

    seen: View
    host: Host


def post_all(draft: Draft, evidence: Mapping[str, Evidence]) -> None:
    """Everybody who waits to be restarted, the most important first, wherever their hosts were."""
    if any(record.state in EARLY for record in draft.records.values()):
        look_ahead(draft)
    repeats.look_back(draft)
    if any(entry.is_to_start for record in draft.records.values() for entry in record.instances.values()):
        ask_the_awaited(draft, line_now(draft))
    room = room_now(draft)
    if room is None:
        return
    sources = {name: found for name in sorted(draft.records) if (found := _source(draft, draft.records[name], evidence.get(name)))}
    for name in draft.records.keys() - sources.keys():
        draft.keep_waits(draft.records[name].incident)  # whoever has waited for others goes on waiting, not anew
    targets = sound_targets(draft) if sources else None
    if targets is None:
        return
    reserve = reserve_now(draft, well_by(draft))
    line = line_now(draft)
    if ask_the_awaited(draft, line):
        line = line_now(draft)
    for said in line.cycles:
        draft.note_once(Level.WARNING, "circle", "", f"instances wait for each other: {said}; that wish is left out")
    home = _homes(sources)
    to_do = [draft.records[name].instances[key] for key, name in home.items()]
    changed: dict[str, dict[str, InstanceRecovery]] = {name: {} for name in sources}
    for entry in restart_order(to_do, line.depth):
        name = home[entry.instance_id]
        changed[name][entry.instance_id] = _next(sources[name], entry, line, targets, room, reserve)
    for name, entry in _settle_refused(draft, reserve, home, sources, room):
        changed[name][entry.instance_id] = entry
    for name, entries in changed.items():
        record = draft.records[name]
        draft.save(replace(record, instances={**record.instances, **entries}))


def _settle_refused(
    draft: Draft, reserve: Reserve, home: Mapping[str, str], sources: Mapping[str, Source], room: Room
) -> Iterator[tuple[str, InstanceRecovery]]:
    """Whom nothing that is enabled can take: a spare is called for those that spares can take, the others wait."""
    called = call_up(draft, reserve, home, room)
    for ask, refused in reserve.refused:
        entry, name = ask.record, home[ask.record.instance_id]
        spare = called.get(entry.instance_id)
        if spare:
            yield name, replace(entry, reason=f"in line: the spare {spare} is enabled for it")
        else:
            yield name, _wait(sources[name].seen, entry, refused)


def _homes(sources: Mapping[str, Source]) -> Mapping[str, str]:
    """instance id -> the failed host from which it is to be posted.

    It also stands in the table of a host from which it was moved before, and whose recovery is still open. Only where it is still
    to be done does it count; should that be in two tables, the list decides that shows it, and of two lists the younger.
    """
    told = sorted(
        (key in found.seen.servers, found.seen.servers_started_s, name, key)
        for name, found in sources.items()
        for key, entry in found.seen.draft.records[name].instances.items()
        if entry.state in TO_DO
    )
    return {key: name for _, _, name, key in told}


def _source(draft: Draft, record: HostRecovery, e: Evidence | None) -> Source | None:
    """S2: is the failed host known to be dead right now, and does nothing hold back what is to be posted from it?"""
    waits = record.state is HostState.EVACUATING and any(i.state in TO_DO for i in record.instances.values())
    if e is None or not waits:
        return None
    seen = view(draft, record)
    if seen is None or not _proof_is_fresh(draft, record):
        return None
    hold = draft.no_posts(record.host, e.named)
    if hold:
        text = f"nothing more is evacuated from it: hold {hold.name}: {hold.reason}"
        draft.note_once(Level.WARNING, "posts-wait", record.host, text, record.incident)
        return None
    return Source(seen, e.host)


def _proof_is_fresh(draft: Draft, record: HostRecovery) -> bool:
    """S2: the source is read off again within proof_s before each batch; unreadable means no new POST."""
    if record.proof is not None and record.proof.kind is ProofKind.PERSON:
        # Any sign of life that this leader saw has taken the recovery back; so it must have looked for one.
        probes = draft.probes(record.host, draft.policy.proof_s / 2)
        beaten = draft.now.s - draft.timers.office_since_s >= draft.policy.office_hold_s
        asked = {network for network, trace in probes.items() if draft.now.s - trace.last_s <= draft.policy.proof_s}
        return beaten and asked >= set(draft.policy.networks)
    if by_storage(record):
        if not cutting.stands(draft, record):
            why = cutting.why_not_counted(draft, record) if record.cut else ""
            said = f"{why or 'its store does not read it cut off twice now'}: no evacuation is posted before it does"
            draft.note_once(Level.ALARM, "proof", record.host, said, record.incident)
            return False
        return True
    trace = draft.power(record.host, draft.policy.proof_s / 2)
    fresh = trace is not None and trace.value == Power.OFF and draft.now.s - trace.last_s <= draft.policy.proof_s
    if not fresh:
        said = f"power device reads {trace.value if trace else 'nothing'}: no evacuation is posted before it reads off again"
        if trace is None or trace.value not in {Power.ON, Power.OFF}:
            said += f", or you have seen that the host is off and type `hanode host confirm-fenced {record.host}`"
        not_read_yet = trace is None and draft.policy.plan_of(record.host).levels and record.host not in draft.roster.quarantined
        if not not_read_yet and (trace is None or trace.value != Power.OFF):
            draft.note_once(Level.ALARM, "proof", record.host, said, record.incident)
    return fresh


def sound_targets(draft: Draft) -> tuple[Host, ...] | None:
    """Hosts that may take an instance: up, enabled, beating, in no recovery, source of no unfinished evacuation (S7)."""
    fleet, unfinished = draft.fleet, draft.evacuations(EVACUATIONS_S)
    if fleet is None or unfinished is None:
        return None
    is_well = well_by(draft)
    enabled = (host for _, host in sorted(fleet.hosts.items()) if host.service.status == "enabled")
    return tuple(host for host in enabled if is_well(host) and spares.is_target(draft, host.name))


def well_by(draft: Draft) -> Callable[[Host], bool]:
    """What tells whether a host would be a target if it is enabled, and no spare that is being given back."""
    returning = {m.source for m in draft.evacuations(EVACUATIONS_S) or () if m.blocks_release}
    return lambda host: host.name not in returning and is_well(draft, host)


def is_well(draft: Draft, host: Host) -> bool:
    service, beat = host.service, draft.beat(host.name)
    up = service.state == "up" and not service.forced_down and host.name not in draft.roster.maintenance
    reading = draft.snapshot.readings.get((WantKind.FLEET, ""))
    looked_s = reading.started_s if reading else draft.now.s
    beating = beat is not None and looked_s - beat.seen_s < quiet_after_s(draft.policy)
    record = draft.records.get(host.name)
    return up and beating and (record is None or record.state is HostState.SUSPECT)


def _next(
    source: Source, entry: InstanceRecovery, line: Line, targets: tuple[Host, ...], room: Room, reserve: Reserve
) -> InstanceRecovery:
    """Whoever has to wait for others keeps its place: what is less important does not take its room."""
    seen = source.seen
    ask = _ask(seen, entry, source.host)
    if ask is None:
        return entry
    bound = _bound_by_its_disks(seen, ask)
    if bound:
        return become(seen, entry, InstanceState.WAITING, bound)
    if entry.instance_id in room.ground.pending:
        return replace(entry, reason="what it needs of a host is being read")
    kept_back = repeats.why_kept_back(entry, seen.record.host, seen.draft.policy)
    if kept_back:
        return become(seen, entry, InstanceState.WAITING, kept_back)
    if entry.is_doubted and seen.draft.waited(f"last/{seen.record.incident}/{entry.instance_id}", seen.draft.policy.after_wait_s):
        room.hurried.add(entry.instance_id)
    why = "" if arrives_stopped(ask) else _must_wait(seen, entry, line, entry.instance_id in room.hurried)
    if not why and is_ready(seen, entry):
        if is_retry(entry) and room.retries < 1:
            return replace(entry, reason="in line: too many have failed; second tries wait until others end well")
        return _post(seen, ask, targets, room, reserve)
    found = place(ask, targets, room) if not entry.pinned else None
    if why and isinstance(found, Refused) and not found.busy:
        return _fits_nowhere(ask, found, room, reserve)
    if found is not None and found.target:
        room.reserve(ask, found.target)
    return replace(entry, reason=why) if why else entry


def _must_wait(seen: View, entry: InstanceRecovery, line: Line, hurried: bool) -> str:
    """For whom it waits; "" when it is its turn."""
    draft, policy = seen.draft, seen.draft.policy
    if entry.attempt:
        return ""  # its turn has come before
    awaited = line.awaited(entry)
    if awaited and not draft.waited(f"after/{seen.record.incident}/{entry.instance_id}", policy.after_wait_s):
        first = awaited[0]
        return f"starts after {first.name}" + (f", which is active and {missing(first)}" if is_silent(first) else "")
    if line.is_early(entry) and policy.tier_wait_s and not draft.waited(f"tier/{line.tier}/{seen.record.incident}", policy.tier_wait_s):
        return "those of a higher priority come first"
    if entry.is_doubted and line.others_come and not hurried:
        return f"{repeats.in_words(entry.failed_hosts, policy)}; so it goes last, and alone"
    return ""


def _bound_by_its_disks(seen: View, ask: Ask) -> str:
    """Why a host that is only cut off from one store does not let it go: its guest there may run, and write elsewhere (S1)."""
    record = seen.draft.records[seen.record.host]
    if not by_storage(record):
        return ""
    if record.cut is None:
        return "its host is not cut off from its disks any more"
    why = why_not_whole(ask.instance, ask.record, record.cut.domain, seen.draft.policy.stores.get(record.cut.domain))
    helps = f"what helps: a reading of off by its power device, or see that it is off and type `hanode host confirm-fenced {record.host}`"
    return f"its host is only cut off from storage {record.cut.domain}, and {why}; {helps}" if why else ""


def _ask(seen: View, entry: InstanceRecovery, host: Host) -> Ask | None:
    """None while the list of its host does not show it."""
    now = seen.servers.get(entry.instance_id)
    return Ask(now, entry, host, _journaled_domain(seen.draft, host, entry), seen.draft.policy) if now else None


def _fits_nowhere(ask: Ask, found: Refused, room: Room, reserve: Reserve) -> InstanceRecovery:
    """On none that is enabled; which spares are called, and who has to wait, is decided when everybody has been asked."""
    spare = reserve.awaited(ask, room)
    if spare:
        return replace(ask.record, reason=f"in line: the spare {spare} is being enabled for it")
    reserve.refused.append((ask, found))
    return ask.record


def _wait(seen: View, entry: InstanceRecovery, found: Refused) -> InstanceRecovery:
    return become(seen, entry, InstanceState.WAITING, f"{found.reason}; what helps: {found.remedy}" if found.remedy else found.reason)


def _post(seen: View, ask: Ask, targets: tuple[Host, ...], room: Room, reserve: Reserve) -> InstanceRecovery:
    entry, choice = ask.record, targets
    if entry.pinned and proven_off(seen, entry.target):
        # 2.2 (c): a late first post cannot start anything there any more.
        entry = replace(entry, pinned=False, avoid=(*entry.avoid, entry.target), target="")
        ask = replace(ask, record=entry)
    if entry.pinned:
        choice = tuple(h for h in targets if h.name == entry.target)
    found = place(ask, choice, room)
    if isinstance(found, Refused) and not found.busy and entry.avoid and not entry.pinned:
        # Only hosts where an attempt failed are left: one of them again rather than none for ever. The attempts are counted.
        found = place(replace(ask, record=replace(entry, avoid=())), choice, room)
    if isinstance(found, Refused):
        if found.busy:
            room.reserve(ask, found.target)
            return replace(entry, reason=found.reason)
        if not entry.pinned:
            return _fits_nowhere(ask, found, room, reserve)
        return become(seen, entry, InstanceState.WAITING, f"only {entry.target} may be asked again, and it cannot take it")
    if not seen.is_fresh:
        # S3: who waited long was watched seldom; somebody else may have evacuated it since.
        look_again(seen)
        room.reserve(ask, found.target)
        return entry
    return _request(seen, ask, found, room)


def _request(seen: View, ask: Ask, found: Placed, room: Room) -> InstanceRecovery:
    """The intent, with everything known before it; it is committed before the POST leaves."""
    draft, entry = seen.draft, ask.record
    known = tuple(m.migration_id for m in seen.evacuations(entry.instance_id))
    asked = become(
        seen,
        entry,
        InstanceState.REQUESTED,
        f"to {found.target}",
        attempt=entry.attempt + 1,
        target=found.target,
        call=found.call,
        arrives_stopped=arrives_stopped(ask),
        baseline=known,
        pinned=False,
        ours=True,
        requested_at=draft.now.at,
        unlocked=entry.before.locked,
    )
    # S2: the proof must still be fresh when the POST leaves, however long the lock took.
    action = evacuate_action(seen.record, asked)
    lock = action.lock and not _is_locked(ask.instance, asked, seen.record)
    action = replace(action, lock=lock, until_s=draft.now.s + draft.policy.proof_s)
    evacuated_before = any(m.instance_id == entry.instance_id and m.kind == "evacuation" for m in seen.migrations)
    if found.call is Call.ON_SHARED_STORAGE and evacuated_before:
        # Whatever it holds elsewhere belongs to a host that is dead or to an attempt that has ended: nothing of it is open.
        source = draft.host(seen.record.host)
        action = replace(action, provider_id=source.hypervisor.provider_id if source and source.hypervisor else "")
    if not draft.act(action, 0.0):
        return entry
    room.take(ask, found.target)
    room.retries -= is_retry(entry)
    return asked


def _is_locked(now: Instance, asked: InstanceRecovery, record: HostRecovery) -> bool:
    """For this very request: what a lock of an earlier one says would tell nothing of it, should the journal go back. A lock that its
    owner has set meanwhile stays his."""
    theirs = not now.locked_reason.startswith(MARKER)
    return now.locked and (theirs or locks.read(now.locked_reason) == _lock_of(record, asked))


def _lock_of(record: HostRecovery, asked: InstanceRecovery) -> locks.LockReason:
    return locks.LockReason(record.incident, asked.attempt, asked.target, asked.arrives_stopped)


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
    ground = ground_now(draft, draft.fleet.hosts if draft.fleet else {})
    if ground is None:
        return None
    with_devices = [key for r in busy for key, entry in r.instances.items() if entry.resources != without(entry.resources)]
    free = cast("Mapping[str, Resources]", reading.value)
    domains = {entry.domain for record in draft.records.values() for entry in record.instances.values()}
    left = {host: dict(resources) for host, resources in sorted(free.items())}
    if not add_devices(draft, left):
        ground = replace(ground, pending=ground.pending.union(with_devices))
    cells = cells_of(draft.fleet.hosts, draft.policy) if draft.fleet else {}
    room = room_for(draft.timers.pace, draft.policy, left, domains, draft.now.s, cells)
    room.ground = ground
    for record in draft.records.values():
        for entry in record.instances.values():
            _charge(draft, room, record, entry, reading.started_s)
            if repeats.goes_alone(draft, record, entry):
                room.kept.add(entry.target)
    return room


def _charge(draft: Draft, room: Room, record: HostRecovery, entry: InstanceRecovery, read_s: float) -> None:
    if entry.state not in {InstanceState.REQUESTED, InstanceState.UNDERWAY}:
        return
    shown, resources = draft.snapshot.readings.get((WantKind.MIGRATIONS, record.host)), without(entry.resources)  # devices: counted there
    claimed = False
    if shown is not None and isinstance(shown.value, tuple):
        mine = [
            m
            for m in cast("tuple[Migration, ...]", shown.value)
            if m.instance_id == entry.instance_id and m.source == record.host and m.migration_id not in entry.baseline
        ]
        if mine and all(m.status == "done" for m in mine):
            # It runs there: its place in the line is free, even before it is seen on its host.
            room.charge(entry.target, {} if shown.finished_s <= read_s else resources)
            return
        claimed = any(m.status != "accepted" for m in mine) and shown.finished_s <= read_s
    room.start(entry.target, entry.domain, {} if claimed else resources)
