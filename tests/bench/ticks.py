"""What does a tick cost, in CPU time, when the cloud is large and quiet, and when hosts of it are being recovered?

The production engine over the simulated ports: from the observed facts to the committed decisions. Reading and parsing
Nova's answers is not in it. `python -m tests.bench.ticks HOSTS FAILED` prints JSON: each has a process, and so memory, of its own.
"""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from hanode.cli.run import GARBAGE
from hanode.core.policy import Policy
from hanode.sim.run import Simulation
from hanode.sim.world import Domain, World

SETTLED_S = 40.0
WATCHED_S = 60.0
PER_DOMAIN = 100
SERVERS = 20


@dataclass(frozen=True)
class Ticks:
    cpu_s: tuple[float, ...]
    over_s: float  # of virtual time
    rss_mib: float  # with the simulated world
    polls: int  # of os-services

    @property
    def share(self) -> float:
        """Of one core."""
        return sum(self.cpu_s) / self.over_s


def measured(hosts: int, failed: int) -> Ticks:
    """In a fresh process."""
    ended = subprocess.run([sys.executable, "-m", "tests.bench.ticks", str(hosts), str(failed)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(ended.stdout)
    return Ticks(tuple(found["cpu_s"]), found["over_s"], found["rss_mib"], found["polls"])


def play(hosts: int, failed: int) -> Ticks:
    """Servers only on the hosts that will fail: of the others hanode reads none."""
    world, dead = build(hosts, failed)
    simulation = Simulation(world, Policy(mode="act", fenceable=frozenset(world.hosts)), nodes=("n1",))
    simulation.run(SETTLED_S)
    for host in dead:
        world.hosts.power_off(host, "its power fails")
    daemon, cpu_s = simulation.daemons["n1"], list[float]()
    tick, reads = daemon.engine.tick, len(daemon.node.trace)

    def timed() -> float:
        began_s = time.process_time()
        wait_s = tick()
        cpu_s.append(time.process_time() - began_s)
        return wait_s

    daemon.engine.tick = timed  # type: ignore[method-assign] # the stopwatch around the production code
    simulation.run(SETTLED_S + WATCHED_S)
    polls = sum(1 for call in daemon.node.trace[reads:] if call.name == "cloud.read_fleet")
    return Ticks(tuple(sorted(cpu_s)), WATCHED_S, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, polls)


def build(hosts: int, failed: int) -> tuple[World, list[str]]:
    world, names = World(seed=1), [f"n{number:05}" for number in range(hosts)]
    for begin in range(0, hosts, PER_DOMAIN):
        domain, members = f"ceph{begin // PER_DOMAIN:03}", names[begin : begin + PER_DOMAIN]
        for name in members:
            world.add_host(name, Domain(domain, "rbd"))
        world.add_aggregate(domain, members, {"hanode:storage": domain, "hanode:kind": "rbd"})
    dead = names[:: hosts // failed][:failed] if failed else []
    for host in dead:
        for number in range(SERVERS):
            world.add_server(f"{host}-{number:02}", host, ram_mb=512, disk_gb=5)
    return world, dead


def main() -> int:
    gc.set_threshold(*GARBAGE)  # as the daemon does
    found = play(int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(json.dumps(vars(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
