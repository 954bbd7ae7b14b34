"""The whole cloud on paper: who would be restarted where, if these hosts failed now? With the planner that does it in earnest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from hanode.core import accounts
from hanode.core.constraints import call_to
from hanode.core.decisions import Beat
from hanode.core.devices import wanted
from hanode.core.facts import Host, Instance, Resources
from hanode.core.judge import Evidence, exemption
from hanode.core.lifecycle import InstanceState
from hanode.core.order import restart_order
from hanode.core.place import Placed, Refused, place_all
from hanode.core.policy import MARKER, Policy
from hanode.core.records import Roster
from hanode.core.room import Ask, Ground, GroupNow, Room
from hanode.core.spares import fewest


@dataclass(frozen=True)
class Stock:
    """Complete reads of a cloud in rest."""

    hosts: Mapping[str, Host]
    servers: Mapping[str, tuple[Instance, ...]]  # by host
    room: Mapping[str, Resources]  # free by Placement, by host
    held: Mapping[str, Mapping[str, Resources]]  # host -> instance id -> what Placement has given it there
    skip_images: frozenset[str] = frozenset()
    unfit: Mapping[str, str] = field(default_factory=dict)  # hosts that are no target now, and why
    ground: Ground = field(default_factory=Ground)
    spares: frozenset[str] = frozenset()  # of the unfit: hosts in reserve, which are enabled when nothing else fits

    def targets(self, without: frozenset[str]) -> tuple[Host, ...]:
        return tuple(host for name, host in sorted(self.hosts.items()) if name not in self.unfit and name not in without)

    def reserve(self, without: frozenset[str]) -> tuple[Host, ...]:
        return tuple(self.hosts[name] for name in sorted(self.spares - without))


def is_spare(host: Host, policy: Policy) -> bool:
    """Kept in reserve, and nothing speaks against it but that it is disabled."""
    service = host.service
    return policy.in_reserve(host) and service.state == "up" and not service.forced_down


def unfit_reason(host: Host, maintained: bool = False, recovering: bool = False) -> str:
    """Why a host takes no instances as things stand; "" when it does."""
    service = host.service
    if maintained or recovering:
        return "people work on it" if maintained else "it is being recovered"
    if service.forced_down:
        return "it is forced down"
    if service.status != "enabled":
        return f"it is disabled ({service.disabled_reason or 'no reason given'})"
    return "" if service.state == "up" else f"Nova calls it {service.state or 'unknown'}"


def asks_of(stock: Stock, host: str, policy: Policy) -> tuple[Ask, ...]:
    """The instances of this host that would be restarted elsewhere, were it to fail, in restart order."""
    source = stock.hosts[host]
    domain = policy.domain_of(source)
    name = domain.name if domain else ""
    servers = {server.instance_id: server for server in stock.servers.get(host, ())}
    held = stock.held.get(host, {})
    entries = [accounts.account(server, name, held, policy, stock.skip_images) for server in servers.values()]
    pending = restart_order(entry for entry in entries if entry is not None and entry.state is InstanceState.PENDING)
    return tuple(Ask(servers[entry.instance_id], entry, source, domain, policy) for entry in pending)


def all_asks(stock: Stock, policy: Policy) -> Mapping[str, tuple[Ask, ...]]:
    """Of every host that hanode would evacuate."""
    return {name: asks_of(stock, name, policy) for name, host in sorted(stock.hosts.items()) if is_protected(host, policy)}


def is_protected(host: Host, policy: Policy) -> bool:
    """Would it be evacuated if it failed? One that is being drained is; what other marks of ours mean only the journal knows."""
    ours = host.service.disabled_reason.startswith(MARKER)
    return policy.recovery_of(host) == "evacuate" and (ours or exemption(silent(host, policy)) is None)


def silent(host: Host, policy: Policy, roster: Roster = Roster()) -> Evidence:
    """The host as it would look if it were silent for long enough to be fenced."""
    silent_s = policy.fence_after_s + 1.0
    return Evidence(host, Beat("", 0.0, moved=True), silent_s, silent_s, policy, roster)


@dataclass(frozen=True)
class Outcome:
    """What one failure would come to."""

    dead: frozenset[str]
    asks: tuple[Ask, ...]  # in the order in which they would be asked for
    places: Mapping[str, Placed | Refused]  # by instance id
    called: Mapping[str, str] = field(default_factory=dict)  # instance id -> the spare that is enabled for it

    @property
    def unplaced(self) -> tuple[tuple[Ask, Refused], ...]:
        found = ((ask, self.places[ask.instance.instance_id]) for ask in self.asks)
        return tuple((ask, place) for ask, place in found if isinstance(place, Refused))


def fail(stock: Stock, dead: Iterable[str], asks: Mapping[str, tuple[Ask, ...]]) -> Outcome:
    """Everything on these hosts, placed on what is left of the others."""
    gone = frozenset(dead)
    by_id = {ask.instance.instance_id: ask for host in sorted(gone) for ask in asks.get(host, ())}
    ordered = tuple(by_id[entry.instance_id] for entry in restart_order(ask.record for ask in by_id.values()))
    room = Room({host: dict(free) for host, free in sorted(stock.room.items()) if host not in gone}, ground=stock.ground)
    room.ground = replace(stock.ground, groups={key: _left_of(group, gone) for key, group in stock.ground.groups.items()})
    places = dict(place_all(ordered, stock.targets(gone), room))
    refused = [ask for ask in ordered if isinstance(places[ask.instance.instance_id], Refused)]
    spares = stock.reserve(gone) if refused else ()
    called = fewest(refused, spares, room) if spares else {}
    by_name = {host.name: host for host in spares}
    for key, spare in called.items():
        places[key] = Placed(spare, call_to(by_id[key], by_name[spare]))
    return Outcome(gone, ordered, places, called)


def _left_of(group: GroupNow, gone: frozenset[str]) -> GroupNow:
    """The group as Nova sees it then: who was on a dead host is still called there."""
    members = {member: host for member, host in group.members.items() if host not in gone}
    return replace(group, members=members, at_home=group.at_home | (group.members.keys() - members.keys()))


def capacity_of(stock: Stock, host: str) -> Mapping[str, int]:
    """What the host has in all: free and given away."""
    total = Counter(dict(stock.room.get(host, {})))
    for server in stock.servers.get(host, ()):
        total.update(wanted(server))
    for resources in stock.held.get(host, {}).values():
        total.update(resources)
    return total


def moved(stock: Stock, places: Mapping[str, tuple[Ask, str]], gone: Iterable[str] = ()) -> Stock:
    """The cloud after these instances have gone to these hosts, and these hosts were switched off."""
    off = frozenset(gone)
    servers = {name: [s for s in found if s.instance_id not in places] for name, found in stock.servers.items() if name not in off}
    room = {name: dict(free) for name, free in stock.room.items() if name not in off}
    held = {name: {k: v for k, v in found.items() if k not in places} for name, found in stock.held.items() if name not in off}
    for instance_id, (ask, target) in sorted(places.items()):
        servers.setdefault(target, []).append(replace(ask.instance, host=target))
        held.setdefault(target, {})[instance_id] = ask.record.resources
        for sign, host in ((-1, target), (1, ask.source.name)):
            for resource, amount in ask.record.resources.items() if host in room else ():
                room[host][resource] = room[host].get(resource, 0) + sign * amount
    kept = {name: host for name, host in stock.hosts.items() if name not in off}
    tables = {name: tuple(found) for name, found in servers.items()}
    return replace(stock, hosts=kept, servers=tables, room=room, held=held, spares=stock.spares - off)
