"""How does Nova build a new server, and how does it move one that is well: live, cold, or by a resize?

Users do this at any moment. Everything stands still where a process dies, and nothing cleans up after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hanode.sim.world.control import ApiError
from hanode.sim.world.hosts import Guest
from hanode.sim.world.ids import uuid_of
from hanode.sim.world.migrations import MigrationRow
from hanode.sim.world.servers import Server
from hanode.sim.world.work import Pause

if TYPE_CHECKING:
    from hanode.sim.world.world import World


class Moves:
    def __init__(self, world: World) -> None:
        self._world = world

    # ---------------------------------------------------------------- a new server

    def create(self, name: str, asked: str = "", vcpus: int = 1, ram_mb: int = 1024) -> None:
        """Shown BUILDING on its host until it runs. Refused at once where Nova would leave an ERROR row without a host."""
        def effect() -> None:
            server = Server(uuid_of("server", name), name, "", "building", "spawning", "nostate", vcpus=vcpus, ram_mb=ram_mb,
                            created_s=self._world.now_s)
            chosen = self._world.scheduler.choose(server, ignored="", asked=asked)
            if chosen is None:
                raise ApiError(409, "No valid host was found")
            server.host = chosen
            self._world.servers.by_id[server.instance_id] = server
            self._world.placement.hold(server.instance_id, chosen, server.resources)
            self._world.nova.note_action(server, "create", "owner")
            self._world.nova.cast(server, lambda host: self._build(host, server), verb="build")
        self._world.nova.ask("create", name, effect, of_cell=True)

    def _build(self, name: str, server: Server) -> Iterator[Pause]:
        domains = self._world.hosts.domains_of(name, server)
        yield Pause(self._world.timings.spawn_s, needs=domains)
        if server.deleted or server.task_state != "spawning":
            return
        failure = self._world.storage.failure(name, server)
        server.vm_state, server.task_state, server.fault = "error" if failure else "active", None, failure
        if not failure:
            self._world.hosts.start_guest(name, server)
            server.power_state = "running"

    # ---------------------------------------------------------------- live

    def live_migrate(self, instance_id: str, target: str, user: str = "admin") -> None:
        def effect() -> None:
            server = self._world.nova.in_state("os-migrateLive", instance_id, user, "active", "paused")
            source = self._begin(server, target, "migrating")
            self._note(server, "live-migrate", source, target, user)
            row = self._world.migrations.add(instance_id, "live-migration", "accepted", source, target)
            self._world.nova.cast(server, lambda _: self._live(server, row), verb="live-migrate")
        self._world.nova.ask("live-migrate", instance_id, effect, of_cell=True)

    def _live(self, server: Server, row: MigrationRow) -> Iterator[Pause]:
        timings, migrations = self._world.timings, self._world.migrations
        yield Pause(timings.claim_s)
        migrations.set_status(row, "preparing", f"{row.target} prepares")
        yield Pause(timings.attach_s)
        migrations.set_status(row, "running", "the hypervisors copy its memory")
        # The hypervisors do it among themselves: it goes on, and ends, whatever becomes of nova-compute.
        self._world.after(timings.copy_s, lambda: self._hand_over(server, row), f"hand-over of {server.name}")
        yield Pause(timings.copy_s + timings.finish_s)
        server.task_state = None
        if self._world.hosts.running(server.instance_id) == (row.target,):
            server.host = row.target
            self._world.placement.release(server.instance_id, row.source)
            migrations.set_status(row, "completed", f"{server.name} is on {row.target}")
        else:
            self._world.placement.release(server.instance_id, row.target)
            migrations.set_status(row, "error", "the hypervisors gave up")

    def _hand_over(self, server: Server, row: MigrationRow) -> None:
        """One stops in the moment in which the other goes on."""
        hosts = self._world.hosts
        able = all(hosts[name].lives and hosts[name].network for name in (row.source, row.target))
        if able and hosts.running(server.instance_id) == (row.source,) and not self._world.storage.problem(row.target, server):
            hosts.destroy_guest(row.source, server.instance_id, f"goes on on {row.target}")
            hosts.start_guest(row.target, server)

    # ---------------------------------------------------------------- cold and resize

    def migrate(self, instance_id: str, target: str, kind: str = "migration", user: str = "admin") -> None:
        """Cold. `kind`: "migration" (an administrator's) or "resize" (an owner's). Either must be confirmed."""
        user = "owner" if kind == "resize" else user
        def effect() -> None:
            server = self._world.nova.in_state(kind, instance_id, user, "active", "stopped")
            source = self._begin(server, target, "resize_prep")
            self._note(server, "resize" if kind == "resize" else "migrate", source, target, user)
            row = self._world.migrations.add(instance_id, kind, "pre-migrating", source, target)
            self._world.nova.cast(server, lambda _: self._leave(server, row), verb=kind)
        self._world.nova.ask(kind, instance_id, effect, of_cell=True)

    def _leave(self, server: Server, row: MigrationRow) -> Iterator[Pause]:
        """On its former host: off, and from now on the other one's."""
        ran = bool(self._world.hosts.running(server.instance_id))
        yield Pause(self._world.timings.claim_s)
        server.task_state = "resize_migrating"
        self._world.migrations.set_status(row, "migrating", "its guest is being stopped")
        yield Pause(self._world.timings.stop_s)
        self._world.hosts.stop_guest(row.source, server.instance_id, "is being moved")
        server.host, server.task_state, server.power_state = row.target, "resize_migrated", "shutdown"
        self._world.migrations.set_status(row, "post-migrating", f"its host is {row.target} now")
        self._world.nova.cast(server, lambda _: self._arrive(server, row, ran), verb="finish the move of")

    def _arrive(self, server: Server, row: MigrationRow, ran: bool) -> Iterator[Pause]:
        server.task_state = "resize_finish"
        yield Pause(self._world.timings.start_s, needs=self._world.hosts.domains_of(row.target, server))
        problem = self._world.storage.problem(row.target, server)
        server.task_state = None
        if problem:
            server.vm_state, server.fault = "error", problem
            self._world.migrations.set_status(row, "error", problem)
            return
        self._settle(server, row.target, ran)
        server.vm_state = "resized"
        self._world.migrations.set_status(row, "finished", "waits to be confirmed")

    def confirm(self, instance_id: str, user: str = "owner") -> None:
        """Its former host forgets it."""
        self._decide(instance_id, "confirmed", user)

    def revert(self, instance_id: str) -> None:
        """Back to its former host."""
        self._decide(instance_id, "reverted", "owner")

    def _decide(self, instance_id: str, status: str, user: str) -> None:
        def effect() -> None:
            server = self._world.nova.in_state(status, instance_id, user, "resized")
            rows = self._world.migrations.rows
            row = next((r for r in reversed(rows) if r.instance_id == instance_id and r.status == "finished"), None)
            if row is None:
                raise ApiError(400, "Instance has not been resized.")
            self._world.nova.note_action(server, "confirmResize" if status == "confirmed" else "revertResize", user)
            here, there = (row.target, row.source) if status == "confirmed" else (row.source, row.target)
            if not self._world.hosts.talks(row.source):
                raise ApiError(409, f"{row.source} does not answer")
            ran = bool(self._world.hosts.running(instance_id))
            self._world.hosts.destroy_guest(there, instance_id, f"its move is {status}")
            self._world.placement.release(instance_id, there)
            server.host = here
            self._settle(server, here, ran)
            self._world.migrations.set_status(row, status, f"{server.name} stays on {here}")
        self._world.nova.ask(status, instance_id, effect, of_cell=True)

    # ---------------------------------------------------------------- helpers

    def _begin(self, server: Server, target: str, task: str) -> str:
        """Nova asks its scheduler; both hosts must see the same disk. Returns the source."""
        hosts, source = self._world.hosts, server.host
        same_disk = not server.has_local_disk or hosts[source].disk_domain == hosts[target].disk_domain
        if not hosts.is_up(source) or not same_disk or self._world.scheduler.choose(server, ignored=source, asked=target) is None:
            raise ApiError(400, f"{server.name} cannot go from {source} to {target}")
        server.task_state = task
        self._world.placement.hold(server.instance_id, target, server.resources)
        return source

    def _note(self, server: Server, verb: str, source: str, target: str, user: str) -> None:
        self._world.nova.note_action(server, verb, user)
        self._world.record("move-accepted", server.instance_id, f"{verb} of {server.name} from {source} to {target} for {user}",
                           user=user, source=source, target=target)

    def _settle(self, server: Server, host: str, ran: bool) -> None:
        self._world.hosts[host].guests.setdefault(server.instance_id, Guest(server.instance_id))
        if ran:
            self._world.hosts.start_guest(host, server)
        server.vm_state = "active" if ran else "stopped"
        server.power_state = "running" if ran else "shutdown"
