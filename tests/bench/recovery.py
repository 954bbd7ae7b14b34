"""How fast does a recovery go through a Nova that slows down under load, beside an oracle and beside fixed limits?

The production engine in virtual time, so the figures do not depend on the machine. The Nova of `hanode.sim.world` with a knee for
each thing that is shared (`hanode.sim.world.load`): at most so many rebuilds on one target, in the one storage domain and
in the control plane at once bring more; beyond, less. A guest that is not up after five minutes has failed, as in Nova.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from unittest import mock

from hanode.core import pace
from hanode.core.lifecycle import HostState
from hanode.core.pace import ALL, Scope
from hanode.core.policy import Policy
from hanode.ports import Transaction
from hanode.sim.run import Simulation
from hanode.sim.world import Domain, Timings, World

CEPH = Domain("ceph", "rbd")
DIES_S = 60.0
LONGEST_S = 4000.0

NOVA = Timings(spawn_s=8.0, target_knee=8.0, storage_knee=40.0, api_knee=120.0, rebuild_limit_s=300.0)
POOR = replace(NOVA, storage_knee=10.0)
"""A storage that is at its best with ten guests coming up at once: what no default can know."""


@dataclass(frozen=True)
class Shape:
    failed: int
    servers: int  # on each of them
    hosts: int

    def __str__(self) -> str:
        return f"{self.failed} x {self.servers}"


SHAPES = (Shape(1, 20, 24), Shape(1, 100, 24), Shape(5, 40, 48), Shape(20, 50, 200))


@dataclass(frozen=True)
class Recovery:
    after_s: tuple[float, ...]  # from the power-off to each instance being ACTIVE on its new host
    fenced_s: float  # from the power-off until the first host was known to be off
    posts: int
    failures: int  # rebuilds that failed
    most: int  # rebuilds at work at once, at the worst moment
    commits: tuple[Transaction, ...] = ()  # those that wrote of the recovery

    @property
    def commit_bytes(self) -> int:
        return sum(len(text) for commit in self.commits for text in commit.puts.values())

    def at(self, share: float) -> float:
        return self.after_s[min(len(self.after_s) - 1, int(share * len(self.after_s)))] if self.after_s else float("nan")

    @property
    def rest_s(self) -> float:
        """Everything that came after the proof of death."""
        return self.at(1.0) - self.fenced_s


def build(shape: Shape, timings: Timings, seed: int) -> tuple[World, list[str]]:
    world = World(seed, timings=timings)
    names = [f"c{number:03}" for number in range(shape.hosts)]
    for name in names:
        world.add_host(name, CEPH)
    world.add_aggregate("ceph", names, {"hanode:storage": "ceph", "hanode:kind": "rbd"})
    dead = names[:: shape.hosts // shape.failed][: shape.failed]
    for host in dead:
        for number in range(shape.servers):
            world.add_server(f"{host}-{number:03}", host, ram_mb=512, disk_gb=5)
    return world, dead


def fixed(at_once: int) -> Mapping[str, Scope]:
    """Limits that follow nothing."""
    return dict.fromkeys(pace.SCOPES, Scope(at_once, at_once, float("inf"), float("inf")))


def under_hanode(shape: Shape, timings: Timings, seed: int, at_once: int | None = None) -> Recovery:
    """With the windows as they are shipped, or with one fixed number for everything."""
    world, dead = build(shape, timings, seed)
    policy = Policy(mode="act", fenceable=frozenset(world.hosts), brake_percent=50.0)
    scopes = pace.SCOPES
    if at_once is not None:
        scopes = fixed(at_once)
        policy = replace(policy, max_evacuations=at_once, max_per_domain=at_once, max_per_target=at_once)
    with mock.patch.object(pace, "SCOPES", scopes):
        simulation = Simulation(world, policy, nodes=("n1",))
        for host in dead:
            world.at(DIES_S, lambda host=host: world.hosts.power_off(host, "its power fails"), "the failure")  # type: ignore[misc]
        began = len(simulation.story.commits)
        simulation.run(DIES_S + LONGEST_S, lambda: all(_is_done(world, instance, dead) for instance in world.servers.by_id))
    sent = [commit.transaction for commit in simulation.story.commits[began:]]
    fenced = (t.time_s for t in simulation.story.ticks for r in t.decisions.writes if r.state is HostState.FENCED)
    return replace(
        _recovery(world, dead, next(fenced, DIES_S) - DIES_S),
        commits=tuple(one for one in sent if any(key.startswith("recovery") for key in one.puts)),
    )


def under_oracle(shape: Shape, timings: Timings, seed: int, at_once: int, per_target: int) -> Recovery:
    """Knows at once who is dead and when each rebuild has ended; neither locks nor proves nor reads."""
    world, dead = build(shape, timings, seed)
    world.advance(DIES_S)
    for host in dead:
        world.hosts.power_off(host, "its power fails")
        world.nova.set_forced_down(world.hosts[host].service_id, True)
    targets = [host.name for host in world.hosts.all() if host.name not in dead]
    left = sorted(world.servers.by_id)
    open_now: dict[str, str] = {}
    while (left or open_now) and world.now_s < DIES_S + LONGEST_S:
        open_now = {instance: target for instance, target in open_now.items() if not _is_done(world, instance, dead)}
        busy = Counter(open_now.values())
        while left and len(open_now) < at_once:
            target = min(targets, key=lambda name: (busy[name], name))
            if busy[target] >= per_target:
                break
            busy[target] += 1
            open_now[left[-1]] = target
            world.nova.evacuate(left.pop(), target)
        world.advance(world.next_event_s() or world.now_s)
    return _recovery(world, dead, 0.0)


def floor(shape: Shape, timings: Timings, seed: int) -> Recovery:
    """The best oracle of a grid."""
    found = [under_oracle(shape, timings, seed, at_once, per_target) for at_once in (8, 16, 32, 48, 64) for per_target in (2, 4, 8)]
    return min(found, key=lambda recovery: recovery.at(1.0))


def _is_done(world: World, instance_id: str, dead: Sequence[str]) -> bool:
    server = world.servers.by_id[instance_id]
    return server.host not in dead and server.vm_state == "active" and not server.task_state


def _recovery(world: World, dead: Sequence[str], fenced_s: float) -> Recovery:
    done = {e.facts["instance"]: e.time_s - DIES_S for e in world.log if e.kind == "migration" and e.facts["status"] == "done"}
    back = tuple(sorted(done[instance] for instance in done if _is_done(world, instance, dead)))
    posts = sum(1 for event in world.log if event.kind == "evacuate-accepted")
    failures = sum(1 for event in world.log if event.kind == "migration" and event.facts["status"] == "failed")
    return Recovery(back, fenced_s, posts, failures, world.load.most)


__all__ = ["ALL", "NOVA", "POOR", "SHAPES", "Recovery", "Shape", "floor", "under_hanode"]
