"""What speaks against a host? Small rules with names, each with what would help; what Nova would refuse is refused here first.

A refused evacuation turns a tenant's instance to ERROR (nova conductor/manager.py `rebuild_instance`, NoValidHost), so what
Nova's scheduler and the target check is predicted. Each rule answers None (it may go there) or a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hanode.core.devices import CLASS, declared
from hanode.core.facts import Host
from hanode.core.model import Call
from hanode.core.policy import StorageDomain
from hanode.core.room import Ask, Room
from hanode.core.storage import Lost, survival

ALONE = "alone"
TENANT_KEY = "filter_tenant_id"

COMPARED: Mapping[str, Callable[[str, str], bool]] = {
    "s==": lambda value, wanted: value == wanted,
    "s!=": lambda value, wanted: value != wanted,
    "s<": lambda value, wanted: value < wanted,
    "s<=": lambda value, wanted: value <= wanted,
    "s>": lambda value, wanted: value > wanted,
    "s>=": lambda value, wanted: value >= wanted,
}

Rule = Callable[[Ask, Host, Room], str | None]


@dataclass(frozen=True)
class Constraint:
    rule: Rule
    remedy: str  # what an operator can do about it


def _same_kind(ask: Ask, host: Host, room: Room) -> str | None:
    kinds = {h.hypervisor.kind if h.hypervisor else "" for h in (ask.source, host)}
    return None if len(kinds) == 1 else "another hypervisor type"


def why_lost(ask: Ask, domain: StorageDomain | None) -> str | None:
    """Why its disk would be lost in this storage domain; None: it survives there."""
    found = survival(ask.instance, ask.domain, domain)
    return found.reason if isinstance(found, Lost) else None


def _disk_survives(ask: Ask, host: Host, room: Room) -> str | None:
    return why_lost(ask, ask.policy.domain_of(host))


def _may_be_moved(ask: Ask, host: Host, room: Room) -> str | None:
    """An amphora that comes back beside the one by which Octavia has replaced it would fight for its addresses."""
    unknown = room.ground.images_unread and not ask.instance.boots_from_volume
    return "Glance cannot be read: its image may be an amphora's, which Octavia replaces itself" if unknown else None


def _is_settled(ask: Ask, host: Host, room: Room) -> str | None:
    return room.ground.new.get(host.name) if ask.instance.has_local_disk else None


def _is_mounted(ask: Ask, host: Host, room: Room) -> str | None:
    """Nova takes for its own disk whatever the target's storage says (libvirt/driver.py `instance_on_disk`: always true for rbd)."""
    return room.ground.unlike.get(host.name) if ask.instance.has_local_disk else None


def _binds_ports(ask: Ask, host: Host, room: Room) -> str | None:
    """A port on a dead L2 agent is never wired: after vif_plugging_timeout the instance is in ERROR."""
    return "its Neutron agent is dead: no port would be wired there" if host.name in room.ground.cut_off else None


def _in_its_zone(ask: Ask, host: Host, room: Room) -> str | None:
    """An instance that was created for a zone stays in it (request filter `map_az_to_placement_aggregate`).

    A call below 2.29 with a host passes the scheduler by (compute/api.py `evacuate`), so there the zone of its host is kept as
    well; and where Nova does not tell whether it was asked for, leaving would be a guess.
    """
    pinned, home = ask.instance.pinned_zone, ask.source.service.zone
    if pinned:
        return None if host.service.zone == pinned else f"outside availability zone {pinned}, for which it was created"
    if pinned == "" and call_to(ask, host) is Call.SCHEDULED:
        return None
    return None if host.service.zone == home else f"outside availability zone {home}"


def call_to(ask: Ask, host: Host) -> Call:
    """How it is posted to a host that the rule `storage` has let pass."""
    found = survival(ask.instance, ask.domain, ask.policy.domain_of(host))
    return Call.SCHEDULED if isinstance(found, Lost) else found.call


def _has_traits(ask: Ask, host: Host, room: Room) -> str | None:
    """Of flavor and image (scheduler/utils.py `ResourceRequest`); Placement offers no other host."""
    provider = host.hypervisor.provider_id if host.hypervisor else ""
    known = room.ground.traits
    unread = sorted(trait for trait in ask.needs.traits if trait not in known)
    if unread:
        return f"who has the trait {unread[0]} cannot be read"
    missing = sorted(trait for trait in ask.needs.required if provider not in known[trait])
    if missing:
        return f"lacks the trait {missing[0]}"
    disliked = sorted(trait for trait in ask.needs.forbidden if provider in known[trait])
    return f"has the trait {disliked[0]}, which the instance forbids" if disliked else None


def _aggregate_fits(ask: Ask, host: Host, room: Room) -> str | None:
    """Nova's AggregateInstanceExtraSpecsFilter. The scope in the key says that the operator counts on it."""
    for key, wanted in ask.needs.aggregate:
        offered = {word.strip() for a in host.aggregates if key in a.metadata for word in a.metadata[key].split(",")}
        if not any(_matches(wanted, value) for value in offered):
            return f"is in no aggregate with {key} {wanted}"
    return None


def _matches(wanted: str, value: str) -> bool:
    """The operators of scheduler/filters/extra_specs_ops.py that compare texts; a plain word must be equal."""
    words = wanted.split()
    if words and words[0] == "<or>":
        return value in words[1::2]
    if words and words[0] == "<in>":
        return " ".join(words[1:]) in value
    if len(words) == 2 and words[0] in COMPARED:
        return COMPARED[words[0]](value, words[1])
    return value == wanted


