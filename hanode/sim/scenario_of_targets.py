"""What happens to the hosts to which instances may go: what is declared of them, what they have, how they are connected?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hanode.sim.scenario_setup import inventories
from hanode.sim.scenario_stage import Stage, Word


def _inventory(stage: Stage, host: str, vcpus: int = 32, ram_mb: int = 131072, disk_gb: int = 4000) -> None:
    stage.world.hosts[host].inventories = inventories(vcpus, ram_mb, disk_gb)


def _member(stage: Stage, name: str, host: str, joins: bool) -> None:
    """An administrator adds a host to an aggregate, or takes it out; aggregates of storage domains have the domain's name."""
    found = next(a for a in stage.world.nova.true_aggregates() if a.name == name)
    stage.world.nova.add_aggregate(replace(found, hosts=found.hosts | {host} if joins else found.hosts - {host}))


def _wires(stage: Stage, host: str, works: bool) -> None:
    stage.world.hosts[host].wires_ports = works


EVENTS_OF_TARGETS: Mapping[str, Word] = {
    "inventory": Word("HOST vcpus=NUMBER ram-mb=NUMBER disk-gb=NUMBER", _inventory),
    "joins-aggregate": Word("HOST NAME", lambda stage, host, name: _member(stage, name, host, True)),
    "leaves-aggregate": Word("HOST NAME", lambda stage, host, name: _member(stage, name, host, False)),
    "kill-network-agent": Word("HOST", lambda stage, host: _wires(stage, host, False)),
    "start-network-agent": Word("HOST", lambda stage, host: _wires(stage, host, True)),
}
