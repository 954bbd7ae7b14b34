"""What hanode owes to any cloud, on hosts given to the tests: needs neither the lab's driver nor its BMCs, so a DevStack plays it too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from hanode.adapters.keystone import Credentials
from hanode.adapters.openstack import OpenStackCloud

from tests.contract.cloud_contract import CloudUnderTest, SharedCloudContract

from . import anywhere
from .anywhere import Ground
from .cluster import Hanode, until
from .conftest import mend
from .stack import client, faults
from .stack.layout import REGION, SECRET, Lab

pytestmark = [pytest.mark.lab, pytest.mark.anywhere, pytest.mark.timeout(900)]

SLOW_S = 600.0
"""Nova's defaults are slower than the lab's."""


@pytest.fixture(autouse=True)
def _mended(request: pytest.FixtureRequest) -> Iterator[None]:
    """Only the lab is put in order as a whole; on another cloud only what a test itself has left is."""
    if anywhere.is_named():
        yield
        return
    lab, cloud = request.getfixturevalue("lab"), request.getfixturevalue("cloud")
    mend(lab, cloud)
    yield
    mend(lab, cloud)


@pytest.fixture
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    if anywhere.is_named():
        found, _ = anywhere.named()
        yield found
        found.clear()
        return
    lab: Lab = request.getfixturevalue("lab")
    cloud = request.getfixturevalue("cloud")
    credentials = Credentials(lab.auth_url, "admin", SECRET, "admin", region=REGION, interface="public")
    found = Ground(cloud, credentials, lambda host: faults.kill_compute(lab, host), lambda host: faults.start_compute(lab, host))
    with anywhere.given(cloud, ["cn3", "cn4"]):
        yield found
        found.clear()


@pytest.fixture
def hanode(request: pytest.FixtureRequest, ground: Ground) -> Hanode:
    found: Hanode = anywhere.named()[1] if anywhere.is_named() else request.getfixturevalue("start")()
    until("somebody leads and nothing is wrong", lambda: found.command("status", "--check").returncode, lambda code: code == 0, SLOW_S)
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    until("the contract's condition", condition, bool, SLOW_S)


def never() -> None:
    raise AssertionError("no host of a cloud that others use is killed")


class TestCloudInUse(SharedCloudContract):
    @pytest.fixture
    def cloud_under_test(self, ground: Ground) -> CloudUnderTest:
        host, target = ground.hosts[0], ground.hosts[-1]
        _, stopped = ids = ground.boot(host, 2)
        client.put(ground.cloud, stopped, "SHUTOFF")
        return CloudUnderTest(
            cloud=OpenStackCloud(ground.credentials),
            host=host,
            target=target,
            names=frozenset(client.services(ground.cloud)),
            kill=never,
            bring_back=never,
            stop_as_owner=lambda server_id: client.put(ground.cloud, server_id, "SHUTOFF"),
            wait_until=wait_until,
            ours=frozenset(ids),
        )


def assert_at_home(ground: Ground, ids: list[str], host: str) -> None:
    """Nobody asked Nova to evacuate them, and they run where they ran."""
    assert not [m for m in client.evacuations(ground.cloud, source_compute=host) if m["instance_uuid"] in ids]
    servers = [client.server(ground.cloud, server_id) for server_id in ids]
    assert [(s["OS-EXT-SRV-ATTR:host"], s["status"], s["locked"]) for s in servers] == [(host, "ACTIVE", False)] * len(ids)


def test_a_host_that_an_operator_forces_down_is_his(ground: Ground, hanode: Hanode) -> None:
    """It lives, and somebody said otherwise: an alarm with the command to type, and nothing else."""
    host = ground.hosts[0]
    ids = ground.boot(host, 2)
    client.set_service(ground.cloud, host, forced_down=True)
    until("exempt", lambda: hanode.status().get("exempt", {}).get(host, ""), lambda why: f"hanode host evacuate {host}" in why, SLOW_S)
    quiet_until = time.monotonic() + 60
    until("a minute", time.monotonic, lambda now: now > quiet_until)
    assert hanode.record(host) is None
    assert_at_home(ground, ids, host)
    client.set_service(ground.cloud, host, forced_down=False)
    hanode.wait_verdict(host, "HEALTHY", SLOW_S)


def test_a_dead_agent_alone_harms_nobody(ground: Ground, hanode: Hanode) -> None:
    """nova-compute is stopped, its host answers: nothing new lands there, its guests run on, and it is enabled again afterwards."""
    if ground.stop_agent is None or ground.start_agent is None:
        pytest.skip("HANODE_TEST_STOP_AGENT and HANODE_TEST_START_AGENT are not given")
    host = ground.hosts[0]
    ids = ground.boot(host, 2)
    hanode.wait_verdict(host, "HEALTHY", SLOW_S)
    ground.stop_agent(host)
    try:
        hanode.wait_verdict(host, "AGENT_DOWN", SLOW_S)
        until(f"{host} disabled", lambda: client.services(ground.cloud)[host]["status"], lambda status: status == "disabled", SLOW_S)
        assert_at_home(ground, ids, host)
    finally:
        ground.start_agent(host)
    hanode.wait_verdict(host, "HEALTHY", SLOW_S)
    until(f"{host} enabled again", lambda: client.services(ground.cloud)[host]["status"], lambda status: status == "enabled", SLOW_S)
    assert_at_home(ground, ids, host)


def test_maintenance_without_draining_leaves_the_guests_and_ends_on_request(ground: Ground, hanode: Hanode) -> None:
    """A reboot with the instances on it: nothing lands there meanwhile, nothing moves, and the host is given back."""
    host = ground.hosts[0]
    ids = ground.boot(host, 1)
    hanode.wait_verdict(host, "HEALTHY", SLOW_S)
    begun = hanode.command("host", "maintenance", host, "--no-drain", "--for", "20m", "--yes", "--reason", "a test")
    assert begun.returncode == 0, begun.stderr
    until(f"{host} disabled", lambda: client.services(ground.cloud)[host]["status"], lambda status: status == "disabled", SLOW_S)
    assert_at_home(ground, ids, host)
    ended = hanode.command("host", "maintenance", host, "--end", "--yes", "--reason", "a test is over")
    assert ended.returncode == 0, ended.stderr
    until(f"{host} enabled", lambda: client.services(ground.cloud)[host]["status"], lambda status: status == "enabled", SLOW_S)
    until("its maintenance over", lambda: hanode.roster().maintenance.get(host), lambda work: work is None, SLOW_S)
    assert_at_home(ground, ids, host)


def test_a_pause_is_seen_by_everybody_and_ended_by_a_word(ground: Ground, hanode: Hanode) -> None:
    """Whoever works on the network wants to be sure that nobody is shot meanwhile."""
    assert hanode.command("pause", "--for", "10m", "--reason", "a test").returncode == 0
    until("the hold", lambda: {hold["name"] for hold in hanode.status().get("holds", [])}, lambda names: "OPERATOR_PAUSE" in names, SLOW_S)
    assert hanode.command("resume", "--reason", "a test is over").returncode == 0
    until("no hold", lambda: hanode.status().get("holds"), lambda holds: holds == [], SLOW_S)
