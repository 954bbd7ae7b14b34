"""What of the cloud must be known before instances are placed, beside hosts and their room? Groups, traits, racks: asked for early."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from hanode.core.decisions import Level
from hanode.core.devices import add_devices
from hanode.core.draft import Draft
from hanode.core.facts import Host, Instance, ServerGroup, Unknown
from hanode.core.lifecycle import TO_DO, HostState, InstanceState
from hanode.core.members import newcomers, unlike
from hanode.core.model import WantKind
from hanode.core.needs import needs_of
from hanode.core.records import InstanceRecovery
from hanode.core.room import Ground, GroupNow
from hanode.core.tales import tales

GROUPS_S = 60.0
TRAITS_S = 60.0
MEMBERS_S = 15.0
AGENTS_S = GROUPS_S  # together, so that the answers are there together
ON_ITS_WAY = frozenset({InstanceState.REQUESTED, InstanceState.UNDERWAY, InstanceState.STUCK})
BEING_READ = "it is being read"
ARRIVED = frozenset({InstanceState.MOVED, InstanceState.VERIFIED})


def ground_now(draft: Draft, hosts: Mapping[str, Host]) -> Ground | None:
    """What is known for the instances that are to be placed now; None while the first answers are on their way."""
    groups, cut_off = _groups(draft), _cut_off(draft)
    if groups is None:
        return None
    entries = {key: tale.entry for key, tale in tales(draft.records).items()}
    to_do = frozenset(key for key, entry in entries.items() if entry.state in TO_DO)
    used = [group for group in groups if group.members & to_do]
    standing = {group.group_id: _as_it_stands(draft, group, entries) for group in used}
    group_of = {member: group.group_id for group in used for member in sorted(group.members & to_do)}
    awaited = {member for member, group_id in group_of.items() if standing[group_id].unread == BEING_READ}
    awaited |= {instance.instance_id for instance in _to_be_placed(draft) if any(_is_awaited(draft, t) for t in needs_of(instance).traits)}
    return Ground(
        standing,
        group_of,
        _traits(draft, _to_be_placed(draft)),
        frozenset(awaited),
        racks_of(hosts, draft),
        new=newcomers(draft, hosts),
        unlike=unlike(hosts, draft.policy),
        images_unread=draft.images_unread,
        cut_off=cut_off,
    )


def ground_of_moves(draft: Draft, leaving: Sequence[Instance], devices_known: bool) -> Ground:
    """For instances that are migrated: what only a read can tell of a host. At their groups Nova's scheduler looks itself."""
    known = _traits(draft, leaving)
    unread = {i.instance_id for i in leaving if not needs_of(i).traits <= known.keys() or (needs_of(i).devices and not devices_known)}
    return Ground(traits=known, pending=frozenset(unread))


def _is_awaited(draft: Draft, trait: str) -> bool:
    return (WantKind.TRAIT, trait) not in draft.snapshot.readings


def racks_of(hosts: Mapping[str, Host], draft: Draft) -> Mapping[str, str]:
    """host -> what it shares with others by the first failure domain key that it carries."""
    keys = sorted(draft.policy.failure_domain_keys)
    found = {name: next((f"{key} {value}" for key in keys if (value := host.metadata(key))), "") for name, host in hosts.items()}
    return {name: rack for name, rack in found.items() if rack}


def _cut_off(draft: Draft) -> frozenset[str]:
    """As last known. Not knowing it keeps nobody waiting: an instance whose port is not wired fails there, loses no data and is tried
    elsewhere, while an API that is away with a controller would keep all of them down."""
    found = draft.dead_agents(AGENTS_S)
    reading = draft.snapshot.readings.get((WantKind.DEAD_AGENTS, ""))
    if found is None and reading is not None and isinstance(reading.value, Unknown):
        said = f"Neutron's agents cannot be read ({reading.value.reason}): they are taken to be as they were when that was known last"
        draft.note_once(Level.WARNING, "agents", "", said)
    if found is not None:
        draft.timers = replace(draft.timers, cut_off=found)
    return draft.timers.cut_off


def _groups(draft: Draft) -> tuple[ServerGroup, ...] | None:
    found = draft.groups(GROUPS_S)
    reading = draft.snapshot.readings.get((WantKind.GROUPS, ""))
    if found is None and reading is not None and isinstance(reading.value, Unknown):
        # Nova itself still refuses what breaks a group, late and with an ERROR: better than restarting nobody.
        said = f"server groups cannot be read ({reading.value.reason}): instances are placed without regard to them"
        draft.note_once(Level.ALARM, "groups", "", said)
        return ()
    return found


def _as_it_stands(draft: Draft, group: ServerGroup, entries: Mapping[str, InstanceRecovery]) -> GroupNow:
    members: dict[str, str] = {}
    at_home, moving, unread = set(), set(), ""
    for member in sorted(group.members):
        entry = entries.get(member)
        if entry is not None and entry.state is InstanceState.VERIFIED and entry.target:
            where = _since_verified(draft, member, entry.target)
            members |= {member: where} if where else {}
        elif entry is not None and entry.state in ON_ITS_WAY | ARRIVED and entry.target:
            members[member] = entry.target
            moving |= {member} if entry.state in ON_ITS_WAY else set()
        elif entry is not None and entry.state not in {InstanceState.RETURNED, InstanceState.GONE}:
            at_home.add(member)
        elif entry is None or entry.state is InstanceState.RETURNED:
            reading = draft.reading(WantKind.INSTANCE, member, MEMBERS_S)
            if reading is None:
                found = draft.snapshot.readings.get((WantKind.INSTANCE, member))
                unread = found.value.reason if found is not None and isinstance(found.value, Unknown) else BEING_READ
            elif isinstance(reading.value, Instance):
                members[member] = reading.value.host
    return GroupNow(group.name, group.policy, members, frozenset(at_home), frozenset(moving), group.max_per_host, unread)


def _since_verified(draft: Draft, member: str, target: str) -> str:
    """Its story ended there; since then it is its owner's again, who may have moved or deleted it ("")."""
    reading = draft.reading(WantKind.INSTANCE, member, MEMBERS_S)
    if reading is None:
        return target  # nobody waits for it: what was seen last is no worse than what is read now and is old when it is used
    return reading.value.host if isinstance(reading.value, Instance) else ""


def _traits(draft: Draft, instances: Iterable[Instance]) -> Mapping[str, frozenset[str]]:
    wanted = sorted({trait for instance in instances for trait in needs_of(instance).traits})
    found = {trait: draft.holders(trait, TRAITS_S) for trait in wanted}
    return {trait: holders for trait, holders in found.items() if holders is not None}


def _to_be_placed(draft: Draft) -> Iterator[Instance]:
    """Of every host that is, or may soon be, evacuated: so the answers are there when they are needed."""
    for name, record in sorted(draft.records.items()):
        reading = draft.snapshot.readings.get((WantKind.SERVERS, name))
        if record.state is not HostState.RELEASING and reading is not None and isinstance(reading.value, tuple):
            yield from reading.value


def look_ahead(draft: Draft) -> None:
    """Ask now for what placing will need, so that nobody waits for it after the fence."""
    groups = draft.groups(GROUPS_S) or ()
    _traits(draft, _to_be_placed(draft))
    draft.dead_agents(AGENTS_S)
    add_devices(draft, {})
    entries = {key: tale.entry for key, tale in tales(draft.records).items()}
    for group in groups:
        if group.members & entries.keys():
            _as_it_stands(draft, group, entries)
