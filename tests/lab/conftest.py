"""What does a test against the lab start from? A healthy cloud without servers; what it broke is mended behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openstack.connection import Connection

from .cluster import Cluster, until
from .stack import client, faults, power
from .stack.layout import Lab

START = Callable[..., Cluster]


@pytest.fixture(scope="session")
def lab() -> Lab:
    found = Lab.from_environment()
    if not found.path("lab.json").exists():
        pytest.fail("the lab is not up: type `make lab` (root, Debian or Ubuntu)")
    return found


@pytest.fixture(scope="session")
def cloud(lab: Lab) -> Connection:
    return client.connect(lab)


@pytest.fixture(autouse=True)
def _mended(lab: Lab, cloud: Connection) -> Iterator[None]:
    mend(lab, cloud)
    yield
    mend(lab, cloud)


def mend(lab: Lab, cloud: Connection) -> None:
    """Every host on, up, enabled and empty, with its forty vCPUs, whatever the last test left."""
    faults.heal(lab)
    with contextlib.suppress(client.TookTooLong):
        client.delete_all(cloud, timeout_s=60)
    for host in lab.hosts:
        restart_if_marked(lab, cloud, host.name)
    for host in lab.hosts:
        until(f"{host.name} taken back", lambda name=host.name: take_back(cloud, name), bool)  # type: ignore[misc]
    client.delete_all(cloud)
    client.delete_groups(cloud)
    client.delete_aggregates(cloud)
    client.hosts_up(cloud, [host.name for host in lab.hosts])
    for host in lab.hosts:
        client.set_cpu_ratio(cloud, host.name, client.CPU_RATIO)


def restart_if_marked(lab: Lab, cloud: Connection, host: str) -> None:
    """Evacuation records of a host end only with a restart of its nova-compute."""
    unfinished = [m for m in client.evacuations(cloud, source_compute=host) if m["status"] in {"accepted", "pre-migrating", "done"}]
    if unfinished and power.is_on(lab.host(host)):
        faults.power_cut(lab, host)
        faults.power_on(lab, host)


def take_back(cloud: Connection, host: str) -> bool:
    """One step towards a host that Nova uses again; True when none is left."""
    service = client.services(cloud)[host]
    if service["forced_down"]:
        client.set_service(cloud, host, forced_down=False)  # refused while its evacuation records are unfinished
    elif service["state"] != "up":
        pass  # enabled while down, it would keep Placement's trait COMPUTE_STATUS_DISABLED until its next restart
    elif service["status"] != "enabled":
        client.set_service(cloud, host, status="enabled")
    elif client.is_marked_disabled(cloud, host):
        # A restart while it was disabled left the mark, which only the next change of its status takes away.
        client.set_service(cloud, host, status="disabled")
    else:
        return True
    return False


@pytest.fixture
def start(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[START]:
    """Start three daemons with these settings; they end with the test, and tell their story if it failed."""
    with contextlib.ExitStack() as stack:
        begun: list[Cluster] = []

        def begin(**settings: object) -> Cluster:
            cluster = Cluster(lab, tmp_path / "hanode", **settings)  # type: ignore[arg-type]
            begun.append(cluster)
            return stack.enter_context(cluster)

        yield begin
        failed = getattr(request.node, "failed", False)
        if failed and begun:
            print(begun[0].told())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    item.failed = outcome.get_result().failed if outcome.get_result().when == "call" else getattr(item, "failed", False)  # type: ignore[attr-defined]
