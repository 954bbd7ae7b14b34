"""Which host does nova-scheduler choose for a server, and why none?"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanode.sim.world.hosts import ComputeHost
    from hanode.sim.world.servers import Server
    from hanode.sim.world.world import World


class Scheduler:
    def __init__(self, world: World) -> None:
        self._world = world

    def choose(self, server: Server, ignored: str, asked: str = "") -> str | None:
        """The asked-for host if the scheduler likes it, or the best of all; never the ignored one."""
        hosts = self._world.hosts
        names = [asked] if asked else sorted(hosts, key=lambda name: (-self._world.placement.room(name)["MEMORY_MB"], name))
        return next((name for name in names if name != ignored and self._likes(hosts[name], server)), None)

    def _likes(self, host: ComputeHost, server: Server) -> bool:
        return (
            server.instance_id not in self._world.control.no_valid_host
            and self._world.hosts.is_up(host.name)
            and host.status == "enabled"
            and not self.forbids(host, server)
            and self.has_devices(host, server)
            and self._group_allows(host.name, server)
            and self._world.placement.fits(server.instance_id, host.name, server.resources)
        )

    def forbids(self, host: ComputeHost, server: Server) -> str:
        """Why this server may never be on that host, however empty and well it is; empty when it may."""
        if server.pinned_zone not in ("", host.zone):
            return f"{host.name} is outside availability zone {server.pinned_zone}"
        if not self._has_traits(host, server):
            return f"{host.name} has not the traits that it asks for"
        return "" if self._aggregates_allow(host.name, server) else f"the aggregates of {host.name} do not take it"

    def _has_traits(self, host: ComputeHost, server: Server) -> bool:
        """Of flavor and image; Placement is asked for them."""
        wants = {**server.extra_specs, **server.image_properties}
        return all((key.removeprefix("trait:") in host.traits) is (value == "required")
                   for key, value in wants.items() if key.startswith("trait:"))

    def has_devices(self, host: ComputeHost, server: Server) -> bool:
        """PciPassthroughFilter, and the claim of the target: what is on the host, or on its way to it, has its devices."""
        if not server.devices:
            return True
        coming = {row.instance_id for row in self._world.migrations.rows if row.target == host.name and row.status == "pre-migrating"}
        there = [other for other in self._world.servers.live() if other.host == host.name or other.instance_id in coming]
        taken = Counter[str]()
        for other in there:
            taken.update(other.devices if other.instance_id != server.instance_id else {})
        return all(taken[alias] + count <= host.devices.get(alias, 0) for alias, count in server.devices.items())

    def _aggregates_allow(self, host: str, server: Server) -> bool:
        """AggregateInstanceExtraSpecsFilter (values that are equal) and AggregateMultiTenancyIsolation."""
        scope = "aggregate_instance_extra_specs:"
        around = [a.metadata for a in self._world.nova.true_aggregates() if host in a.hosts]
        for key, value in server.extra_specs.items():
            if key.startswith(scope) and not any(m.get(key.removeprefix(scope)) == value for m in around):
                return False
        tenants = {tenant for m in around for key, text in m.items() if key.startswith("filter_tenant_id") for tenant in text.split(",")}
        return not tenants or server.project_id in tenants

    def _group_allows(self, host: str, server: Server) -> bool:
        """The hosts of a group include the one that failed, and the server's own: hard affinity finds no other."""
        group = self._world.servers.group_of(server.instance_id)
        if group is None or group.policy.startswith("soft"):
            return True
        used = [member.host for member in self._world.servers.live() if member.instance_id in group.members]
        return host not in used if group.policy == "anti-affinity" else not used or host in used

    def late_violation(self, host: str, server: Server) -> bool:
        """What the target itself finds: members that are there, or on their way to it, be the scheduler asked or not."""
        group = self._world.servers.group_of(server.instance_id)
        if group is None or group.policy.startswith("soft"):
            return False
        others = [member for member in self._world.servers.live() if member.instance_id in group.members - {server.instance_id}]
        if group.policy == "affinity":
            return bool(others) and all(member.host != host for member in others)
        coming = {row.instance_id for row in self._world.migrations.rows if row.target == host and row.status == "pre-migrating"}
        return any(member.host == host or member.instance_id in coming for member in others)