def _tenant_welcome(ask: Ask, host: Host, room: Room) -> str | None:
    """AggregateMultiTenancyIsolation, and the request filter `require_tenant_aggregate`: an aggregate may be kept for tenants."""
    kept = [text for a in host.aggregates for key, text in sorted(a.metadata.items()) if key.startswith(TENANT_KEY)]
    tenants = {tenant.strip() for text in kept for tenant in text.split(",")}
    return "its aggregate is kept for other projects" if tenants and ask.instance.project_id not in tenants else None


def _in_its_cell(ask: Ask, host: Host, room: Room) -> str | None:
    """Nova evacuates within a cell only (conductor/manager.py `_restrict_request_spec_to_cell`); who is in which must be declared."""
    cells = {found.metadata(ask.policy.cell_key) for found in (ask.source, host)}
    return "in another cell" if len(cells) == 2 and None not in cells else None


def _no_tpm(ask: Ask, host: Host, room: Room) -> str | None:
    """compute/api.py `reject_vtpm_instances`: 400, wherever it should go."""
    return "Nova evacuates no instance with a virtual TPM" if ask.needs.tpm else None


def _group_allows(ask: Ask, host: Host, room: Room) -> str | None:
    """scheduler/filters/affinity_filter.py, and the late check of the target (compute/manager.py `_validate_instance_group_policy`).

    The failed host is among the hosts of the group, and is never a target: so hard affinity finds no host as long as no member
    runs elsewhere. A call that passes the scheduler by meets the late check alone, which asks where the *other* members are.
    """
    found = room.others_of(ask)
    if found is None or not found[0].is_hard:
        return None
    group, others = found
    if group.unread:
        return f"where the members of its server group {group.name} are is not known: {group.unread}"
    here = sum(1 for where in others.values() if where == host.name)
    if group.policy == "anti-affinity":
        return f"server group {group.name} (anti-affinity) has a member there" if here >= group.max_per_host else None
    alone = not others and not group.at_home - {ask.instance.instance_id}
    if here or (alone and call_to(ask, host) is Call.ON_SHARED_STORAGE):
        return None
    return f"server group {group.name} (affinity) keeps it with members that are not there"


def _not_avoided(ask: Ask, host: Host, room: Room) -> str | None:
    return "an earlier attempt there failed" if host.name in ask.record.avoid else None


def _has_devices(ask: Ask, host: Host, room: Room) -> str | None:
    """Whether enough are left is a question of room; here: is it known how many there are at all?"""
    if not ask.needs.devices:
        return None
    there = declared(host, ask.policy)
    missing = sorted(alias for alias, _ in ask.needs.devices if f"{CLASS}{alias}" not in there)
    return f"how many PCI devices of the alias {missing[0]} it has is not declared" if missing else None


def _has_room(ask: Ask, host: Host, room: Room) -> str | None:
    free = room.free.get(host.name)
    if free is None:
        return "its room in Placement is not known"
    for name, amount in sorted(ask.record.resources.items()):
        if free.get(name, 0) < amount:
            return f"no room for {amount} {name}"  # without what is left, which changes all the time
    return None


def _alone(ask: Ask, host: Host, room: Room) -> str | None:
    """Who may be what kills hosts goes by itself, so that should it do so again, it is seen, and takes nobody with it."""
    if not room.limits.doubted_alone or ask.instance.instance_id in room.hurried:
        return None
    if ask.record.is_doubted and host.name in room.coming:
        return "others are on their way to it"
    return "is left to an instance that goes alone" if host.name in room.kept else None


STANDING: Mapping[str, Constraint] = {
    "hypervisor": Constraint(_same_kind, "only a host of the same hypervisor type can take it"),
    "storage": Constraint(_disk_survives, "declare the storage domain of its host, or add a host to that domain"),
    "image": Constraint(_may_be_moved, "see to Glance; a cloud without amphorae can leave [protection] skip_image_tags empty"),
    "settled": Constraint(_is_settled, "wait: it is believed when it has been in its domain for [storage] join_s"),
    "mounted": Constraint(_is_mounted, "look whether the share or pool of its domain is really used there; then restart nova-compute"),
    "zone": Constraint(_in_its_zone, "add or enable a host in that zone, or unpin the instance (compute API 2.104)"),
    "cell": Constraint(_in_its_cell, "add or enable a host in its cell"),
    "tpm": Constraint(_no_tpm, "repair its host: it is started there as soon as it is back"),
    "tenant": Constraint(_tenant_welcome, "add or enable a host that is open to its project"),
    "aggregate": Constraint(_aggregate_fits, "add or enable a host in such an aggregate"),
    "network": Constraint(_binds_ports, "start its Neutron L2 agent again (openstack network agent list)"),
    "devices": Constraint(_has_devices, "declare it: openstack aggregate set --property hanode:pci:ALIAS=N AGGREGATE (on each host)"),
    "traits": Constraint(_has_traits, "add or enable a host with that trait"),
}
"""What holds for all instances of one kind, however much has been placed meanwhile."""

MOVING: Mapping[str, Constraint] = {
    "attempts": Constraint(_not_avoided, "find out why the attempt failed there"),
    "group": Constraint(_group_allows, "repair its host, or let its owner rebuild it with a soft policy"),
    "room": Constraint(_has_room, "add or enable a host, or make room"),
    ALONE: Constraint(_alone, "wait until those that are on their way have arrived"),
}
"""What depends on the one instance, or on what has been placed before it; last of all what only says "later"."""

CONSTRAINTS: Mapping[str, Constraint] = {**STANDING, **MOVING}


def against(ask: Ask, host: Host, room: Room, rules: Mapping[str, Constraint] = CONSTRAINTS) -> tuple[str, str] | None:
    """The first rule that speaks against this host, and what it says; None: it may go there."""
    for name, constraint in rules.items():
        said = constraint.rule(ask, host, room)
        if said is not None:
            return name, said
    return None
