"""What could a configuration for this cloud begin with? A draft from what Nova shows; it arms nobody and guesses no disks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import yaml

from hanode.core.facts import Aggregate, Fleet, Instance
from hanode.core.policy import Policy

HEADER = """\
# A draft of hanode.conf, made from what Nova shows. Read each line: whether hosts see the same disks, no API tells.
[DEFAULT]
mode = observe
"""

FENCING = """\
# A draft of fencing.yaml (chmod 600). Until a host has a device here, a person must prove it dead.
# One template for hosts with alike BMCs; `hanode fence check` afterwards:
#
# templates:
#   bmc:
#     hosts: ["{pattern}"]
#     driver: ipmi
#     address: "{{host}}-bmc.example.org"
#     username: hanode
#     password_file: /etc/hanode/secrets/bmc
"""


def conf_draft(fleet: Fleet, servers: Collection[Instance], skip_images: Collection[str], policy: Policy) -> str:
    """hanode.conf: storage domains, racks and the projects of amphorae, to be read by a person."""
    lines = [HEADER, *_protection(fleet, servers, skip_images, policy), "", "[storage]", *_storage(fleet, policy), "", *_racks(fleet)]
    return "\n".join([*lines, ""])


def fencing_draft(fleet: Fleet, fenceable: Collection[str]) -> str:
    """fencing.yaml: every host that has no device yet, told to be a person's."""
    hosts = sorted(fleet.hosts.keys() - set(fenceable))
    by_hand = {host: {"driver": "manual", "instruction": f"no device is described yet: look at {host} and cut its power"} for host in hosts}
    return FENCING.format(pattern=_pattern(hosts)) + yaml.safe_dump({"hosts": by_hand}, width=200)


def _protection(fleet: Fleet, servers: Collection[Instance], skip_images: Collection[str], policy: Policy) -> Iterator[str]:
    yield "[protection]"
    kinds = Counter(host.hypervisor.kind for host in fleet.hosts.values() if host.hypervisor)
    yield "# hypervisor types that Nova shows: " + (", ".join(f"{kind} ({count})" for kind, count in sorted(kinds.items())) or "none")
    yield f"hypervisor_kinds = {','.join(sorted(policy.hypervisor_kinds))}"
    projects = Counter(server.project_id for server in servers if server.image_id in skip_images)
    yield "# projects with amphorae (instances of images with a tag of skip_image_tags), which Octavia itself replaces"
    yield f"skip_projects = {','.join(sorted(policy.skip_projects | projects.keys()))}"


def _storage(fleet: Fleet, policy: Policy) -> Iterator[str]:
    declared = {name for name, host in fleet.hosts.items() if policy.domain_of(host)}
    yield f"# {len(declared)} of {len(fleet.hosts)} hosts are declared."
    for aggregate in _aggregates(fleet):
        hosts = sorted((aggregate.hosts & fleet.hosts.keys()) - declared)
        if len(hosts) > 1:
            name = _one_line(aggregate.name)
            yield f"# Aggregate {name}: if its {len(hosts)} hosts see the same disks (rbd; or file, a mounted share), either"
            yield f"#   openstack aggregate set --property {policy.storage_key}={name} --property {policy.storage_kind_key}=rbd {name}"
            yield "# or the two lines"
            yield f"#   domains = {','.join(f'{host}:{name}' for host in hosts)}"
            yield f"#   kinds = {name}:rbd"


def _racks(fleet: Fleet) -> Iterator[str]:
    for zone in sorted({host.service.zone for host in fleet.hosts.values()}):
        hosts = [name for name, host in sorted(fleet.hosts.items()) if host.service.zone == zone]
        yield f"# Availability zone {_one_line(zone) or '(none)'}: {', '.join(hosts)}"
    racks = sorted(_one_line(a.name) for a in _aggregates(fleet) if "rack" in a.name.lower() or "rack" in a.metadata)
    yield f"# Aggregates that look like racks: {', '.join(racks) or 'none'}."
    yield "# A rack that falls silent as a whole is mostly a switch. Tell which hosts are in one:"
    yield "#   openstack aggregate set --property rack=NAME AGGREGATE"


def _aggregates(fleet: Fleet) -> list[Aggregate]:
    found = {aggregate.name: aggregate for host in fleet.hosts.values() for aggregate in host.aggregates}
    return [found[name] for name in sorted(found)]


def _one_line(name: str) -> str:
    """Whoever may name an aggregate must not write a line of our configuration."""
    return " ".join(name.split())


def _pattern(hosts: Sequence[str]) -> str:
    return f"{hosts[0].rstrip('0123456789')}*" if hosts else "compute-*"
