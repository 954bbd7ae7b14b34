"""What is a node of Ironic to the tests? The embedded cloud's, over HTTP, with a real Keystone token, and the faults of its machine."""

from __future__ import annotations

import pytest

from hanode.adapters.fencing import devices as fencing
from hanode.adapters.fencing import ironic
from hanode.adapters.fencing.settings import IronicSettings, Settings
from hanode.adapters.keystone import Credentials
from hanode.adapters.openstack import OpenStackCloud
from hanode.sim.cloud import EmbeddedCloud
from hanode.sim.cloud.ironic import Node
from hanode.sim.world import BmcMode, World
from tests.contract.bmcs import HOST

SPEED = 20.0


class IronicNode:
    """As `bmcs.Bmc`; what is no fault of the machine is set in the row of the database."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = World(seed=1)
        world.add_host(HOST)
        self.cloud = EmbeddedCloud(world, speed=SPEED)
        self.cloud.start()
        self._stopped = False
        door = OpenStackCloud(Credentials(**self.cloud.credentials)).baremetal()
        monkeypatch.setattr(fencing, "_no_ironic", lambda: door)
        monkeypatch.setattr(ironic, "APART_S", 0.1)
        monkeypatch.setattr(ironic, "PAUSE_S", 0.05)
        self.settings: Settings = IronicSettings(host=HOST, node=HOST, timeout_s=60.0)

    @property
    def row(self) -> Node:
        return self.cloud.ironic.nodes[HOST]

    def power(self) -> str:
        return self.cloud.live.run(lambda world: "on" if world.hosts[HOST].powered else "off")

    def orders(self) -> int:
        return self.row.orders

    def misbehave(self, mode: BmcMode, seconds: float = 0.0) -> None:
        self.cloud.live.run(lambda world: world.bmcs[HOST].misbehave(mode, seconds))

    def lie(self) -> None:
        self.misbehave(BmcMode.LIES)

    def hang_on_order(self) -> None:
        """The conductor waits for its machine, longer than anybody has patience."""
        self.misbehave(BmcMode.SLOW, 3600.0)

    def vanish(self) -> None:
        self.stop()

    def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self.cloud.stop()
