"""How is the whole cloud read at one moment? Every list complete, or the reading fails: capacity rests on nothing that is missing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hanode.core.devices import with_devices
from hanode.core.domains import shared
from hanode.core.facts import Fleet, Instance, ServerGroup
from hanode.core.members import unlike
from hanode.core.needs import needs_of
from hanode.core.policy import Policy
from hanode.core.room import Ground, GroupNow
from hanode.core.stock import Stock, is_spare, unfit_reason
from hanode.errors import Unreachable
from hanode.ports import Cloud

T = TypeVar("T")

def take_stock(
    cloud: Cloud, policy: Policy, fleet: Fleet | None = None, maintained: Collection[str] = (), recovering: Collection[str] = (),
    at_once: int = 1,
) -> Stock:
    """`at_once`: so many hosts are asked for at a time. Raises Unreachable when a cell does not answer, else as the cloud's reads."""
    seen = fleet or cloud.read_fleet()
    dumb = sorted(name for name, host in seen.hosts.items() if host.service.state is None)
    if dumb:
        raise Unreachable(f"the Nova cell of {dumb[0]} does not answer: what the cloud can take is not known")
    providers = {name: host.hypervisor.provider_id for name, host in sorted(seen.hosts.items()) if host.hypervisor}
    names = sorted(seen.hosts)
    servers = _each(cloud.read_servers, {name: name for name in names}, at_once)
    held = _each(cloud.read_consumption, providers, at_once)
    unfit = {name: unfit_reason(host, name in maintained, name in recovering) for name, host in sorted(seen.hosts.items())}
    return Stock(
        hosts=dict(sorted(seen.hosts.items())),
        servers=servers,
        room=with_devices(cloud.read_room(providers), seen.hosts, servers, policy),
        held=held,
        skip_images=cloud.read_skip_images(),
        unfit={name: why for name, why in unfit.items() if why},
        ground=_ground(cloud, policy, seen, servers),
        spares=frozenset(name for name, host in seen.hosts.items() if is_spare(host, policy) and name not in {*maintained, *recovering}),
    )


def _ground(cloud: Cloud, policy: Policy, fleet: Fleet, servers: Mapping[str, tuple[Instance, ...]]) -> Ground:
    """What the planner needs besides room: who must not stand beside whom, and who has what is required."""
    home = {server.instance_id: host for host, found in servers.items() for server in found}
    groups = {group.group_id: group for group in cloud.read_groups()}
    standing = {key: _group(group, home) for key, group in groups.items() if group.members & home.keys()}
    needed = sorted({trait for found in servers.values() for server in found for trait in needs_of(server).traits})
    return Ground(
        groups=standing,
        group_of={member: key for key, group in standing.items() for member in group.members},
        traits={trait: cloud.read_trait(trait) for trait in needed},
        unlike=unlike(fleet.hosts, policy),
        cut_off=cloud.read_dead_agents(),
        racks={name: ", ".join(shared(host, policy)) for name, host in fleet.hosts.items()},
    )


def _group(group: ServerGroup, home: Mapping[str, str]) -> GroupNow:
    members = {member: home[member] for member in sorted(group.members) if member in home}
    return GroupNow(group.name, group.policy, members, max_per_host=group.max_per_host)


def _each(read: Callable[[str], T], keys: Mapping[str, str], at_once: int) -> Mapping[str, T]:
    """By name, what is read of its key; the first failure is that of the whole."""
    if at_once == 1:
        return {name: read(key) for name, key in keys.items()}
    with ThreadPoolExecutor(at_once) as pool:
        return dict(zip(keys, pool.map(read, keys.values()), strict=True))
