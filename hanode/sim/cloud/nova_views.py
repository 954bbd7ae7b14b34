"""What does a row of the world look like in Nova's JSON?"""

from __future__ import annotations

from typing import Any

from hanode.core.facts import Aggregate, Hypervisor, Instance, Migration, ServerGroup, Service
from hanode.sim.world import Server, ServerAction, World, stamp

View = dict[str, Any]
POWER_NUMBERS = {"nostate": 0, "running": 1, "paused": 3, "shutdown": 4, "crashed": 6, "suspended": 7}
STATUS = {"active": "ACTIVE", "stopped": "SHUTOFF", "error": "ERROR", "paused": "PAUSED", "suspended": "SUSPENDED",
          "rescued": "RESCUE", "resized": "VERIFY_RESIZE"}


def service(row: Service) -> View:
    if row.state is None:
        return {"binary": row.binary, "host": row.host, "status": "UNKNOWN"}
    return {
        "id": row.service_id, "binary": row.binary, "host": row.host, "zone": row.zone, "state": row.state, "status": row.status,
        "disabled_reason": row.disabled_reason or None, "forced_down": row.forced_down, "updated_at": row.updated_at or None,
    }


def hypervisor(row: Hypervisor, world: World) -> View:
    host = world.hosts[row.host]
    return {
        "id": row.provider_id, "hypervisor_hostname": row.hostname, "hypervisor_type": row.kind, "host_ip": row.host_ip,
        "local_gb": row.disk_gb, "state": "up" if world.hosts.is_up(row.host) else "down", "status": host.status,
        "service": {"id": host.service_id, "host": row.host, "disabled_reason": host.disabled_reason or None},
    }


def aggregate(number: int, row: Aggregate) -> View:
    return {"id": number, "name": row.name, "hosts": sorted(row.hosts), "metadata": dict(row.metadata),
            "availability_zone": row.metadata.get("availability_zone")}


def server(row: Instance, version: int) -> View:
    flavor = {"vcpus": row.vcpus, "ram": row.ram_mb, "disk": row.disk_gb, "ephemeral": row.ephemeral_gb, "swap": row.swap_mb,
              "original_name": "embedded", "extra_specs": dict(row.extra_specs)}
    view: View = {
        "id": row.instance_id, "name": row.name, "tenant_id": row.project_id, "metadata": dict(row.metadata),
        "status": "REBUILD" if (row.task_state or "").startswith("rebuil") else STATUS.get(row.vm_state, row.vm_state.upper()),
        "addresses": {"net": [{"addr": address, "version": 6 if ":" in address else 4, "OS-EXT-IPS:type": "fixed"}
                              for address in row.addresses]},
        "image": {"id": row.image_id} if row.image_id else "", "flavor": flavor if version >= 47 else {"id": "1"},
        "OS-EXT-SRV-ATTR:host": row.host, "OS-EXT-STS:vm_state": row.vm_state, "OS-EXT-STS:task_state": row.task_state,
        "OS-EXT-STS:power_state": POWER_NUMBERS[row.power_state], "OS-EXT-AZ:availability_zone": row.zone, "locked": row.locked,
    }
    if version >= 73:
        view["locked_reason"] = row.locked_reason or None
    if version >= 96:
        view["pinned_availability_zone"] = row.pinned_zone or None
    if version >= 98 and row.image_id:
        view["image"] = {"id": row.image_id, "properties": dict(row.image_properties)}
    return view


def server_group(row: ServerGroup) -> View:
    return {"id": row.group_id, "name": row.name, "policy": row.policy, "members": sorted(row.members), "metadata": {},
            "rules": {"max_server_per_host": row.max_per_host} if row.max_per_host > 1 else {}}


def server_of_silent_cell(row: Server) -> View:
    return {"id": row.instance_id, "tenant_id": row.project_id, "status": "UNKNOWN",
            "created": stamp(row.created_s)[:19] + "Z", "links": []}


def action(row: ServerAction, instance_id: str) -> View:
    return {"action": row.name, "instance_uuid": instance_id, "request_id": row.request_id, "user_id": row.user,
            "project_id": None, "start_time": stamp(row.time_s), "updated_at": stamp(row.time_s), "message": None}


def migration(number: int, row: Migration) -> View:
    source, target = row.source or None, row.target or None
    return {
        "id": number, "uuid": row.migration_id, "instance_uuid": row.instance_id, "migration_type": row.kind,
        "status": row.status, "source_compute": source, "dest_compute": target, "source_node": source, "dest_node": target,
        "dest_host": None, "created_at": row.created_at, "updated_at": None, "links": [],
    }
