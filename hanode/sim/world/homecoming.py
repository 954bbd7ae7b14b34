"""What does nova-compute do when it starts: to evacuated guests, to interrupted ones, to those that should run?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hanode.sim.world.hosts import ComputeHost
from hanode.sim.world.migrations import MigrationRow
from hanode.sim.world.servers import Server
from hanode.sim.world.work import Pause

if TYPE_CHECKING:
    from hanode.sim.world.world import World


class Homecoming:
    def __init__(self, world: World) -> None:
        self._world = world

    def start(self, host: ComputeHost) -> Iterator[Pause]:
        yield Pause(self._world.timings.agent_start_s)
        handled = self._destroy_evacuated(host)
        self._destroy_deleted(host)
        for server in self._world.servers.on(host.name):
            if server.instance_id not in handled:
                self._init_instance(host, server)
        self._world.hosts.start_finished(host.name)
        yield Pause(self._world.timings.sync_power_s)
        while True:
            for server in self._world.servers.on(host.name):
                self._sync_power_state(host, server)
            yield Pause(self._world.timings.sync_every_s)

    def _destroy_evacuated(self, host: ComputeHost) -> frozenset[str]:
        """Accepted and pre-migrating records count as well as done ones, and only one record per instance is seen."""
        rows = self._world.migrations.evacuations_from(host.name, "accepted", "pre-migrating", "done")
        one_each = {row.instance_id: row for row in reversed(rows)}
        for instance_id in sorted(one_each):
            self._destroy_one(host, one_each[instance_id])
        return frozenset(one_each)

    def _destroy_one(self, host: ComputeHost, row: MigrationRow) -> None:
        server = self._world.servers.by_id[row.instance_id]
        if row.instance_id in host.guests:
            self._world.hosts.destroy_guest(host.name, row.instance_id, f"evacuated by record {row.number}")
            if not self._is_shared(host, row.target) and self._world.disks.destroy(host.disk_domain, row.instance_id):
                self._world.record("disk-destroyed", host.name, f"the disk of {server.name} in {host.disk_domain} is deleted",
                                   instance=row.instance_id, domain=host.disk_domain)
        self._world.placement.release(row.instance_id, host.name)
        self._world.migrations.set_status(row, "completed", f"nova-compute started on {host.name}")

    def _is_shared(self, host: ComputeHost, target: str) -> bool:
        if target not in self._world.hosts:
            return False
        return host.domain.kind != "local" and host.disk_domain == self._world.hosts[target].disk_domain

    def _destroy_deleted(self, host: ComputeHost) -> None:
        for instance_id in sorted(host.guests):
            if self._world.servers.by_id[instance_id].deleted:
                self._world.hosts.destroy_guest(host.name, instance_id, "deleted meanwhile")

    def _init_instance(self, host: ComputeHost, server: Server) -> None:
        interrupted = server.vm_state in ("active", "stopped") and (server.task_state or "").startswith("rebuil")
        if interrupted or server.vm_state == "building":
            server.vm_state, server.task_state = "error", None
        elif server.task_state == "migrating" and server.instance_id in host.guests:
            server.task_state = None  # the record stays as it is
        elif server.vm_state == "active" and host.resumes_guests and server.instance_id in host.guests:
            self._world.hosts.start_guest(host.name, server)

    def _sync_power_state(self, host: ComputeHost, server: Server) -> None:
        """The database gives way for an active server that is off: nobody starts it, and its owner sees it stopped."""
        guest = host.guests.get(server.instance_id)
        if guest is None or server.task_state is not None:
            return
        if server.vm_state in ("active", "stopped", "error") and server.power_state in ("running", "shutdown"):
            server.power_state = "running" if guest.running else "shutdown"
        if server.vm_state == "active" and not guest.running:
            self._world.nova.note_action(server, "stop", user=None)
            server.vm_state, server.power_state = "stopped", "shutdown"
            self._world.record("power-sync", host.name, f"{server.name} is off: Nova calls it stopped",
                               instance=server.instance_id)
        elif server.vm_state == "stopped" and guest.running:
            self._world.nova.note_action(server, "stop", user=None)
            self._world.hosts.stop_guest(host.name, server.instance_id, "Nova says that it is stopped")
