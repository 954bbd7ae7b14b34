"""How soon is a dead host known to be dead? In virtual time, so the same on every machine."""

from __future__ import annotations

import pytest

from hanode.core.decisions import Verdict
from hanode.core.lifecycle import HostState
from hanode.core.policy import Policy
from hanode.sim.run import Simulation
from hanode.sim.world import BmcMode, World

KNOWN_WITHIN_S = 25.0
SHARE = 1.3


def cloud(seed: int, hosts: int, **policy: object) -> Simulation:
    """Hosts of one storage domain, with Nova's default report_interval of 10 s; one instance on each of them."""
    world = World(seed)
    names = [f"c{number:02d}" for number in range(1, hosts + 1)]
    for name in names:
        world.add_host(name)
        world.add_server(f"web-{name}", name)
    world.add_aggregate("ceph-a", names, {"hanode:storage": "ceph-a", "hanode:kind": "rbd"})
    made = Policy(mode="act", fenceable=frozenset(names), check_every_s=0.0, **policy)  # type: ignore[arg-type]
    return Simulation(world, made, ("n1",))


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_host_that_lost_its_power_is_failed_within_25_s_of_its_last_heartbeat(seed: int) -> None:
    """Whatever the phase of its heartbeats to our looks at Nova, and although its rhythm is not known yet."""
    simulation = cloud(seed, 3)
    world = simulation.world
    world.at(60.0, lambda: world.hosts.power_off("c01", "by a hand"), "power off c01")

    def failed() -> bool:
        tick = simulation.story.ticks[-1] if simulation.story.ticks else None
        return tick is not None and tick.decisions.verdicts.get("c01") is not None \
            and tick.decisions.verdicts["c01"].verdict is Verdict.FAILED

    assert simulation.run(200.0, failed)
    assert world.now_s - world.hosts["c01"].beat_s <= KNOWN_WITHIN_S


def confirmed_in_s(dead: int, slowest_s: float) -> float:
    """From the first power-off to the last proof, of so many hosts that an operator named; their devices take up to so long to act."""
    simulation = cloud(3, 24, max_fencing=20, brake_percent=100.0)
    world = simulation.world
    names = list(world.hosts)[:dead]
    for number, name in enumerate(names, 1):
        world.bmcs[name].misbehave(BmcMode.SLOW, slowest_s * number / dead)
        world.at(60.0, lambda name=name: world.hosts.panic(name), f"panic {name}")  # type: ignore[misc]

    def name_them() -> None:
        for name in names:
            simulation.command("release-hold", name)

    world.at(140.0, name_them, "the operator names them")
    proven = {HostState.FENCED, HostState.EVACUATING}

    def done() -> bool:
        records = simulation.book().records.hosts
        return sum(record.state in proven for record in records.values()) == dead

    assert simulation.run(300.0, done)
    return world.now_s - min(event.time_s for event in world.log if event.kind == "off-command")


def test_twenty_dead_hosts_are_confirmed_in_little_more_than_the_time_of_the_slowest_device() -> None:
    """They are fenced side by side; nobody waits for another's device, nor for another's evacuation."""
    assert confirmed_in_s(20, 20.0) <= SHARE * confirmed_in_s(1, 20.0)
