"""How does a test use the lab's cloud: boot, look, change states, evacuate, clean up?

Needs openstacksdk, in whatever environment it is called from. Answers are Nova's own JSON, read back
from the API and waited for by condition; nothing sleeps for a guess. Run by itself it is a small
console: `python -m tests.lab.stack.client boot cn1 20`, `... show`, `... delete`.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import openstack
from openstack.connection import Connection

from .layout import REGION, SECRET, Lab

Seen = TypeVar("Seen")
Json = dict[str, Any]

MICROVERSION = "2.94"
# With this one, and only up to it, Nova refuses to evacuate when the disk is not where it was said to be.
SHARED_MICROVERSION = "2.13"
TIMEOUT_S = 300.0
TEST = "test-"
CPU_RATIO = 4.0
"""Nova's own: forty vCPUs on the ten CPUs of each host."""

# What leads a new server into a state, as actions of the API.
WAYS: dict[str, list[Json]] = {
    "ACTIVE": [],
    "SHUTOFF": [{"os-stop": None}],
    "ERROR": [{"os-resetState": {"state": "error"}}],
    "PAUSED": [{"pause": None}],
    "SUSPENDED": [{"suspend": None}],
    "RESCUE": [{"rescue": {}}],
    "LOCKED": [{"lock": None}],
}


class TookTooLong(AssertionError):
    """A condition did not come true in time; the message says which, and what was seen last."""


def connect(lab: Lab | None = None, user: str = "admin", project: str = "admin") -> Connection:
    lab = lab or Lab.from_environment()
    return openstack.connect(
        auth_url=lab.auth_url,
        username=user,
        password=SECRET,
        project_name=project,
        user_domain_id="default",
        project_domain_id="default",
        region_name=REGION,
        load_envvars=False,
        load_yaml_config=False,
    )


def until(what: str, look: Callable[[], Seen], good: Callable[[Seen], bool], timeout_s: float = TIMEOUT_S) -> Seen:
    """Look until it is good."""
    deadline = time.monotonic() + timeout_s
    while not good(seen := look()):
        if time.monotonic() > deadline:
            raise TookTooLong(f"{what}: not within {timeout_s:.0f} s; last seen: {seen}")
        time.sleep(0.5)
    return seen


def get(cloud: Connection, path: str, microversion: str = MICROVERSION) -> Json:
    response = cloud.compute.get(path, microversion=microversion)
    response.raise_for_status()
    return dict(response.json())


# Hosts.


def services(cloud: Connection) -> dict[str, Json]:
    """The nova-compute services by host."""
    found = get(cloud, "/os-services?binary=nova-compute")["services"]
    return {service["host"]: service for service in found}


def states(cloud: Connection) -> dict[str, str]:
    return {host: service["state"] for host, service in services(cloud).items()}


def hosts_up(cloud: Connection, hosts: Sequence[str], timeout_s: float = TIMEOUT_S) -> None:
    """Wait until Nova says that all of these are up and knows their hypervisors."""

    def missing() -> set[str]:
        seen = states(cloud)
        known = {h["service"]["host"] for h in get(cloud, "/os-hypervisors/detail", "2.87")["hypervisors"]}
        return {host for host in hosts if seen.get(host) != "up" or host not in known}

    until("hosts up", missing, lambda some: not some, timeout_s)


def host_down(cloud: Connection, host: str, timeout_s: float = TIMEOUT_S) -> None:
    until(f"{host} down", lambda: states(cloud).get(host), lambda state: state == "down", timeout_s)


def set_service(cloud: Connection, host: str, **fields: object) -> Json:
    """For example forced_down=True, or status="disabled" with disabled_reason; Nova's answer is returned."""
    service = services(cloud)[host]["id"]
    response = cloud.compute.put(f"/os-services/{service}", json=fields, microversion=MICROVERSION)
    return {"http": response.status_code, **response.json()}


def is_marked_disabled(cloud: Connection, host: str) -> bool:
    """Does Placement keep servers from it (trait COMPUTE_STATUS_DISABLED), whatever its service says?"""
    headers = {"OpenStack-API-Version": "placement 1.28"}
    found = cloud.placement.get(f"/resource_providers?name={host}&required=COMPUTE_STATUS_DISABLED", headers=headers).json()
    return bool(found["resource_providers"])


def set_cpu_ratio(cloud: Connection, host: str, ratio: float) -> None:
    """So many vCPUs for each of its CPUs, as an operator sets it in Placement; Nova leaves that as it is."""
    headers = {"OpenStack-API-Version": "placement 1.28"}
    (provider,) = cloud.placement.get(f"/resource_providers?name={host}", headers=headers).json()["resource_providers"]
    path = f"/resource_providers/{provider['uuid']}/inventories/VCPU"

    def is_set() -> bool:
        found = cloud.placement.get(path, headers=headers).json()
        return bool(found["allocation_ratio"] == ratio) or cloud.placement.put(path, json={**found, "allocation_ratio": ratio}).ok

    until(f"{ratio} vCPUs for each CPU of {host}", is_set, bool)


