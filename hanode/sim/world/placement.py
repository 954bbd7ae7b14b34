"""Who holds which resources where? Placement's allocations, without its HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hanode.core.facts import Resources

if TYPE_CHECKING:
    from hanode.sim.world.world import World


@dataclass(frozen=True)
class Inventory:
    """One resource class of a host, as Placement keeps it."""

    total: int
    reserved: int = 0
    ratio: float = 1.0

    @property
    def capacity(self) -> int:
        return int((self.total - self.reserved) * self.ratio)


class Placement:
    """An instance under evacuation holds resources on two hosts until its source restarts."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._held: dict[str, dict[str, Resources]] = {}  # instance -> host -> amounts

    def of_instance(self, instance_id: str) -> Mapping[str, Resources]:
        return dict(self._held.get(instance_id, {}))

    def of_host(self, host: str) -> Mapping[str, Resources]:
        return {instance: self._held[instance][host] for instance in sorted(self._held) if host in self._held[instance]}

    def used(self, host: str) -> Resources:
        totals = dict.fromkeys(self._world.hosts[host].inventories, 0)
        for amounts in self.of_host(host).values():
            for name, amount in amounts.items():
                totals[name] = totals.get(name, 0) + amount
        return totals

    def room(self, host: str) -> Resources:
        used = self.used(host)
        return {name: inventory.capacity - used[name] for name, inventory in self._world.hosts[host].inventories.items()}

    def fits(self, instance_id: str, host: str, amounts: Resources) -> bool:
        room = self.room(host)
        mine = self._held.get(instance_id, {}).get(host, {})
        return all(room.get(name, 0) + mine.get(name, 0) >= amount for name, amount in amounts.items() if amount)

    def hold(self, instance_id: str, host: str, amounts: Resources) -> None:
        self._held.setdefault(instance_id, {})[host] = dict(amounts)

    def release(self, instance_id: str, host: str) -> None:
        self._held.get(instance_id, {}).pop(host, None)

    def forget(self, instance_id: str) -> None:
        self._held.pop(instance_id, None)
