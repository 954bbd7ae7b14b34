"""In what condition is each compute host, and what happens to its guests, heartbeats and messages when that changes?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from hanode.sim.world.disks import Birth, Writer
from hanode.sim.world.ids import uuid_of
from hanode.sim.world.placement import Inventory
from hanode.sim.world.work import Pause, Work

if TYPE_CHECKING:
    from hanode.sim.world.servers import Server
    from hanode.sim.world.world import World

VOLUMES = "volumes"  # the domain of all volumes: every host reaches it


@dataclass(frozen=True)
class Domain:
    """Where the disks of a host's instances live. `kind`: rbd | file | local."""

    name: str
    kind: str


class Kernel(StrEnum):
    RUNNING = "running"
    BOOTING = "booting"
    FROZEN = "frozen"  # nothing moves, and everything may move again
    CRASHED = "crashed"  # powered, but its guests are gone


class Process(StrEnum):
    """The condition of nova-compute."""

    RUNNING = "running"
    FROZEN = "frozen"
    DEAD = "dead"


@dataclass
class Guest:
    """A machine as the hypervisor knows it. It survives a reboot as a definition, not as a running machine."""

    instance_id: str
    running: bool = False
    ran: bool = False  # when its host last went dark


@dataclass
class ComputeHost:
    name: str
    host_ip: str
    domain: Domain
    kind: str = "QEMU"  # "": it has a service and no compute node
    zone: str = "nova"
    inventories: dict[str, Inventory] = field(default_factory=dict)
    resumes_guests: bool = False  # resume_guests_state_on_host_boot
    starts_agent: bool = True  # nova-compute starts at boot
    libvirt_guests: bool = False  # starts what ran before at boot, without asking Nova
    traits: frozenset[str] = frozenset()  # of its provider in Placement
    devices: dict[str, int] = field(default_factory=dict)  # PCI alias -> how many it has
    powered: bool = True
    mains: bool = True  # without it the power device is dead too
    kernel: Kernel = Kernel.RUNNING
    agent: Process = Process.RUNNING
    network: bool = True  # its way to RabbitMQ and to the database
    reachable: bool = True  # its host_ip answers a probe
    mounted: bool = True  # its storage domain is really there
    wires_ports: bool = True  # its Neutron L2 agent works

    status: str = "enabled"
    disabled_reason: str = ""
    forced_down: bool = False
    updated_s: float = 0.0
    beat_s: float = 0.0  # last heartbeat that reached the database
    beating_since_s: float = 0.0  # first of the unbroken row of heartbeats that the last one belongs to

    listed: bool = True  # os-services knows it
    registrations: int = 1  # so often it has registered itself, each time as another service
    ready: bool = True  # nova-compute has finished its start: it beats and consumes messages
    process: int = 1  # which nova-compute process: work of an older one is dead
    boots: int = 0
    guests: dict[str, Guest] = field(default_factory=dict)
    mailbox: list[Callable[[], None]] = field(default_factory=list)  # messages in its queue of the broker
    paused: list[Callable[[], None]] = field(default_factory=list)  # steps of its process that wait for it to move again

    @property
    def service_id(self) -> str:
        return uuid_of("service", self.name if self.registrations == 1 else f"{self.name} #{self.registrations}")

    @property
    def provider_id(self) -> str:
        return uuid_of("provider", self.name)

    @property
    def lives(self) -> bool:
        return self.powered and self.kernel is Kernel.RUNNING

    @property
    def answers(self) -> bool:
        """Does it answer a probe of its host_ip?"""
        return self.lives and self.reachable

    @property
    def agent_runs(self) -> bool:
        return self.lives and self.agent is Process.RUNNING

    @property
    def local_domain(self) -> str:
        return f"local@{self.name}"

    @property
    def disk_domain(self) -> str:
        """Where a disk is looked for and made: an unmounted share is just an empty directory of the host itself."""
        unmounted = self.domain.kind == "file" and not self.mounted
        return self.local_domain if unmounted or self.domain.kind == "local" else self.domain.name