# Servers.


def servers(cloud: Connection, host: str | None = None) -> list[Json]:
    query = f"&host={host}" if host else ""
    return list(get(cloud, f"/servers/detail?all_tenants=1{query}")["servers"])


def server(cloud: Connection, server_id: str) -> Json:
    return dict(get(cloud, f"/servers/{server_id}")["server"])


def summary(cloud: Connection) -> Counter[tuple[str, str]]:
    """How many servers there are, by host and status."""
    return Counter((str(s["OS-EXT-SRV-ATTR:host"]), s["status"]) for s in servers(cloud))


def boot(
    cloud: Connection,
    count: int,
    host: str | None = None,
    flavor: str = "tiny",
    name: str = "vm",
    zone: str = "",
    group: str = "",
) -> list[str]:
    """Boot that many servers, on that host or anywhere, wait until they are ACTIVE; their ids. `group`: id of a server group."""
    flavors = {f["name"]: f["id"] for f in get(cloud, "/flavors")["flavors"]}
    image = next(image.id for image in cloud.image.images())
    body: Json = {
        "name": name,
        "flavorRef": flavors[flavor],
        "imageRef": image,
        "networks": "none",
        "min_count": count,
        "max_count": count,
        "return_reservation_id": True,
        **({"host": host} if host else {}),
        **({"availability_zone": zone} if zone else {}),
    }
    hints = {"os:scheduler_hints": {"group": group}} if group else {}

    def booted() -> list[Json]:
        done = _boot_once(cloud, {"server": body, **hints})
        if any(s["status"] == "ERROR" for s in done):
            delete_all_of(cloud, done)
        return done

    # A host that has just come back may carry Placement's mark of a disabled one for some seconds more.
    done = until("servers booted", booted, lambda some: all(s["status"] == "ACTIVE" for s in some))
    if len(done) != count:
        raise AssertionError(f"{len(done)} of {count} servers exist")
    return [s["id"] for s in done]


def _boot_once(cloud: Connection, body: Json) -> list[Json]:
    response = cloud.compute.post("/servers", json=body, microversion=MICROVERSION)
    response.raise_for_status()
    reservation = response.json()["reservation_id"]

    def look() -> list[Json]:
        found = get(cloud, f"/servers/detail?all_tenants=1&reservation_id={reservation}")
        return list(found["servers"])

    return until("boot", look, lambda some: all(s["status"] in ("ACTIVE", "ERROR") for s in some))


def delete_all_of(cloud: Connection, found: Iterable[Json]) -> None:
    ids = {s["id"] for s in found}
    for server_id in ids:
        cloud.compute.delete(f"/servers/{server_id}")
    until("deleted", lambda: ids & {s["id"] for s in servers(cloud)}, lambda left: not left)


def act(cloud: Connection, server_id: str, action: Json, microversion: str = MICROVERSION) -> None:
    response = cloud.compute.post(f"/servers/{server_id}/action", json=action, microversion=microversion)
    response.raise_for_status()


def put(cloud: Connection, server_id: str, state: str) -> None:
    """Lead an ACTIVE server into a state (see WAYS) and wait until it is there."""
    for action in WAYS[state]:
        act(cloud, server_id, action)
    status = "ACTIVE" if state == "LOCKED" else state

    def there(seen: Json) -> bool:
        return seen["status"] == status and not seen["OS-EXT-STS:task_state"]

    until(f"server in {state}", lambda: server(cloud, server_id), there)


def boot_mixed(cloud: Connection, host: str, wanted: Iterable[str]) -> dict[str, str]:
    """One server in each of these states on that host, for example ["ACTIVE", "ACTIVE", "SHUTOFF"]."""
    wanted = list(wanted)
    ids = boot(cloud, len(wanted), host)
    chosen = dict(zip(ids, wanted, strict=True))
    for server_id, state in chosen.items():
        put(cloud, server_id, state)
    return chosen


def delete_all(cloud: Connection, timeout_s: float = TIMEOUT_S) -> None:
    """Delete every server; those in the middle of something are deleted by force."""

    def delete_rest() -> int:
        rest = servers(cloud)
        for one in rest:
            if one["locked"]:
                act(cloud, one["id"], {"unlock": None})
            if one["OS-EXT-STS:task_state"] != "deleting":
                cloud.compute.delete(f"/servers/{one['id']}")
        return len(rest)

    until("no servers", delete_rest, lambda count: count == 0, timeout_s)


