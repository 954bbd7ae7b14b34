"""Which adapter answers which question of `ports.Cloud`? All of them over one Keystone session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from hanode.adapters import nova, placement
from hanode.adapters.expiry import Expiry
from hanode.adapters.glance import Glance
from hanode.adapters.keystone import Credentials, Keystone
from hanode.adapters.neutron import Neutron
from hanode.adapters.nova import Nova
from hanode.adapters.placement import Placement
from hanode.adapters.rest import Microversion, Rest
from hanode.core.facts import Fleet, Instance, Migration, Resources, ServerGroup
from hanode.core.model import Call

SKIP_IMAGE_TAGS = ("amphora-image", "amphora")

PINNED: Mapping[str, tuple[str, ...]] = {"compute": nova.PINNED, "placement": (placement.MICROVERSION,)}
"""The microversions without which we cannot work, by service type."""


class OpenStackCloud:
    """`ports.Cloud` over HTTP. Making one needs no network; `connect` says early what is wrong with the credentials."""

    def __init__(self, credentials: Credentials, skip_image_tags: Sequence[str] = SKIP_IMAGE_TAGS) -> None:
        self._keystone = Keystone(credentials)
        self._neutron = Neutron(self._keystone.rest("network"))
        self._rests = {"compute": self._keystone.rest("compute", major="2"), "placement": self._keystone.rest("placement")}
        self._nova = Nova(self._rests["compute"])
        self._placement = Placement(self._rests["placement"])
        self._baremetal = self._keystone.rest("baremetal", major="1")
        self._glance = Glance(self._keystone.rest("image"), skip_image_tags)

    def connect(self) -> None:
        self._keystone.authenticate()

    def baremetal(self) -> Rest:
        """The door to Ironic, which only fencing uses. No network."""
        return self._baremetal

    def catalogue(self) -> frozenset[str]:
        return self._keystone.catalogue()

    def roles(self) -> frozenset[str]:
        return self._keystone.roles()

    def read_expiry(self) -> Expiry:
        """Until when we are let in."""
        return self._keystone.read_expiry()

    def keystone_url(self) -> str:
        return self._keystone.auth_url

    def offered(self, service_type: str) -> tuple[Microversion, Microversion]:
        return self._rests[service_type].offered()

    def read_clock(self) -> datetime:
        return self._nova.read_clock()

    def identity(self) -> str:
        return self._keystone.identity()

    def read_fleet(self) -> Fleet:
        return self._nova.read_fleet()

    def read_servers(self, host: str) -> tuple[Instance, ...]:
        return self._nova.read_servers(host)

    def read_instance(self, instance_id: str) -> Instance | None:
        return self._nova.read_instance(instance_id)

    def read_migrations(self, host: str) -> tuple[Migration, ...]:
        return self._nova.read_migrations(host)

    def read_evacuations(self) -> tuple[Migration, ...]:
        return self._nova.read_evacuations()

    def read_consumption(self, provider_id: str) -> Mapping[str, Resources]:
        return self._placement.read_consumption(provider_id)

    def read_room(self, providers: Mapping[str, str]) -> Mapping[str, Resources]:
        return self._placement.read_room(providers)

    def read_groups(self) -> tuple[ServerGroup, ...]:
        return self._nova.read_groups()

    def read_trait(self, trait: str) -> frozenset[str]:
        return self._placement.read_trait(trait)

    def read_dead_agents(self) -> frozenset[str]:
        return self._neutron.read_dead_agents()

    def read_skip_images(self) -> frozenset[str]:
        return self._glance.read_skip_images()

    def read_stopped_by_owner(self, instance_id: str, since: str) -> bool:
        return self._nova.read_stopped_by_owner(instance_id, since)

    def settle_allocation(self, instance_id: str, provider_id: str) -> None:
        self._placement.settle_allocation(instance_id, provider_id)

    def force_down(self, service_id: str) -> None:
        self._nova.force_down(service_id)

    def clear_force_down(self, service_id: str) -> None:
        self._nova.clear_force_down(service_id)

    def disable(self, service_id: str, reason: str) -> None:
        self._nova.disable(service_id, reason)

    def enable(self, service_id: str) -> None:
        self._nova.enable(service_id)

    def evacuate(self, instance_id: str, target: str, call: Call) -> None:
        self._nova.evacuate(instance_id, target, call)

    def lock(self, instance_id: str, reason: str) -> None:
        self._nova.lock(instance_id, reason)

    def unlock(self, instance_id: str) -> None:
        self._nova.unlock(instance_id)

    def start(self, instance_id: str) -> None:
        self._nova.start(instance_id)

    def stop(self, instance_id: str) -> None:
        self._nova.stop(instance_id)

    def live_migrate(self, instance_id: str, target: str) -> None:
        self._nova.live_migrate(instance_id, target)

    def cold_migrate(self, instance_id: str, target: str) -> None:
        self._nova.cold_migrate(instance_id, target)

    def confirm_migration(self, instance_id: str) -> None:
        self._nova.confirm_migration(instance_id)
