"""How many PCI devices of an alias has a host left? Counted by us, against what its operator has declared.

Nova tells nobody how many devices match an alias: the alias stands in nova.conf (`[pci] alias`), what a host has in its own database.
So operators declare it in aggregate metadata (`hanode:pci:ALIAS=N`: so many on each host), and what the instances on the host
hold is counted by their flavors (`pci_passthrough:alias`, nova pci/request.py). It is one more resource for the planner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from hanode.core.draft import Draft
from hanode.core.facts import Host, Instance, Resources
from hanode.core.lifecycle import IN_FLIGHT, TO_DO, InstanceState
from hanode.core.model import WantKind
from hanode.core.needs import needs_of
from hanode.core.policy import Policy

CLASS = "PCI:"
"""How the resource of an alias begins; Placement has no class with a colon."""

HELD_S = 15.0
COMING = IN_FLIGHT | {InstanceState.MOVED, InstanceState.STUCK}


def wanted(instance: Instance) -> Resources:
    return {f"{CLASS}{alias}": count for alias, count in needs_of(instance).devices}


def declared(host: Host, policy: Policy) -> Resources:
    """What its aggregates say that it has; of several that say it the first by name counts, and what is no number is 0."""
    found: dict[str, int] = {}
    for aggregate in reversed(host.aggregates):
        for key, text in aggregate.metadata.items():
            if key.startswith(policy.pci_key):
                found[f"{CLASS}{key.removeprefix(policy.pci_key)}"] = int(text) if text.strip().isdigit() else 0
    return found


def left_of(host: Host, policy: Policy, held: Iterable[Resources]) -> Resources:
    taken = Counter[str]()
    for resources in held:
        taken.update({name: amount for name, amount in resources.items() if name.startswith(CLASS)})
    return {name: count - taken[name] for name, count in declared(host, policy).items()}


def without(resources: Resources) -> Resources:
    """What Placement knows of."""
    return {name: amount for name, amount in resources.items() if not name.startswith(CLASS)}


def add_devices(draft: Draft, free: dict[str, dict[str, int]], also: Iterable[Resources] = ()) -> bool:
    """Adds what is left to each host that has something of what is to be restarted, or is asked for besides; False while it is being read.

    Where it cannot be read nothing is added: an unknown number of devices is no device.
    """
    entries = [entry for record in draft.records.values() for entry in record.instances.values()]
    asked = [*also, *(entry.resources for entry in entries if entry.state in TO_DO)]
    names = {name for resources in asked for name in resources if name.startswith(CLASS)}
    known = True
    for name, host in sorted(draft.fleet.hosts.items()) if names and draft.fleet else ():
        if not names & declared(host, draft.policy).keys():
            continue
        servers = draft.servers(name, HELD_S)
        known = known and (WantKind.SERVERS, name) in draft.snapshot.readings
        if servers is not None and name in free:
            coming = [e.resources for e in entries if e.target == name and e.state in COMING and e.instance_id not in servers]
            free[name].update(left_of(host, draft.policy, [*map(wanted, servers.values()), *coming]))
    return known


def with_devices(room: Mapping[str, Resources], hosts: Mapping[str, Host], servers: Mapping[str, Iterable[Instance]],
                 policy: Policy) -> Mapping[str, Resources]:
    """The same for a cloud at rest, of which everything is known."""
    return {name: {**free, **(left_of(hosts[name], policy, map(wanted, servers.get(name, ()))) if name in hosts else {})}
            for name, free in room.items()}
