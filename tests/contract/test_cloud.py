"""Do the adapters over HTTP and the simulator keep the promises of `ports.Cloud` alike?"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hanode.adapters.keystone import Credentials
from hanode.adapters.openstack import OpenStackCloud
from hanode.sim.cloud import EmbeddedCloud, example_world
from hanode.sim.node import SimNode
from hanode.sim.ports import SimCloud
from hanode.sim.world import World
from tests.contract.cloud_contract import CloudContract, CloudUnderTest
from tests.contract.migration_contract import MigrationContract

LIMIT_S = 60.0


def wait_until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    pause = threading.Event()
    for _ in range(int(limit_s / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    pytest.fail(f"not true within {limit_s:g} s")


def small_world() -> World:
    """cn1 has vm1, vm4, vm7 (stopped) and more; all three hosts see the same storage."""
    return example_world(hosts=3, domains=1, servers=14)


class TestOpenStackAdapters(CloudContract, MigrationContract):
    @pytest.fixture
    def cloud_under_test(self) -> Iterator[CloudUnderTest]:
        # Pages of two, so that every list is read through its paging.
        embedded = EmbeddedCloud(small_world(), speed=10.0, page_size=2)
        embedded.start()

        def do(call: Callable[[World], Any]) -> None:
            embedded.live.run(call)

        yield CloudUnderTest(
            cloud=OpenStackCloud(Credentials(**embedded.credentials)), host="cn1", target="cn2",
            names=frozenset({"cn1", "cn2", "cn3"}),
            kill=lambda: do(lambda world: world.hosts.power_off("cn1", "test")),
            bring_back=lambda: do(lambda world: world.hosts.power_on("cn1", "test")),
            stop_as_owner=lambda instance_id: do(lambda world: world.nova.stop(instance_id, user="owner")),
            wait_until=wait_until,
        )
        embedded.stop()


class TestSimulator(CloudContract, MigrationContract):
    @pytest.fixture
    def cloud_under_test(self) -> CloudUnderTest:
        world = small_world()

        def advance_until(condition: Callable[[], bool]) -> None:
            for _ in range(1000):
                if condition():
                    return
                world.advance(world.now_s + 0.5)
            pytest.fail("not true within 500 s of the world's time")

        return CloudUnderTest(
            cloud=SimCloud(SimNode(world, "a")), host="cn1", target="cn2", names=frozenset({"cn1", "cn2", "cn3"}),
            kill=lambda: world.hosts.power_off("cn1", "test"), bring_back=lambda: world.hosts.power_on("cn1", "test"),
            stop_as_owner=lambda instance_id: world.nova.stop(instance_id, user="owner"), wait_until=advance_until,
        )
