"""Does a real Nova keep the promises of `ports.Cloud` as the embedded cloud and the simulator do?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hanode.adapters.keystone import Credentials
from hanode.adapters.openstack import OpenStackCloud
from openstack.connection import Connection

from tests.contract.cloud_contract import CloudContract, CloudUnderTest

from .cluster import until
from .stack import client, faults
from .stack.layout import REGION, SECRET, Lab

HOST, TARGET = "cn1", "cn2"

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


def wait_until(condition: Callable[[], bool]) -> None:
    until("the contract's condition", condition, bool)


class TestRealNova(CloudContract):
    @pytest.fixture
    def cloud_under_test(self, lab: Lab, cloud: Connection) -> CloudUnderTest:
        client.boot_mixed(cloud, HOST, ["ACTIVE", "SHUTOFF"])
        credentials = Credentials(lab.auth_url, "admin", SECRET, "admin", region=REGION, interface="public")
        return CloudUnderTest(
            cloud=OpenStackCloud(credentials),
            host=HOST,
            target=TARGET,
            names=frozenset(host.name for host in lab.hosts),
            kill=lambda: faults.power_cut(lab, HOST),
            bring_back=lambda: faults.power_on(lab, HOST),
            stop_as_owner=lambda server_id: client.put(cloud, server_id, "SHUTOFF"),
            wait_until=wait_until,
        )
