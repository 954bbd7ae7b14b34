"""What does Nova's database say of each server?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hanode.core.facts import Instance, Resources
from hanode.sim.world.control import ApiError


@dataclass(frozen=True)
class ActionEvent:
    name: str  # e.g. "rebuild_server" (conductor), "compute_rebuild_instance" (target)
    result: str  # "Success" | "Error"
    host: str
    time_s: float
    detail: str = ""


@dataclass
class ServerAction:
    """One row of os-instance-actions with its finished events. `user` is None when Nova itself did it."""

    name: str
    user: str | None
    time_s: float
    request_id: str
    events: list[ActionEvent] = field(default_factory=list)


@dataclass
class Server:
    instance_id: str
    name: str
    host: str
    vm_state: str = "active"
    task_state: str | None = None
    power_state: str = "running"
    locked: bool = False
    locked_by: str = ""  # "owner" | "admin"
    locked_reason: str = ""
    project_id: str = "project-a"
    image_id: str = "image-1"  # "" = boots from a volume
    vcpus: int = 1
    ram_mb: int = 1024
    disk_gb: int = 10
    ephemeral_gb: int = 0
    swap_mb: int = 0
    pinned_zone: str = ""  # asked for at boot; "" = any
    metadata: dict[str, str] = field(default_factory=dict)
    extra_specs: dict[str, str] = field(default_factory=dict)  # of its flavor
    image_properties: dict[str, str] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    created_s: float = 0.0
    fault: str = ""
    deleted: bool = False
    actions: list[ServerAction] = field(default_factory=list)

    @property
    def resources(self) -> Resources:
        disk_gb = (0 if self.image_id == "" else self.disk_gb) + self.ephemeral_gb + self.swap_mb // 1024
        return {"VCPU": self.vcpus, "MEMORY_MB": self.ram_mb, "DISK_GB": disk_gb}

    @property
    def devices(self) -> dict[str, int]:
        """PCI devices that its flavor asks for, by alias."""
        pairs = (part.partition(":") for part in self.extra_specs.get("pci_passthrough:alias", "").split(",") if part)
        return {alias: int(count or 1) for alias, _, count in pairs}

    @property
    def has_volume(self) -> bool:
        return self.image_id == ""

    @property
    def has_local_disk(self) -> bool:
        """Something of it lives in the storage domain of its host: an image's root disk, ephemeral disk or swap."""
        return not self.has_volume or self.ephemeral_gb > 0 or self.swap_mb > 0

    def view(self, zone: str) -> Instance:
        """As Nova's API shows it to an administrator."""
        return Instance(
            instance_id=self.instance_id, name=self.name, host=self.host, vm_state=self.vm_state, task_state=self.task_state,
            power_state=self.power_state, locked=self.locked, locked_reason=self.locked_reason, project_id=self.project_id,
            image_id=self.image_id, vcpus=self.vcpus, ram_mb=self.ram_mb, disk_gb=self.disk_gb, ephemeral_gb=self.ephemeral_gb,
            swap_mb=self.swap_mb, zone=zone, pinned_zone=self.pinned_zone, metadata=dict(self.metadata),
            extra_specs=dict(self.extra_specs), image_properties=dict(self.image_properties), addresses=self.addresses,
            volumes=int(self.has_volume),
        )


@dataclass(frozen=True)
class ServerGroup:
    name: str
    policy: str  # "affinity" | "anti-affinity" | "soft-affinity" | "soft-anti-affinity"
    members: frozenset[str]


class Servers:
    """Every server there ever was; a deleted one stays as evidence."""

    def __init__(self) -> None:
        self.by_id: dict[str, Server] = {}
        self.groups: list[ServerGroup] = []

    def group_of(self, instance_id: str) -> ServerGroup | None:
        return next((group for group in self.groups if instance_id in group.members), None)

    def live(self) -> tuple[Server, ...]:
        return tuple(self.by_id[key] for key in sorted(self.by_id) if not self.by_id[key].deleted)

    def on(self, host: str) -> tuple[Server, ...]:
        here = (key for key, server in self.by_id.items() if server.host == host and not server.deleted)
        return tuple(self.by_id[key] for key in sorted(here))

    def named(self, name: str) -> Server:
        """The server of that name (names are unique in a world), or the API's 404."""
        found = next((server for server in self.by_id.values() if server.name == name), None)
        if found is None:
            raise ApiError(404, f"Instance {name} could not be found")
        return found

    def get(self, instance_id: str) -> Server:
        """The live server, or the API's 404."""
        server = self.by_id.get(instance_id)
        if server is None or server.deleted:
            raise ApiError(404, f"Instance {instance_id} could not be found")
        return server

    def names(self) -> Mapping[str, str]:
        return {instance_id: server.name for instance_id, server in self.by_id.items()}