# What binds servers and hosts.


def create_group(cloud: Connection, name: str, policy: str) -> str:
    """A server group; its id. `delete_groups` removes all."""
    response = cloud.compute.post("/os-server-groups", json={"server_group": {"name": name, "policy": policy}}, microversion=MICROVERSION)
    response.raise_for_status()
    return str(response.json()["server_group"]["id"])


def delete_groups(cloud: Connection) -> None:
    for group in get(cloud, "/os-server-groups?all_projects=true")["server_groups"]:
        cloud.compute.delete(f"/os-server-groups/{group['id']}")


def create_aggregate(cloud: Connection, name: str, hosts: Iterable[str], **metadata: str) -> None:
    """`availability_zone` among the metadata makes it a zone, which Nova refuses while servers are on its hosts."""
    aggregate = cloud.compute.create_aggregate(name=f"{TEST}{name}")
    cloud.compute.set_aggregate_metadata(aggregate, metadata)
    for host in hosts:
        cloud.compute.add_host_to_aggregate(aggregate, host)


def delete_aggregates(cloud: Connection) -> None:
    """Those that a test made."""
    for aggregate in cloud.compute.aggregates():
        if aggregate.name.startswith(TEST):
            for host in aggregate.hosts or ():
                cloud.compute.remove_host_from_aggregate(aggregate, host)
            cloud.compute.delete_aggregate(aggregate)


# Evacuation.


def evacuate(
    cloud: Connection,
    server_id: str,
    host: str | None = None,
    microversion: str = MICROVERSION,
    shared: bool | None = None,
) -> tuple[int, str]:
    """One POST, never repeated by the library: HTTP status, and request id or error text."""
    body: Json = {}
    if host:
        body["host"] = host
    if shared is not None:
        body["onSharedStorage"] = shared
    response = cloud.compute.post(
        f"/servers/{server_id}/action",
        json={"evacuate": body},
        microversion=microversion,
        connect_retries=0,
        status_code_retries=0,
        raise_exc=False,
    )
    if response.status_code == 200:
        return 200, response.headers["x-openstack-request-id"]
    return response.status_code, response.text


def evacuate_all(cloud: Connection, ids: Sequence[str], host: str | None = None, at_once: int = 8) -> None:
    with ThreadPoolExecutor(at_once) as pool:
        answers = list(pool.map(lambda server_id: evacuate(cloud, server_id, host), ids))
    refused = [answer for answer in answers if answer[0] != 200]
    if refused:
        raise AssertionError(f"not accepted: {refused}")


def evacuations(cloud: Connection, **filters: str) -> list[Json]:
    """Evacuation records, newest first; filters as in the API: instance_uuid, source_compute, status."""
    query = "".join(f"&{name}={value}" for name, value in filters.items())
    found = get(cloud, f"/os-migrations?migration_type=evacuation{query}")["migrations"]
    return sorted(found, key=lambda migration: -migration["id"])


def moved(cloud: Connection, ids: Sequence[str], source: str, timeout_s: float = TIMEOUT_S) -> list[Json]:
    """Wait until every one of these left the source for good; the servers."""

    def look() -> list[Json]:
        wanted = set(ids)
        done = {m["instance_uuid"] for m in evacuations(cloud, source_compute=source) if m["status"] == "done"}
        return [
            s for s in servers(cloud) if s["id"] in wanted & done and s["OS-EXT-SRV-ATTR:host"] != source and not s["OS-EXT-STS:task_state"]
        ]

    return until(f"{len(ids)} servers off {source}", look, lambda some: len(some) == len(ids), timeout_s)


def allocations(cloud: Connection, server_id: str) -> dict[str, Json]:
    """What the server holds in Placement, by host name."""
    headers = {"OpenStack-API-Version": "placement 1.28"}
    found = cloud.placement.get(f"/allocations/{server_id}", headers=headers).json()["allocations"]
    providers = cloud.placement.get("/resource_providers", headers=headers).json()["resource_providers"]
    names = {provider["uuid"]: provider["name"] for provider in providers}
    return {names[uuid]: dict(held["resources"]) for uuid, held in found.items()}


def main() -> None:
    cloud = connect()
    match sys.argv[1:]:
        case ["boot", host, count]:
            print(*boot(cloud, int(count), host), sep="\n")
        case ["delete"]:
            delete_all(cloud)
        case ["show"]:
            for service in services(cloud).values():
                print(service["host"], service["state"], service["status"], f"forced_down={service['forced_down']}")
            for (where, status), servers_there in sorted(summary(cloud).items()):
                print(where, status, servers_there)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
