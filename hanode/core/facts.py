"""What does the world look like? Facts, frozen, parsed once at the edge.

A fact that could not be read is `Unknown`, never an empty list. Times ending in `_s` are seconds on this process's own
boot clock; times ending in `_at` are texts for people (or Nova's own stamps) and are never compared with our clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from hanode.core.once import once

T = TypeVar("T")


@dataclass(frozen=True)
class Unknown:
    """Could not look; the reason is for the operator. No dangerous decision rests on an Unknown."""

    reason: str


@dataclass(frozen=True)
class Reading(Generic[T]):
    """One read of the world. It is as old as the moment it was *begun*, whenever it came back."""

    value: T | Unknown
    started_s: float
    finished_s: float


class Power(StrEnum):
    """What a power device says. Only OFF is off: PoweringOff, Unknown or a paused board are OTHER."""

    ON = "on"
    OFF = "off"
    OTHER = "other"


class Access(StrEnum):
    """May a host write to its disks in a store? Only CUT is proof, and only of that."""

    CUT = "cut"  # by none of its addresses
    OPEN = "open"
    PARTLY = "partly"  # by some of them; or the store says neither


@dataclass(frozen=True)
class StoreCheck:
    """What a store said to a check, which cuts nobody off."""

    trouble: str = ""  # why it would not obey if it were needed; "" when it would
    cut: frozenset[str] = frozenset()  # hosts that it cuts off now, as far as it tells a list
    took_s: float = 0.0


@dataclass(frozen=True)
class DeviceCheck:
    """What one power device of a host said to a check, which switches nothing."""

    level: int
    device: str  # which one, as the operator described it
    power: Power | None = None  # None: it could not be read
    trouble: str = ""  # why not
    identity: str = ""  # "uuid ..." or "serial ...", as the device itself tells it; "" when it tells none
    configured: bool = False  # the operator has written its identity down, so that each use requires it anyway
    warning: str = ""
    login_refused: bool = False  # it let nobody in, or was not asked because its like did not: asking on could lock accounts
    took_s: float = 0.0

    @property
    def fault(self) -> str:
        """Why it would prove nothing if it were needed now; "" when it would."""
        return self.trouble or ("it says neither on nor off" if self.power is Power.OTHER else "")


@dataclass(frozen=True)
class Service:
    """One row of os-services. `state` is None when its cell did not answer (microversion 2.69 and newer)."""

    service_id: str
    binary: str
    host: str
    state: str | None  # "up" | "down"
    status: str | None = "enabled"  # "enabled" | "disabled"
    disabled_reason: str = ""
    forced_down: bool = False
    updated_at: str = ""  # moves with each heartbeat, and with our own writes to the service
    zone: str = ""

    @once
    def is_in_order(self) -> bool:
        """Nova calls it up, and nobody has marked it."""
        return self.state == "up" and self.status == "enabled" and not (self.disabled_reason or self.forced_down)


@dataclass(frozen=True)
class Hypervisor:
    """One row of os-hypervisors, joined to its service by host name."""

    host: str
    kind: str  # "QEMU", "KVM", "fake", "VMware vCenter Server", "ironic", ...
    host_ip: str
    provider_id: str  # uuid of the compute node, which is the uuid of its Placement resource provider
    hostname: str = ""
    disk_gb: int = 0  # in all, where it keeps the disks of its instances, as it reports itself; 0: it does not say


@dataclass(frozen=True)
class Aggregate:
    name: str
    hosts: frozenset[str]
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Host:
    """All that the cloud's inventory tells of one compute host."""

    name: str
    service: Service
    hypervisor: Hypervisor | None = None
    aggregates: tuple[Aggregate, ...] = ()  # sorted by name

    def metadata(self, key: str) -> str | None:
        """The first value of an aggregate metadata key, aggregates in order of name."""
        return next((a.metadata[key] for a in self.aggregates if key in a.metadata), None)


@dataclass(frozen=True)
class Fleet:
    """Everything one poll of os-services (joined with hypervisors and aggregates) shows."""

    hosts: Mapping[str, Host]  # nova-compute only, by service host name
    control: tuple[Service, ...]  # nova-conductor and nova-scheduler


@dataclass(frozen=True)
class Instance:
    """A server as Nova shows it to an administrator."""

    instance_id: str
    name: str
    host: str
    vm_state: str  # "active" | "stopped" | "error" | "paused" | "suspended" | "rescued" | "resized" | ...
    task_state: str | None = None
    power_state: str = "running"  # "running" | "shutdown" | "paused" | "suspended" | "crashed" | "nostate"
    locked: bool = False
    locked_reason: str = ""
    project_id: str = ""
    image_id: str = ""  # "" = boots from a volume
    vcpus: int = 1
    ram_mb: int = 0
    disk_gb: int = 0
    ephemeral_gb: int = 0
    swap_mb: int = 0
    zone: str = ""
    pinned_zone: str | None = None  # the zone that it was created for; "" = any; None: this Nova does not tell (before 2.96)
    metadata: Mapping[str, str] = field(default_factory=dict)
    extra_specs: Mapping[str, str] = field(default_factory=dict)  # of its flavor
    image_properties: Mapping[str, str] = field(default_factory=dict)  # of its image, as Nova keeps them (2.98 and newer)
    addresses: tuple[str, ...] = ()  # its fixed ones, in the order in which Nova shows them
    volumes: int | None = None  # attached to it; None: Nova does not tell

    @property
    def boots_from_volume(self) -> bool:
        return self.image_id == ""

    @property
    def has_local_disk(self) -> bool:
        """True when some disk of it lives on the compute host's own storage backend."""
        return not self.boots_from_volume or self.ephemeral_gb > 0 or self.swap_mb > 0


@dataclass(frozen=True)
class Migration:
    """A record of os-migrations: Nova's own evidence of an evacuation (or live migration, resize)."""

    migration_id: str
    instance_id: str
    kind: str  # "evacuation" | "live-migration" | "migration" | "resize"
    status: str  # "accepted" | "pre-migrating" | "done" | "completed" | "failed" | "error" | ...
    source: str
    target: str  # "" until known
    created_at: str = ""

    @property
    def is_open(self) -> bool:
        """Nova may still be working on it."""
        return self.status not in {"done", "completed", "failed", "error", "cancelled", "confirmed", "reverted"}

    @property
    def blocks_release(self) -> bool:
        """A restart of the host would still act on it (nova compute/manager.py `_destroy_evacuated_instances`)."""
        return self.kind == "evacuation" and self.status in {"accepted", "pre-migrating", "done"}


@dataclass(frozen=True)
class ServerGroup:
    """One row of os-server-groups (2.64 and newer: one policy and its rule)."""

    group_id: str
    name: str
    policy: str  # "affinity" | "anti-affinity" | "soft-affinity" | "soft-anti-affinity"
    members: frozenset[str]  # instance ids
    max_per_host: int = 1  # anti-affinity: rule max_server_per_host


Resources = Mapping[str, int]  # Placement resource class -> amount
