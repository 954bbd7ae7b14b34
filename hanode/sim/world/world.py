"""How do the rooms of the world fit together, and how is one built?"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hanode.core.facts import Aggregate
from hanode.core.policy import FenceLevel, FencePlan
from hanode.core.signals import KDUMP
from hanode.sim.world.bmc import Bmc, Outlet
from hanode.sim.world.compute import Compute
from hanode.sim.world.control import ControlPlane
from hanode.sim.world.cuts import Cuts
from hanode.sim.world.disks import Birth, Disks
from hanode.sim.world.evacuation import Evacuation
from hanode.sim.world.homecoming import Homecoming
from hanode.sim.world.hosts import ComputeHost, Domain, Guest, Hosts
from hanode.sim.world.ids import uuid_of
from hanode.sim.world.load import Load
from hanode.sim.world.migrations import Migrations
from hanode.sim.world.moves import Moves
from hanode.sim.world.nova import Nova
from hanode.sim.world.placement import Inventory, Placement
from hanode.sim.world.scheduler import Scheduler
from hanode.sim.world.servers import Server, Servers
from hanode.sim.world.storage import Storage
from hanode.sim.world.timeline import Event, Timeline, stamp

KDUMP_SILENCE_S = 25.0


@dataclass(frozen=True)
class Timings:
    """How long everything takes. Defaults are those of a real cloud."""

    report_interval_s: float = 10.0
    service_down_time_s: float = 60.0
    rpc_timeout_s: float = 60.0
    boot_s: float = 60.0
    agent_start_s: float = 5.0
    sync_power_s: float = 30.0  # from the start of nova-compute to its first look at power states
    sync_every_s: float = 600.0  # from one such look to the next
    off_s: float = 3.0
    on_s: float = 3.0
    start_s: float = 3.0
    stop_s: float = 3.0
    conductor_s: float = 0.5
    claim_s: float = 0.5
    attach_s: float = 1.0
    spawn_s: float = 5.0
    finish_s: float = 0.5
    copy_s: float = 20.0  # the memory of a live migration
    rebuild_slots: int = 10  # rebuilds that one target works on at a time; the others queue there
    rebuild_limit_s: float = 0.0  # a guest that is not up after so long has failed (vif_plugging_timeout); 0: waits for ever
    api_s: float = 0.2  # a request by itself, as far as load makes it longer
    target_knee: float = 0.0  # see `hanode.sim.world.load`: so many rebuilds at once are best, on one target,
    storage_knee: float = 0.0  # in one storage domain,
    api_knee: float = 0.0  # and requests and rebuilds together for the control plane; 0: it never slows down


ROOMY: Mapping[str, Inventory] = {
    "VCPU": Inventory(total=32, ratio=4.0),
    "MEMORY_MB": Inventory(total=131072, reserved=4096),
    "DISK_GB": Inventory(total=4000),
}


class World:
    """A cloud in virtual time. See the package's docstring for its API."""

    def __init__(
        self, seed: int = 0, report_interval_s: float = 10.0, service_down_time_s: float = 60.0, timings: Timings | None = None,
    ) -> None:
        self.random = random.Random(seed)
        self.timings = timings or Timings(report_interval_s=report_interval_s, service_down_time_s=service_down_time_s)
        self.timeline = Timeline()
        self.boots = 0  # guest starts so far
        self.servers = Servers()
        self.disks = Disks()
        self.storage = Storage(self)
        self.cuts = Cuts(self)
        self.hosts = Hosts(self)
        self.bmcs: dict[str, Bmc] = {}
        self.dumb: set[str] = set()  # instances whose service does not answer, however long they run
        self.by_hand: dict[str, str] = {}  # host -> what a person is told to do
        self.copied: set[str] = set()  # hosts whose first level is read from a copy, as Ironic's
        self.lost_networks: set[tuple[str, str]] = set()  # (host, network) over which a living host does not answer
        self.crash_messages_until_s: dict[str, float] = {}  # host -> until when somebody says in its name that its kernel crashes
        self.further_levels: dict[str, list[list[Bmc]]] = {}  # host -> the devices of its second and later fencing levels
        self.control = ControlPlane(self)
        self.placement = Placement(self)
        self.scheduler = Scheduler(self)
        self.migrations = Migrations(self)
        self.load = Load(self)
        self.evacuation = Evacuation(self)
        self.homecoming = Homecoming(self)
        self.compute = Compute(self)
        self.nova = Nova(self)
        self.moves = Moves(self)

    def answers(self, host: str, host_ip: str, network: str) -> bool:
        """Does a probe of this host hear it? Of `KDUMP`: does a listener? Who really sends that, nobody can know."""
        if network == KDUMP:
            return self.now_s < self.crash_messages_until_s.get(host, 0.0)
        return host in self.hosts and self.hosts[host].host_ip == host_ip and self.hosts[host].answers \
            and (host, network) not in self.lost_networks

    def serves(self, instance_id: str) -> bool:
        """Does the guest run, and what it is there for as well?"""
        return bool(self.hosts.running(instance_id)) and instance_id not in self.dumb

    def serves_at(self, address: str) -> bool:
        return any(self.serves(server.instance_id) for server in self.servers.live() if address in server.addresses)

    def say_crash(self, host: str, seconds: float) -> None:
        """Messages of fence_kdump come in its name for so long, and are remembered a while longer, as by a real listener."""
        self.crash_messages_until_s[host] = self.now_s + seconds + KDUMP_SILENCE_S
        self.record("kdump", host, f"for {seconds:.0f} s somebody says that the kernel of {host} crashes")

    # ---------------------------------------------------------------- time

    @property
    def now_s(self) -> float:
        return self.timeline.now_s

    @property
    def log(self) -> list[Event]:
        return self.timeline.log

    def next_event_s(self) -> float | None:
        return self.timeline.next_event_s()

    def advance(self, to_s: float) -> None:
        self.timeline.advance(to_s)

    def at(self, time_s: float, call: Callable[[], None], label: str) -> None:
        self.timeline.at(time_s, call, label)

    def after(self, delay_s: float, call: Callable[[], None], label: str) -> None:
        self.timeline.after(delay_s, call, label)

    def stamp(self, time_s: float | None = None) -> str:
        return stamp(self.now_s if time_s is None else time_s)

    def record(self, kind: str, subject: str, text: str, **facts: str) -> None:
        self.timeline.record(kind, subject, text, **facts)

    # ---------------------------------------------------------------- building

    def add_host(
        self, name: str, domain: Domain | None = None, zone: str = "nova", kind: str = "QEMU", host_ip: str = "",
        inventories: Mapping[str, Inventory] = ROOMY, resumes_guests: bool = False, starts_agent: bool = True,
        libvirt_guests: bool = False,
    ) -> ComputeHost:
        """A host that is up, with a power device. Its heartbeats have a phase of their own, by the seed."""
        host = ComputeHost(
            name, host_ip or f"192.0.2.{len(self.hosts.by_name) % 250 + 1}", domain or Domain("ceph-a", "rbd"), kind, zone,
            dict(inventories), resumes_guests, starts_agent, libvirt_guests,
        )
        self.hosts.add(host, phase_s=self.random.uniform(0.0, self.timings.report_interval_s))
        self.bmcs[name] = Bmc(self, name)
        return host

    def add_level(self, host: str, devices: int, outlets: bool) -> None:
        """One more fencing level: further BMCs, or the outlets that feed the host."""
        siblings: list[Outlet] = []
        level = [Outlet(self, host, siblings) if outlets else Bmc(self, host) for _ in range(devices)]
        self.further_levels.setdefault(host, []).append(level)

    def level(self, host: str, number: int) -> list[Bmc]:
        """The power devices of one fencing level, the first being 1."""
        return [[self.bmcs[host]], *self.further_levels.get(host, [])][number - 1]

    def fence_plans(self) -> Mapping[str, FencePlan]:
        """As fencing.yaml would say it, of the hosts with anything but a single BMC."""
        by_hand = {host: FencePlan((), text) for host, text in sorted(self.by_hand.items())}
        return by_hand | {host: self._plan(host) for host in sorted({*self.further_levels, *self.copied})}

    def _plan(self, host: str) -> FencePlan:
        further = (FenceLevel(outlets=isinstance(level[0], Outlet)) for level in self.further_levels.get(host, []))
        return FencePlan((FenceLevel(copies=host in self.copied), *further))

    def add_aggregate(self, name: str, hosts: Iterable[str], metadata: Mapping[str, str] | None = None) -> None:
        self.nova.add_aggregate(Aggregate(name, frozenset(hosts), dict(metadata or {})))

    def add_server(
        self, name: str, host: str, vm_state: str = "active", running: bool | None = None, volume_boot: bool = False,
        vcpus: int = 1, ram_mb: int = 1024, disk_gb: int = 10, ephemeral_gb: int = 0, swap_mb: int = 0,
        project_id: str = "project-a", image_id: str = "image-1", pinned_zone: str = "", locked: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> Server:
        """A server with its disks, that runs already unless it is stopped (or `running` says otherwise)."""
        runs = vm_state != "stopped" if running is None else running
        server = Server(
            uuid_of("server", name), name, host, vm_state, power_state="running" if runs else "shutdown", locked=locked,
            locked_by="owner" if locked else "", project_id=project_id, image_id="" if volume_boot else image_id, vcpus=vcpus,
            ram_mb=ram_mb, disk_gb=disk_gb, ephemeral_gb=ephemeral_gb, swap_mb=swap_mb, pinned_zone=pinned_zone,
            metadata=dict(metadata or {}), created_s=self.now_s,
        )
        self.servers.by_id[server.instance_id] = server
        self.placement.hold(server.instance_id, host, server.resources)
        self.hosts[host].guests[server.instance_id] = Guest(server.instance_id)
        for domain in self.hosts.domains_of(host, server):
            self.disks.bear(domain, server.instance_id, Birth(self.now_s, host, "volume" if volume_boot else "image"))
        if runs:
            self.hosts.start_guest(host, server)
        return server