class Hosts:
    """All hosts by name, and everything that can happen to one."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.by_name: dict[str, ComputeHost] = {}
        self._all: tuple[ComputeHost, ...] | None = ()  # None: one has come since it was asked for
        self._by_provider: dict[str, ComputeHost] = {}

    def __getitem__(self, name: str) -> ComputeHost:
        return self.by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self.by_name

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.by_name))

    def all(self) -> tuple[ComputeHost, ...]:
        if self._all is None:
            self._all = tuple(self.by_name[name] for name in self)
        return self._all

    def by_provider(self, provider_id: str) -> ComputeHost | None:
        return self._by_provider.get(provider_id)

    def by_service(self, service_id: str) -> ComputeHost | None:
        return next((host for host in self.all() if host.service_id == service_id), None)

    def add(self, host: ComputeHost, phase_s: float) -> None:
        now_s = self.world.now_s
        host.beat_s = host.beating_since_s = host.updated_s = now_s
        self.by_name[host.name] = host
        self._all = None
        self._by_provider[host.provider_id] = host
        self.world.after(phase_s, lambda: self._beat(host), f"heartbeat {host.name}")

    def kill_compute(self, name: str) -> None:
        self._end_process(self[name])
        self._note(name, "compute-killed", "nova-compute dies; its guests run on")

    def freeze_compute(self, name: str) -> None:
        if self[name].agent is Process.RUNNING:
            self[name].agent = Process.FROZEN
            self._note(name, "compute-frozen", "nova-compute stands still; its guests run on")

    def thaw_compute(self, name: str) -> None:
        if self[name].agent is Process.FROZEN:
            self[name].agent = Process.RUNNING
            self._note(name, "compute-thawed", "nova-compute moves again")
            self._wake(name)

    def start_compute(self, name: str) -> None:
        """Start, or restart, nova-compute; the host must live."""
        host = self[name]
        self._end_process(host)
        if not host.lives:
            return
        if not host.listed:  # a nova-compute without a service makes itself a new one
            host.listed, host.registrations = True, host.registrations + 1
            host.status, host.disabled_reason, host.forced_down = "enabled", "", False
        host.agent = Process.RUNNING
        self._note(name, "compute-started", "nova-compute starts")
        self.run(name, self.world.homecoming.start(host), f"start of nova-compute on {name}")

    def delete_service(self, name: str) -> None:
        """As `nova-manage cell_v2 delete_host` does: its row in os-services is gone."""
        self[name].listed = False
        self._note(name, "service-deleted", "os-services does not show it any more")

    # ---------------------------------------------------------------- kernel and power

    def freeze_kernel(self, name: str) -> None:
        if self[name].lives:
            self[name].kernel = Kernel.FROZEN
            self._note(name, "kernel-frozen", "the whole host stands still and may move again")

    def thaw_kernel(self, name: str) -> None:
        host = self[name]
        if host.kernel is Kernel.FROZEN:
            host.kernel = Kernel.RUNNING
            self._note(name, "kernel-thawed", "the host moves again, its guests too")
            self._wake(name)

    def panic(self, name: str) -> None:
        if self[name].powered:
            self._go_dark(self[name], "kernel panic")
            self[name].kernel = Kernel.CRASHED
            self._note(name, "kernel-crashed", "the kernel panics; the host is powered, its guests are gone")

    def reboot(self, name: str) -> None:
        """By itself, unasked: panic and reboot, or a watchdog."""
        host = self[name]
        if host.powered:
            self._go_dark(host, "reboot")
            self._note(name, "reboot", "the host reboots by itself")
            self._boot(host)

    def power_off(self, name: str, why: str) -> None:
        """At once. Off for an off host changes nothing."""
        host = self[name]
        if host.powered:
            self._go_dark(host, "power off")
            host.powered = False
            self._note(name, "power", f"power off: {why}", to="off")

    def power_on(self, name: str, why: str) -> None:
        host = self[name]
        if host.mains and not host.powered:
            host.powered = True
            self._note(name, "power", f"power on: {why}", to="on")
            self._boot(host)

    def cut_mains(self, name: str) -> None:
        """The host and its power device lose their supply together."""
        self[name].mains = False
        self.power_off(name, "no mains")

    def restore_mains(self, name: str, powers_on: bool = False) -> None:
        self[name].mains = True
        self._note(name, "mains", "mains are back")
        if powers_on:
            self.power_on(name, "mains are back")

    def _boot(self, host: ComputeHost) -> None:
        host.kernel = Kernel.BOOTING
        host.boots += 1
        boot = host.boots

        def booted() -> None:
            if host.powered and host.kernel is Kernel.BOOTING and host.boots == boot:
                host.kernel = Kernel.RUNNING
                self._note(host.name, "booted", "the host has booted; its guests are off")
                self._start_by_libvirt(host)
                if host.starts_agent:
                    self.start_compute(host.name)

        self.world.after(self.world.timings.boot_s, booted, f"boot of {host.name}")

    def _start_by_libvirt(self, host: ComputeHost) -> None:
        for instance_id, guest in sorted(host.guests.items()):
            server = self.world.servers.by_id[instance_id]
            if host.libvirt_guests and guest.ran and not self.world.storage.problem(host.name, server):
                self.start_guest(host.name, server)

    def _go_dark(self, host: ComputeHost, why: str) -> None:
        self._end_process(host)
        for instance_id, guest in sorted(host.guests.items()):
            guest.ran = guest.running
            self.stop_guest(host.name, instance_id, why)

    def _end_process(self, host: ComputeHost) -> None:
        host.agent = Process.DEAD
        host.ready = False
        host.process += 1
        host.paused.clear()
        self.world.evacuation.forget_work_of(host.name)

    def cut_network(self, name: str, probe_too: bool = True) -> None:
        """Its way to the control plane; with `probe_too` False it still answers on its host_ip."""
        self[name].network = False
        self[name].reachable = not probe_too
        self._note(name, "network-cut", "no way to the control plane; its guests run on")

    def restore_network(self, name: str) -> None:
        self[name].network = self[name].reachable = True
        self._note(name, "network-back", "the network is back")
        self._wake(name)

    def unmount(self, name: str) -> None:
        self[name].mounted = False
        self._note(name, "unmounted", f"{self[name].domain.name} is not mounted")

    def mount(self, name: str) -> None:
        self[name].mounted = True
        self._note(name, "mounted", f"{self[name].domain.name} is mounted")

    def talks(self, name: str) -> bool:
        """Can its nova-compute work, and write what it did?"""
        host = self[name]
        return host.agent_runs and host.network and self.world.control.carries_messages

    def is_up(self, name: str) -> bool:
        """What every reader of Nova concludes; Nova asks only the age of the last heartbeat and forced_down."""
        host = self[name]
        return not host.forced_down and self.world.now_s - host.beat_s <= self.world.timings.service_down_time_s

    def _beat(self, host: ComputeHost) -> None:
        now_s, interval_s = self.world.now_s, self.world.timings.report_interval_s
        self.world.after(interval_s, lambda: self._beat(host), f"heartbeat {host.name}")
        if host.ready and self.talks(host.name):
            if now_s - host.beat_s > 1.5 * interval_s:
                host.beating_since_s = now_s
            host.beat_s = host.updated_s = now_s

    def cast(self, name: str, call: Callable[[], None]) -> None:
        """A message to a nova-compute; it waits in the broker until somebody consumes it, be it days later."""
        self[name].mailbox.append(call)
        self._wake(name)

    def run(self, name: str, steps: Iterator[Pause], label: str) -> None:
        """Let its nova-compute do a piece of work; it dies with the process."""
        Work(self, self[name], steps, label).step()

    def start_finished(self, name: str) -> None:
        self[name].ready = True
        self._note(name, "compute-ready", "nova-compute has started")
        self._wake(name)

    def messages_flow_again(self) -> None:
        for name in self:
            self._wake(name)

    def _wake(self, name: str) -> None:
        """First what its process had begun, then what waits in its queue."""
        host = self[name]
        if host.agent_runs:
            paused, host.paused = host.paused, []
            for resume in paused:
                resume()
        if host.ready and self.talks(name):
            messages, host.mailbox = host.mailbox, []
            for call in messages:
                call()

    # ---------------------------------------------------------------- guests

    def start_guest(self, name: str, server: Server) -> None:
        """Run it here, on the disk that is found here; what is not found is made anew from the image, silently."""
        host, now_s = self[name], self.world.now_s
        guest = host.guests.setdefault(server.instance_id, Guest(server.instance_id))
        if guest.running:
            return
        guest.running = True
        self.world.boots += 1
        elsewhere = self.world.disks.other_writers(server.instance_id, name)
        for domain in self.domains_of(name, server):
            self._find_disk(domain, name, server)
            if not self.world.cuts.covers(domain, name):
                self.world.disks.open_writer(domain, server.instance_id, Writer(name, self.world.boots, now_s))
        self._note(name, "guest-start", f"{server.name} runs on {name}", instance=server.instance_id)
        if elsewhere:
            self._note(name, "disk-conflict", f"{server.name} runs on {name} and on {', '.join(elsewhere)}",
                       instance=server.instance_id, elsewhere=",".join(elsewhere))

    def domains_of(self, name: str, server: Server) -> tuple[str, ...]:
        """Where the disks of this server are looked for when it runs on that host."""
        local = (self[name].disk_domain,) if server.has_local_disk else ()
        return (*local, VOLUMES) if server.has_volume else local

    def _find_disk(self, domain: str, name: str, server: Server) -> None:
        """A disk that is found may be an old copy; its data are where it was written last."""
        found = self.world.disks.exists(domain, server.instance_id)
        data = self.world.disks.newest(server.instance_id, besides=VOLUMES)
        if not found:
            self.world.disks.bear(domain, server.instance_id, Birth(self.world.now_s, name, "volume" if domain == VOLUMES else "image"))
        if domain != VOLUMES and data is not None and (not found or data.domain != domain):
            self._note(name, "data-loss", f"{server.name} gets {'an old' if found else 'a new'} disk in {domain}, its data stay in"
                                          f" {data.domain}", instance=server.instance_id, domain=domain)

    def stop_guest(self, name: str, instance_id: str, why: str) -> None:
        guest = self[name].guests.get(instance_id)
        if guest is not None and guest.running:
            guest.running = False
            self.world.disks.close_writers(instance_id, name, self.world.now_s)
            self._note(name, "guest-stop", f"{self.world.servers.by_id[instance_id].name} stops on {name}: {why}",
                       instance=instance_id)

    def destroy_guest(self, name: str, instance_id: str, why: str) -> None:
        """Stop it and forget its definition; disks are another matter."""
        self.stop_guest(name, instance_id, why)
        self[name].guests.pop(instance_id, None)

    def running(self, instance_id: str) -> tuple[str, ...]:
        """The hosts on which it really runs, on disks that it can write."""
        found = [h.name for h in self.all() if instance_id in h.guests and h.guests[instance_id].running]
        return tuple([name for name in found if not self.world.cuts.is_husk(name, self.world.servers.by_id[instance_id])])

    def _note(self, name: str, kind: str, text: str, **facts: str) -> None:
        self.world.record(kind, name, text, **facts)
