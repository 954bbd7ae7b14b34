"""What would the cloud really do? A deterministic world of hosts, power devices, disks and Nova, in virtual time.

No threads, no real clock, no randomness but `random.Random(seed)`. Whoever runs it in real time advances it under a lock.

The whole API in one look (`world = World(seed=1)`):

Time
    world.now_s; world.advance(to_s); world.next_event_s(); world.at(time_s, call, label); world.after(delay_s, call, label)
    world.stamp(time_s) -> Nova's text for a moment; world.log: list[Event(time_s, kind, subject, text, facts)]
    world.timings: how long each step of Nova, of booting and of a power device takes (Timings, given at construction)

Building
    world.add_host(name, domain=Domain("ceph-a", "rbd"), zone=..., kind="QEMU", ...) -> ComputeHost
    world.add_server(name, host, vm_state="active", volume_boot=False, vcpus=1, ram_mb=1024, ...) -> Server (already running)
    world.add_aggregate(name, hosts, metadata)

Rooms (each a module of this package)
    world.hosts     Hosts: world.hosts["c1"] is a ComputeHost (plain readable fields); verbs: kill_compute, freeze_compute,
                    thaw_compute, start_compute, freeze_kernel, thaw_kernel, panic, reboot, power_off, power_on, cut_mains,
                    restore_mains, cut_network, restore_network, unmount, mount
    world.bmcs      {host: Bmc}: power_off(), power_on(), read() -> Power; misbehave(BmcMode.X, seconds=..., acts_on=...)
    world.disks     Disks: .all() -> Disk(births, writers): who wrote what from when to when
    world.servers   Servers: .by_id, .on(host), .live(); Server is a mutable row of Nova's database with .actions
    world.nova      Nova: the API, one method per request, all raising only ApiError(status, text), Hang, Down:
                    services, hypervisors, aggregates, servers(host), server(id), migrations(host), evacuations(status),
                    actions(id), image_ids(tag),
                    set_forced_down, disable, enable, evacuate(id, target, call, user=...), lock, unlock, start, stop,
                    reset_state, delete; allocations, inventories, usages and room, each of a provider_id
    world.migrations Migrations: .rows (every MigrationRow, oldest first), .add(...), .set_status(...)
    world.placement Placement: allocations by instance and host, read without faults
    world.storage   Storage: become(domain, Condition.HANGS | FAILS | WORKS)
    world.cuts      Cuts: cut(domain, host, for_s), restore, read -> Access, behave(domain, Manner.X, seconds=...), forget
    world.moves     Moves: create, live_migrate, migrate (cold, or resize), confirm, revert: requests like those of world.nova
    world.control   ControlPlane: fail(Part.RABBIT) / restore(Part.RABBIT) for RABBIT, CONDUCTOR, SCHEDULER, CELL, API, PLACEMENT;
                    inject(ApiFault(call, answer, effect, times, delay_s)); .delay_s after each request: how long the answer takes

Errors of the API: `ApiError` is an HTTP answer; `Hang` was delivered and is never answered; `Down` is a refused connection.
"""

from hanode.sim.world.bmc import Bmc, BmcMode
from hanode.sim.world.control import Answer, ApiError, ApiFault, ControlPlane, Down, Effect, Hang, Part
from hanode.sim.world.cuts import AS_TOLD, Manner
from hanode.sim.world.disks import Disk, Disks, Writer
from hanode.sim.world.hosts import VOLUMES, ComputeHost, Domain, Guest, Hosts, Kernel, Process
from hanode.sim.world.migrations import MigrationRow, Migrations
from hanode.sim.world.nova import Nova
from hanode.sim.world.placement import Inventory, Placement
from hanode.sim.world.servers import ActionEvent, Server, ServerAction, ServerGroup, Servers
from hanode.sim.world.storage import Condition
from hanode.sim.world.timeline import Event, Timeline, stamp
from hanode.sim.world.world import Timings, World

__all__ = [
    "World", "Timings", "Event", "Timeline", "stamp",
    "ComputeHost", "Hosts", "Domain", "Guest", "Inventory", "Kernel", "Process",
    "Bmc", "BmcMode",
    "Disk", "Disks", "Writer", "Condition", "Manner", "AS_TOLD", "VOLUMES",
    "Server", "ServerAction", "ServerGroup", "ActionEvent", "Servers",
    "Nova", "MigrationRow", "Migrations", "Placement",
    "ControlPlane", "Part", "ApiFault", "Answer", "Effect", "ApiError", "Hang", "Down",
]
