"""How does nova-compute start, stop and delete a server when it is asked to?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hanode.sim.world.servers import ActionEvent, Server, ServerAction
from hanode.sim.world.work import Pause

if TYPE_CHECKING:
    from hanode.sim.world.world import World


class Compute:
    def __init__(self, world: World) -> None:
        self._world = world

    def start(self, name: str, server: Server, action: ServerAction) -> Iterator[Pause]:
        yield Pause(self._world.timings.start_s, needs=self._world.hosts.domains_of(name, server))
        error = self._cannot_start(name, server)
        if not error:
            self._world.hosts.start_guest(name, server)
            server.vm_state, server.power_state = "active", "running"
        if server.task_state == "powering-on":
            server.task_state = None
        self._finish(action, "compute_start_instance", name, error)

    def _cannot_start(self, name: str, server: Server) -> str:
        host = self._world.hosts[name]
        if server.instance_id not in host.guests or server.host != name:
            return "InstanceNotFound"
        return self._world.storage.problem(name, server)

    def stop(self, name: str, server: Server, action: ServerAction) -> Iterator[Pause]:
        yield Pause(self._world.timings.stop_s)
        self._world.hosts.stop_guest(name, server.instance_id, "stopped by a request")
        if server.task_state == "powering-off":
            server.vm_state, server.power_state, server.task_state = "stopped", "shutdown", None
        self._finish(action, "compute_stop_instance", name, "")

    def delete(self, name: str, server: Server) -> Iterator[Pause]:
        yield Pause(self._world.timings.stop_s)
        self._world.hosts.destroy_guest(name, server.instance_id, "deleted")
        self.delete_now(server, f"deleted on {name}")

    def delete_now(self, server: Server, why: str) -> None:
        """The row and its allocations; a guest on a host that nobody reaches stays until that host's agent starts."""
        server.deleted, server.task_state, server.vm_state = True, None, "deleted"
        self._world.placement.forget(server.instance_id)
        self._world.record("server-deleted", server.instance_id, f"{server.name} is {why}")

    def _finish(self, action: ServerAction, name: str, host: str, error: str) -> None:
        action.events.append(ActionEvent(name, "Error" if error else "Success", host, self._world.now_s, error))
