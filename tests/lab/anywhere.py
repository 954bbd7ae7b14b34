"""On which cloud, and on which of its hosts, may a test act that needs nothing of the lab?

Any OpenStack will do: a DevStack, the lab, one of yours. It is named on purpose by `HANODE_TEST_CLOUD`, never by `OS_CLOUD`: nobody's
cloud is touched because a shell happened to be set up for it. Of that cloud only the hosts are touched that its operator has put into
the aggregate `hanode-test-target`, and of the servers on them only those that a test has booted.

| variable | meaning |
|---|---|
| `HANODE_TEST_CLOUD` | name of an administrator's cloud in the file below; unset: the lab |
| `HANODE_TEST_CLOUDS_FILE` | a clouds.yaml; by default /etc/openstack/clouds.yaml |
| `HANODE_TEST_CONF` | the configuration of the hanode that watches it; by default /etc/hanode/hanode.conf |
| `HANODE_TEST_STOP_AGENT`, `HANODE_TEST_START_AGENT` | commands that stop and start nova-compute on `{host}`; unset: skipped |
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import openstack
from hanode.adapters.keystone import Credentials
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from .cluster import Hanode
from .stack import client

AGGREGATE = "hanode-test-target"


class NotOurs(AssertionError):
    """What the tests were not given; the message says what the operator has to do."""


@dataclass
class Ground:
    """Where a test may act. `stop_agent` and `start_agent` take the name of a host."""

    cloud: Connection
    credentials: Credentials
    stop_agent: Callable[[str], None] | None
    start_agent: Callable[[str], None] | None
    booted: set[str] = field(default_factory=set)

    @property
    def hosts(self) -> Sequence[str]:
        given = [aggregate for aggregate in self.cloud.compute.aggregates() if aggregate.name == AGGREGATE]
        hosts = sorted(host for aggregate in given for host in aggregate.hosts or ())
        if not hosts:
            raise NotOurs(f"no host is in an aggregate {AGGREGATE}: `openstack aggregate create {AGGREGATE}`, then "
                          f"`openstack aggregate add host {AGGREGATE} HOST` with a host that a test may disturb")
        return hosts

    def boot(self, host: str, count: int) -> list[str]:
        """That many small servers on one of our hosts, ACTIVE."""
        assert host in self.hosts
        ids = client.boot(self.cloud, count, host, flavor=self._smallest_flavor(), name="hanode-test")
        self.booted.update(ids)
        return ids

    def _smallest_flavor(self) -> str:
        flavors = client.get(self.cloud, "/flavors/detail")["flavors"]
        return str(min(flavors, key=lambda flavor: (flavor["ram"], flavor["vcpus"], flavor["disk"]))["name"])

    def clear(self) -> None:
        """Our servers are gone, and our hosts are as we found them: up, enabled, in nobody's hand."""
        found = [server for server in client.servers(self.cloud) if server["id"] in self.booted]
        for server in found:
            if server["locked"]:
                client.act(self.cloud, server["id"], {"unlock": None})
        client.delete_all_of(self.cloud, found)
        for host in self.hosts:
            service = client.services(self.cloud)[host]
            if service["forced_down"]:
                client.set_service(self.cloud, host, forced_down=False)
        client.hosts_up(self.cloud, self.hosts)


def is_named(environment: Mapping[str, str] = os.environ) -> bool:
    return bool(environment.get("HANODE_TEST_CLOUD"))


def named(environment: Mapping[str, str] = os.environ) -> tuple[Ground, Hanode]:
    """The cloud that the environment names, and the hanode that watches it."""
    name, file = environment["HANODE_TEST_CLOUD"], environment.get("HANODE_TEST_CLOUDS_FILE", "/etc/openstack/clouds.yaml")
    region = OpenStackConfig(config_files=[file], load_envvars=False).get_one(name)
    ground = Ground(
        openstack.connection.Connection(config=region),
        Credentials(clouds_file=file, cloud=name, interface="public"),
        _command(environment.get("HANODE_TEST_STOP_AGENT", "")),
        _command(environment.get("HANODE_TEST_START_AGENT", "")),
    )
    return ground, Hanode(environment.get("HANODE_TEST_CONF", "/etc/hanode/hanode.conf"))


def _command(text: str) -> Callable[[str], None] | None:
    def run(host: str) -> None:
        subprocess.run([word.replace("{host}", host) for word in shlex.split(text)], check=True, timeout=120)

    return run if text else None


@contextmanager
def given(cloud: Connection, hosts: Sequence[str]) -> Iterator[None]:
    """These hosts are in the aggregate for as long as this lasts: how the lab gives some of its own."""
    aggregate = cloud.compute.create_aggregate(name=AGGREGATE)
    for host in hosts:
        cloud.compute.add_host_to_aggregate(aggregate, host)
    yield
    for host in hosts:
        cloud.compute.remove_host_from_aggregate(aggregate, host)
    cloud.compute.delete_aggregate(aggregate)
