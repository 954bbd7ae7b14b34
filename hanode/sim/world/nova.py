"""How does Nova's API (and Placement's) answer each request? Every method is one HTTP request and may fail as one does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from hanode.core.facts import Aggregate, Hypervisor, Instance, Migration, Resources, ServerGroup, Service
from hanode.core.model import Call
from hanode.sim.world.control import ApiError, Part
from hanode.sim.world.hosts import ComputeHost
from hanode.sim.world.ids import uuid_of
from hanode.sim.world.placement import Inventory
from hanode.sim.world.servers import Server, ServerAction
from hanode.sim.world.timeline import stamp
from hanode.sim.world.work import Pause

if TYPE_CHECKING:
    from hanode.sim.world.world import World

T = TypeVar("T")
HANODE = "hanode"  # the user that our daemon is; a tenant is "owner"
CONTROLLER = "controller"


class Nova:
    def __init__(self, world: World) -> None:
        self._world = world
        self._requests = 0
        self._aggregates: dict[str, Aggregate] = {}
        self._image_tags: dict[str, set[str]] = {}
        self._control_beat_s = {Part.CONDUCTOR: 0.0, Part.SCHEDULER: 0.0}
        self._beat_control()

    # ---------------------------------------------------------------- reads

    def services(self) -> tuple[Service, ...]:
        """nova-compute, nova-conductor and nova-scheduler; without state and status while their cell does not answer."""
        return self.ask("services", "", lambda: (*map(self._service, filter(lambda host: host.listed, self._world.hosts.all())),
                                                *self._control_services()))

    def hypervisors(self) -> tuple[Hypervisor, ...]:
        def row(h: ComputeHost) -> Hypervisor:
            disk = h.inventories.get("DISK_GB")
            return Hypervisor(h.name, h.kind, h.host_ip, h.provider_id, h.name, disk.total if disk else 0)
        return self.ask("hypervisors", "", lambda: tuple(row(h) for h in self._world.hosts.all() if h.kind), of_cell=True)

    def aggregates(self) -> tuple[Aggregate, ...]:
        return self.ask("aggregates", "", self.true_aggregates)

    def true_aggregates(self) -> tuple[Aggregate, ...]:
        """For judges, whether the API answers or not."""
        return tuple(self._aggregates[name] for name in sorted(self._aggregates))

    def servers(self, host: str) -> tuple[Instance, ...]:
        return self.ask("servers", host, lambda: tuple(map(self._view, self._world.servers.on(host))), of_cell=True)

    def server(self, instance_id: str) -> Instance:
        return self.ask("server", instance_id, lambda: self._view(self._world.servers.get(instance_id)), of_cell=True)

    def migrations(self, host: str) -> tuple[Migration, ...]:
        """With this host as source or target, oldest first."""
        return self.ask("migrations", host, lambda: tuple(r.view() for r in self._world.migrations.naming(host)), of_cell=True)

    def evacuations(self, status: str) -> tuple[Migration, ...]:
        """Every evacuation record of one status, oldest first."""
        return self.ask("evacuations", status, lambda: tuple(
            row.view() for row in self._world.migrations.rows if row.kind == "evacuation" and row.status == status), of_cell=True)

    def actions(self, instance_id: str) -> tuple[ServerAction, ...]:
        return self.ask("actions", instance_id, lambda: tuple(self._world.servers.get(instance_id).actions), of_cell=True)

    def groups(self) -> tuple[ServerGroup, ...]:
        """As the API shows them: without members that are deleted."""
        def read() -> tuple[ServerGroup, ...]:
            live = {server.instance_id for server in self._world.servers.live()}
            rows = [ServerGroup(uuid_of("group", g.name), g.name, g.policy, g.members & live) for g in self._world.servers.groups]
            return tuple(sorted(rows, key=lambda row: row.group_id))
        return self.ask("groups", "", read)

    def providers_with(self, trait: str) -> frozenset[str]:
        """Compute nodes whose provider has this trait; the one that marks disabled hosts is Nova's own."""
        return self._world.control.request("trait", trait, lambda: frozenset(
            host.provider_id for host in self._world.hosts.all() if trait in host.traits), Part.PLACEMENT)

    def dead_agents(self) -> frozenset[str]:
        """Of Neutron, which lives beside Nova's API here."""
        return self.ask("agents", "", lambda: frozenset(h.name for h in self._world.hosts.all() if not (h.lives and h.wires_ports)))

    def is_tagged(self, image_id: str, tag: str) -> bool:
        """As Glance has it, for whoever judges: nothing is asked."""
        return tag in self._image_tags.get(image_id, ())

    def image_ids(self, tag: str) -> frozenset[str]:
        """Images of Glance that carry the tag."""
        return self.ask("images", tag, lambda: frozenset(i for i, tags in self._image_tags.items() if tag in tags))

    # ---------------------------------------------------------------- services

    def set_forced_down(self, service_id: str, forced_down: bool, user: str = HANODE) -> None:
        """Clearing is refused while `done` evacuation records name the host as source."""
        def effect() -> None:
            host = self._host_of(service_id)
            done = self._world.migrations.evacuations_from(host.name, "done")
            if not forced_down and done:
                raise ApiError(400, f"{host.name} has {len(done)} evacuations that were not cleaned up yet")
            host.forced_down = forced_down
            self._written(host, "forced-down" if forced_down else "forced-up", user)
        self.ask("force-down", service_id, effect, of_cell=True)

    def disable(self, service_id: str, reason: str = "", user: str = HANODE) -> None:
        """While Nova takes a silent host for up, this waits for that host (rpc_timeout_s) after it has taken effect."""
        def effect() -> None:
            host = self._host_of(service_id)
            host.status, host.disabled_reason = "disabled", reason
            self._written(host, "disabled", user)
            self._call_compute(host)
        self.ask("disable", service_id, effect, of_cell=True)

    def enable(self, service_id: str, user: str = HANODE) -> None:
        def effect() -> None:
            host = self._host_of(service_id)
            host.status, host.disabled_reason = "enabled", ""
            self._written(host, "enabled", user)
            self._call_compute(host)
        self.ask("enable", service_id, effect, of_cell=True)

    # ---------------------------------------------------------------- servers

    def evacuate(self, instance_id: str, target: str = "", call: Call = Call.SCHEDULED, user: str = HANODE) -> str:
        """Returns the request id. task_state is NOT looked at: a second request is accepted as well."""
        return self.ask("evacuate", instance_id, lambda: self._evacuate(instance_id, target, call, user), of_cell=True)

    def _evacuate(self, instance_id: str, target: str, call: Call, user: str) -> str:
        server = self._world.servers.get(instance_id)
        if target and target not in self._world.hosts:
            raise ApiError(404, f"Compute host {target} could not be found")
        if target == server.host:
            raise ApiError(400, "The target host can't be the same one")
        if server.vm_state not in ("active", "stopped", "error"):
            raise ApiError(409, f"Cannot 'evacuate' instance {instance_id} while it is in vm_state {server.vm_state}")
        if instance_id in self._world.control.refuses_evacuation:
            raise ApiError(400, self._world.control.refuses_evacuation[instance_id])
        if self._world.hosts.is_up(server.host):
            raise ApiError(400, f"Compute service of {server.host} is still in use")
        server.task_state = "rebuilding"
        action = self.note_action(server, "evacuate", user)
        self._world.record(
            "evacuate-accepted", instance_id, f"{server.name} from {server.host} to {target or 'any'} for {user}",
            source=server.host, target=target, user=user, request=action.request_id, call=call,
            source_power="on" if self._world.hosts[server.host].powered else "off",
        )
        self._world.migrations.add(instance_id, "evacuation", "accepted", server.host, target, action.request_id)
        self._world.evacuation.cast(server, target, call, action)
        return action.request_id

    def lock(self, instance_id: str, reason: str = "", user: str = HANODE) -> None:
        """An administrator's lock replaces an owner's, and its unlock takes both away."""
        def effect() -> None:
            server = self._world.servers.get(instance_id)
            server.locked, server.locked_by, server.locked_reason = True, "owner" if user == "owner" else "admin", reason
            self.note_action(server, "lock", user)
        self.ask("lock", instance_id, effect, of_cell=True)

    def unlock(self, instance_id: str, user: str = HANODE) -> None:
        def effect() -> None:
            server = self._world.servers.get(instance_id)
            server.locked, server.locked_by, server.locked_reason = False, "", ""
            self.note_action(server, "unlock", user)
        self.ask("unlock", instance_id, effect, of_cell=True)

    def start(self, instance_id: str, user: str = HANODE) -> None:
        def effect() -> None:
            server = self.in_state("start", instance_id, user, "stopped")
            server.task_state = "powering-on"
            action = self.note_action(server, "start", user)
            self.cast(server, lambda name: self._world.compute.start(name, server, action), verb="start")
        self.ask("start", instance_id, effect, of_cell=True)

    def stop(self, instance_id: str, user: str = HANODE) -> None:
        def effect() -> None:
            server = self.in_state("stop", instance_id, user, "active", "error")
            server.task_state = "powering-off"
            action = self.note_action(server, "stop", user)
            self.cast(server, lambda name: self._world.compute.stop(name, server, action), verb="stop")
        self.ask("stop", instance_id, effect, of_cell=True)

    def reset_state(self, instance_id: str, vm_state: str, user: str = HANODE) -> None:
        """To "error" or "active"; clears task_state, changes no guest."""
        def effect() -> None:
            server = self._world.servers.get(instance_id)
            server.vm_state, server.task_state = vm_state, None
            self.note_action(server, "resetState", user)
        self.ask("reset-state", instance_id, effect, of_cell=True)

    def delete(self, instance_id: str, user: str = "owner") -> None:
        """By its host, or at once in the database alone when the host is down."""
        def effect() -> None:
            server = self._world.servers.get(instance_id)
            if server.locked and user == "owner":
                raise ApiError(409, f"Instance {instance_id} is locked")
            self.note_action(server, "delete", user)
            if not self._world.hosts.is_up(server.host):
                self._world.compute.delete_now(server, "deleted while its host is down")
                return
            server.task_state = "deleting"
            self.cast(server, lambda name: self._world.compute.delete(name, server), verb="delete")
        self.ask("delete", instance_id, effect, of_cell=True)

    # ---------------------------------------------------------------- Placement

    def allocations(self, provider_id: str) -> Mapping[str, Resources]:
        """Consumer -> amounts."""
        return self._place("allocations", provider_id, self._world.placement.of_host)

    def inventories(self, provider_id: str) -> Mapping[str, Inventory]:
        return self._place("inventories", provider_id, lambda name: dict(self._world.hosts[name].inventories))

    def usages(self, provider_id: str) -> Resources:
        return self._place("usages", provider_id, self._world.placement.used)

    def room(self, provider_id: str) -> Resources:
        return self._place("room", provider_id, self._world.placement.room)

    def held(self, instance_id: str) -> Mapping[str, Resources]:
        """Provider -> amounts that this consumer holds there."""
        def effect() -> Mapping[str, Resources]:
            found = self._world.placement.of_instance(instance_id)
            return {self._world.hosts[host].provider_id: amounts for host, amounts in sorted(found.items())}
        return self._world.control.request("allocations", instance_id, effect, Part.PLACEMENT)

    def settle_allocation(self, instance_id: str, provider_id: str) -> None:
        """Only what it holds on this provider is left, if it holds anything there."""
        def settle(name: str) -> None:
            held = self._world.placement.of_instance(instance_id)
            for host in held if name in held else ():
                if host != name:
                    self._world.placement.release(instance_id, host)
        self._place("settle-allocation", provider_id, settle)

    # ---------------------------------------------------------------- building and helpers

    def add_aggregate(self, aggregate: Aggregate) -> None:
        self._aggregates[aggregate.name] = aggregate

    def tag_image(self, image_id: str, tag: str) -> None:
        self._image_tags.setdefault(image_id, set()).add(tag)

    def note_action(self, server: Server, name: str, user: str | None) -> ServerAction:
        self._requests += 1
        action = ServerAction(name, user, self._world.now_s, f"req-{uuid_of('request', self._requests)}")
        server.actions.append(action)
        if name != "evacuate":  # which has an event of its own, with more facts
            self._world.record("server-action", server.instance_id, f"{name} of {server.name} for {user or 'Nova itself'}",
                               action=name, user=user or "")
        return action

    def ask(self, call: str, subject: str, effect: Callable[[], T], of_cell: bool = False) -> T:
        def checked() -> T:
            if of_cell and not self._world.control.is_up(Part.CELL):
                raise ApiError(500, "the cell database does not answer")
            return effect()
        return self._world.control.request(call, subject, checked)

    def _place(self, call: str, provider_id: str, read: Callable[[str], T]) -> T:
        def effect() -> T:
            host = self._world.hosts.by_provider(provider_id)
            if host is None:
                raise ApiError(404, f"No resource provider with uuid {provider_id} found")
            return read(host.name)
        return self._world.control.request(call, provider_id, effect, Part.PLACEMENT)

    def _view(self, server: Server) -> Instance:
        return server.view(self._world.hosts[server.host].zone)

    def _service(self, host: ComputeHost) -> Service:
        if not self._world.control.is_up(Part.CELL):
            return Service(host.service_id, "nova-compute", host.name, state=None, status=None)
        return Service(
            host.service_id, "nova-compute", host.name, "up" if self._world.hosts.is_up(host.name) else "down",
            host.status, host.disabled_reason, host.forced_down, stamp(host.updated_s), host.zone,
        )

    def _control_services(self) -> tuple[Service, ...]:
        down_s = self._world.timings.service_down_time_s
        return tuple(
            Service(uuid_of(part), part.value, CONTROLLER, "up" if self._world.now_s - beat_s <= down_s else "down",
                    updated_at=stamp(beat_s), zone="internal")
            for part, beat_s in self._control_beat_s.items()
        )

    def _beat_control(self) -> None:
        """They write to the database directly, so RabbitMQ does not matter to them."""
        for part in self._control_beat_s:
            if self._world.control.is_up(part):
                self._control_beat_s[part] = self._world.now_s
        self._world.after(self._world.timings.report_interval_s, self._beat_control, "heartbeat of the control plane")

    def _host_of(self, service_id: str) -> ComputeHost:
        host = self._world.hosts.by_service(service_id)
        if host is None:
            raise ApiError(404, f"Service {service_id} could not be found")
        return host

    def _written(self, host: ComputeHost, what: str, user: str) -> None:
        """updated_at moves with every write of the service, not only with a heartbeat."""
        host.updated_s = self._world.now_s
        self._world.record("service", host.name, f"{host.name} is {what} by {user}", to=what, user=user)

    def _call_compute(self, host: ComputeHost) -> None:
        """The synchronous call to the host that tells it its new status; skipped for one that is down."""
        if self._world.hosts.is_up(host.name) and not self._world.hosts.talks(host.name):
            self._world.control.delay_s += self._world.timings.rpc_timeout_s

    def in_state(self, verb: str, instance_id: str, user: str, *vm_states: str) -> Server:
        server = self._world.servers.get(instance_id)
        if server.vm_state not in vm_states:
            raise ApiError(409, f"Cannot '{verb}' instance {instance_id} while it is in vm_state {server.vm_state}")
        if server.task_state is not None:
            raise ApiError(409, f"Cannot '{verb}' instance {instance_id} while it is in task_state {server.task_state}")
        if server.locked and user == "owner":
            raise ApiError(409, f"Instance {instance_id} is locked")
        return server

    def cast(self, server: Server, steps: Callable[[str], Iterator[Pause]], verb: str) -> None:
        """To the nova-compute it is on now. The database is written already when RabbitMQ lets the caller hang."""
        name = server.host
        self._world.hosts.cast(name, lambda: self._world.hosts.run(name, steps(name), f"{verb} {server.name}"))
        self._world.control.refuse_when_frozen(f"cast for {server.name}")
